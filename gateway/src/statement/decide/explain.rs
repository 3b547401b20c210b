//! Why a decision is what it is, effect by effect. Pure.

use chrono::{DateTime, Utc};
use countersign_shared::duties::may_countersign;
use serde::Serialize;

use super::{
    Asked, Countersigner, Decision, Known, approvable, decide,
    first::Question,
    question::{Approvals, Circumstances},
};
use crate::{
    policy::{Answer, Policies},
    statement::effect::Effect,
};

/// A decision in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Permitted.
    Allow,
    /// Waits for approval.
    Hold,
    /// Refused.
    Deny,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        })
    }
}

impl From<&Decision> for Outcome {
    fn from(decision: &Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Hold(_) => Self::Hold,
            Decision::Deny(_) => Self::Deny,
        }
    }
}

/// What is decided of one effect, as if it were the only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The effect.
    pub effect: Effect,
    /// Its outcome.
    pub outcome: Outcome,
    /// The policies that decided: permits that match (for a hold, once it is approved), or what refused.
    /// None where no permit matches.
    pub rules: Vec<String>,
    /// The `@error` of what refused.
    pub message: Option<String>,
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Of the whole.
    pub decision: Decision,
    /// Of each effect.
    pub reasons: Vec<Reason>,
    /// Known people who may approve every effect that is held.
    pub people: Vec<String>,
}

/// Decides, and says why.
#[must_use]
pub fn explain(
    policies: &Policies,
    asked: &Asked,
    approvals: &[Countersigner],
    known: &[Known],
    now: DateTime<Utc>,
) -> Explained {
    let decision = decide(policies, asked, approvals, known, now);
    let circumstances = Circumstances::of(asked, now);
    let question = Question::new(policies, asked, &circumstances).ok();
    let mut reasons = Vec::new();
    for effect in &asked.effects {
        let alone = Asked { effects: vec![effect.clone()], ..asked.clone() };
        let decision = decide(policies, &alone, approvals, known, now);
        let outcome = Outcome::from(&decision);
        let (rules, message) = match decision {
            Decision::Deny(denial) => (denial.rules, denial.message),
            _ => (question.as_ref().map(|question| permits(question, effect, policies)).unwrap_or_default(), None),
        };
        reasons.push(Reason { effect: effect.clone(), outcome, rules, message });
    }
    let held = reasons.iter().filter(|reason| reason.outcome == Outcome::Hold).map(|reason| reason.effect.clone());
    let held = Asked { effects: held.collect(), ..asked.clone() };
    let may = |one: &&Known| {
        let assurance = countersign_shared::request::Assurance::StepUp;
        let person = Countersigner { human: one.human.clone(), groups: one.groups.clone(), assurance };
        may_countersign(&one.human, &asked.asker.human).is_ok()
            && approvable(policies, &held, &person, now).len() == held.effects.len()
    };
    let people = if held.effects.is_empty() { Vec::new() } else { known.iter().filter(may).collect() };
    Explained { decision, reasons, people: people.into_iter().map(|one| one.human.principal.clone()).collect() }
}

/// The policies behind what was not simply allowed: those that would permit it once it is approved, or
/// those that refused it. Sorted, each once.
#[must_use]
pub fn rules_behind(policies: &Policies, asked: &Asked, decision: &Decision, now: DateTime<Utc>) -> Vec<String> {
    let mut rules = match decision {
        Decision::Allow => Vec::new(),
        Decision::Deny(denial) => denial.rules.clone(),
        Decision::Hold(_) => {
            let circumstances = Circumstances::of(asked, now);
            let Ok(question) = Question::new(policies, asked, &circumstances) else { return Vec::new() };
            let held = question.without_approvals().filter(|(_, answer)| *answer != Answer::Permitted);
            held.flat_map(|(effect, _)| permits(&question, effect, policies)).collect()
        }
    };
    rules.sort();
    rules.dedup();
    rules
}

/// The permits that match without approvals, or else those that match with all that can be given.
fn permits(question: &Question<'_>, effect: &Effect, policies: &Policies) -> Vec<String> {
    let all = Approvals { count: 99, groups: policies.named().groups.clone(), step_up: true, at_commit: true };
    let none = Approvals::default();
    let given = if question.ask(effect, &none) == Answer::Permitted { &none } else { &all };
    question.reasons(effect, given)
}
