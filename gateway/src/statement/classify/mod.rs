//! classify: PostgreSQL's own grammar into effects, resolved against the catalog. Pure.
//!
//! What can't be parsed or resolved is `opaque`, never "harmless".

mod bodies;
pub mod columns;
mod ddl;
mod dml;
mod drops;
mod encoding;
mod expressions;
mod functions;
mod limits;
mod literals;
mod parse;
mod planning;
mod plpgsql;
mod plpgsql_tokens;
mod query;
mod relations;
mod settings;
mod stored;
mod temporary;
mod utility;
mod visit;
mod walk;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_attacks;
#[cfg(test)]
mod tests_bodies;
#[cfg(test)]
mod tests_planning;
#[cfg(test)]
mod tests_temporary;
#[cfg(test)]
mod tests_tools;

use pg_query::protobuf::{ParseResult, RawStmt};
use serde::{Deserialize, Serialize};

use super::effect::{Action, Effect};
use crate::catalog::{Snapshot, Temporary, builtins::FIRST_USER_OID};

pub use parse::off_thread;
pub(super) use parse::with_tree;
pub use relations::is_temporary_schema;
pub use settings::{
    NOT_KEPT, NOTE_ENCODING, NOTE_OWN_SETTING, NOTE_READ_WRITE, NOTE_RESETS_ALL, NOTE_STRINGS, NOTE_TOKEN, TOKEN,
    without_token,
};

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

/// What a statement does to a cursor that SQL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorMove {
    /// DECLARE.
    Declares {
        /// Its name.
        name: String,
        /// Whether it may outlive the transaction.
        hold: bool,
    },
    /// FETCH, MOVE.
    Fetches {
        /// Its name.
        name: String,
    },
    /// CLOSE; `None` for all.
    Closes {
        /// Its name.
        name: Option<String>,
    },
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
    /// Whether names, settings or prepared statements may be others after it: SET/RESET, DDL,
    /// temporary tables, DISCARD, the end of a transaction, and whatever is opaque.
    pub changes_session: bool,
    /// SQL-level `PREPARE name`: the statement's own text is remembered under this name.
    pub prepares: Option<String>,
    /// What its EXECUTEs run: the name, and the text that is remembered under it.
    pub executes: Vec<(String, String)>,
    /// Whether it means the row that a cursor is on (`WHERE CURRENT OF`).
    pub of_cursor: bool,
    /// The oids of the relations, functions and types that its own names may mean, sorted.
    pub resolved: Vec<u32>,
    /// Whether it is BEGIN, COMMIT, SET, DEALLOCATE or the like, which rests on no name of the database's.
    pub is_control: bool,
    /// Whether code of the database's runs, whose names are looked up while it runs.
    pub runs_code: bool,
    /// Whether such code catches errors, and can read what they say.
    pub catches: bool,
    /// Whether such code opens cursors, under whatever names.
    pub opens_within: bool,
    /// Whether such code fetches from cursors, which the text does not name.
    pub fetches_within: bool,
    /// What it does to a cursor that SQL names.
    pub cursor: Option<CursorMove>,
    /// Whether no value of a constant had a part in any of the above but `range`.
    pub blind_to_literals: bool,
    /// Sentences for the card: why something is opaque, what was not resolved. Not all of them, where there are
    /// very many.
    pub notes: Vec<String>,
    /// Those that are looked for, wherever they come from: `NOTE_READ_WRITE` and its kin. All of them.
    pub marks: std::collections::BTreeSet<&'static str>,
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
    /// A function that neither the catalog nor the server has.
    UnknownFunction {
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

impl Analysis {
    /// Whether the value of a constant may have had a part in this answer. Where it had none, any
    /// text of the same tokens in the same order, but for the values of plain `'…'` strings and of
    /// numbers of the same kind (with a decimal point or exponent, or without), has this same
    /// analysis. Two things differ: each statement's `range`, and whether the text is over a bound
    /// or is refused by the grammar, which then refuses it at the server too.
    #[must_use]
    pub fn literal_sensitive(&self) -> bool {
        !self.statements.iter().all(|statement| statement.blind_to_literals)
    }
}

/// What classification needs to know of the session, beside the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The effective search path as the server has it: schemas in order, `pg_catalog` where it
    /// stands, the session's temporary schema (`pg_temp_3`) if it has one.
    pub search_path: Vec<String>,
    /// Where something new without a schema goes; `None` where there is no such place, or it is not known.
    pub creates_in: Option<String>,
    /// Temporary relations of this session by name.
    pub temporary: std::collections::BTreeMap<String, Temporary>,
    /// Names of its temporary types, those of rows and arrays included.
    pub temporary_types: std::collections::BTreeSet<String>,
    /// SQL-level and protocol-level prepared statements by name, with their texts.
    pub prepared: std::collections::BTreeMap<String, String>,
    /// The name of the login upstream; `SET ROLE` to it is a no-op.
    pub login: String,
    /// Whether the database's encoding is another than UTF-8: it cuts and folds names otherwise than it is done here.
    pub reads_otherwise: bool,
}

