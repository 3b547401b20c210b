//! What is known of a database at one moment, and pure lookups in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use super::builtins;
use crate::statement::effect::Effect;

/// Schema and name.
pub type Key = (String, String);

/// What may set something off, as bits; the values of triggers are PostgreSQL's `tgtype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(pub u8);

impl Events {
    /// Reading rows.
    pub const READ: Self = Self(1);
    /// INSERT, COPY FROM.
    pub const INSERT: Self = Self(4);
    /// DELETE.
    pub const DELETE: Self = Self(8);
    /// UPDATE.
    pub const UPDATE: Self = Self(16);
    /// TRUNCATE.
    pub const TRUNCATE: Self = Self(32);
    /// INSERT and UPDATE: whatever makes a new row.
    pub const STORE: Self = Self(4 | 16);
    /// All of them.
    pub const ANY: Self = Self(1 | 4 | 8 | 16 | 32);

    /// Whether the two have an event in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `r`, `p`.
    Table,
    /// `v`.
    View,
    /// `m`.
    Materialized,
    /// `f`.
    Foreign,
    /// `S`.
    Sequence,
    /// `i`, `I`.
    Index,
    /// `c`, `t` and what later versions add: nothing that a statement names.
    Other,
}

impl Kind {
    /// From the catalog's letter.
    #[must_use]
    pub fn of(letter: &str) -> Self {
        match letter {
            "r" | "p" => Self::Table,
            "v" => Self::View,
            "m" => Self::Materialized,
            "f" => Self::Foreign,
            "S" => Self::Sequence,
            "i" | "I" => Self::Index,
            _ => Self::Other,
        }
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    pub type_oid: u32,
}

/// Something on a relation that runs code which can't be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// What sets it off.
    pub on: Events,
    /// For people: `trigger audit_orders calls public.log_change()`.
    pub note: String,
    /// Changes whenever what would run changes.
    pub stamp: String,
}

/// An expression stored with a relation: a default, a check, an index, a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// What evaluates it.
    pub on: Events,
    /// For people: `the default of id`.
    pub what: String,
    /// As `pg_get_expr` gives it with an empty search path.
    pub text: String,
}

/// A table whose foreign key points here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The table that has the foreign key.
    pub child: Key,
    /// `pg_constraint.confdeltype`: `a`, `r`, `c`, `n`, `d`.
    pub on_delete: char,
    /// `pg_constraint.confupdtype`.
    pub on_update: char,
}

/// What classification found of a relation once, kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Effects beside the one on the relation itself.
    pub effects: BTreeSet<Effect>,
    /// Tables read.
    pub tables: BTreeSet<String>,
    /// Functions called.
    pub functions: BTreeSet<String>,
    /// Why something is opaque.
    pub notes: Vec<String>,
}

/// A place for [`Derived`], filled on first use. Never part of equality or a version.
#[derive(Clone, Debug, Default)]
pub struct Memo(Arc<[OnceLock<Arc<Derived>>; 6]>);

impl Memo {
    /// The slot of one event; `None` for several at once.
    #[must_use]
    pub fn slot(&self, event: Events) -> Option<&OnceLock<Arc<Derived>>> {
        let index = match event {
            Events::READ => 0,
            Events::INSERT => 1,
            Events::DELETE => 2,
            Events::UPDATE => 3,
            Events::TRUNCATE => 4,
            _ => return None,
        };
        self.0.get(index)
    }
}

/// A relation.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its oid; below 16384 it came with the server.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// A view's query, all names qualified.
    pub definition: Option<String>,
    /// An index's table, a sequence's owner.
    pub of: Option<Key>,
    /// What runs unseen code.
    pub hazards: Vec<Hazard>,
    /// What is evaluated along with it.
    pub expressions: Vec<Expression>,
    /// Partitions and tables that inherit from it.
    pub children: Vec<Key>,
    /// Foreign keys that point here.
    pub referrers: Vec<Referrer>,
    /// What classification has found.
    pub memo: Memo,
}

