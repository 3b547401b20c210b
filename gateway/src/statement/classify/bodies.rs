//! Functions of the database, by reading what they do: SQL and PL/pgSQL bodies, aggregates, and
//! blocks of DO. What their text does not tell is opaque.

use pg_query::{
    NodeEnum,
    protobuf::{DoStmt, Node},
};

use super::{
    Names, TransactionMove, parse,
    plpgsql::{self, Piece},
    settings,
    walk::{DEEPEST, Place, Walk},
};
use crate::{
    catalog::{Body, Code, Function, Relation},
    statement::effect::{Action, Object},
};

/// What of a run differs between callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Call {
    function: u32,
    /// Planned and not run.
    planned: bool,
    /// Transition tables of the trigger that calls.
    transitions: Vec<String>,
}

impl Walk<'_> {
    /// Code that something other than the text calls, on a relation if that is where it hangs.
    pub fn run_code(&mut self, code: &Code, transitions: &[String], on: Option<&Relation>) {
        self.found.runs_code = true;
        let function = code.function.and_then(|oid| self.snapshot.function(oid));
        match function {
            Some(function) if function.is_trusted() => {}
            Some(function) if function.body != Body::Unseen => self.body(function, transitions),
            _ => match on {
                Some(relation) => self.opaque_on(relation, &code.note),
                None => self.opaque(code.note.clone()),
            },
        }
    }

    /// Code of an operator or a type.
    pub fn run_estimated(&mut self, code: &Code, on: Option<&Relation>) {
        let was = std::mem::replace(&mut self.estimates, true);
        self.run_code(code, &[], on);
        self.estimates = was;
    }

    /// A function that the text, or a body, names.
    /// `follows_path` says that unqualified names may not be the server's own, so that nothing in SQL
    /// is trusted unread.
    pub fn user_function(&mut self, function: &Function, follows_path: bool) {
        let looks_up = !function.is_trusted() || function.language == "sql";
        self.found.runs_code |= looks_up && function.body != Body::Constructor;
        if function.is_trusted() && !(follows_path && function.language == "sql") {
            // Under another path it is not: no other session may take this answer over.
            self.found.rests_on_session |= function.language == "sql" && self.place != Place::Text;
            return;
        }
        let object = || Object::Function { schema: function.schema.clone(), name: function.name.clone() };
        // A range type's constructor is part of the type.
        if self.place == Place::Text && !self.nested && function.body != Body::Constructor {
            self.effect(Action::Call, object());
        }
        if function.body == Body::Unseen {
            self.effect(Action::Opaque, object());
            self.note(format!("what {}.{} does can't be seen", function.schema, function.name));
        } else {
            self.body(function, &[]);
        }
    }

    /// All that a function does. The planner runs what is not VOLATILE, so that it happens where
    /// the statement is only planned too; and whatever an operator or a type calls, on the values of its statistics
    /// (selfuncs.c in PostgreSQL's sources).
    fn body(&mut self, function: &Function, transitions: &[String]) {
        let early = !function.volatile || self.estimates;
        let planned = self.planned && !early;
        let call = Call { function: function.oid, planned, transitions: transitions.to_owned() };
        let label = format!("{}.{}", function.schema, function.name);
        if self.depth >= DEEPEST {
            self.opaque(format!("{label}: calls are nested too deeply"));
            return;
        }
        if !self.called.insert(call) {
            // Found already, or being found by whoever called this.
            return;
        }
        let (path, strange) = own_settings(function);
        let own_names = path.map(|search_path| Names { search_path, creates_in: None, ..self.names.clone() });
        let names = own_names.as_ref().unwrap_or(self.names);
        let mut inner = Walk::new(self.snapshot, names);
        inner.enter(self, planned);
        inner.with_names.extend_from_slice(transitions);
        for setting in strange {
            inner.opaque(format!("it runs with the setting {setting}"));
        }
        match &function.body {
            Body::Unseen => inner.opaque("its body can't be seen"),
            Body::Constructor => {}
            Body::Sql(text) => inner.statements(text),
            Body::SqlResolved(text) => {
                inner.place = Place::Stored;
                inner.statements(&resolved(text));
            }
            Body::PlPgSql(text) => {
                inner.plans_are_kept = true;
                inner.block(text);
            }
            Body::Calls(calls) => {
                for oid in calls {
                    inner.run_code(
                        &Code { note: "an aggregate's function".to_owned(), function: Some(*oid) },
                        &[],
                        None,
                    );
                }
            }
        }
        for oid in &function.types {
            inner.use_type(*oid, "", None);
        }
        if let Some(defaults) = &function.defaults {
            inner.place = Place::Stored;
            inner.statements(&format!("SELECT {defaults}"));
        }
        inner.found.functions.insert(label.clone());
        self.leave(inner, &label, early);
    }

    /// Takes over where the one that calls is.
    fn enter(&mut self, caller: &mut Walk<'_>, planned: bool) {
        (self.depth, self.nested, self.planned) = (caller.depth + 1, true, planned);
        (self.stored, self.remembered) = (caller.stored, caller.remembered);
        std::mem::swap(&mut self.called, &mut caller.called);
        std::mem::swap(&mut self.followed, &mut caller.followed);
    }

    /// Takes what a body was found to do. `early` says that the planner may run it.
    fn leave(&mut self, mut inner: Walk<'_>, label: &str, early: bool) {
        std::mem::swap(&mut inner.called, &mut self.called);
        std::mem::swap(&mut inner.followed, &mut self.followed);
        (self.stored, self.remembered) = (inner.stored, inner.remembered);
        let mut found = inner.found;
        if found.statement.transaction != TransactionMove::None {
            found.opaque("it ends transactions");
        }
        if found.statement.prepares.is_some() {
            found.opaque("it prepares statements");
        }
        if (found.changes_names || found.changes_objects) && (found.uses_names || found.uses_path) {
            found.opaque("it changes what its own names mean");
        }
        // Some notes are looked for, wherever they come from.
        for note in found.notes.iter_mut().filter(|note| settings::looked_for(note).is_none()) {
            *note = format!("{label}: {note}");
        }
        if self.planned && early {
            found.executed.append(&mut found.effects);
        }
        found.rests_on_session = true;
        found.runs_code = true;
        self.found.absorb(found);
    }

    /// `DO`: a body without a function.
    pub fn do_block(&mut self, n: &DoStmt) {
        let (mut source, mut language) = (None, "plpgsql");
        for argument in &n.args {
            let Some(NodeEnum::DefElem(option)) = &argument.node else { continue };
            match (option.defname.as_str(), option.arg.as_ref().and_then(|arg| arg.node.as_ref())) {
                ("as", Some(NodeEnum::String(text))) => source = Some(text.sval.as_str()),
                ("language", Some(NodeEnum::String(text))) => language = text.sval.as_str(),
                _ => self.opaque("a DO with an option of a new kind"),
            }
        }
        let Some(source) = source.filter(|_| language == "plpgsql") else {
            self.opaque(format!("DO runs a block of {language}"));
            return;
        };
        let mut inner = Walk::new(self.snapshot, self.names);
        inner.enter(self, false);
        inner.block(source);
        self.leave(inner, "DO", false);
    }

    /// A text that a function is given to run.
    pub fn inner_text(&mut self, function: &str, text: &str) {
        if self.depth >= DEEPEST {
            self.opaque(format!("{function}: texts are nested too deeply"));
            return;
        }
        let mut inner = Walk::new(self.snapshot, self.names);
        inner.enter(self, false);
        inner.statements(text);
        self.leave(inner, function, true);
    }

    /// A PL/pgSQL body.
    fn block(&mut self, source: &str) {
        if !self.may_read(source) {
            return;
        }
        match plpgsql::read(source) {
            Err(why) => self.opaque(format!("the body could not be read: {why}")),
            Ok(pieces) => {
                for piece in pieces {
                    self.piece(piece);
                }
            }
        }
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Expression(text) => self.statements(&format!("SELECT {text}")),
            Piece::Sql(text) => self.statements(&text),
            Piece::Type(text) => self.statements(&format!("SELECT NULL::{text}")),
            Piece::Unseen(why) => self.opaque(why),
            Piece::Cursor(text) => {
                self.found.statement.opens_within = true;
                // Its rows are computed when they are fetched, by whom and under which names ever.
                let rests = std::mem::take(&mut self.found.rests_on_session);
                let changes = std::mem::take(&mut self.found.statement.changes_session);
                self.statements(&text);
                if self.found.rests_on_session || self.found.statement.changes_session {
                    self.opaque("what a cursor's query does depends on when its rows are fetched");
                }
                self.found.rests_on_session |= rests;
                self.found.statement.changes_session |= changes;
            }
            Piece::Fetches => {
                self.found.statement.fetches_within = true;
                self.found.statement.changes_session = true;
            }
            Piece::Catches => self.found.catches = true,
            Piece::TypeOf(parts) => {
                let (schema, name) = match parts.as_slice() {
                    // The type of another variable.
                    [] => return,
                    [name] => ("", name.as_str()),
                    [.., schema, name] => (schema.as_str(), name.as_str()),
                };
                let meaning = self.meaning(schema, name);
                match meaning.relation {
                    Some(relation) => {
                        for column in &relation.columns {
                            self.use_type(column.type_oid, "", None);
                        }
                    }
                    None if meaning.temporary => self.types_of_temporary(name),
                    None => self.unknown_relation(schema, name),
                }
            }
        }
    }

    /// Statements of a body.
    fn statements(&mut self, text: &str) {
        if !self.may_read(text) {
            return;
        }
        let refused = parse::with_tree(text, |tree| match tree {
            Ok(tree) => {
                tree.stmts.iter().filter_map(|raw| raw.stmt.as_deref()).for_each(|node: &Node| self.visit(node));
                None
            }
            Err(doubt) => Some(doubt),
        });
        if let Some(doubt) = refused {
            self.opaque(format!("a part of it could not be analysed ({doubt:?})"));
        }
    }
}

/// A resolved body as plain statements.
fn resolved(text: &str) -> String {
    let text = text.trim();
    if let Some(expression) = text.strip_prefix("RETURN ") {
        return format!("SELECT {expression}");
    }
    match text.strip_prefix("BEGIN ATOMIC").and_then(|rest| rest.strip_suffix("END")) {
        Some(statements) => statements.to_owned(),
        // Not a form that the server gives: refused by the parser.
        None => format!("({text}"),
    }
}

/// The search path that a function sets for itself, and its settings that may change what it does.
/// An empty path stands for one that is not plain.
fn own_settings(function: &Function) -> (Option<Vec<String>>, Vec<&str>) {
    let (mut path, mut strange) = (None, Vec::new());
    for setting in &function.settings {
        match setting.split_once('=') {
            Some(("search_path", value)) => path = Some(settings::schemas(value).unwrap_or_default()),
            Some((name, _)) if settings::may_be_any(&name.to_ascii_lowercase()) => {}
            _ => strange.push(setting.as_str()),
        }
    }
    (path, strange)
}
