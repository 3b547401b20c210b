//! Workloads: an `(issuer, sub)` that the config names is an agent, with a human who answers for it.

use countersign_shared::duties::Human;

use crate::config::AgentConfig;

/// The agent whose token this is, with the groups that the config gives it. Its own claims about
/// groups are not read: whoever writes a workflow file would otherwise choose them.
pub(super) fn of(agents: &[AgentConfig], issuer: &str, subject: &str) -> Option<(Human, Vec<String>)> {
    let agent = agents.iter().find(|agent| agent.issuer == issuer && agent.subject == subject)?;
    let human = Human {
        principal: agent.name.clone(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        owner: Some(agent.owner.to_ascii_lowercase()),
    };
    Some((human, agent.groups.clone()))
}
