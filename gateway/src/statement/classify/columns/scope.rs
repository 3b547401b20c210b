//! What names of columns can mean at a place in a query.

use std::collections::BTreeSet;

use crate::catalog::Key;

/// What a value rests on: columns by their numbers in [`super::reader::Reader`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub from: BTreeSet<u32>,
    /// It is one column's value.
    pub bare: bool,
}

impl Value {
    pub fn over(from: BTreeSet<u32>) -> Self {
        Self { from, bare: false }
    }

    /// Whether it is the value of one column of a table that is known.
    pub fn is_one_column(&self) -> bool {
        self.bare && self.from.len() == 1
    }

    pub fn add(&mut self, other: &Self) {
        self.bare = false;
        self.from.extend(&other.from);
    }
}

/// A column of a relation in FROM, or of a query's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// None: it may have any.
    pub name: Option<String>,
    pub value: Value,
}

impl Field {
    pub fn new(name: &str, value: Value) -> Self {
        Self { name: Some(name.to_owned()), value }
    }
}

/// Columns that there may be beside those that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Any of this relation.
    Of(Key),
    /// Any whose values rest on these.
    Over(BTreeSet<u32>),
}

/// The columns of a relation or of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub fields: Vec<Field>,
    pub open: Vec<Open>,
}

impl Rows {
    pub fn over(from: BTreeSet<u32>) -> Self {
        Self { fields: Vec::new(), open: vec![Open::Over(from)] }
    }

    /// Whether nothing of it is known but which relation it is of.
    pub fn is_of_the_server(&self) -> bool {
        self.fields.is_empty() && self.open.iter().all(|open| matches!(open, Open::Of(_)))
    }

    /// Whether some of its columns may have any name.
    pub fn has_nameless(&self) -> bool {
        !self.open.is_empty() || self.fields.iter().any(|field| field.name.is_none())
    }
}

/// Something in FROM, by the name that goes before the dot.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// Empty for what has an alias.
    pub schema: String,
    pub name: String,
    pub rows: Rows,
}

/// What one query brings into scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// For names with a dot, and for whole rows.
    pub items: Vec<Item>,
    /// What `*` means, and where names without a dot are looked up.
    pub star: Rows,
}

impl Level {
    pub fn of(item: Item) -> Self {
        Self { star: item.rows.clone(), items: vec![item] }
    }

    pub fn absorb(&mut self, other: Self) {
        self.items.extend(other.items);
        self.star.fields.extend(other.star.fields);
        self.star.open.extend(other.star.open);
    }

    pub fn size(&self) -> usize {
        self.star.fields.len() + self.items.iter().map(|item| item.rows.fields.len() + 1).sum::<usize>()
    }
}

/// Columns that every table has and that hold nothing of its rows.
pub(super) fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "cmin" | "xmax" | "cmax" | "tableoid" | "oid")
}