impl Names {
    /// Whether something new without a schema is temporary.
    fn creates_temporary(&self) -> bool {
        self.creates_in.as_ref().or(self.search_path.first()).is_some_and(|schema| is_temporary_schema(schema))
    }

    /// Whether a name without a schema is the server's own wherever the server has it.
    pub(crate) fn looks_in_pg_catalog_first(&self) -> bool {
        let mut listed = self.search_path.iter().map(String::as_str);
        let first = listed.clone().find(|schema| !is_temporary_schema(schema));
        // Where it is not listed, it is looked in before all that are.
        first == Some("pg_catalog") || !listed.any(|schema| schema == "pg_catalog")
    }
}

/// Analyses `sql`. Never panics, whatever the text. Bounds keep the time linear in the text, but
/// a megabyte costs a tenth of a second: big texts belong off the async threads.
#[must_use]
pub fn classify(sql: &str, catalog: &Snapshot, names: &Names) -> Analysis {
    let mut analysis = parse::with_tree(sql, |tree| match tree {
        Ok(tree) => analyse(sql, &tree, catalog, names),
        Err(doubt) => refused(sql, doubt),
    });
    if names.reads_otherwise && encoding::may_differ(sql, analysis.literal_sensitive()) {
        for statement in &mut analysis.statements {
            statement.effects.push(Effect::on_connection(Action::Opaque));
            statement.notes.insert(0, encoding::NOTE.to_owned());
            statement.changes_session = true;
        }
    }
    analysis
}

/// Why reading a value of a parameter's type may run code that can't be seen.
#[must_use]
pub fn parameter_hazard(catalog: &Snapshot, names: &Names, oid: u32) -> Option<String> {
    if oid < FIRST_USER_OID {
        return None;
    }
    if catalog.type_facts(oid).is_none() {
        return Some(format!("there is no type {oid} in the catalog that was read"));
    }
    let mut walk = walk::Walk::stored(catalog, names, walk::Place::Stored, 0);
    walk.use_type(oid, "", None);
    if walk.found.effects.iter().all(|effect| effect.action == Action::Select) {
        return None;
    }
    Some(walk.found.notes.into_iter().next().unwrap_or_else(|| "reading a value of its type does more".to_owned()))
}

/// The statements that SQL's PREPAREs of a text make: the name, and the PREPARE itself.
#[must_use]
pub fn prepared_texts(sql: &str) -> Vec<(String, String)> {
    parse::with_tree(sql, |tree| {
        let stmts = tree.map(|tree| tree.stmts.clone()).unwrap_or_default();
        let one = |raw: &RawStmt| match raw.stmt.as_ref()?.node.as_ref()? {
            pg_query::NodeEnum::PrepareStmt(n) => Some((n.name.clone(), sql.get(range(sql, raw))?.to_owned())),
            _ => None,
        };
        stmts.iter().filter_map(one).collect()
    })
}

/// Whether a text is one INSERT, UPDATE, DELETE or MERGE: it has done all that it does before its first row leaves.
#[must_use]
pub fn is_one_write(sql: &str) -> bool {
    use pg_query::NodeEnum as N;
    parse::with_tree(sql, |tree| {
        let Ok(ParseResult { stmts, .. }) = &tree else { return false };
        let [only] = stmts.as_slice() else { return false };
        let node = only.stmt.as_ref().and_then(|stmt| stmt.node.as_ref());
        matches!(node, Some(N::InsertStmt(_) | N::UpdateStmt(_) | N::DeleteStmt(_) | N::MergeStmt(_)))
    })
}

/// How many statements a text has.
///
/// # Errors
/// Why it can't be read.
pub fn statements_in(sql: &str) -> Result<usize, String> {
    parse::with_tree(sql, |tree| match tree {
        Ok(tree) => Ok(tree.stmts.len()),
        Err(Doubt::Syntax { message, .. }) => Err(message),
        Err(Doubt::TooLarge { what }) => Err(what),
        Err(doubt) => Err(format!("{doubt:?}")),
    })
}

