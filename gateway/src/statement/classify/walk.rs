//! What one statement was found to do, while its tree is visited.

use std::collections::{BTreeSet, HashSet};

use super::{Doubt, Names, Statement, TransactionMove, bodies::Call, limits, literals, settings};
use crate::{
    catalog::{Derived, Snapshot},
    statement::effect::{Action, Effect, Object},
};

/// What was found so far.
#[derive(Debug)]
pub(super) struct Found {
    pub effects: BTreeSet<Effect>,
    pub tables: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    pub notes: Vec<String>,
    /// What the text's own names may mean.
    pub resolved: BTreeSet<u32>,
    /// Whether the meaning of the statement depends on names.
    pub uses_names: bool,
    /// Whether a value of any type may be cast, whatever names it uses: a parameter, of which the client says the type.
    pub casts: bool,
    /// Whether it depends on where new things go.
    pub uses_path: bool,
    /// Whether every name may resolve differently for the next statement.
    pub changes_names: bool,
    /// Whether there may be other things under some names.
    pub changes_objects: bool,
    pub doubt: Option<Doubt>,
    /// Whether it rests on the session's names beside those of the text, and so holds for no other.
    pub rests_on_session: bool,
    /// Whether code of the database's runs, whose names are looked up while it runs.
    pub runs_code: bool,
    /// Whether such code catches errors, and can read what they say.
    pub catches: bool,
    /// Whether it makes what was put off happen now.
    pub settles: bool,
    /// Effects that happen where the statement is only planned, too.
    pub executed: BTreeSet<Effect>,
    /// Whether the value of a constant of the text had, or may have had, a part in all this.
    pub reads_literals: bool,
    /// The parts of the answer that are set in one place.
    pub statement: Statement,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            effects: BTreeSet::new(),
            tables: BTreeSet::new(),
            functions: BTreeSet::new(),
            notes: Vec::new(),
            resolved: BTreeSet::new(),
            uses_names: false,
            casts: false,
            uses_path: false,
            changes_names: false,
            changes_objects: false,
            rests_on_session: false,
            runs_code: false,
            catches: false,
            settles: false,
            executed: BTreeSet::new(),
            reads_literals: false,
            doubt: None,
            statement: Statement { has_where: true, ..Statement::default() },
        }
    }
}

impl Found {
    pub fn effect(&mut self, action: Action, object: Object) {
        self.effects.insert(Effect::new(action, object));
    }

    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        let mark = settings::looked_for(&note);
        self.statement.marks.extend(mark);
        // A statement that has thousands of reasons is not easier to read with all of them.
        let has_room = self.notes.len() < 50 || mark.is_some();
        if has_room && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub fn opaque(&mut self, why: impl Into<String>) {
        self.effect(Action::Opaque, Object::Connection);
        self.note(why);
    }

    pub fn merge(&mut self, derived: &Derived) {
        self.effects.extend(derived.effects.iter().cloned());
        self.tables.extend(derived.tables.iter().cloned());
        self.functions.extend(derived.functions.iter().cloned());
        for note in &derived.notes {
            self.note(note.clone());
        }
    }

    /// Takes all that was found of a body or a stored query.
    pub fn absorb(&mut self, mut other: Self) {
        self.effects.append(&mut other.effects);
        self.executed.append(&mut other.executed);
        self.tables.append(&mut other.tables);
        self.functions.append(&mut other.functions);
        for note in other.notes {
            self.note(note);
        }
        self.uses_names |= other.uses_names;
        self.casts |= other.casts;
        self.uses_path |= other.uses_path;
        self.changes_names |= other.changes_names;
        self.changes_objects |= other.changes_objects;
        self.rests_on_session |= other.rests_on_session;
        self.runs_code |= other.runs_code;
        self.catches |= other.catches;
        self.settles |= other.settles;
        self.statement.fetches_within |= other.statement.fetches_within;
        self.statement.opens_within |= other.statement.opens_within;
        self.reads_literals |= other.reads_literals;
        self.statement.marks.append(&mut other.statement.marks);
        self.statement.has_where &= other.statement.has_where;
        self.statement.changes_session |= other.statement.changes_session;
    }

    /// Whether effects, tables, functions and notes are all there is, and hold for every session.
    pub fn is_plain(&self) -> bool {
        let moves = self.changes_names || self.changes_objects || self.statement.changes_session;
        let plain = !(moves || self.rests_on_session || self.runs_code || self.catches || self.settles);
        plain && self.executed.is_empty() && self.statement.has_where && self.statement.marks.is_empty()
    }

    pub fn into_statement(self) -> Statement {
        let blind_to_literals = !self.reads_literals && literals::are_plain(&self.effects);
        Statement {
            blind_to_literals,
            effects: self.effects.into_iter().collect(),
            tables: self.tables.into_iter().collect(),
            functions: self.functions.into_iter().collect(),
            notes: self.notes,
            resolved: self.resolved.into_iter().collect(),
            runs_code: self.runs_code,
            catches: self.catches,
            ..self.statement
        }
    }
}

