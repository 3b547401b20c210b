//! Snapshots of a database's tables, views, functions and the like, read through the gateway's
//! own connection with qualified names only.

use std::collections::{BTreeMap, BTreeSet};

use countersign_shared::digest::{Digest, Fields};

use crate::statement::effect::{Action, Effect, Object};

pub mod read;

/// A relation and what writing or reading it sets off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.relkind`.
    pub kind: char,
    /// Came with the server; its view's query is trusted.
    pub system: bool,
    /// The stored query of a view or materialized view, all names qualified.
    pub query: Option<String>,
    /// Triggers, rules and user functions that a write runs, in words.
    pub on_write: Vec<String>,
    /// User functions that a read runs, in words.
    pub on_read: Vec<String>,
    /// What deleting or updating a row does to other tables: action and table.
    pub cascades: Vec<(Action, String, String)>,
    /// Changes whenever the relation's definition does.
    pub stamp: String,
}

/// One database's catalog at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Relations by schema and name.
    pub relations: BTreeMap<(String, String), Relation>,
    /// Functions that did not come with the server, by name, with the schemas that have one.
    pub functions: BTreeMap<String, BTreeSet<String>>,
    /// User functions of one composite argument: `t.f` calls them like a column.
    pub attribute_functions: BTreeSet<String>,
    /// Names of operators that did not come with the server or an extension.
    pub operators: BTreeSet<String>,
    /// Types whose casts or checks run user functions.
    pub risky_types: BTreeSet<String>,
}

impl Snapshot {
    /// The relation `schema.name`.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(&(schema.to_owned(), name.to_owned()))
    }

    /// The catalog version of the objects that `effects` touch: DDL elsewhere does not change it.
    #[must_use]
    pub fn version_of(&self, effects: &[Effect]) -> Digest {
        let stamps = effects.iter().map(|effect| match &effect.object {
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                format!("{schema}.{name}:{:?}", self.relation(schema, name))
            }
            other => format!("{other:?}"),
        });
        Fields::of("countersign/catalog/v1").list("objects", stamps).finish()
    }
}
