//! Which columns of which tables a statement uses, and as what: its rows' values (`output`), what
//! chooses, joins, orders or groups rows (`predicate`), and what is written or handed to code
//! (`source`). Through views, sub-selects, common table expressions and joins, down to the tables.
//!
//! Asked for apart from the effects, because only what protects columns needs it. What can't be
//! told is every column of the table, in every role; and what may be incomplete has a doubt.

mod code;
mod conditions;
mod expressions;
mod from;
mod naming;
mod reader;
mod scope;
mod select;
mod writes;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_temporary;
#[cfg(test)]
mod tests_writes;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Analysis, Names, Statement, parse};
use crate::{
    catalog::{Key, Snapshot},
    statement::effect::{Action, Object},
};

use reader::Reader;

/// In what role a column is used; the words of `context.use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// Its values, or what is computed from them, leave with the rows.
    Output,
    /// It decides which rows there are, or their order or groups.
    Predicate,
    /// The same, and no more than that it equals a constant.
    Lookup,
    /// The same, and no more than that it equals another column.
    Join,
    /// Its values are written, or handed to code that may do anything with them.
    Source,
}

impl Use {
    /// What is not known may be any of these.
    pub const ALL: [Self; 3] = [Self::Output, Self::Predicate, Self::Source];

    /// `context.use`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Predicate | Self::Lookup | Self::Join => "predicate",
            Self::Source => "source",
        }
    }

    /// `context.compare`: of a predicate, with what the column is compared.
    #[must_use]
    pub const fn compare(self) -> &'static str {
        match self {
            Self::Lookup => "constant",
            Self::Join => "join",
            Self::Predicate => "other",
            Self::Output | Self::Source => "none",
        }
    }

    /// Whether it decides which rows there are.
    #[must_use]
    pub const fn is_predicate(self) -> bool {
        matches!(self, Self::Predicate | Self::Lookup | Self::Join)
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lookup => "predicate (= constant)",
            Self::Join => "predicate (join)",
            other => other.word(),
        })
    }
}

/// A column of a table, as the catalog has it. The name is `*` where the catalog that was read does
/// not say which columns there are (the server's own, sequences).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Column {
    /// Schema.
    pub schema: String,
    /// Table, materialized view or foreign table; a view only where it could not be looked through.
    pub table: String,
    /// Column.
    pub name: String,
}

impl Column {
    /// As policies name it.
    #[must_use]
    pub fn object(&self) -> Object {
        Object::Column { schema: self.schema.clone(), table: self.table.clone(), name: self.name.clone() }
    }

    fn table(&self) -> Key {
        (self.schema.clone(), self.table.clone())
    }
}

/// A column of the rows that a statement gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// The columns that its values rest on.
    pub from: BTreeSet<Column>,
    /// Whether it is the value of that one column, and no expression over it.
    pub bare: bool,
}

/// The columns of one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Those that are used, with their roles.
    pub used: BTreeMap<Column, BTreeSet<Use>>,
    /// The same as whoever says the statement chose it: without what a view's own query compares, nor
    /// what EXPLAIN does not show; with what decides how many rows a function gives.
    pub own: BTreeMap<Column, BTreeSet<Use>>,
    /// Columns with the other columns that they are joined with.
    pub joined: BTreeMap<Column, BTreeSet<Column>>,
    /// Those that are written.
    pub written: BTreeSet<Column>,
    /// The columns of its rows in order; `None` where it is not known how many there are.
    pub outputs: Option<Vec<Output>>,
    /// The columns of the rows that FETCH gives of the cursor that it declares; as `outputs`.
    pub fetched: Option<Vec<Output>>,
    /// Tables, with the bodies of triggers on them that see its rows and do nothing but read.
    pub triggers: BTreeSet<(Key, String)>,
    /// Why something may be missing. Where there is a doubt, nothing may rest on what is not listed.
    pub doubts: Vec<String>,
}

/// The columns of each statement of `sql`, whose analysis under the same catalog and names is
/// `analysis`.
#[must_use]
pub fn columns_of(sql: &str, analysis: &Analysis, catalog: &Snapshot, names: &Names) -> Vec<Columns> {
    parse::with_tree(sql, |tree| {
        let nodes = tree.as_ref().map(|tree| tree.stmts.as_slice()).unwrap_or_default();
        // What an earlier statement of the text prepares, later ones may execute.
        let mut names = std::borrow::Cow::Borrowed(names);
        let mut found = Vec::new();
        for (at, statement) in analysis.statements.iter().enumerate() {
            let mut reader = Reader::new(catalog, &names);
            let outputs = match nodes.get(at).and_then(|raw| raw.stmt.as_deref()) {
                Some(node) => reader.statement(node),
                None => None,
            };
            reader.fall_back(statement);
            found.push(reader.finish(outputs));
            if let (Some(name), Some(raw)) = (&statement.prepares, nodes.get(at)) {
                // Where it stands in this text: an analysis may be of another of the same shape.
                let text = sql.get(super::range(sql, raw)).unwrap_or_default();
                names.to_mut().prepared.insert(name.clone(), text.to_owned());
            }
        }
        found
    })
}

impl Reader<'_> {
    /// Whatever has effects on a table that was not met on the way is used as a whole.
    fn fall_back(&mut self, statement: &Statement) {
        if !statement.effects.is_empty() {
            self.casts();
        }
        if self.is_exhausted() {
            self.met.clear();
            self.wrote.clear();
        }
        for effect in &statement.effects {
            let Object::Table { schema, name } = &effect.object else {
                if effect.action == Action::Opaque {
                    self.doubt("what it does can't be seen");
                }
                continue;
            };
            let key = (schema.clone(), name.clone());
            if statement.catches && effect.action != Action::Select {
                // An error of the server's that is caught may quote a whole row.
                let every = self.every_column(&key);
                self.record(&every, Use::Source);
            }
            match effect.action {
                Action::Select | Action::CopyOut if self.met.contains(&key) => {}
                Action::Insert | Action::Update | Action::Merge | Action::CopyIn if self.wrote.contains(&key) => {}
                action => self.touched(action, &key),
            }
        }
    }
}
