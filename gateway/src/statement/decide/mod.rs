//! decide: effects and approvals into allow, hold or deny. Pure; the one decision function.

use chrono::{DateTime, Utc};
use countersign_shared::{api::Needed, duties::Human, ids::GrantId, request::Assurance};
use serde::{Deserialize, Serialize};

use super::{
    classify::columns::Use,
    effect::{Action, Effect, Object},
    understood::Understood,
};
use crate::policy::{Answer, Policies, Refused};

pub mod allow;
pub mod explain;
mod first;
mod people;
mod question;
mod second;
mod together;

#[cfg(test)]
mod supposing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_at_commit;

use question::{Approvals, Circumstances, Person};

/// Who asks, with what they are members of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The principal and the human behind it.
    pub human: Human,
    /// Groups of the identity provider.
    pub groups: Vec<String>,
    /// Roles granted on this connection, now.
    pub roles: Vec<String>,
}

/// `context.sql`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFacts {
    /// No UPDATE or DELETE lacks its WHERE.
    pub has_where: bool,
    /// Tables named.
    pub tables: Vec<String>,
    /// Functions called.
    pub functions: Vec<String>,
    /// How many statements the text has.
    pub statement_count: u32,
    /// Whether a transaction is open.
    pub in_transaction: bool,
    /// How many rows it would touch, where policy asks and they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The template that it is, within its bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl SqlFacts {
    /// What policy is told of an analysed text.
    #[must_use]
    pub fn of(text: &Understood, in_transaction: bool) -> Self {
        let all = || text.statements.iter();
        Self {
            has_where: all().all(|s| s.has_where),
            tables: all().flat_map(|s| s.tables.iter().cloned()).collect(),
            functions: all().flat_map(|s| s.functions.iter().cloned()).collect(),
            statement_count: u32::try_from(text.statements.len()).unwrap_or(u32::MAX),
            in_transaction,
            rows: None,
            template: None,
        }
    }
}

/// `context.session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The client's own application name.
    pub application: String,
    /// The client's IP address.
    pub address: String,
}

/// All that a decision is about, but approvals, people and time. Kept with a request, so that the
/// same question can be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asks.
    pub asker: Asker,
    /// The connection's name.
    pub connection: String,
    /// The connection's tags.
    pub tags: std::collections::BTreeMap<String, String>,
    /// What would be done.
    pub effects: Vec<Effect>,
    /// `context.sql`.
    pub sql: SqlFacts,
    /// `context.session`.
    pub session: SessionFacts,
    /// `context.reason`.
    pub reason: Option<String>,
    /// `context.break_glass`.
    pub break_glass: bool,
    /// What is wished for, where that is access and no statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
    /// What is known of the columns that `reveal` is asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnFacts>,
    /// `context.approvals.at_commit`: whether what would be held is the COMMIT of what has run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_commit: bool,
    /// Of a COMMIT, the questions about the statements that it would keep. Each must be permitted; the rest
    /// tells of all of them together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

/// A classified column of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFacts {
    /// The column.
    pub column: Object,
    /// `resource.classification`.
    pub classification: String,
    /// `context.use`; each is asked about.
    pub uses: Vec<Use>,
}

/// How long access is wished for. The role is the object of the one effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// `context.duration`, in seconds.
    pub seconds: u64,
    /// The grant that is to last longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<GrantId>,
}

impl Asked {
    /// The role that is wished for, where the question is about just that.
    #[must_use]
    pub fn role(&self) -> Option<(&str, &Wish)> {
        match (self.effects.as_slice(), &self.wish) {
            ([Effect { action: Action::Request, object: Object::Role { name } }], Some(wish)) => Some((name, wish)),
            _ => None,
        }
    }
}

/// A person who has approved, with the groups that they are in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countersigner {
    /// Who.
    pub human: Human,
    /// Their groups now.
    pub groups: Vec<String>,
    /// How they proved it.
    pub assurance: Assurance,
}

