//! `explain-policy`: a statement against the policies, the catalog and the people of a configured
//! gateway, as they are now. Nothing is run.

use countersign_shared::duties::Human;

use super::{
    Explanation, Said, of_connect, of_statement,
    world::{self, World},
};
use crate::{
    config::{Config, Mode},
    policy::Policies,
    statement::decide::{Asker, Known, SessionFacts},
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

/// Why nothing could be told.
#[derive(Debug)]
pub enum NotExplained {
    /// The config has no such connection, or policies that don't load.
    Usage(String),
    /// The database or the state can't be asked.
    Failed(String),
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
) -> Result<Explanation, NotExplained> {
    let found =
        config.connections.get(connection).ok_or_else(|| NotExplained::Usage(world::unknown(config, connection)))?;
    let policies = Policies::load(&config.gateway.policy).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        NotExplained::Usage(lines.join("\n"))
    })?;
    let known = people(config).await.map_err(NotExplained::Failed)?;
    let asker = asker(config, subject, &known);
    let (groups, roles) = (asker.groups.clone(), asker.roles.clone());
    let said = Said {
        asker,
        connection: (connection, found.tags.clone()),
        sql,
        session: SessionFacts { application: "explain-policy".to_owned(), address: "127.0.0.1".to_owned() },
        reason: subject.reason.clone(),
        in_transaction: false,
        rows: None,
        observe: found.mode == Mode::Observe,
        classify: &found.classify,
        on_doubt: found.on_doubt,
    };
    let world = World::of(found, &groups, &roles).await.map_err(NotExplained::Failed)?;
    let under = world.seen_by(&groups, &roles).ok_or_else(|| NotExplained::Failed("no login was asked".to_owned()))?;
    let now = chrono::Utc::now();
    let connect = of_connect(&policies, &said, now);
    let mut explanation = of_statement(&policies, &said, under, (&[], &known), now).after(connect);
    explanation.login = Some(under.1.login.clone());
    Ok(explanation)
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
