//! Where foreign keys carry a write on: the rows of other tables that go, or change, with it.

use std::sync::Arc;

use countersign_shared::api::Impact;

use super::{Around, Question};
use crate::{
    catalog::{Key, Referrer, Relation},
    statement::{
        counting::{Found, Writes},
        effect::Action,
    },
};

/// How far it is followed, and how many tables at most are told of.
const DEEPEST: usize = 4;
const MOST: usize = 12;

/// The tables that a write of `table` is carried on to, each with the query that counts its rows where
/// there can be one. `found` finds the rows that are written, where that may be asked.
pub(super) fn on(
    writes: &Writes,
    found: Option<&Found>,
    table: Option<&Arc<Relation>>,
    around: &Around<'_>,
) -> Vec<Question> {
    let Some(table) = table else { return Vec::new() };
    let mut all = Carried { around, questions: Vec::new() };
    match writes.action {
        Action::Delete => {
            let keys = |names: &[String]| found.and_then(|found| found.columns(names));
            all.follow(table, &keys, &mut vec![(table.schema.clone(), table.name.clone())]);
        }
        action => {
            // Only new values of the columns that are pointed to are carried on.
            let goes = |referrer: &&Referrer| {
                let updates = !matches!(referrer.on_update, 'a' | 'r') && writes.may_set(&referrer.columns);
                let deletes = action == Action::Merge && !matches!(referrer.on_delete, 'a' | 'r');
                updates || deletes
            };
            for referrer in table.referrers.iter().filter(goes) {
                all.tell(table, referrer, "update", None);
            }
        }
    }
    all.questions
}

struct Carried<'a> {
    around: &'a Around<'a>,
    questions: Vec<Question>,
}

impl Carried<'_> {
    /// `keys` lists columns of the rows of `table` that are deleted; `path` are the tables on the way here.
    fn follow(&mut self, table: &Relation, keys: &dyn Fn(&[String]) -> Option<String>, path: &mut Vec<Key>) {
        for referrer in &table.referrers {
            let action = match referrer.on_delete {
                'a' | 'r' => continue,
                'c' => "delete",
                _ => "update",
            };
            if referrer.columns.is_empty() {
                // A partition's part of a key: the whole key tells, where it is followed.
                continue;
            }
            let (own, theirs): (Vec<String>, Vec<String>) = referrer.columns.iter().cloned().unzip();
            let (schema, name) = &referrer.child;
            let again = path.contains(&referrer.child);
            let which = (!again).then(|| keys(&theirs)).flatten().map(|keys| {
                let own: Vec<String> = own.iter().map(|name| quoted(name)).collect();
                format!("FROM {}.{} WHERE ({}) IN ({keys})", quoted(schema), quoted(name), own.join(", "))
            });
            let count = which.as_ref().map(|which| format!("SELECT pg_catalog.count(*) {which}"));
            let child = self.tell(table, referrer, action, count);
            if action == "update" || again || path.len() > DEEPEST {
                continue;
            }
            if let Some(child) = child {
                path.push(referrer.child.clone());
                let keys = |names: &[String]| {
                    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                    which.as_ref().map(|which| format!("SELECT {} {which}", names.join(", ")))
                };
                self.follow(&child, &keys, path);
                path.pop();
            }
        }
    }

    fn tell(
        &mut self,
        from: &Relation,
        referrer: &Referrer,
        action: &str,
        count: Option<String>,
    ) -> Option<Arc<Relation>> {
        let (schema, name) = &referrer.child;
        let table = self.around.catalog.relation(schema, name).cloned();
        if self.questions.len() < MOST {
            let impact = Impact {
                action: action.to_owned(),
                table: format!("{schema}.{name}"),
                cascade_of: Some(format!("{}.{}", from.schema, from.name)),
                unknown: self.around.hidden.map(str::to_owned),
                ..Impact::default()
            };
            let question = Question { statement: 0, table: table.clone(), count, explain: None, impact };
            self.questions.push(question);
        }
        table
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