/// A user whom the store knows, with the groups last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub human: Human,
    /// Their groups.
    pub groups: Vec<String>,
}

/// The policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All effects are permitted.
    Allow,
    /// All would be, with approvals.
    Hold(Needed),
    /// Some would not be.
    Deny(Denial),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The first effect that is refused.
    pub effect: Option<Effect>,
    /// The `@error("…")` of the forbid that refused it.
    pub message: Option<String>,
    /// Ids of the policies that refused it; empty where no permit matched.
    pub rules: Vec<String>,
}

/// Asks policy of `asked` with the approvals that exist, then as if everybody who may approve had.
///
/// An approval counts for an effect only if its giver may countersign (another human, a person) and
/// policy permits them `approve` on the effect's object. No effects, an effect that can't be asked
/// about, and a policy that can't be evaluated are each a denial.
#[must_use]
pub fn decide(
    policies: &Policies,
    asked: &Asked,
    approvals: &[Countersigner],
    known: &[Known],
    now: DateTime<Utc>,
) -> Decision {
    decide_by(policies, asked, approvals, known, now).0
}

/// As [`decide`], with the places of the [permissions](crate::policy::Permissions) by which it allows.
#[must_use]
pub fn decide_by(
    policies: &Policies,
    asked: &Asked,
    approvals: &[Countersigner],
    known: &[Known],
    now: DateTime<Utc>,
) -> (Decision, Vec<usize>) {
    if !asked.parts.is_empty() {
        return together::decide(policies, asked, approvals, known, now);
    }
    if asked.effects.is_empty() {
        let denial = Denial::without_effect("The statement has no effect that policy could be asked about.");
        return (Decision::Deny(denial), Vec::new());
    }
    let circumstances = Circumstances::of(asked, now);
    let first = match first::Question::new(policies, asked, &circumstances) {
        Ok(first) => first,
        Err(why) => return (Decision::Deny(Denial::without_effect(&why)), Vec::new()),
    };
    let decision = decided(policies, asked, &circumstances, &first, approvals, known);
    let by = if decision == Decision::Allow { first.noted() } else { Vec::new() };
    (decision, by)
}

fn decided(
    policies: &Policies,
    asked: &Asked,
    circumstances: &Circumstances<'_>,
    first: &first::Question<'_>,
    approvals: &[Countersigner],
    known: &[Known],
) -> Decision {
    let mut held = Vec::new();
    for (effect, answer) in first.without_approvals() {
        match answer {
            Answer::Permitted => {}
            Answer::Refused(_) => held.push(effect),
            Answer::Failed(why) => return Decision::Deny(Denial::of(effect, why)),
        }
    }
    if held.is_empty() {
        return Decision::Allow;
    }
    let counted = people::Counted::of(policies, asked, circumstances, approvals, &held);
    match first.with_approvals(&held, &counted) {
        Ok(true) => return Decision::Allow,
        Ok(false) => {}
        Err(denial) => return Decision::Deny(*denial),
    }
    match second::needed(policies, asked, circumstances, first, &held, known) {
        Ok(needed) => Decision::Hold(needed),
        Err(denial) => Decision::Deny(*denial),
    }
}

/// Asks policy of one action alone, without approvals: `connect`, `approve`, `administer`, `audit`.
/// An error is no.
#[must_use]
pub fn permits(
    policies: &Policies,
    asker: &Asker,
    connection: (&str, &std::collections::BTreeMap<String, String>),
    effect: &Effect,
    session: &SessionFacts,
    now: DateTime<Utc>,
) -> bool {
    permits_by(policies, asker, connection, effect, session, now).is_some()
}

/// As [`permits`]: the places of the [permissions](crate::policy::Permissions) that a yes rests on; `None` for a no.
#[must_use]
pub fn permits_by(
    policies: &Policies,
    asker: &Asker,
    connection: (&str, &std::collections::BTreeMap<String, String>),
    effect: &Effect,
    session: &SessionFacts,
    now: DateTime<Utc>,
) -> Option<Vec<usize>> {
    let circumstances = Circumstances::alone(connection, session, now);
    let world = circumstances.world(policies, &Person::from(asker), [effect]).ok()?;
    let yes = world.ask(effect.action, effect, &Approvals::default()) == Answer::Permitted;
    yes.then(|| world.take_noted())
}

