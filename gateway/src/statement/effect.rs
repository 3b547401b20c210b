//! What a statement does: (action, object) pairs. The words are DESIGN §3's.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $group:expr;)+) => {
        /// A Cedar action.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Action { $($(#[$doc])* $variant,)+ }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name in policies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Its group in policies: `read`, `write`, `ddl`, `admin`, or none.
            #[must_use]
            pub const fn group(self) -> Option<&'static str> {
                match self { $(Self::$variant => $group,)+ }
            }
        }
    };
}

actions! {
    Select = "select" in Some("read");
    CopyOut = "copy_out" in Some("read");
    /// BEGIN, COMMIT, SAVEPOINT …; ROLLBACK always passes.
    Transaction = "transaction" in Some("read");
    /// A setting on the reviewed list.
    Set = "set" in Some("read");
    Listen = "listen" in Some("read");
    /// Temporary tables and what is done to them.
    Temp = "temp" in Some("read");
    Insert = "insert" in Some("write");
    Update = "update" in Some("write");
    Delete = "delete" in Some("write");
    Merge = "merge" in Some("write");
    CopyIn = "copy_in" in Some("write");
    /// Above ACCESS SHARE.
    Lock = "lock" in Some("write");
    Notify = "notify" in Some("write");
    Create = "create" in Some("ddl");
    Alter = "alter" in Some("ddl");
    Truncate = "truncate" in Some("ddl");
    Drop = "drop" in Some("ddl");
    /// GRANT/REVOKE, roles, settings off the list.
    Privilege = "privilege" in Some("admin");
    Maintain = "maintain" in Some("admin");
    /// Files, programs, ALTER SYSTEM, replication, other backends.
    Server = "server" in Some("admin");
    /// The analyser can't see what it does.
    Opaque = "opaque" in Some("admin");
    Connect = "connect" in None;
    /// A named function whose effects are known.
    Call = "call" in None;
    Reveal = "reveal" in None;
    Approve = "approve" in None;
    Request = "request" in None;
    Audit = "audit" in None;
    Administer = "administer" in None;
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is acted upon, within a connection. Names are unquoted, as the catalog has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Object {
    /// The connection itself.
    Connection,
    /// `Schema::"shop/public"`.
    Schema {
        /// Schema.
        schema: String,
    },
    /// A table, view, sequence or other relation: `Table::"shop/public.orders"`.
    Table {
        /// Schema.
        schema: String,
        /// Relation.
        name: String,
    },
    /// `Column::"shop/public.customers.email"`.
    Column {
        /// Schema.
        schema: String,
        /// Relation.
        table: String,
        /// Column.
        name: String,
    },
    /// `Function::"shop/public.refund"`.
    Function {
        /// Schema.
        schema: String,
        /// Function.
        name: String,
    },
    /// A role that `/access` can give: `Role::"shop-writer"`, child of the connection asked for.
    Role {
        /// Role.
        name: String,
    },
}

/// Quotes an identifier as PostgreSQL's `quote_ident` does (keywords aside: only form counts here,
/// so that an id never depends on the server's list of keywords).
#[must_use]
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Object {
    /// The Cedar entity type and id on a connection: `("Table", "shop/public.orders")`.
    #[must_use]
    pub fn entity(&self, connection: &str) -> (&'static str, String) {
        let q = quote_ident;
        match self {
            Self::Connection => ("Connection", connection.to_owned()),
            Self::Schema { schema } => ("Schema", format!("{connection}/{}", q(schema))),
            Self::Table { schema, name } => ("Table", format!("{connection}/{}.{}", q(schema), q(name))),
            Self::Column { schema, table, name } => {
                ("Column", format!("{connection}/{}.{}.{}", q(schema), q(table), q(name)))
            }
            Self::Function { schema, name } => ("Function", format!("{connection}/{}.{}", q(schema), q(name))),
            Self::Role { name } => ("Role", name.clone()),
        }
    }

    /// As people read it: `Table::"shop/public.orders"`.
    #[must_use]
    pub fn display(&self, connection: &str) -> String {
        let (kind, id) = self.entity(connection);
        format!("{kind}::{id:?}")
    }
}

/// One (action, object) pair that a statement has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Effect {
    /// What is done.
    pub action: Action,
    /// To what.
    pub object: Object,
}

impl Effect {
    /// An effect.
    #[must_use]
    pub const fn new(action: Action, object: Object) -> Self {
        Self { action, object }
    }

    /// An effect on the connection itself.
    #[must_use]
    pub const fn on_connection(action: Action) -> Self {
        Self { action, object: Object::Connection }
    }
}