impl Relation {
    /// Whether it came with the server, and is trusted as such.
    #[must_use]
    pub fn is_builtin(&self) -> bool {
        self.oid < builtins::FIRST_USER_OID
    }

    /// Schema and name.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.schema.clone(), self.name.clone())
    }
}

/// A function that did not come with the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `pg_language.lanname`.
    pub language: String,
    /// The extension that it belongs to.
    pub extension: Option<String>,
    /// Whether one argument is enough, so that `(x).name` can call it.
    pub takes_one: bool,
    /// Changes whenever the function is replaced.
    pub stamp: String,
}

impl Function {
    /// Whether it is known to be harmless: native code of an extension on the reviewed list.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.extension.as_deref().is_some_and(|e| builtins::extension_is_trusted(e, &self.language, &self.name))
    }
}

/// A type that did not come with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFacts {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Types that its values hold: element, base, subtype, attributes.
    pub parts: Vec<u32>,
    /// Code of its own that can't be seen: input, output, comparison, casts.
    pub hazards: Vec<String>,
    /// A domain's checks.
    pub checks: Vec<String>,
}

/// One database's catalog at one moment. The default is of a database of which nothing is known:
/// whatever depends on names is then opaque.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) known: bool,
    pub(super) fingerprint: String,
    pub(super) partial: bool,
    pub(super) relations: HashMap<String, HashMap<String, Arc<Relation>>>,
    pub(super) schemas: BTreeSet<String>,
    pub(super) functions: HashMap<String, Vec<Function>>,
    pub(super) builtin_functions: HashSet<String>,
    pub(super) operators: BTreeMap<String, Vec<(String, String)>>,
    pub(super) types: HashMap<u32, TypeFacts>,
    pub(super) types_by_name: HashMap<String, Vec<u32>>,
    pub(super) casts: Vec<String>,
    pub(super) event_triggers: Vec<String>,
}

impl Snapshot {
    /// Whether anything was read at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether the text of a view or an expression is left out, since somebody locked what it names:
    /// what uses it is opaque.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// What the cheap version check gave when this was read.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The relation of that exact name.
    #[must_use]
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(schema)?.get(name)
    }

    /// Every relation.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.relations.values().flat_map(HashMap::values)
    }

    /// Whether there is such a schema.
    #[must_use]
    pub fn has_schema(&self, schema: &str) -> bool {
        self.schemas.contains(schema)
    }

    /// Whether both know the same schemas.
    #[must_use]
    pub fn has_same_schemas(&self, other: &Self) -> bool {
        self.schemas == other.schemas
    }

    /// Functions of that name, in any schema, that did not come with the server.
    #[must_use]
    pub fn functions(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the server itself has a function of that name in `pg_catalog`.
    #[must_use]
    pub fn has_builtin(&self, name: &str) -> bool {
        self.builtin_functions.contains(name)
    }

    /// Operators of that name that may run code which can't be seen: schema, and why.
    #[must_use]
    pub fn operator_hazards(&self, name: &str) -> &[(String, String)] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// Types of that name, in any schema, that did not come with the server.
    #[must_use]
    pub fn types_named(&self, name: &str) -> &[u32] {
        self.types_by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// A type that did not come with the server.
    #[must_use]
    pub fn type_facts(&self, oid: u32) -> Option<&TypeFacts> {
        self.types.get(&oid)
    }

    /// Casts between the server's own types that run code which can't be seen. They may be
    /// implicit, so that any expression at all can run them.
    #[must_use]
    pub fn cast_hazards(&self) -> &[String] {
        &self.casts
    }

    /// Enabled event triggers, for people.
    #[must_use]
    pub fn event_triggers(&self) -> &[String] {
        &self.event_triggers
    }

    /// Whether TABLESAMPLE `name` is not the server's own nor a trusted extension's.
    #[must_use]
    pub fn sampler_is_strange(&self, name: &str) -> bool {
        !(matches!(name, "bernoulli" | "system") && self.functions(name).is_empty())
    }
}
