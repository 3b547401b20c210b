//! `policy test` and `explain-policy`: what policy makes of statements.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use countersign_gateway::{
    config::policy_folder,
    explain::{NotExplained, Subject, Tested, Worlds, connections_of, explain_live, run_cases, run_cases_under},
    policy::Policies,
    service::{NotStarted, load},
};

/// The verbs of `policy`.
#[derive(Subcommand)]
pub enum What {
    /// Runs the cases in the policy folder's tests/*.toml.
    Test {
        /// The policy folder; that of the config where it is left out.
        folder: Option<PathBuf>,
        /// Uses the catalogs of the config's databases in place of the tables that the files declare.
        #[arg(long)]
        live: bool,
    },
    /// Prints what people sign where `policy_signers` asks for it: what sha256sum prints of the policy files.
    Manifest {
        /// The policy folder; that of the config where it is left out.
        folder: Option<PathBuf>,
    },
}

/// As whom `explain-policy` asks.
#[derive(Args)]
pub struct As {
    /// Who would say it: a user, or an agent of the config.
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// A group of theirs; may be repeated. Without it, the groups that the gateway saw last.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// A role that they hold by a grant; may be repeated.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// What they say it is for, `countersign.reason`.
    #[arg(long)]
    reason: Option<String>,
}

/// Prints what is signed of a policy folder.
pub fn manifest(config: &Path, folder: Option<PathBuf>) -> ExitCode {
    let Some(folder) = folder.or_else(|| policy_folder(config)) else {
        let hint = "name the policy folder: countersign policy manifest FOLDER";
        return crate::fail(&format!("{} does not say where the policies are; {hint}", config.display()), 2);
    };
    match Policies::manifest(&folder) {
        Ok(manifest) => {
            crate::say(manifest.trim_end());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            crate::fail(&problems.join("\n"), 2)
        }
    }
}

/// Runs the cases. 0: all passed; 1: some did not, or there are none; 2: they can't be run.
pub async fn test(config: &Path, folder: Option<PathBuf>, live: bool, json: bool) -> ExitCode {
    let Some(folder) = folder.or_else(|| policy_folder(config)) else {
        let hint = "name the policy folder: countersign policy test FOLDER";
        return crate::fail(&format!("{} does not say where the policies are; {hint}", config.display()), 2);
    };
    let tested = if live { run_live(config, &folder).await } else { run_cases(&folder) };
    let tested = match tested {
        Ok(tested) => tested,
        Err(problems) => return crate::fail(&problems.join("\n"), 2),
    };
    if json {
        crate::say_json(&tested);
    } else {
        for case in tested.cases.iter().filter(|case| !case.passed) {
            let why = case.why.as_deref().unwrap_or_default().replace('\n', "\n    ");
            let (expected, found) = (case.expected, case.found);
            crate::say(&format!("{}: {}: expected {expected}, found {found}\n    {why}", case.file, case.name));
        }
        let passed = tested.cases.iter().filter(|case| case.passed).count();
        crate::say(&format!("{passed} of {} cases passed", tested.cases.len()));
    }
    if tested.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run_live(config: &Path, folder: &Path) -> Result<Tested, Vec<String>> {
    let config = load(config).map_err(|NotStarted(problems)| problems)?;
    let worlds = Worlds::of(&config, connections_of(folder)?).await?;
    run_cases_under(folder, Some(&worlds))
}

/// Explains what policy makes of a statement now.
pub async fn explain(config: &Path, connection: &str, sql: &str, subject: As, json: bool) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(NotStarted(problems)) => return crate::fail(&problems.join("\n"), 2),
    };
    let As { user, groups, roles, reason } = subject;
    let subject = Subject { principal: user, groups, roles, reason };
    match explain_live(&config, connection, sql, &subject).await {
        Ok(explanation) if json => crate::say_json(&explanation),
        Ok(explanation) => crate::say(&explanation.to_string()),
        Err(NotExplained::Usage(message)) => return crate::fail(&message, 2),
        Err(NotExplained::Failed(message)) => return crate::fail(&message, 1),
    }
    ExitCode::SUCCESS
}