/// Asks policy what may be revealed without approvals, column by column and use by use. An error is no.
#[must_use]
pub fn revealed(policies: &Policies, asked: &Asked, now: DateTime<Utc>) -> Vec<(Object, Use, bool)> {
    revealed_by(policies, asked, now).0
}

/// As [`revealed`], with the places of the [permissions](crate::policy::Permissions) that each yes rests on.
#[must_use]
pub fn revealed_by(policies: &Policies, asked: &Asked, now: DateTime<Utc>) -> (Vec<(Object, Use, bool)>, Vec<usize>) {
    let circumstances = Circumstances::of(asked, now);
    let reveal = |facts: &ColumnFacts| Effect::new(Action::Reveal, facts.column.clone());
    let effects: Vec<Effect> = asked.columns.iter().map(reveal).collect();
    let world = circumstances.world(policies, &Person::from(&asked.asker), &effects);
    let mut all = Vec::new();
    for (facts, effect) in asked.columns.iter().zip(&effects) {
        for used in &facts.uses {
            let yes = world.as_ref().is_ok_and(|world| world.may_reveal(effect, *used));
            all.push((facts.column.clone(), *used, yes));
        }
    }
    let by = world.map(|world| world.take_noted()).unwrap_or_default();
    (all, by)
}

/// The places of the [permissions](crate::policy::Permissions) by which `approver` may approve effects of `asked`.
#[must_use]
pub fn approves_by(
    policies: &Policies,
    asked: &Asked,
    approver: &Human,
    groups: &[String],
    now: DateTime<Utc>,
) -> Vec<usize> {
    let circumstances = Circumstances::of(asked, now);
    let person = Person::user(&approver.principal, groups);
    let Ok(world) = circumstances.world(policies, &person, &asked.effects) else { return Vec::new() };
    for effect in &asked.effects {
        let _noted = world.ask(Action::Approve, effect, &Approvals::default());
    }
    world.take_noted()
}

/// The policies that the answer of [`permits`] rests on: those that permit, or those that refuse.
#[must_use]
pub fn rules_of(
    policies: &Policies,
    asker: &Asker,
    connection: (&str, &std::collections::BTreeMap<String, String>),
    effect: &Effect,
    session: &SessionFacts,
    now: DateTime<Utc>,
) -> Vec<String> {
    let circumstances = Circumstances::alone(connection, session, now);
    let world = circumstances.world(policies, &Person::from(asker), [effect]);
    world.map(|world| world.reasons(effect.action, effect, &Approvals::default())).unwrap_or_default()
}

/// The effects of `asked` that `approver` may approve: another human, and permitted `approve` on the
/// effect's object. Empty: they are no approver of it.
#[must_use]
pub fn approvable(policies: &Policies, asked: &Asked, approver: &Countersigner, now: DateTime<Utc>) -> Vec<Effect> {
    if countersign_shared::duties::may_countersign(&approver.human, &asked.asker.human).is_err() {
        return Vec::new();
    }
    let circumstances = Circumstances::of(asked, now);
    let held: Vec<&Effect> = asked.effects.iter().collect();
    let person = Person::user(&approver.human.principal, &approver.groups);
    circumstances.approvable(policies, &person, &held).into_iter().cloned().collect()
}

impl Denial {
    fn of(effect: &Effect, why: Refused) -> Self {
        Self { effect: Some(effect.clone()), message: why.message, rules: why.rules }
    }

    fn without_effect(message: &str) -> Self {
        Self { effect: None, message: Some(message.to_owned()), rules: Vec::new() }
    }
}

/// Whether policy is asked about an action with `context.sql`.
const fn is_statement(action: Action) -> bool {
    action.group().is_some() || matches!(action, Action::Call | Action::Reveal)
}
