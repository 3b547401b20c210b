//! Several questions at once: a COMMIT is permitted where each statement is that it would keep.

use chrono::{DateTime, Utc};
use countersign_shared::api::Needed;

use super::{Asked, Countersigner, Decision, Known};
use crate::policy::Policies;

/// The strictest answer to the parts of `asked`: the first denial, else all that is needed for any of them. With
/// the permissions by which all were permitted.
pub(super) fn decide(
    policies: &Policies,
    asked: &Asked,
    approvals: &[Countersigner],
    known: &[Known],
    now: DateTime<Utc>,
) -> (Decision, Vec<usize>) {
    let (mut needed, mut by) = (None, Vec::new());
    for part in &asked.parts {
        match super::decide_by(policies, part, approvals, known, now) {
            (Decision::Allow, permissions) => by.extend(permissions),
            (Decision::Hold(more), _) => needed = Some(both(needed, more)),
            (Decision::Deny(denial), _) => return (Decision::Deny(denial), Vec::new()),
        }
    }
    match needed {
        None => (Decision::Allow, by),
        Some(needed) => (Decision::Hold(needed), Vec::new()),
    }
}

/// What is enough for both.
fn both(one: Option<Needed>, other: Needed) -> Needed {
    let Some(one) = one else { return other };
    let mut groups = one.groups;
    groups.extend(other.groups.into_iter().filter(|group| !groups.contains(group)).collect::<Vec<_>>());
    groups.sort();
    Needed {
        // One person stands for one group.
        count: one.count.max(other.count).max(groups.len()),
        groups,
        from: one.from.into_iter().filter(|group| other.from.contains(group)).collect(),
        step_up: one.step_up || other.step_up,
        at_commit: one.at_commit || other.at_commit,
    }
}
