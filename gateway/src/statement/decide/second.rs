//! The second question: would it be permitted if everybody who may approve had?

use std::collections::BTreeSet;

use countersign_shared::{
    api::Needed,
    duties::{Human, may_countersign},
};

use super::{
    Asked, Denial, Known,
    first::Question,
    is_statement,
    question::{Approvals, Circumstances, Person},
};
use crate::{
    policy::{Answer, Policies, Refused},
    statement::effect::Effect,
};

/// "As many as one likes."
const EVERYBODY: usize = 99;
/// The largest number that a policy may ask for.
const MOST: usize = 10;

/// Who could approve one effect.
#[derive(Default)]
struct Approvers {
    /// Whether there could be anybody.
    any: bool,
    /// The groups that they are in.
    groups: BTreeSet<String>,
    /// The groups whose members may, for being in it.
    from: BTreeSet<String>,
}

/// What `held` still needs.
///
/// # Errors
/// The first effect that no approval would make permitted.
pub(super) fn needed(
    policies: &Policies,
    asked: &Asked,
    circumstances: &Circumstances<'_>,
    first: &Question<'_>,
    held: &[&Effect],
    known: &[Known],
) -> Result<Needed, Box<Denial>> {
    let approvers = approvers(policies, asked, circumstances, held, known);
    for (effect, approvers) in held.iter().zip(&approvers) {
        let approvals = if approvers.any { full(&approvers.groups, true) } else { Approvals::default() };
        match first.ask(effect, &approvals) {
            Answer::Permitted => {}
            Answer::Failed(why) => return Err(Box::new(Denial::of(effect, why))),
            Answer::Refused(why) => {
                return Err(Box::new(Denial::of(effect, explain(first, effect, approvers, why, policies))));
            }
        }
    }
    let at_commit = reviewed(asked, first, held, &approvers)?;
    // From here on every question only takes something away from what was permitted.
    let all = |change: &dyn Fn(Approvals) -> Approvals| {
        held.iter().zip(&approvers).all(|(effect, approvers)| {
            first.ask(effect, &change(full(&approvers.groups, at_commit))) == Answer::Permitted
        })
    };
    let groups: BTreeSet<&String> = approvers.iter().flat_map(|approvers| &approvers.groups).collect();
    let groups: Vec<String> = groups
        .into_iter()
        .filter(|group| {
            !all(&|mut approvals| {
                approvals.groups.remove(*group);
                approvals
            })
        })
        .cloned()
        .collect();
    let count =
        (1..=MOST).find(|count| all(&|approvals| Approvals { count: *count, ..approvals })).unwrap_or(EVERYBODY);
    let step_up = !all(&|approvals| Approvals { step_up: false, ..approvals });
    let mut from = approvers.iter().map(|approvers| approvers.from.clone());
    let common = from.next().unwrap_or_default();
    let common = from.fold(common, |common, more| common.intersection(&more).cloned().collect());
    // One person stands for one group.
    Ok(Needed { count: count.max(groups.len()), groups, from: common.into_iter().collect(), step_up, at_commit })
}

fn full(groups: &BTreeSet<String>, at_commit: bool) -> Approvals {
    Approvals { count: EVERYBODY, groups: groups.clone(), step_up: true, at_commit }
}

