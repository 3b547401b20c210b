//! What policy makes of a statement, told to people: `explain-policy` and `policy test`.
//!
//! Takes the same path as a session: classify, then the one decision function.

mod cases;
mod live;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use countersign_shared::api::Needed;
use serde::Serialize;

use crate::{
    catalog::Snapshot,
    policy::Policies,
    statement::{
        classify::{Names, classify},
        decide::{
            Asked, Asker, Countersigner, Decision, Known, SessionFacts, SqlFacts,
            explain::{Explained, Outcome, Reason, explain},
        },
        understood::Understood,
        wall,
    },
};

pub use cases::{CaseResult, Tested, run_cases};
pub use live::{Subject, explain_live};

/// Who says what, where.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    /// Who.
    pub asker: Asker,
    /// The connection's name and tags.
    pub connection: (&'a str, BTreeMap<String, String>),
    /// The statement.
    pub sql: &'a str,
    /// Application and address.
    pub session: SessionFacts,
    /// `countersign.reason`.
    pub reason: Option<String>,
    /// Whether a transaction is open.
    pub in_transaction: bool,
}

/// One effect in an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectLine {
    /// `delete`.
    pub action: String,
    /// `Table::"shop/public.orders"`.
    pub object: String,
    /// As if it were the only one.
    pub outcome: Outcome,
    /// Ids of the policies that decided.
    pub policies: Vec<String>,
    /// The `@error` of what refused.
    pub message: Option<String>,
}

/// Who could approve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Approvers {
    /// Any member of these groups.
    pub groups: Vec<String>,
    /// These people, of those whom the gateway knows.
    pub people: Vec<String>,
}

/// What policy makes of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Who asks.
    pub principal: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// On which connection.
    pub connection: String,
    /// Of the whole statement: the strictest effect wins.
    pub outcome: Outcome,
    /// Why it is refused, for a denial.
    pub message: Option<String>,
    /// Each effect.
    pub effects: Vec<EffectLine>,
    /// What a hold waits for.
    pub needed: Option<Needed>,
    /// Who could give it.
    pub approvers: Option<Approvers>,
    /// What the analysis says of the statement: why it is opaque, what was not resolved.
    pub notes: Vec<String>,
    /// Whether the session would be read only, since nothing but reading could ever be permitted.
    pub read_only_session: bool,
}

/// Explains one statement under a catalog.
#[must_use]
pub fn of_statement(
    policies: &Policies,
    said: &Said<'_>,
    (catalog, names): (&Snapshot, &Names),
    (approvals, known): (&[Countersigner], &[Known]),
    now: DateTime<Utc>,
) -> Explanation {
    let text: Understood = classify(said.sql, catalog, names).into();
    let (connection, tags) = &said.connection;
    let asked = Asked {
        asker: said.asker.clone(),
        connection: (*connection).to_owned(),
        tags: tags.clone(),
        effects: text.effects.clone(),
        sql: SqlFacts::of(&text, said.in_transaction),
        session: said.session.clone(),
        reason: said.reason.clone(),
        break_glass: false,
        wish: None,
    };
    let Explained { decision, reasons, people } = explain(policies, &asked, approvals, known, now);
    let read_only_session = !policies.could_write(&said.asker, connection);
    let walled = read_only_session && wall::taken_down_by(&text, true).is_some();
    let (message, needed) = match &decision {
        _ if walled => (Some("this session is read only".to_owned()), None),
        Decision::Allow => (None, None),
        Decision::Hold(needed) => (None, Some(needed.clone())),
        Decision::Deny(denial) => (denial.message.clone(), None),
    };
    let approvers = needed.as_ref().map(|needed| Approvers { groups: needed.from.clone(), people });
    let line = |reason: Reason| EffectLine {
        action: reason.effect.action.to_string(),
        object: reason.effect.object.display(connection),
        outcome: reason.outcome,
        policies: reason.rules,
        message: reason.message,
    };
    Explanation {
        principal: said.asker.human.principal.clone(),
        groups: said.asker.groups.clone(),
        connection: (*connection).to_owned(),
        outcome: if walled { Outcome::Deny } else { Outcome::from(&decision) },
        message,
        effects: reasons.into_iter().map(line).collect(),
        needed,
        approvers,
        notes: text.statements.iter().flat_map(|statement| statement.notes.iter().cloned()).collect(),
        read_only_session,
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        writeln!(f, "{} ({}) on {}", self.principal, list(&self.groups), self.connection)?;
        let width = self.effects.iter().map(|line| line.action.len() + line.object.len() + 1).max().unwrap_or(0);
        for line in &self.effects {
            let what = format!("{} {}", line.action, line.object);
            let why = match line.policies.as_slice() {
                [] => "no policy permits it".to_owned(),
                rules => rules.join(", "),
            };
            writeln!(f, "  {what:width$}  {:5}  {why}", line.outcome)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        if self.read_only_session {
            writeln!(f, "  the session is read only: no policy could permit more than reading")?;
        }
        write!(f, "{}", self.outcome)?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let (Some(needed), Some(approvers)) = (&self.needed, &self.approvers) {
            let people = if needed.count == 1 { "1 person".to_owned() } else { format!("{} people", needed.count) };
            write!(f, ": {people}")?;
            if !needed.groups.is_empty() {
                write!(f, ", one each for {}", needed.groups.join(", "))?;
            }
            if needed.step_up {
                write!(f, ", after a fresh sign-in")?;
            }
            write!(f, "; members of {} may approve", list(&approvers.groups))?;
            if !approvers.people.is_empty() {
                write!(f, "; known: {}", approvers.people.join(", "))?;
            }
        }
        Ok(())
    }
}