/// Where the tree comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The client's text: names go through the session's search path.
    Text,
    /// A stored view or expression: names are qualified, or the server's own.
    Stored,
    /// A stored default, whose `nextval` belongs to the INSERT.
    Default,
}

/// Visits one statement.
pub(super) struct Walk<'a> {
    pub snapshot: &'a Snapshot,
    pub names: &'a Names,
    pub found: Found,
    pub place: Place,
    /// Names of common table expressions in scope, innermost last.
    pub with_names: Vec<String>,
    /// The statement is planned or described, not carried out: EXPLAIN, PREPARE, CREATE VIEW.
    pub planned: bool,
    /// Code is followed that the planner's estimates call, whatever it is marked.
    pub estimates: bool,
    /// Where CREATE SCHEMA puts its elements.
    pub creation_schema: Option<String>,
    /// Relations (by oid) and events that were followed already.
    pub followed: HashSet<(u32, u8)>,
    /// Functions that were read already.
    pub called: HashSet<Call>,
    /// Views within views, EXECUTE within EXECUTE, functions within functions.
    pub depth: usize,
    /// So many bytes of remembered texts may EXECUTE still read, in all statements of the text.
    pub remembered: usize,
    /// So many bytes of the database's own code may still be read, in all statements of the text.
    pub stored: usize,
    /// Within a function's body.
    pub nested: bool,
    /// Within one whose statements keep what their names meant when they were planned.
    pub plans_are_kept: bool,
}

/// Deepest nesting of stored queries that is followed.
pub(super) const DEEPEST: usize = 32;

impl<'a> Walk<'a> {
    pub fn new(snapshot: &'a Snapshot, names: &'a Names) -> Self {
        Self {
            snapshot,
            names,
            found: Found::default(),
            place: Place::Text,
            with_names: Vec::new(),
            planned: false,
            estimates: false,
            creation_schema: None,
            followed: HashSet::new(),
            called: HashSet::new(),
            depth: 0,
            remembered: limits::BYTES,
            stored: limits::STORED_BYTES,
            nested: false,
            plans_are_kept: false,
        }
    }

    /// One for a query that is stored in the catalog.
    pub fn stored(snapshot: &'a Snapshot, names: &'a Names, place: Place, depth: usize) -> Self {
        Self { place, depth, ..Self::new(snapshot, names) }
    }

    pub fn effect(&mut self, action: Action, object: Object) {
        self.found.effect(action, object);
    }

    pub fn on_connection(&mut self, action: Action) {
        self.found.effect(action, Object::Connection);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.found.note(note);
    }

    pub fn opaque(&mut self, why: impl Into<String>) {
        self.found.opaque(why);
    }

    /// Whether so much more of the database's own code may be read. Where not, the statement is opaque.
    pub fn may_read(&mut self, code: &str) -> bool {
        match self.stored.checked_sub(code.len()) {
            Some(left) => {
                self.stored = left;
                true
            }
            None => {
                self.opaque("it brings along more code than is read for one text; send fewer statements at once");
                // Another text may have room for it.
                self.found.rests_on_session = true;
                false
            }
        }
    }

    /// What a name of the text's own may mean. Names within a function's body are looked up when that runs.
    pub fn resolves(&mut self, oid: u32) {
        if self.place == Place::Text && !self.nested {
            self.found.resolved.insert(oid);
        }
    }

    /// The value of a constant has, or may have, a part in what is found. Constants of a stored
    /// query are not the text's.
    pub fn reads_literals(&mut self) {
        self.found.reads_literals |= self.place == Place::Text;
    }

    /// Names may resolve differently from here on.
    pub fn changes_names(&mut self) {
        self.found.changes_names = true;
        self.found.statement.changes_session = true;
    }

    /// All that was found, with what holds of any statement. `only_sets` says that it does nothing but give
    /// settings constant values.
    pub fn finish(mut self, is_own_setting: bool, only_sets: bool) -> Found {
        if is_own_setting {
            self.found.effects.clear();
            self.found.notes.clear();
            self.found.statement.marks.clear();
            self.on_connection(Action::Set);
            return self.found;
        }
        if self.found.uses_names && !self.snapshot.is_known() {
            self.opaque("the database's catalog is not known, so its names can't be resolved");
        }
        if self.found.uses_names || self.found.casts {
            for code in self.snapshot.cast_hazards() {
                self.run_code(code, &[], None);
            }
        }
        if self.found.changes_names && self.found.runs_code && !only_sets {
            self.opaque("it changes what names mean while code runs that looks names up");
        }
        if self.found.catches && self.found.settles {
            self.opaque("it catches what an error says of rows that were written before");
        }
        let executed = std::mem::take(&mut self.found.executed);
        self.found.effects.extend(executed);
        // No statement has zero effects.
        if self.found.effects.is_empty() {
            self.on_connection(Action::Select);
        }
        // The end of a transaction takes back what was set for it, and made in it; what can't be
        // seen may have set or made anything.
        let ends = matches!(self.found.statement.transaction, TransactionMove::Commit | TransactionMove::Rollback);
        if ends || self.found.effects.iter().any(|effect| effect.action == Action::Opaque) {
            self.changes_names();
        }
        self.found
    }
}
