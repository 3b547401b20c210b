//! What of a statement's rows somebody would see masked, and what it would be refused for.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Said;
use crate::{
    catalog::Snapshot,
    policy::Policies,
    statement::{
        classify::{
            Names,
            columns::{Column, Use},
        },
        decide::{Asked, ColumnFacts, revealed},
        effect::{Action, Effect},
        mask::{
            exposure::exposures,
            plan::{Cursors, Told, judge, written},
            sensitive::{Class, Sensitive},
        },
        understood::Understood,
    },
};

/// What masks do to a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Masks {
    /// The outputs that leave masked, with the classified columns that they rest on.
    pub outputs: Vec<Told>,
    /// Why it is refused, where it uses a classified column as it may not.
    pub refused: Option<String>,
}

/// Asks for a statement whose question is `asked`.
pub(super) fn of(
    policies: &Policies,
    said: &Said<'_>,
    (text, asked): (&Understood, &Asked),
    (catalog, names): (&Snapshot, &Names),
    now: DateTime<Utc>,
) -> Masks {
    let sensitive = Sensitive::new(said.classify, catalog);
    if said.classify.is_empty() || !sensitive.is_touched_by(text) {
        return Masks::default();
    }
    let exposures = exposures(said.sql, text, (catalog, names), &sensitive);
    let mut may = |column: &Column, class: &Class, used: Use| {
        let facts = ColumnFacts { column: column.object(), classification: class.label.clone(), uses: vec![used] };
        let effects = vec![Effect::new(Action::Reveal, column.object())];
        let asked = Asked { effects, columns: vec![facts], ..asked.clone() };
        revealed(policies, &asked, now).iter().all(|(.., yes)| *yes)
    };
    let judged = judge(&exposures, &sensitive, &Cursors::default(), said.on_doubt, &mut may);
    let refused = judged.hidden.map(|hidden| {
        let column = hidden.column.map_or_else(|| "classified columns".to_owned(), |(column, _)| written(&column));
        let why = hidden.because.map(|why| format!(" ({why})")).unwrap_or_default();
        format!("no policy permits to reveal {column} as {}{why}", hidden.used)
    });
    let outputs = if refused.is_some() { Vec::new() } else { judged.plan.told };
    Masks { outputs, refused }
}
