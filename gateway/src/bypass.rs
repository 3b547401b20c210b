//! Who reaches a database by another way: backends that this gateway did not open, and roles that could log in.

use std::collections::BTreeSet;

use chrono::Utc;
use countersign_shared::api::{BypassBackend, BypassRole, BypassView};
use serde_json::json;

use crate::{
    config::ConnectionConfig,
    connection::{live, upstream},
    log::{Entry, Kind},
};

/// Backends of clients. Who may not see others' has only their process id and login.
const BACKENDS: &str = "SELECT pid, usename, application_name, client_addr, backend_type, backend_start \
    FROM pg_catalog.pg_stat_activity \
    WHERE (datname OPERATOR(pg_catalog.=) pg_catalog.current_database() \
           AND (backend_type IS NULL OR backend_type OPERATOR(pg_catalog.=) 'client backend')) \
       OR backend_type OPERATOR(pg_catalog.=) 'walsender' \
    ORDER BY pid";

/// Roles that can log in and may connect here.
const ROLES: &str = "SELECT rolname, rolsuper, rolreplication, rolbypassrls, \
           coalesce(rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now(), false) \
    FROM pg_catalog.pg_roles \
    WHERE rolcanlogin AND pg_catalog.has_database_privilege(oid, pg_catalog.current_database(), 'CONNECT') \
    ORDER BY rolname";

/// What looking now and then can't see.
pub const MISSES: [&str; 5] = [
    "whoever came and went between two looks: let PostgreSQL log connections (log_connections), and compare",
    "what a backend does: it says who is there, not what they run",
    "jobs of the database itself: pg_cron, logical replication workers, what functions open by dblink",
    "backends behind a pooler: a pooler's are told, its clients are not",
    "who could come: pg_hba.conf says from where; let only the gateway's logins in, from the gateway's address",
];

/// Looks now.
///
/// # Errors
/// In a sentence: why the database can't be asked.
pub async fn look(connection: &ConnectionConfig) -> Result<BypassView, String> {
    let failed = |error: upstream::UpstreamError| format!("the database can't be asked: {error}");
    let own =
        [("application_name", "countersign"), ("default_transaction_read_only", "on"), ("statement_timeout", "10000")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut end = upstream::open(&connection.upstream, &own).await.map_err(failed)?.end;
    // Who ended meanwhile was ours before, and who came is ours after.
    let mut ours = live::on(&connection.upstream);
    let mut answers = upstream::queries(&mut end, &[BACKENDS, ROLES]).await.map_err(failed)?.into_iter();
    ours.append(&mut live::on(&connection.upstream));
    let (backends, roles) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
    let mut logins: BTreeSet<&str> = connection.logins.iter().map(|rule| rule.user.as_str()).collect();
    logins.insert(&connection.upstream.user);
    Ok(told(&connection.name, &backends, &roles, &ours, &logins))
}

type Rows = Vec<Vec<Option<String>>>;

/// What the rows come to. Pure.
fn told(connection: &str, backends: &Rows, roles: &Rows, ours: &BTreeSet<i32>, logins: &BTreeSet<&str>) -> BypassView {
    let mut view = BypassView {
        connection: connection.to_owned(),
        at: Utc::now(),
        ours: 0,
        backends: Vec::new(),
        roles: Vec::new(),
        restricted: false,
        misses: MISSES.map(str::to_owned).to_vec(),
    };
    for row in backends {
        let text = |at: usize| row.get(at).cloned().flatten();
        let Some(pid) = text(0).and_then(|pid| pid.parse().ok()) else { continue };
        if ours.contains(&pid) {
            view.ours += 1;
            continue;
        }
        view.restricted |= text(4).is_none();
        view.backends.push(BypassBackend {
            pid,
            login: text(1),
            application: text(2).filter(|name| !name.is_empty()),
            address: text(3),
            kind: text(4),
            since: text(5),
        });
    }
    for row in roles {
        let is = |at: usize| row.get(at).and_then(Option::as_deref) == Some("t");
        let Some(name) = row.first().cloned().flatten() else { continue };
        view.roles.push(BypassRole {
            gateway: logins.contains(name.as_str()),
            name,
            superuser: is(1),
            replication: is(2),
            bypasses_row_security: is(3),
            expired: is(4),
        });
    }
    view
}

/// What was seen, for the log.
#[must_use]
pub fn entry(view: &BypassView, by: &str) -> Entry {
    let others: Vec<&str> = view.roles.iter().filter(|role| !role.gateway).map(|role| role.name.as_str()).collect();
    Entry {
        principal: Some(by.to_owned()),
        connection: Some(view.connection.clone()),
        outcome: Some(format!(
            "{} backends came by another way, {} through the gateway",
            view.backends.len(),
            view.ours
        )),
        detail: json!({ "backends": view.backends, "login_roles": others, "restricted": view.restricted }),
        ..Entry::new(Kind::Bypass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn who_is_there_and_not_ours_came_by_another_way() {
        let backends = vec![
            row(&[
                Some("7"),
                Some("app"),
                Some("ana@acme.dev|psql"),
                Some("10.0.0.1"),
                Some("client backend"),
                Some("t"),
            ]),
            // A name is no proof: whoever connects says it.
            row(&[
                Some("8"),
                Some("app"),
                Some("ana@acme.dev|psql"),
                Some("10.0.0.9"),
                Some("client backend"),
                Some("t"),
            ]),
            row(&[Some("9"), Some("root"), None, None, None, None]),
            row(&[None]),
        ];
        let roles = vec![
            row(&[Some("app"), Some("f"), Some("f"), Some("f"), Some("f")]),
            row(&[Some("root"), Some("t"), Some("t"), Some("t"), Some("f")]),
        ];
        let view = told("shop", &backends, &roles, &BTreeSet::from([7]), &BTreeSet::from(["app"]));
        assert_eq!(view.ours, 1);
        assert_eq!(view.backends.iter().map(|backend| backend.pid).collect::<Vec<_>>(), [8, 9]);
        assert!(view.restricted, "of one, it is not known what it is");
        let said: Vec<_> = view.roles.iter().map(|role| (role.name.as_str(), role.gateway, role.superuser)).collect();
        assert_eq!(said, [("app", true, false), ("root", false, true)]);
        let entry = entry(&view, "sam@acme.dev");
        assert_eq!(entry.outcome.as_deref(), Some("2 backends came by another way, 1 through the gateway"));
        assert_eq!(entry.detail["login_roles"], json!(["root"]));
    }
}
