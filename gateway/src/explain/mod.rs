//! What policy makes of a statement, told to people: `explain-policy` and `policy test`.
//!
//! Takes the same path as a session: classify, then the one decision function.

mod cases;
mod live;
mod masks;
mod world;

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
            permits, rules_of,
        },
        effect::{Action, Effect},
        mask::rules::{OnDoubt, Rule},
        review::hinders,
        understood::Understood,
        wall,
    },
};

pub use cases::{CaseResult, Tested, connections_of, run_cases, run_cases_under};
pub use live::{NotExplained, Subject, explain_live};
pub use masks::Masks;
pub use world::Worlds;

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
    /// How many rows it would touch, where that is known.
    pub rows: Option<u64>,
    /// Whether the connection only observes.
    pub observe: bool,
    /// The connection's classified columns, and what happens in doubt.
    pub classify: &'a [Rule],
    /// What happens to rows of which it is not known where they come from.
    pub on_doubt: OnDoubt,
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
    /// As whom the gateway logs in for them, where that was looked up.
    pub login: Option<String>,
    /// Whether the connection is in observe mode, so that a statement runs whatever its outcome.
    pub observe: bool,
    /// Whether they may connect at all, which no mode changes, where that was asked.
    pub connect: Option<EffectLine>,
    /// Of the whole statement: the strictest effect wins.
    pub outcome: Outcome,
    /// Why it is refused, for a denial.
    pub message: Option<String>,
    /// Each effect.
    pub effects: Vec<EffectLine>,
    /// Each column, in the order of their names.
    pub columns: Vec<ColumnLine>,
    /// What leaves masked, and what is refused for it.
    pub masks: Masks,
    /// Why there may be more columns than these.
    pub column_doubts: Vec<String>,
    /// What a hold waits for.
    pub needed: Option<Needed>,
    /// Who could give it.
    pub approvers: Option<Approvers>,
    /// The template that it is, within its bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
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
    let template = policies.template(&said.asker.human, said.sql, |_| None);
    let mut asked = Asked {
        asker: said.asker.clone(),
        connection: (*connection).to_owned(),
        tags: tags.clone(),
        effects: text.effects.clone(),
        sql: SqlFacts { rows: said.rows, template: template.clone(), ..SqlFacts::of(&text, said.in_transaction) },
        session: said.session.clone(),
        reason: said.reason.clone(),
        break_glass: false,
        wish: None,
        columns: Vec::new(),
        at_commit: false,
        parts: Vec::new(),
    };
    let masks = masks::of(policies, said, (&text, &asked), (catalog, names), now);
    let mut explained = explain(policies, &asked, approvals, known, now);
    let mut hindered = None;
    if let Decision::Hold(needed) = &explained.decision
        && needed.at_commit
    {
        // What is approved is its COMMIT then, where it may run.
        hindered = hinders(policies, &asked, &text, catalog, now)
            .map(|why| format!("policy permits this only where its COMMIT is reviewed, and {why}"));
        asked.at_commit = true;
        explained = explain(policies, &asked, approvals, known, now);
    }
    let Explained { decision, reasons, people } = explained;
    let read_only_session = !said.observe && !policies.could_write(&said.asker, connection);
    let walled = read_only_session && wall::taken_down_by(&text, true).is_some();
    let (message, needed) = match &decision {
        _ if walled => (Some("this session is read only".to_owned()), None),
        Decision::Allow | Decision::Hold(_) if masks.refused.is_some() => (masks.refused.clone(), None),
        _ if hindered.is_some() => (hindered.clone(), None),
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
        login: None,
        observe: said.observe,
        connect: None,
        outcome: if walled || masks.refused.is_some() || hindered.is_some() {
            Outcome::Deny
        } else {
            Outcome::from(&decision)
        },
        message,
        effects: reasons.into_iter().map(line).collect(),
        columns,
        masks,
        column_doubts,
        needed,
        approvers,
        template,
        notes: text.statements.iter().flat_map(|statement| statement.notes.iter().cloned()).collect(),
        read_only_session,
    }
}

/// Whether somebody may connect, and why.
#[must_use]
pub fn of_connect(policies: &Policies, said: &Said<'_>, now: DateTime<Utc>) -> EffectLine {
    let effect = Effect::on_connection(Action::Connect);
    let connection = (said.connection.0, &said.connection.1);
    let permitted = permits(policies, &said.asker, connection, &effect, &said.session, now);
    EffectLine {
        action: effect.action.to_string(),
        object: effect.object.display(connection.0),
        outcome: if permitted { Outcome::Allow } else { Outcome::Deny },
        policies: rules_of(policies, &said.asker, connection, &effect, &said.session, now),
        message: None,
    }
}

