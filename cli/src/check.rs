//! `check`: everything that is wrong at once.

use std::{path::Path, process::ExitCode};

use countersign_gateway::config::check_all;

/// Prints problems to stderr, warnings and the verdict to stdout.
pub fn run(config: &Path) -> ExitCode {
    let checked = check_all(config);
    for warning in &checked.warnings {
        crate::say(&format!("warning: {warning}"));
    }
    if checked.problems.is_empty() {
        crate::say(&format!("{}: fine", config.display()));
        return ExitCode::SUCCESS;
    }
    let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    crate::fail(&format!("{} problems\n{}", problems.len(), problems.join("\n")), 2)
}
