//! `report`: what the log says of policy.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_gateway::{
    friction::{before, report},
    service::{NotStarted, load},
};

/// The reports.
#[derive(Subcommand)]
pub enum What {
    /// What was held or denied, or would have been in observe mode, and what would end most false holds.
    Friction {
        /// How far back: 90m, 36h, 14d, 2w.
        #[arg(long, default_value = "14d")]
        since: String,
    },
}

/// Prints a report.
pub fn run(config: &Path, what: &What, json: bool) -> ExitCode {
    let What::Friction { since } = what;
    let Some(since) = before(chrono::Utc::now(), since) else {
        return crate::fail(&format!("{since:?} is no span of time; write 90m, 36h, 14d or 2w"), 2);
    };
    let config = match load(config) {
        Ok(config) => config,
        Err(NotStarted(problems)) => return crate::fail(&problems.join("\n"), 2),
    };
    match report(&config.gateway.records, since) {
        Ok(friction) if json => crate::say_json(&friction),
        Ok(friction) => crate::say(&friction.to_string()),
        Err(error) => return crate::fail(&format!("the log can't be read: {error}"), 1),
    }
    ExitCode::SUCCESS
}
