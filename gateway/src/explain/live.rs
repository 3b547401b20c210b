//! `explain-policy`: a statement against the policies, the catalog and the people of a configured
//! gateway, as they are now. Nothing is run.

use countersign_shared::duties::Human;

use super::{Explanation, Said, of_statement};
use crate::{
    catalog::read,
    config::{Config, ConnectionConfig},
    connection::{catalogs::Own, upstream},
    policy::Policies,
    statement::{
        classify::Names,
        decide::{Asker, Known, SessionFacts},
    },
    store::{Store as _, sqlite::SqliteStore},
};

/// As whom to ask.
#[derive(Clone, Debug)]
pub struct Subject {
    /// A user, or an agent of the config.
    pub principal: String,
    /// Groups; those last seen where none is named.
    pub groups: Vec<String>,
    /// Roles held by grants.
    pub roles: Vec<String>,
    /// `countersign.reason`.
    pub reason: Option<String>,
}

/// What policy makes of `sql` on `connection`, said by `subject`.
///
/// # Errors
/// In a sentence: no such connection, policies that don't load, a database that can't be asked.
pub async fn explain_live(
    config: &Config,
    connection: &str,
    sql: &str,
    subject: &Subject,
) -> Result<Explanation, String> {
    let found = config.connections.get(connection).ok_or_else(|| {
        let names: Vec<&str> = config.connections.keys().map(String::as_str).collect();
        format!("there is no connection {connection:?} in {}; there are {}", config.file.display(), names.join(", "))
    })?;
    let policies = Policies::load(&config.gateway.policy).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let known = people(config).await?;
    let said = Said {
        asker: asker(config, subject, &known),
        connection: (connection, found.tags.clone()),
        sql,
        session: SessionFacts { application: "explain-policy".to_owned(), address: "127.0.0.1".to_owned() },
        reason: subject.reason.clone(),
        in_transaction: false,
    };
    let (catalog, names) = catalog(found).await?;
    Ok(of_statement(&policies, &said, (&catalog, &names), (&[], &known), chrono::Utc::now()))
}

/// Everybody whom the state knows. A gateway that has not run yet knows nobody.
async fn people(config: &Config) -> Result<Vec<Known>, String> {
    let url = &config.gateway.state;
    let file = url.strip_prefix("sqlite://").unwrap_or(url);
    if !std::path::Path::new(file).exists() {
        return Ok(Vec::new());
    }
    let asked = async { SqliteStore::open(url).await?.people().await };
    asked.await.map_err(|error| format!("the state can't say who is known: {error}"))
}

fn asker(config: &Config, subject: &Subject, known: &[Known]) -> Asker {
    let principal = subject.principal.as_str();
    let seen = known.iter().find(|one| one.human.principal.eq_ignore_ascii_case(principal));
    let agent = config.agents.iter().find(|agent| agent.name == principal);
    let unknown = || Human {
        principal: agent.map_or_else(|| principal.to_lowercase(), |agent| agent.name.clone()),
        issuer: agent.map(|agent| agent.issuer.clone()).unwrap_or_default(),
        subject: agent.map_or_else(|| principal.to_owned(), |agent| agent.subject.clone()),
        owner: agent.map(|agent| agent.owner.clone()),
    };
    let human = seen.map_or_else(unknown, |one| one.human.clone());
    let groups = match (subject.groups.as_slice(), agent, seen) {
        ([], Some(agent), _) => agent.groups.clone(),
        ([], None, Some(one)) => one.groups.clone(),
        (named, ..) => named.to_vec(),
    };
    Asker { human, groups, roles: subject.roles.clone() }
}

/// The catalog, and what names mean to a session that has just begun.
async fn catalog(connection: &ConnectionConfig) -> Result<(crate::catalog::Snapshot, Names), String> {
    const PATH: &str = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text";
    let failed =
        |error: &dyn std::fmt::Display| format!("the database of {:?} can't be asked: {error}", connection.name);
    let own = [("application_name".to_owned(), "countersign".to_owned())];
    let mut end = upstream::open(&connection.upstream, &own).await.map_err(|error| failed(&error))?.end;
    let rows = upstream::query(&mut end, PATH).await.map_err(|error| failed(&error))?;
    let path = rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default();
    let search_path = serde_json::from_str(&path).map_err(|error| failed(&error))?;
    let names = Names { search_path, login: connection.upstream.user.clone(), ..Names::default() };
    let snapshot = read::read(&mut Own(&mut end)).await.map_err(|error| failed(&error))?;
    Ok((snapshot, names))
}
