//! `countersign check`: the config and its policies, everything at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Problem, read};
use crate::policy::Policies;

/// What `check` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Nothing starts with one of these.
    pub problems: Vec<Problem>,
    /// Worth a look.
    pub warnings: Vec<Problem>,
}

/// Everything that is wrong with a config and its policies. Policies are looked at even where the
/// config is broken, as long as it says where they are.
#[must_use]
pub fn check(file: &Path) -> Vec<Problem> {
    check_all(file).problems
}

/// The policy folder that a config names, whatever else is wrong with it. `None` where it can't be told.
#[must_use]
pub fn policy_folder(file: &Path) -> Option<std::path::PathBuf> {
    read::load(file).1
}

/// As [`check`], with the warnings.
#[must_use]
pub fn check_all(file: &Path) -> Checked {
    let (config, folder) = read::load(file);
    let signers = config.as_ref().ok().and_then(|config| config.gateway.policy_signers.as_ref());
    let policies = folder.map(|folder| Policies::load_signed(&folder, signers));
    let mut checked = Checked::default();
    if let (Ok(config), Some(Ok(policies))) = (&config, &policies) {
        // One folder of policies may serve several gateways, so this is no problem; mostly it is a slip.
        let named = policies.named();
        let roles = || config.roles.iter().map(|role| role.name.as_str());
        let agents = || config.agents.iter().map(|agent| agent.name.as_str());
        let unknown = [
            unknown(file, "Connection", &named.connections, config.connections.keys().map(String::as_str).collect()),
            unknown(file, "Role", &named.roles, roles().collect()),
            unknown(file, "Agent", &named.agents, agents().collect()),
        ];
        checked.warnings.extend(unknown.into_iter().flatten());
    }
    match config {
        Ok(config) => checked.warnings.extend(config.warnings),
        Err(problems) => checked.problems.extend(problems),
    }
    match policies {
        Some(Ok(policies)) => checked.warnings.extend(policies.warnings().iter().cloned()),
        Some(Err(problems)) => checked.problems.extend(problems),
        None => {}
    }
    checked
}

/// What policies name and the config does not have: they can't match there.
fn unknown(file: &Path, kind: &str, named: &BTreeMap<String, Problem>, known: BTreeSet<&str>) -> Vec<Problem> {
    let unknown = named.iter().filter(|(name, _)| !known.contains(name.as_str()));
    unknown
        .map(|(name, place)| Problem {
            message: format!("{kind}::{name:?} is not in {}", file.display()),
            hint: super::reader::nearest(name, known.iter().copied()).map(|near| format!("did you mean {near:?}?")),
            ..place.clone()
        })
        .collect()
}
