//! What policy makes of a statement, told to people: `explain-policy` and `policy test`.
//!
//! Takes the same path as a session: classify, then the one decision function.

mod cases;
mod live;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use countersign_shared::api::Needed;
use serde::Serialize;

use crate::{
    catalog::Snapshot,
    policy::Policies,
    statement::{
        classify::{
            Analysis, Names, classify,
            columns::{Column, Use, columns_of},
        },
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

/// A column that the statement uses or writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnLine {
    /// `Column::"shop/public.customers.email"`; its last part is `*` where the catalog does not say which.
    pub column: String,
    /// In what roles its values are used.
    pub uses: Vec<Use>,
    /// Whether it is written.
    pub written: bool,
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
    /// Each column, in the order of their names.
    pub columns: Vec<ColumnLine>,
    /// Why there may be more columns than these.
    pub column_doubts: Vec<String>,
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
    let analysis = classify(said.sql, catalog, names);
    let (columns, column_doubts) = columns(said, &analysis, (catalog, names));
    let text: Understood = analysis.into();
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
        columns,
        column_doubts,
        needed,
        approvers,
        notes: text.statements.iter().flat_map(|statement| statement.notes.iter().cloned()).collect(),
        read_only_session,
    }
}

/// The columns of all statements together, and the doubts about them.
fn columns(
    said: &Said<'_>,
    analysis: &Analysis,
    (catalog, names): (&Snapshot, &Names),
) -> (Vec<ColumnLine>, Vec<String>) {
    let (mut lines, mut doubts) = (BTreeMap::<Column, ColumnLine>::new(), Vec::new());
    let connection = said.connection.0;
    for found in columns_of(said.sql, analysis, catalog, names) {
        let roles = found.used.into_iter().map(|(column, uses)| (column, uses, false));
        let written = found.written.into_iter().map(|column| (column, BTreeSet::new(), true));
        for (column, uses, written) in roles.chain(written) {
            let new = || ColumnLine { column: column.object().display(connection), uses: Vec::new(), written: false };
            let line = lines.entry(column.clone()).or_insert_with(new);
            line.uses.extend(uses);
            line.uses.sort_unstable();
            line.uses.dedup();
            line.written |= written;
        }
        doubts.extend(found.doubts);
    }
    doubts.sort_unstable();
    doubts.dedup();
    (lines.into_values().collect(), doubts)
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

#[cfg(test)]
mod tests {
    use countersign_shared::duties::Human;

    use super::*;
    use crate::catalog::builder::Builder;

    fn explained(sql: &str) -> Explanation {
        let policies = crate::policy::testing::policies("permit (principal, action, resource);");
        let human = Human { principal: "ana@acme.dev".into(), issuer: "i".into(), subject: "ana".into(), owner: None };
        let said = Said {
            asker: Asker { human, groups: Vec::new(), roles: Vec::new() },
            connection: ("shop", BTreeMap::new()),
            sql,
            session: SessionFacts { application: String::new(), address: "127.0.0.1".into() },
            reason: None,
            in_transaction: false,
        };
        let catalog = Builder::new().table("public.orders", &["id", "Note"]).build();
        let names = Names { search_path: vec!["pg_catalog".into(), "public".into()], ..Names::default() };
        of_statement(&policies, &said, (&catalog, &names), (&[], &[]), Utc::now())
    }

    #[test]
    fn columns_are_told_with_all_that_is_done_with_them() {
        let explained = explained("UPDATE orders SET \"Note\" = 'x' WHERE id = 1; SELECT \"Note\" FROM orders");
        let json = serde_json::to_value(&explained).unwrap();
        let expected = serde_json::json!([
            { "column": "Column::\"shop/public.orders.\\\"Note\\\"\"", "uses": ["output"], "written": true },
            { "column": "Column::\"shop/public.orders.id\"", "uses": ["predicate"], "written": false },
        ]);
        assert_eq!(json["columns"], expected);
        assert_eq!(json["column_doubts"], serde_json::json!([]));
    }

    #[test]
    fn what_may_be_missing_is_told() {
        assert_eq!(explained("SELECT * FROM nowhere").column_doubts.len(), 2, "an unknown table, and opaque");
    }
}
