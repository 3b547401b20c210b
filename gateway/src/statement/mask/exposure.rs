//! What each statement of a text gives of classified columns, and what else it uses them for.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::{NodeEnum, protobuf::CopyStmt};

use super::{
    copied::Form,
    sensitive::{Sensitive, unseen},
};
use crate::{
    catalog::Snapshot,
    statement::{
        classify::{
            Analysis, CursorMove, Names,
            columns::{self, Column, Columns, Use, columns_of},
            with_tree,
        },
        effect::{Action, Effect, Object},
    },
};

/// A column of rows, with the classified columns that it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// What it rests on.
    pub from: BTreeSet<Column>,
    /// Whether it is the value of that one column, and no expression over it.
    pub bare: bool,
}

/// Rows that a statement, or a cursor, gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Their columns in order; `None` where it is not known how many there are.
    pub outputs: Option<Vec<Output>>,
    /// All classified columns that may be in them.
    pub gives: BTreeSet<Column>,
    /// Why something may be missing.
    pub doubts: Vec<String>,
    /// The classified columns of all tables that are met: what an error may quote.
    pub near: BTreeSet<Column>,
}

/// How a COPY gives its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Copying {
    /// To the client, in this form.
    Out(Form),
    /// To the client, in a form that can't be followed: why.
    OutSomehow(String),
    /// To a file or a program of the server.
    Server,
}

/// What one statement does with classified columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Whether it meets any at all. Where not, all else is empty.
    pub touches: bool,
    /// What it gives.
    pub rows: Rows,
    /// What else it uses, as what: never `output`.
    pub uses: BTreeMap<Column, BTreeSet<Use>>,
    /// The classified columns that it writes.
    pub writes_to: BTreeSet<Column>,
    /// Why it may do anything with all of them.
    pub unseen: Option<String>,
    /// Whether it writes rows, whose errors may come as late as COMMIT.
    pub writes: bool,
    /// What it does to a cursor.
    pub cursor: Option<CursorMove>,
    /// Whether its code fetches from cursors, which the text does not name.
    pub fetches_within: bool,
    /// What the cursor gives that it declares.
    pub fetched: Option<Rows>,
    /// Where it is a COPY of rows.
    pub copies: Option<Copying>,
    /// Whether it is a query and nothing else: its RowDescription comes before it runs.
    pub is_query: bool,
}

/// Reads each statement of `sql`, whose analysis under the same catalog and names is `analysis`.
#[must_use]
pub fn exposures(
    sql: &str,
    analysis: &Analysis,
    (catalog, names): (&Snapshot, &Names),
    sensitive: &Sensitive,
) -> Vec<Exposure> {
    let columns = columns_of(sql, analysis, catalog, names);
    let roots = roots_of(sql);
    let mut all = Vec::new();
    for (at, statement) in analysis.statements.iter().enumerate() {
        let columns = columns.get(at).cloned().unwrap_or_default();
        let unseen = unseen(statement);
        let met = statement.effects.iter().filter(|effect| sensitive.is_met_by(effect));
        let mut near = BTreeSet::new();
        for effect in met {
            match &effect.object {
                Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                    near.extend(sensitive.of_table(schema, name));
                }
                Object::Schema { schema } => near.extend(sensitive.all().filter(|column| column.schema == *schema)),
                _ => {}
            }
        }
        let cursor = statement.cursor.clone();
        if near.is_empty() && unseen.is_none() && cursor.is_none() && !statement.fetches_within {
            all.push(Exposure::default());
            continue;
        }
        // What is made on a table, or changed of it or around it, may move its columns or run code on them.
        let moves = |effect: &Effect| {
            let around = matches!(effect.object, Object::Schema { .. });
            (around || matches!(effect.action, Action::Create | Action::Alter)) && sensitive.is_met_by(effect)
        };
        let mut uses = uses(&columns, sensitive);
        if statement.effects.iter().any(moves) {
            near.iter().for_each(|column| _ = uses.entry(column.clone()).or_default().insert(Use::Source));
        }
        // A trigger that only reads may still put one column's value into another's.
        for ((schema, table), body) in &columns.triggers {
            let classified: Vec<Column> = sensitive.of_table(schema, table).collect();
            if may_copy(body, &classified) {
                classified.iter().for_each(|column| _ = uses.entry(column.clone()).or_default().insert(Use::Source));
            }
        }
        let only_reads = statement.effects.iter().all(|effect| effect.action.group() == Some("read"));
        let gives = gives(&columns, sensitive);
        let rows = |outputs: Option<Vec<columns::Output>>| Rows {
            outputs: outputs.map(|all| all.into_iter().map(|output| classified(output, sensitive)).collect()),
            gives: gives.clone(),
            doubts: columns.doubts.clone(),
            near: near.clone(),
        };
        let declares = matches!(cursor, Some(CursorMove::Declares { .. }));
        all.push(Exposure {
            touches: true,
            fetched: declares.then(|| rows(columns.fetched.clone())),
            rows: rows(columns.outputs.clone()),
            uses,
            writes_to: columns.written.iter().flat_map(|column| sensitive.classified(column)).collect(),
            unseen,
            writes: !only_reads,
            cursor,
            fetches_within: statement.fetches_within,
            copies: roots.get(at).and_then(|root| root.copies.clone()),
            is_query: roots.get(at).is_some_and(|root| root.is_query) && only_reads,
        });
    }
    all
}

