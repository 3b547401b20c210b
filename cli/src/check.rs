//! `check`: everything that is wrong at once.

use std::{path::Path, process::ExitCode};

use countersign_bot::slack::check::check;
use countersign_gateway::{
    bucket::probe::{Tried, try_lock},
    classified::look,
    config::check_all,
    service::{NotStarted, load},
};

use crate::serve::slack_settings;

/// Looks at the config, then at what Slack says of it.
pub async fn run(config: &Path, slack: bool) -> ExitCode {
    let mut code = settings(config);
    if code == ExitCode::SUCCESS {
        code = classified(config).await;
    }
    if code == ExitCode::SUCCESS {
        code = bucket(config).await;
    }
    if code == ExitCode::SUCCESS {
        crate::say(&format!("{}: fine", config.display()));
    }
    if slack && code == ExitCode::SUCCESS { in_slack(config).await } else { code }
}

/// Prints masks that don't fit their columns to stderr, where the databases answer, and warnings to stdout.
async fn classified(config: &Path) -> ExitCode {
    let Ok(config) = load(config) else { return ExitCode::SUCCESS };
    let looked = look(&config).await;
    looked.warnings.iter().for_each(|warning| crate::say(&format!("warning: {warning}")));
    let problems: Vec<String> = looked.problems.iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        crate::fail(&format!("{} problems\n{}", problems.len(), problems.join("\n")), 2)
    }
}

/// Whether the records' bucket keeps a lock, by trying it.
async fn bucket(config: &Path) -> ExitCode {
    let Ok(config) = load(config) else { return ExitCode::SUCCESS };
    let Some(bucket) = &config.gateway.bucket else { return ExitCode::SUCCESS };
    match try_lock(bucket).await {
        Ok(Tried::Held) => {
            crate::say(&format!("{bucket}: it keeps a lock"));
            ExitCode::SUCCESS
        }
        Ok(Tried::Told(why)) => {
            crate::say(&format!(
                "{bucket}: it says that it keeps a lock; whether it holds could not be tried with this key: {why}. Run this \
                 once with one that has s3:DeleteObjectVersion"
            ));
            ExitCode::SUCCESS
        }
        Err(error) => crate::fail(&format!("[s3] {error}"), 1),
    }
}

/// Prints what is misconfigured in Slack to stderr, and the rest to stdout.
async fn in_slack(config: &Path) -> ExitCode {
    let settings = match load(config).map_err(|NotStarted(problems)| problems.join("\n")) {
        Ok(config) => slack_settings(&config),
        Err(problems) => return crate::fail(&problems, 2),
    };
    let Some(settings) = settings else {
        return crate::fail("there is no [slack] in the config", 2);
    };
    let looked = check(&settings).await;
    looked.iter().filter(|looked| looked.good).for_each(|looked| crate::say(&format!("slack: {}", looked.said)));
    let bad: Vec<&str> = looked.iter().filter(|looked| !looked.good).map(|looked| looked.said.as_str()).collect();
    if bad.is_empty() { ExitCode::SUCCESS } else { crate::fail(&format!("Slack\n{}", bad.join("\n")), 1) }
}

/// Prints problems to stderr, warnings to stdout.
fn settings(config: &Path) -> ExitCode {
    let checked = check_all(config);
    for warning in &checked.warnings {
        crate::say(&format!("warning: {warning}"));
    }
    if checked.problems.is_empty() {
        return ExitCode::SUCCESS;
    }
    let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    crate::fail(&format!("{} problems\n{}", problems.len(), problems.join("\n")), 2)
}
