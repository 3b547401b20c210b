//! What is known of a database at one moment, and pure lookups in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use countersign_shared::digest::Digest;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    pub type_oid: u32,
    /// The oid of the type whose values it holds: of a domain, what that is over.
    pub base_oid: u32,
    /// `pg_attribute.attnum`.
    pub number: u16,
    /// Schema and name of its type, of what that is a domain over, and of an array's elements.
    pub types: Vec<(String, String)>,
    /// What its comment says after `classification:`, in lower case.
    pub class: Option<String>,
}

/// Something on a relation that runs code of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hazard {
    /// What sets it off.
    pub on: Events,
    /// What runs.
    pub code: Code,
    /// The rule's own text, or that of a trigger with a condition.
    pub definition: Option<String>,
    /// A trigger's transition tables.
    pub transitions: Vec<String>,
    /// Changes whenever what would run changes.
    pub stamp: String,
    /// Whether it may be put off to the end of the transaction.
    pub deferrable: bool,
}

/// Code that something other than the statement calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// For people: `trigger audit_orders calls public.log_change()`.
    pub note: String,
    /// The function's oid, where it is one function.
    pub function: Option<u32>,
}

impl Code {
    /// Of which nothing is known but the sentence.
    #[must_use]
    pub fn unseen(note: &str) -> Self {
        Self { note: note.to_owned(), function: None }
    }
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

impl Expression {
    /// Whether it is a column's default, whose `nextval` belongs to the INSERT.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.what.starts_with("the default of ")
    }

    /// Whether ANALYZE, REINDEX and CLUSTER compute it.
    #[must_use]
    pub fn is_kept_up(&self) -> bool {
        self.what.starts_with("an index ") || self.what.starts_with("the statistics ")
    }

    /// Whether the planner reads it for whatever touches the table, and runs what of it is immutable
    /// and has constant arguments.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        !self.is_default()
    }
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
    /// The key's columns: the child's own, and what it points to. Empty where this is the part of a key that
    /// one partition has.
    pub columns: Vec<(String, String)>,
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
    /// Differs wherever anything else of its definition does, that nothing but its version asks about.
    pub rest: Option<Digest>,
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

/// What is known of what a function does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Native code, or a language that is not read here.
    #[default]
    Unseen,
    /// SQL statements, whose names mean what they mean when it is called.
    Sql(String),
    /// SQL that was resolved when it was created: `RETURN …` or `BEGIN ATOMIC … END`.
    SqlResolved(String),
    /// PL/pgSQL.
    PlPgSql(String),
    /// Puts a value of a range type together, and runs what the types of the function run.
    Constructor,
    /// An aggregate: the functions that it calls and that are not immutable ones of the server's.
    Calls(Vec<u32>),
}

/// A function that did not come with the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// How many arguments it takes at least, and at most (`None`: VARIADIC).
    pub arguments: (usize, Option<usize>),
    /// Whether it is VOLATILE; any other may be run by the planner.
    pub volatile: bool,
    /// Whether it gives any number of rows.
    pub returns_set: bool,
    /// What it does.
    pub body: Body,
    /// Types of its arguments and results that did not come with the server.
    pub types: Vec<u32>,
    /// The defaults of its arguments, as `pg_get_expr` gives them with an empty search path.
    pub defaults: Option<String>,
    /// Settings that are in force while it runs: `search_path=pg_catalog, public`.
    pub settings: Vec<String>,
    /// Changes whenever the function is replaced.
    pub stamp: String,
}

impl Function {
    /// Whether it is known to be harmless: native code of an extension on the reviewed list.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.extension.as_deref().is_some_and(|e| builtins::extension_is_trusted(e, &self.language, &self.name))
    }

    /// Whether a call with so many arguments may mean it.
    #[must_use]
    pub fn takes(&self, count: usize) -> bool {
        count >= self.arguments.0 && self.arguments.1.is_none_or(|most| count <= most)
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
    /// Code of its own: input, output, comparison, casts.
    pub hazards: Vec<Code>,
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
    /// Changes whenever a schema does, or who may use one.
    pub(super) schema_stamp: String,
    pub(super) functions: HashMap<String, Vec<Function>>,
    pub(super) builtin_functions: HashSet<String>,
    pub(super) functions_by_oid: HashMap<u32, (String, usize)>,
    pub(super) operators: BTreeMap<String, Vec<(String, Code)>>,
    pub(super) types: HashMap<u32, TypeFacts>,
    pub(super) types_by_name: HashMap<String, Vec<u32>>,
    pub(super) casts: Vec<Code>,
    /// Of all functions' bodies, once it is asked for.
    pub(super) code: OnceLock<Digest>,
    /// Of all views, likewise.
    pub(super) views: OnceLock<Digest>,
    /// The version of all relations of the database's own, once somebody asks.
    pub(super) everything: OnceLock<Digest>,
    pub(super) event_triggers: Vec<Code>,
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

    /// Whether both know the same schemas, with the same rights: a search path skips those that a login
    /// may not use.
    #[must_use]
    pub fn has_same_schemas(&self, other: &Self) -> bool {
        self.schemas == other.schemas && self.schema_stamp == other.schema_stamp
    }

    /// Functions of that name, in any schema, that did not come with the server.
    #[must_use]
    pub fn functions(&self, name: &str) -> &[Function] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every function that did not come with the server.
    pub fn all_functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values().flatten()
    }

    /// The function of that oid, if it did not come with the server.
    #[must_use]
    pub fn function(&self, oid: u32) -> Option<&Function> {
        let (name, index) = self.functions_by_oid.get(&oid)?;
        self.functions.get(name)?.get(*index)
    }

    /// Whether the server itself has a function of that name in `pg_catalog`.
    #[must_use]
    pub fn has_builtin(&self, name: &str) -> bool {
        self.builtin_functions.contains(name)
    }

    /// Operators of that name that run code of the database: schema, and what.
    #[must_use]
    pub fn operator_hazards(&self, name: &str) -> &[(String, Code)] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the database has no function of its own, so that no expression can call one.
    #[must_use]
    pub fn has_no_code(&self) -> bool {
        self.functions.is_empty()
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

    /// Casts between the server's own types, and comparisons of one, that run code of the database. They may be
    /// implicit, so that any expression at all can run them.
    #[must_use]
    pub fn cast_hazards(&self) -> &[Code] {
        &self.casts
    }

    /// Enabled event triggers.
    #[must_use]
    pub fn event_triggers(&self) -> &[Code] {
        &self.event_triggers
    }

    /// Whether TABLESAMPLE `name` is not the server's own nor a trusted extension's.
    #[must_use]
    pub fn sampler_is_strange(&self, name: &str) -> bool {
        !(matches!(name, "bernoulli" | "system") && self.functions(name).is_empty())
    }
}
