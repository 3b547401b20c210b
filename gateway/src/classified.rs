//! What a database says of `classify`: columns that are not there, and masks that don't fit them.

use crate::{
    catalog::{Snapshot, read},
    config::{Config, ConnectionConfig, Problem},
    connection::{catalogs::Own, upstream},
    statement::mask::sensitive,
};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Masks that don't fit their columns.
    pub problems: Vec<Problem>,
    /// Columns that are not there, and databases that don't answer.
    pub warnings: Vec<Problem>,
}

/// Asks the database of every connection that classifies columns.
pub async fn look(config: &Config) -> Looked {
    let mut looked = Looked::default();
    for connection in config.connections.values().filter(|connection| !connection.classify.is_empty()) {
        match catalog(connection).await {
            Ok(snapshot) => look_at(config, connection, &snapshot, &mut looked),
            Err(error) => looked.warnings.push(Problem {
                file: config.file.clone(),
                line: connection.classify.first().map_or(0, |rule| rule.line),
                message: format!(
                    "the database of {:?} can't be asked whether `classify` fits: {error}",
                    connection.name
                ),
                hint: None,
            }),
        }
    }
    looked
}

fn look_at(config: &Config, connection: &ConnectionConfig, snapshot: &Snapshot, looked: &mut Looked) {
    for (at, bad, message) in sensitive::check(&connection.classify, snapshot) {
        let hint = if bad {
            "use \"redact\" or \"null\"; email and last4 are for text, year for dates and times, hash for text and uuid"
        } else {
            "nothing is masked by it"
        };
        let problem = Problem {
            file: config.file.clone(),
            line: connection.classify.get(at).map_or(0, |rule| rule.line),
            message: format!("`classify` of {:?}: {message}", connection.name),
            hint: Some(hint.to_owned()),
        };
        if bad { looked.problems.push(problem) } else { looked.warnings.push(problem) }
    }
}

async fn catalog(connection: &ConnectionConfig) -> Result<Snapshot, String> {
    let own = [("application_name".to_owned(), "countersign".to_owned())];
    let mut end = upstream::open(&connection.upstream, &own).await.map_err(|error| error.to_string())?.end;
    read::read(&mut Own(&mut end)).await
}