/// Whether the body of a trigger names one of these columns, or handles rows as a whole.
fn may_copy(body: &str, classified: &[Column]) -> bool {
    let body = body.to_lowercase();
    let blank: String = body.split_whitespace().collect();
    let whole =
        ["json", "hstore", "(new", "(old", "new.*", "old.*", "execute", ":=new;", ":=old;", "new:=", "=new::", "u&"];
    classified.iter().any(|column| body.contains(&column.name.to_lowercase()))
        || whole.iter().any(|word| blank.contains(word))
}

fn uses(columns: &Columns, sensitive: &Sensitive) -> BTreeMap<Column, BTreeSet<Use>> {
    let mut uses = BTreeMap::<Column, BTreeSet<Use>>::new();
    for (column, roles) in &columns.own {
        // What is joined with a column that anybody may fill is compared with as many constants.
        let is_class = |with: &Column| !sensitive.classified(with).is_empty();
        let joins_classes = columns.joined.get(column).is_some_and(|all| all.iter().all(is_class));
        let role = |role: Use| if role == Use::Join && !joins_classes { Use::Predicate } else { role };
        let other: BTreeSet<Use> = roles.iter().copied().filter(|role| *role != Use::Output).map(role).collect();
        if !other.is_empty() {
            for column in sensitive.classified(column) {
                uses.entry(column).or_default().extend(&other);
            }
        }
    }
    uses
}

/// All classified columns that may be in the rows.
fn gives(columns: &Columns, sensitive: &Sensitive) -> BTreeSet<Column> {
    let used = columns.own.iter().filter(|(_, roles)| roles.contains(&Use::Output));
    let outputs = columns.outputs.iter().chain(&columns.fetched).flatten().flat_map(|output| &output.from);
    used.map(|(column, _)| column).chain(outputs).flat_map(|column| sensitive.classified(column)).collect()
}

fn classified(output: columns::Output, sensitive: &Sensitive) -> Output {
    let from: BTreeSet<Column> = output.from.iter().flat_map(|column| sensitive.classified(column)).collect();
    let bare = output.bare && from.len() == 1;
    Output { name: output.name, from, bare }
}

/// What kind of statement it is.
#[derive(Default)]
struct Root {
    copies: Option<Copying>,
    is_query: bool,
}

fn roots_of(sql: &str) -> Vec<Root> {
    with_tree(sql, |tree| {
        let root = |raw: &pg_query::protobuf::RawStmt| match raw.stmt.as_ref().and_then(|node| node.node.as_ref()) {
            Some(NodeEnum::CopyStmt(n)) => Root { copies: copying(n), is_query: false },
            Some(NodeEnum::SelectStmt(_)) => Root { copies: None, is_query: true },
            _ => Root::default(),
        };
        tree.map(|tree| tree.stmts.iter().map(root).collect()).unwrap_or_default()
    })
}

fn copying(n: &CopyStmt) -> Option<Copying> {
    if n.is_program || !n.filename.is_empty() {
        return Some(Copying::Server);
    }
    (!n.is_from).then(|| Form::of(n).map_or_else(Copying::OutSomehow, Copying::Out))
}
