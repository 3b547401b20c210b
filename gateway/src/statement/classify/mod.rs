//! classify: PostgreSQL's own grammar into effects, resolved against the catalog. Pure.
//!
//! What can't be parsed or resolved is `opaque`, never "harmless".

use serde::{Deserialize, Serialize};

use super::effect::{Action, Effect};
use crate::catalog::Snapshot;

mod builtins;
mod limits;
mod parse;
mod settings;
#[cfg(test)]
mod tests;
mod utility;
mod walk;

/// How a statement moves the transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionMove {
    /// Not at all.
    #[default]
    None,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END, PREPARE TRANSACTION.
    Commit,
    /// ROLLBACK, ABORT, ROLLBACK TO. Always passes.
    Rollback,
    /// SAVEPOINT, RELEASE.
    Savepoint,
}

/// A lone `SET/RESET/SHOW countersign.*`, which the gateway answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnSetting {
    /// `SET countersign.reason = '…'`; `None` resets.
    Set {
        /// After the prefix, `reason`.
        name: String,
        /// The value.
        value: Option<String>,
    },
    /// `SHOW countersign.reason`.
    Show {
        /// After the prefix.
        name: String,
    },
}

/// What one statement of a text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes within the text.
    pub range: std::ops::Range<usize>,
    /// What it does; never empty.
    pub effects: Vec<Effect>,
    /// How it moves the transaction.
    pub transaction: TransactionMove,
    /// For UPDATE, DELETE: whether it has a WHERE. `true` for all others.
    pub has_where: bool,
    /// Base tables named, `public.orders`, sorted.
    pub tables: Vec<String>,
    /// Functions called, `pg_catalog.lower`, sorted.
    pub functions: Vec<String>,
    /// Whether names may resolve differently after it: SET/RESET, DDL, temporary tables, DISCARD.
    pub changes_session: bool,
    /// SQL-level `PREPARE name`: the statement's own text is remembered under this name.
    pub prepares: Option<String>,
    /// Sentences for the card: why something is opaque, what was not resolved.
    pub notes: Vec<String>,
}

/// Why a text is not analysed, although policy may still let it pass as `opaque`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The grammar refuses it.
    Syntax {
        /// The parser's message.
        message: String,
        /// One-based character position, where it is known.
        position: Option<usize>,
    },
    /// A relation that the catalog does not have.
    UnknownRelation {
        /// As written.
        name: String,
    },
    /// Over a bound: bytes, depth, comments.
    TooLarge {
        /// Which.
        what: String,
    },
}

/// What a text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Its statements in order. Empty for an empty query.
    pub statements: Vec<Statement>,
    /// Set where the whole text is one lone `countersign.*` setting.
    pub own_setting: Option<OwnSetting>,
    /// Why it is opaque, for the error that a refusal gives.
    pub doubt: Option<Doubt>,
}

/// What classification needs to know of the session, beside the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The effective search path as the server has it: schemas in order, `pg_catalog` where it
    /// stands, the session's temporary schema (`pg_temp_3`) if it has one.
    pub search_path: Vec<String>,
    /// Temporary relations of this session.
    pub temporary: Vec<String>,
    /// SQL-level and protocol-level prepared statements by name, with their texts.
    pub prepared: std::collections::BTreeMap<String, String>,
    /// The name of the login upstream; `SET ROLE` to it is a no-op.
    pub login: String,
}

/// Texts up to so many bytes cannot nest deeper than an ordinary thread's stack bears.
const SHORT: usize = 300;
/// The stack for all others. The parser itself gives up at some 800 levels; this bears far more.
const DEEP: usize = 64 << 20;

/// Analyses `sql`. Never panics, whatever the text.
#[must_use]
pub fn classify(sql: &str, catalog: &Snapshot, names: &Names) -> Analysis {
    if let Err(what) = limits::check(sql) {
        return doubtful(sql, Doubt::TooLarge { what });
    }
    if sql.len() <= SHORT {
        return analyse(sql, catalog, names);
    }
    // A deep tree recurses: in the parser, in its reader, in the walk, and when it is dropped. The
    // parser knows its own thread's stack only, so a big one is a thread of its own.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP).spawn_scoped(scope, || analyse(sql, catalog, names));
        thread.ok().and_then(|thread| thread.join().ok())
    })
    .unwrap_or_else(|| doubtful(sql, Doubt::TooLarge { what: "there is no memory to analyse it".to_owned() }))
}

fn analyse(sql: &str, catalog: &Snapshot, names: &Names) -> Analysis {
    let statements = match parse::statements(sql) {
        Ok(statements) => statements,
        Err(doubt) => return doubtful(sql, doubt),
    };
    let mut analysis = Analysis::default();
    let (mut doubt, mut changed) = (None, false);
    let lone = statements.len() == 1;
    for parsed in statements {
        let (mut statement, own, unknown) = utility::statement(&parsed, catalog, names);
        if let Some(own) = own {
            if lone {
                analysis.own_setting = Some(own);
            } else {
                statement.effects.push(Effect::on_connection(Action::Opaque));
                statement.notes.push("countersign.* settings stand in a text of their own".to_owned());
            }
        }
        let moves_only = statement.effects.iter().all(|e| matches!(e.action, Action::Transaction | Action::Set));
        if changed && !moves_only {
            // An earlier statement of this text may change what this one's names mean.
            statement.effects.push(Effect::on_connection(Action::Opaque));
            statement.notes.push("names may mean something else after the statements before it".to_owned());
        }
        changed |= statement.changes_session;
        doubt = doubt.or(unknown);
        statement.effects.sort();
        statement.effects.dedup();
        statement.tables.sort();
        statement.tables.dedup();
        statement.functions.sort();
        statement.functions.dedup();
        statement.notes.dedup();
        analysis.statements.push(statement);
    }
    analysis.doubt = doubt;
    analysis
}

fn doubtful(sql: &str, doubt: Doubt) -> Analysis {
    let note = match &doubt {
        Doubt::Syntax { message, .. } => format!("the text could not be parsed: {message}"),
        Doubt::UnknownRelation { name } => format!("{name} is not in the catalog"),
        Doubt::TooLarge { what } => format!("the text was not analysed: {what}"),
    };
    let statement = Statement {
        range: 0..sql.len(),
        effects: vec![Effect::on_connection(Action::Opaque)],
        has_where: true,
        changes_session: true,
        notes: vec![note],
        ..Statement::default()
    };
    Analysis { statements: vec![statement], own_setting: None, doubt: Some(doubt) }
}
