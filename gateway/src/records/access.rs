//! `report access`: everybody who had access at a time, by which right, and who used it. Pure over entries.
//!
//! By policy: each person and agent who had ever logged in, asked whether the policy that was in force then let
//! them `connect`, with the groups of their last login. By grant: each role that was given and had not
//! ended. Whoever never came near the gateway is in no log, and so in no report.

use std::{collections::BTreeMap, net::Ipv4Addr};

use chrono::{DateTime, Utc};
use countersign_shared::duties::Human;
use serde::Serialize;

use super::table::Table;
use crate::{
    log::{Entry, Kind},
    policy::Policies,
    statement::{
        decide::{Asker, SessionFacts, permits, rules_of},
        effect::{Action, Effect},
    },
};

/// What somebody did on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Sessions.
    pub sessions: u64,
    /// Statements that were forwarded.
    pub statements: u64,
    /// The last of either.
    pub last: Option<DateTime<Utc>>,
}

/// One right to one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Whose.
    pub principal: String,
    /// To which connection.
    pub connection: String,
    /// `policy` or `grant`.
    pub by: &'static str,
    /// The policies, or the role and who agreed to it.
    pub basis: String,
    /// Until when, for a grant.
    pub until: Option<DateTime<Utc>>,
    /// Their groups at their last login.
    pub groups: Vec<String>,
    /// What they did there, up to then.
    pub used: Use,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// When.
    pub as_of: DateTime<Utc>,
    /// The version of the policy that was in force; `None` where no entry has it.
    pub policy: Option<String>,
    /// How many people and agents had any access.
    pub people: usize,
    /// All rights.
    pub rights: Vec<Right>,
    /// What the log can't say.
    pub caveats: Vec<String>,
}

struct Person {
    human: Human,
    groups: Vec<String>,
    facts: SessionFacts,
    gone: bool,
}

struct Grant {
    principal: String,
    connection: String,
    role: String,
    approved_by: Vec<String>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Collects entries up to a time.
pub struct Collected {
    as_of: DateTime<Utc>,
    texts: Option<Vec<(String, String)>>,
    connections: BTreeMap<String, BTreeMap<String, String>>,
    people: BTreeMap<String, Person>,
    grants: BTreeMap<String, Grant>,
    uses: BTreeMap<(String, String), Use>,
}

impl Collected {
    /// As it was at `as_of`.
    #[must_use]
    pub const fn as_of(as_of: DateTime<Utc>) -> Self {
        Self {
            as_of,
            texts: None,
            connections: BTreeMap::new(),
            people: BTreeMap::new(),
            grants: BTreeMap::new(),
            uses: BTreeMap::new(),
        }
    }

    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        if entry.time > self.as_of {
            return;
        }
        match entry.kind {
            Kind::Load => self.loaded(entry),
            Kind::Login if entry.outcome.as_deref() == Some("ok") => self.login(entry),
            Kind::Statement => self.used(entry).statements += 1,
            Kind::Granted => self.granted(entry),
            Kind::GrantEnded => {
                let id = entry.detail["grant"].as_str().unwrap_or_default();
                self.grants.remove(id);
            }
            Kind::Directory => self.directory(entry),
            _ => {}
        }
    }

    fn loaded(&mut self, entry: &Entry) {
        let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        if let Some(files) = entry.detail["files"].as_array() {
            self.texts = Some(files.iter().map(|file| (text(file, "name"), text(file, "text"))).collect());
        }
        if let Ok(connections) = serde_json::from_value(entry.detail["connections"].clone()) {
            self.connections = connections;
        }
    }

    fn used(&mut self, entry: &Entry) -> &mut Use {
        let who = entry.principal.clone().unwrap_or_default();
        let used = self.uses.entry((who, entry.connection.clone().unwrap_or_default())).or_default();
        used.last = used.last.max(Some(entry.time));
        used
    }