/// A text without a tree: one statement of which nothing is known.
fn refused(sql: &str, doubt: Doubt) -> Analysis {
    let note = match &doubt {
        Doubt::Syntax { message, .. } => format!("PostgreSQL's grammar refuses it: {message}"),
        Doubt::UnknownRelation { name } => format!("there is no relation {name}"),
        Doubt::UnknownFunction { name } => format!("there is no function {name}"),
        Doubt::TooLarge { what } => format!("it is too large to analyse: {what}"),
    };
    let statement = Statement {
        range: 0..sql.len(),
        effects: vec![Effect::on_connection(Action::Opaque)],
        has_where: true,
        // Whatever it is may have changed anything.
        changes_session: true,
        notes: vec![note],
        ..Statement::default()
    };
    keep_token_out(sql, Analysis { statements: vec![statement], own_setting: None, doubt: Some(doubt) })
}

fn analyse(sql: &str, tree: &ParseResult, catalog: &Snapshot, names: &Names) -> Analysis {
    let own_setting = match tree.stmts.as_slice() {
        [only] => settings::own_setting(only),
        _ => None,
    };
    let mut analysis = Analysis { own_setting, ..Analysis::default() };
    // Whether an earlier statement of this text may make every name mean something else, or has
    // put other things under some. What it prepares is known to those after it.
    let (mut moved, mut made) = (false, false);
    let (mut remembered, mut stored) = (limits::BYTES, limits::STORED_BYTES);
    let mut names = std::borrow::Cow::Borrowed(names);
    for raw in &tree.stmts {
        let range = range(sql, raw);
        let mut walk = walk::Walk { remembered, stored, ..walk::Walk::new(catalog, &names) };
        match raw.stmt.as_deref() {
            Some(node) => walk.visit(node),
            None => walk.opaque("a statement without a tree"),
        }
        (remembered, stored) = (walk.remembered, walk.stored);
        let lone = raw.stmt.as_deref().is_some_and(settings::only_sets);
        let mut found = walk.finish(analysis.own_setting.is_some(), lone);
        if moved && (found.uses_names || found.uses_path) || made && found.uses_names {
            found.opaque("an earlier statement of the same text may change what its names mean; send it alone");
        }
        moved |= found.changes_names;
        made |= found.changes_objects;
        if found.changes_names && !names.prepared.is_empty() {
            // What can't be seen may have prepared anything under the names known.
            names.to_mut().prepared.clear();
        }
        if let Some(name) = &found.statement.prepares {
            names.to_mut().prepared.insert(name.clone(), sql.get(range.clone()).unwrap_or_default().to_owned());
        }
        if analysis.doubt.is_none() {
            analysis.doubt = found.doubt.take();
        }
        let mut statement = found.into_statement();
        statement.blind_to_literals &= raw.stmt.as_deref().is_some_and(literals::may_be_blind);
        statement.range = range;
        statement.is_control = raw.stmt.as_deref().is_some_and(utility::is_control);
        analysis.statements.push(statement);
    }
    if literals::in_identifiers(sql) || analysis.doubt.is_some() || analysis.own_setting.is_some() {
        for statement in &mut analysis.statements {
            statement.blind_to_literals = false;
        }
    }
    if analysis.own_setting.is_some() || !analysis.literal_sensitive() {
        return analysis;
    }
    keep_token_out(sql, analysis)
}

/// A text with `countersign.token` in it goes nowhere, whatever it does with that. Not so where it stands in
/// a constant that means nothing.
fn keep_token_out(sql: &str, mut analysis: Analysis) -> Analysis {
    if settings::mentions_token(sql)
        && let Some(first) = analysis.statements.first_mut()
        && first.marks.insert(NOTE_TOKEN)
    {
        first.notes.push(NOTE_TOKEN.to_owned());
    }
    analysis
}

/// The statement's bytes, without the blanks around it.
fn range(sql: &str, raw: &RawStmt) -> std::ops::Range<usize> {
    let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(sql.len());
    let end = match usize::try_from(raw.stmt_len) {
        Ok(length) if length > 0 => start.saturating_add(length).min(sql.len()),
        _ => sql.len(),
    };
    let text = sql.get(start..end).unwrap_or_default();
    let blanks = text.len() - text.trim_start().len();
    start + blanks..start + blanks + text.trim().len()
}
