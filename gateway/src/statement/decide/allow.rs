//! What approvers may allow of a statement beyond one run. Pure.

use chrono::{DateTime, Utc};
use countersign_shared::allow::Terms;

use super::{
    Asked, Countersigner,
    first::Question,
    people::Counted,
    question::{Approvals, Circumstances},
};
use crate::{
    policy::{Answer, Policies},
    statement::effect::{Action, Effect},
};

/// Whose rows the server counts, so that a run can be held to a number.
const COUNTED: [Action; 4] = [Action::Insert, Action::Update, Action::Delete, Action::Merge];
/// What may stand beside that.
const BESIDE: [Action; 2] = [Action::Select, Action::Call];

/// The effects that wait for approval, where all of them write rows that the server counts, and nothing else that the
/// statement does reaches further.
fn held<'a>(question: &Question<'a>, asked: &Asked) -> Option<Vec<&'a Effect>> {
    let known = |effect: &Effect| COUNTED.contains(&effect.action) || BESIDE.contains(&effect.action);
    let fits = asked.effects.iter().all(known)
        && !asked.at_commit
        && !asked.break_glass
        && asked.parts.is_empty()
        && asked.columns.is_empty()
        && asked.wish.is_none()
        && asked.sql.statement_count == 1
        && !asked.sql.in_transaction;
    let mut held = Vec::new();
    for (effect, answer) in question.without_approvals() {
        match answer {
            Answer::Permitted => {}
            Answer::Refused(_) => held.push(effect),
            Answer::Failed(_) => return None,
        }
    }
    (fits && !held.is_empty() && held.iter().all(|effect| COUNTED.contains(&effect.action))).then_some(held)
}

/// The most that policy could let approvers allow of it, if everybody approved; nothing where it lets nobody.
#[must_use]
pub fn most_allowed(policies: &Policies, asked: &Asked, now: DateTime<Utc>) -> Option<Terms> {
    if !policies.has_allowances() {
        return None;
    }
    let circumstances = Circumstances::of(asked, now);
    let question = Question::new(policies, asked, &circumstances).ok()?;
    let everybody = Approvals { count: 99, groups: policies.named().groups.clone(), step_up: true, at_commit: false };
    let mut terms = held(&question, asked)?.into_iter().map(|effect| question.allowance(effect, &everybody));
    let first = terms.next()??;
    terms.try_fold(first, |all, one| Some(all.and(one?)))
}

/// Whether policy lets just these people allow that.
#[must_use]
pub fn allows(
    policies: &Policies,
    asked: &Asked,
    approvals: &[Countersigner],
    terms: &Terms,
    now: DateTime<Utc>,
) -> bool {
    if !policies.has_allowances() {
        return false;
    }
    let circumstances = Circumstances::of(asked, now);
    let Ok(question) = Question::new(policies, asked, &circumstances) else { return false };
    let Some(held) = held(&question, asked) else { return false };
    let counted = Counted::of(policies, asked, &circumstances, approvals, &held);
    // One assignment of people to groups for all effects, as for the decision itself.
    let permits = |assignment: Vec<Option<String>>| {
        held.iter().enumerate().all(|(index, effect)| {
            let ways = counted.for_effect(index, &assignment);
            ways.iter().any(|way| question.allowance(effect, way).is_some_and(|most| terms.are_within(&most)))
        })
    };
    !counted.is_empty() && counted.assignments().any(permits)
}