impl Explanation {
    /// With the answer to `connect`. Whoever may not connect says nothing, in any mode.
    #[must_use]
    pub fn after(mut self, connect: EffectLine) -> Self {
        if connect.outcome != Outcome::Allow {
            self.outcome = Outcome::Deny;
            self.message = Some(format!("{} may not connect to {}", self.principal, self.connection));
            (self.needed, self.approvers, self.observe) = (None, None, false);
        }
        self.connect = Some(connect);
        self
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
            // Here a predicate is one, whatever it compares.
            line.uses.extend(uses.into_iter().map(|used| if used.is_predicate() { Use::Predicate } else { used }));
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
        write!(f, "{} ({}) on {}", self.principal, list(&self.groups), self.connection)?;
        match &self.login {
            Some(login) => writeln!(f, ", as {login} in the database")?,
            None => writeln!(f)?,
        }
        let effects = || self.connect.iter().chain(&self.effects);
        let width = effects().map(|line| line.action.len() + line.object.len() + 1).max().unwrap_or(0);
        for line in effects() {
            let what = format!("{} {}", line.action, line.object);
            let why = match line.policies.as_slice() {
                [] => "no policy permits it".to_owned(),
                rules => rules.join(", "),
            };
            writeln!(f, "  {what:width$}  {:5}  {why}", line.outcome)?;
        }
        for told in &self.masks.outputs {
            let what = told.output.as_deref().unwrap_or("every column");
            let from = if told.columns.is_empty() { String::new() } else { format!(" from {}", list(&told.columns)) };
            writeln!(f, "  masked: {what}{from}, {}: {}", told.label, told.mask)?;
        }
        self.template.iter().try_for_each(|name| writeln!(f, "  template: {name}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        if self.read_only_session {
            writeln!(f, "  the session is read only: no policy could permit more than reading")?;
        }
        if self.observe && self.outcome != Outcome::Allow {
            write!(f, "passes, since {} only observes; otherwise ", self.connection)?;
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
            if needed.at_commit {
                write!(f, ", at its COMMIT")?;
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
        explained_under("permit (principal, action, resource);", sql, false)
    }

    fn explained_under(policies: &str, sql: &str, observe: bool) -> Explanation {
        let policies = crate::policy::testing::policies(policies);
        let human = Human { principal: "ana@acme.dev".into(), issuer: "i".into(), subject: "ana".into(), owner: None };
        let said = Said {
            asker: Asker { human, groups: Vec::new(), roles: Vec::new() },
            connection: ("shop", BTreeMap::new()),
            sql,
            session: SessionFacts { application: String::new(), address: "127.0.0.1".into() },
            reason: None,
            in_transaction: false,
            rows: None,
            observe,
            classify: &[],
            on_doubt: OnDoubt::Mask,
        };
        let catalog = Builder::new().table("public.orders", &["id", "Note"]).build();
        let names = Names { search_path: vec!["pg_catalog".into(), "public".into()], ..Names::default() };
        let now = Utc::now();
        let connect = of_connect(&policies, &said, now);
        of_statement(&policies, &said, (&catalog, &names), (&[], &[]), now).after(connect)
    }

    #[test]
    fn whoever_may_not_connect_says_nothing_in_any_mode() {
        let reads = r#"@id("reads") permit (principal, action in Action::"read", resource);"#;
        let closed = r#"@id("closed") forbid (principal, action == Action::"connect", resource);"#;
        let open = r#"permit (principal, action == Action::"connect", resource);"#;
        let table = [
            (format!("{reads} {open}"), false, Outcome::Allow, vec!["10-base.cedar#2"], "allow"),
            (reads.to_owned(), false, Outcome::Deny, vec![], "deny: ana@acme.dev may not connect to shop"),
            (reads.to_owned(), true, Outcome::Deny, vec![], "deny: ana@acme.dev may not connect to shop"),
            (
                format!("{reads} {open} {closed}"),
                false,
                Outcome::Deny,
                vec!["closed"],
                "deny: ana@acme.dev may not connect to shop",
            ),
        ];
        for (policies, observe, outcome, rules, says) in table {
            let explained = explained_under(&policies, "SELECT 1", observe);
            let connect = explained.connect.clone().unwrap();
            assert_eq!((explained.outcome, connect.outcome), (outcome, outcome), "{policies}");
            assert_eq!(connect.policies, rules, "{policies}");
            assert!(explained.to_string().ends_with(says), "{explained}");
        }
    }

    #[test]
    fn what_is_reviewed_at_its_commit_says_so_or_why_it_can_not_be() {
        let policies = r#"permit (principal, action in [Action::"connect", Action::"select"], resource);
            permit (principal in Group::"dba", action == Action::"approve", resource);
            permit (principal, action, resource) when { context.approvals.at_commit && context.approvals.count >= 2 };"#;
        let reviewed = explained_under(policies, "DELETE FROM orders WHERE id = 1", false);
        assert_eq!(reviewed.outcome, Outcome::Hold, "{reviewed}");
        assert!(reviewed.to_string().contains("2 people, at its COMMIT"), "{reviewed}");
        for sql in ["TRUNCATE orders", "DELETE FROM orders WHERE id = strange(1)", "LOCK orders"] {
            let never = explained_under(policies, sql, false);
            assert_eq!(never.outcome, Outcome::Deny, "{never}");
            assert!(never.message.as_deref().is_some_and(|why| why.contains("its COMMIT is reviewed")), "{never}");
        }
    }

    #[test]
    fn observe_mode_is_told_and_has_no_wall() {
        let reads = r#"permit (principal, action in [Action::"connect", Action::"read"], resource);"#;
        let observed = explained_under(reads, "DELETE FROM orders WHERE id = 1", true);
        assert!(observed.observe && !observed.read_only_session, "nobody is held to reading there");
        assert_eq!(observed.outcome, Outcome::Deny, "what would be");
        assert!(observed.to_string().contains("passes, since shop only observes; otherwise deny"), "{observed}");
        assert!(explained_under(reads, "DELETE FROM orders", false).read_only_session);
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