    fn login(&mut self, entry: &Entry) {
        self.used(entry).sessions += 1;
        let text = |key: &str| entry.detail[key].as_str().unwrap_or_default().to_owned();
        let principal = entry.principal.clone().unwrap_or_default();
        let human = Human {
            principal: principal.clone(),
            issuer: text("issuer"),
            subject: text("subject"),
            owner: Some(text("owner")).filter(|owner| !owner.is_empty()),
        };
        let groups = serde_json::from_value(entry.detail["groups"].clone()).unwrap_or_default();
        // Where it is not known, no rule about addresses lets them in.
        let address = Some(text("address")).filter(|address| !address.is_empty());
        let address = address.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.to_string());
        let facts = SessionFacts { application: text("application"), address };
        self.people.insert(principal, Person { human, groups, facts, gone: false });
    }

    fn granted(&mut self, entry: &Entry) {
        let text = |key: &str| entry.detail[key].as_str().unwrap_or_default().to_owned();
        let at = |key: &str| text(key).parse::<DateTime<Utc>>().ok();
        let id = text("grant");
        if entry.outcome.as_deref() != Some("granted") {
            // Written before the state had it, and the state did not take it.
            self.grants.remove(&id);
            return;
        }
        let (Some(from), Some(until)) = (at("from"), at("until")) else { return };
        let approved_by = serde_json::from_value(entry.detail["approved_by"].clone()).unwrap_or_default();
        let first = self.grants.get(&id).map_or(from, |before| before.from.min(from));
        self.grants.insert(
            id,
            Grant {
                principal: entry.principal.clone().unwrap_or_default(),
                connection: entry.connection.clone().unwrap_or_default(),
                role: text("role"),
                approved_by,
                from: first,
                until,
            },
        );
    }

    fn directory(&mut self, entry: &Entry) {
        let name = entry.detail["name"].as_str().unwrap_or_default();
        let active = entry.detail["changed"]["active"].as_bool();
        let gone = match (entry.detail["type"].as_str(), entry.outcome.as_deref(), active) {
            (Some("User"), Some("deleted"), _) => true,
            (Some("User"), _, Some(active)) => !active,
            _ => return,
        };
        if let Some((_, person)) = self.people.iter_mut().find(|(principal, _)| principal.eq_ignore_ascii_case(name)) {
            person.gone = gone;
        }
    }

    /// The report.
    #[must_use]
    pub fn into_report(self) -> Access {
        let mut caveats = Vec::new();
        let policies = self.texts.as_ref().and_then(|texts| Policies::of_texts(texts).ok());
        match (&self.texts, &policies) {
            (None, _) => {
                caveats.push("No entry up to then has the policy's text; rights by policy are not known.".to_owned())
            }
            (Some(_), None) => caveats.push("This version can't read the policy of that time.".to_owned()),
            _ => {}
        }
        let mut rights = Vec::new();
        for (who, person) in self.people.iter().filter(|(_, person)| !person.gone) {
            for (connection, tags) in &self.connections {
                let Some(policies) = &policies else { continue };
                let asker = Asker { human: person.human.clone(), groups: person.groups.clone(), roles: Vec::new() };
                let (on, connect) = ((connection.as_str(), tags), Effect::on_connection(Action::Connect));
                if permits(policies, &asker, on, &connect, &person.facts, self.as_of) {
                    let rules = rules_of(policies, &asker, on, &connect, &person.facts, self.as_of);
                    rights.push(self.right(who, connection, "policy", rules.join(", "), None));
                }
            }
        }
        let in_force = |grant: &&Grant| grant.from <= self.as_of && self.as_of < grant.until;
        for grant in self.grants.values().filter(in_force) {
            let by = if grant.approved_by.is_empty() { "policy".to_owned() } else { grant.approved_by.join(", ") };
            let basis = format!("role {}, by {by}", grant.role);
            rights.push(self.right(&grant.principal, &grant.connection, "grant", basis, Some(grant.until)));
        }
        rights.sort_by(|a, b| (&a.principal, &a.connection, a.by).cmp(&(&b.principal, &b.connection, b.by)));
        let mut people: Vec<&str> = rights.iter().map(|right| right.principal.as_str()).collect();
        people.dedup();
        caveats.push("Who never logged in through the gateway is not in its log, and so not here.".to_owned());
        let policy = policies.as_ref().map(|policies| policies.version().to_string());
        Access { as_of: self.as_of, policy, people: people.len(), rights, caveats }
    }

    fn right(
        &self,
        principal: &str,
        connection: &str,
        by: &'static str,
        basis: String,
        until: Option<DateTime<Utc>>,
    ) -> Right {
        Right {
            principal: principal.to_owned(),
            connection: connection.to_owned(),
            by,
            basis,
            until,
            groups: self.people.get(principal).map(|person| person.groups.clone()).unwrap_or_default(),
            used: self.uses.get(&(principal.to_owned(), connection.to_owned())).cloned().unwrap_or_default(),
        }
    }
}

impl Access {
    /// A row for each right.
    #[must_use]
    pub fn table(&self) -> Table {
        let time =
            |at: Option<DateTime<Utc>>| at.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
        let row = |right: &Right| {
            vec![
                right.principal.clone(),
                right.connection.clone(),
                right.by.to_owned(),
                right.basis.clone(),
                time(right.until),
                right.groups.join(", "),
                right.used.sessions.to_string(),
                right.used.statements.to_string(),
                time(right.used.last),
            ]
        };
        let head =
            vec!["principal", "connection", "by", "basis", "until", "groups", "sessions", "statements", "last used"];
        Table { head, rows: self.rights.iter().map(row).collect() }
    }