/// Whether what is held is the COMMIT: where policy does not permit it otherwise, or where that is what is asked.
/// Each held effect then runs before anybody approves it, so policy must have said so for each.
///
/// # Errors
/// An effect that policy permits no earlier for being reviewed at its commit.
fn reviewed(
    asked: &Asked,
    first: &Question<'_>,
    held: &[&Effect],
    approvers: &[Approvers],
) -> Result<bool, Box<Denial>> {
    let permitted = |effect: &Effect, approvers: &Approvers, count: usize, at_commit: bool| {
        let approvals = Approvals { count, ..full(&approvers.groups, at_commit) };
        first.ask(effect, &approvals) == Answer::Permitted
    };
    let mut all = held.iter().zip(approvers);
    if !asked.at_commit && all.clone().all(|(effect, approvers)| permitted(effect, approvers, EVERYBODY, false)) {
        return Ok(false);
    }
    if let Some(effect) = held.iter().find(|effect| !is_statement(effect.action)) {
        let message = format!("policy asks for a review at commit, and {} has none", effect.action);
        return Err(Box::new(Denial { effect: Some((*effect).clone()), message: Some(message), rules: Vec::new() }));
    }
    let helps = |effect: &Effect, approvers: &Approvers| {
        let helps = |count| permitted(effect, approvers, count, true) && !permitted(effect, approvers, count, false);
        (1..=MOST).chain([EVERYBODY]).any(helps)
    };
    match all.find(|(effect, approvers)| !helps(effect, approvers)) {
        None => Ok(true),
        Some((effect, _)) => {
            let message = format!("policy does not let {} run before it is approved", effect.action);
            Err(Box::new(Denial { effect: Some((*effect).clone()), message: Some(message), rules: Vec::new() }))
        }
    }
}

/// Says so where policy asks for approvals that nobody may give.
fn explain(first: &Question<'_>, effect: &Effect, approvers: &Approvers, why: Refused, policies: &Policies) -> Refused {
    let anybody = full(&policies.named().groups, true);
    if first.ask(effect, &anybody) != Answer::Permitted {
        return why;
    }
    // The groups that policy does not do without, and that may not approve.
    let lacking = anybody.groups.iter().filter(|group| !approvers.groups.contains(*group)).filter(|group| {
        let mut without = full(&anybody.groups, true);
        without.groups.remove(*group);
        first.ask(effect, &without) != Answer::Permitted
    });
    let lacking: Vec<&str> = lacking.map(String::as_str).collect();
    let message = match (lacking.as_slice(), approvers.any) {
        ([], true) => "Policy asks for approval by a group whose members may not approve this.".to_owned(),
        ([], false) => "Policy asks for approval here, but nobody may approve this.".to_owned(),
        (groups, _) => {
            format!("Policy asks for approval by {}, whose members may not approve this.", groups.join(" and "))
        }
    };
    Refused { message: Some(message), ..why }
}

/// Who could approve each effect: somebody in just one group, for every group that is named in
/// policies or known; the known users; the users that policies name. Never the requester, nor who
/// answers for them, nor an agent.
fn approvers(
    policies: &Policies,
    asked: &Asked,
    circumstances: &Circumstances<'_>,
    held: &[&Effect],
    known: &[Known],
) -> Vec<Approvers> {
    let mut found: Vec<Approvers> = held.iter().map(|_| Approvers::default()).collect();
    let mut groups: BTreeSet<&String> = policies.named().groups.iter().collect();
    groups.extend(known.iter().flat_map(|known| &known.groups));
    let mut consider = |principal: &str, groups: &[String], for_the_group: bool| {
        let approvable = circumstances.approvable(policies, &Person::user(principal, groups), held);
        for (approvers, effect) in found.iter_mut().zip(held) {
            if approvable.contains(effect) {
                approvers.any = true;
                approvers.groups.extend(groups.iter().cloned());
                approvers.from.extend(groups.iter().filter(|_| for_the_group).cloned());
            }
        }
    };
    for group in groups {
        consider("", std::slice::from_ref(group), true);
    }
    let eligible = |human: &Human| may_countersign(human, &asked.asker.human).is_ok();
    for one in known.iter().filter(|one| eligible(&one.human)) {
        consider(&one.human.principal, &one.groups, false);
    }
    let requester = [asked.asker.human.principal.as_str(), asked.asker.human.answerable()];
    for user in &policies.named().users {
        let is_known = known.iter().any(|one| one.human.principal.eq_ignore_ascii_case(user));
        if !is_known && !requester.iter().any(|principal| principal.eq_ignore_ascii_case(user)) {
            consider(user, &[], false);
        }
    }
    found
}
