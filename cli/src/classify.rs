//! `classify`: suggests which columns of a database to classify.

use std::{path::Path, process::ExitCode};

use countersign_gateway::{
    service::{NotStarted, load},
    suggest::suggest,
};

/// Prints a line for each suggestion, as the config would have it.
pub async fn run(config: &Path, connection: &str, json: bool) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(NotStarted(problems)) => return crate::fail(&problems.join("\n"), 2),
    };
    if !config.connections.contains_key(connection) {
        let names: Vec<&str> = config.connections.keys().map(String::as_str).collect();
        return crate::fail(&format!("there is no connection {connection:?}; there are {}", names.join(", ")), 2);
    }
    let suggestions = match suggest(&config, connection).await {
        Ok(suggestions) => suggestions,
        Err(error) => return crate::fail(&error, 1),
    };
    if json {
        crate::say_json(&suggestions);
        return ExitCode::SUCCESS;
    }
    for one in &suggestions {
        let why = match one.fitting {
            Some(fitting) => format!("{fitting} of {} values", one.sampled),
            None => "by its name alone".to_owned(),
        };
        let already = if one.classified { ", classified already" } else { "" };
        let column = format!("{:?}", one.column);
        let rule = format!("{{ column = {column}, as = {:?}, mask = {:?} }},", one.label, one.mask);
        crate::say(&format!("{rule:80}  # {}: {why}, {:.0} %{already}", one.kind, one.confidence * 100.0));
    }
    if suggestions.is_empty() {
        crate::say("nothing that looks like personal data, cards, accounts, addresses or keys was found");
    }
    ExitCode::SUCCESS
}