    /// The report as Markdown, after its title.
    #[must_use]
    pub fn markdown(&self) -> String {
        let unused = self.rights.iter().filter(|right| right.used == Use::default()).count();
        let policy = self.policy.as_deref().unwrap_or("not known");
        let mut lines = vec![
            format!("As of {}.", self.as_of.format("%Y-%m-%d %H:%M:%S UTC")),
            format!("{} people and agents had {} rights; {unused} were never used.", self.people, self.rights.len()),
            format!("Policy in force: {policy}."),
        ];
        lines.extend(self.caveats.iter().cloned());
        lines.push(String::new());
        lines.push(self.table().markdown());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: Kind, at: &str, who: &str, outcome: &str, detail: serde_json::Value) -> Entry {
        let mut entry = Entry::new(kind);
        entry.time = format!("2026-11-{at}Z").parse().unwrap();
        entry.principal = (!who.is_empty()).then(|| format!("{who}@acme.dev"));
        entry.connection = Some("shop".into());
        entry.outcome = Some(outcome.into());
        entry.detail = detail;
        entry
    }

    fn report(as_of: &str) -> Access {
        let policy = "permit (principal in Group::\"engineering\", action == Action::\"connect\", resource in Connection::\"shop\");";
        let grant = |until: &str| {
            json!({ "grant": "G1G1G1G1", "role": "shop-reader", "from": "2026-11-11T00:00:00Z", "until": until,
                    "approved_by": ["priya@acme.dev"] })
        };
        let login = |groups: &[&str]| json!({ "groups": groups, "issuer": "i", "subject": "s" });
        let entries = [
            entry(Kind::Load, "01T00:00:00", "", "policy", json!({ "files": [{ "name": "a.cedar", "text": policy }] })),
            entry(Kind::Load, "01T00:00:00", "", "config", json!({ "connections": { "shop": { "env": "prod" } } })),
            entry(Kind::Login, "02T00:00:00", "ana", "ok", login(&["engineering"])),
            entry(Kind::Statement, "02T00:00:01", "ana", "allow", json!({})),
            entry(Kind::Login, "02T01:00:00", "cleo", "ok", login(&["engineering"])),
            entry(
                Kind::Directory,
                "03T00:00:00",
                "",
                "changed",
                json!({ "type": "User", "name": "cleo@acme.dev", "changed": { "active": false } }),
            ),
            entry(Kind::Granted, "11T00:00:00", "dan", "granted", grant("2026-11-12T00:00:00Z")),
            entry(Kind::Granted, "11T12:00:00", "dan", "granted", grant("2026-11-20T00:00:00Z")),
            entry(Kind::GrantEnded, "15T00:00:00", "dan", "revoked", json!({ "grant": "G1G1G1G1" })),
        ];
        let mut collected = Collected::as_of(format!("2026-11-{as_of}Z").parse().unwrap());
        entries.iter().for_each(|entry| collected.take(entry));
        collected.into_report()
    }

    #[test]
    fn who_had_access_depends_on_when() {
        let rights = |as_of: &str| {
            let rights = report(as_of).rights;
            rights
                .iter()
                .map(|right| format!("{} {}", right.principal.replace("@acme.dev", ""), right.by))
                .collect::<Vec<_>>()
        };
        assert_eq!(rights("01T12:00:00"), [""; 0]);
        assert_eq!(rights("02T12:00:00"), ["ana policy", "cleo policy"]);
        assert_eq!(rights("04T00:00:00"), ["ana policy"], "who is gone has none");
        assert_eq!(rights("13T00:00:00"), ["ana policy", "dan grant"], "a grant that was made longer");
        assert_eq!(rights("16T00:00:00"), ["ana policy"], "a grant that was revoked");
    }

    #[test]
    fn each_right_has_its_basis_and_its_use() {
        let report = report("13T00:00:00");
        let [ana, dan] = report.rights.as_slice() else { panic!("{report:?}") };
        assert_eq!(ana.basis, "a.cedar#1");
        assert_eq!((ana.used.sessions, ana.used.statements), (1, 1));
        assert_eq!(dan.basis, "role shop-reader, by priya@acme.dev");
        assert_eq!(dan.used, Use::default());
        assert!(report.markdown().contains("2 people and agents had 2 rights; 1 were never used."));
    }
}
