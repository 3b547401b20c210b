//! Statements about statements, transactions and upkeep.

use std::sync::Arc;

use pg_query::{
    NodeEnum,
    protobuf::{
        ClusterStmt, DeclareCursorStmt, ExecuteStmt, ExplainStmt, Node, PrepareStmt, RangeVar, RefreshMatViewStmt,
        ReindexObjectType, ReindexStmt, TransactionStmt, TransactionStmtKind, VacuumStmt,
    },
};

use super::{CursorMove, TransactionMove, functions::constant, parse, relations::is_temporary_schema, walk::Walk};
use crate::{
    catalog::{Events, Kind, Relation},
    statement::effect::Action,
};

/// Deepest EXECUTE of an EXECUTE.
const DEEPEST_EXECUTE: usize = 4;

impl Walk<'_> {
    pub fn explain(&mut self, n: &ExplainStmt) {
        if runs_it(n) {
            self.maybe(&n.query);
        } else {
            self.only_planned(|walk| walk.maybe(&n.query));
        }
    }

    pub fn prepare(&mut self, n: &PrepareStmt) {
        self.list(&n.argtypes);
        self.only_planned(|walk| walk.maybe(&n.query));
        self.found.statement.prepares = Some(n.name.clone());
    }

    /// EXECUTE does what the remembered text does, under the names of now.
    pub fn execute(&mut self, n: &ExecuteStmt) {
        self.list(&n.params);
        let Some(text) = self.names.prepared.get(&n.name) else {
            self.opaque(format!("no statement was prepared as {}", n.name));
            return;
        };
        if self.depth >= DEEPEST_EXECUTE {
            self.opaque("EXECUTE runs itself");
            return;
        }
        let Some(left) = self.remembered.checked_sub(text.len()) else {
            self.opaque("what its EXECUTEs would run is too long to analyse");
            return;
        };
        self.remembered = left;
        self.found.statement.executes.push((n.name.clone(), text.clone()));
        self.depth += 1;
        let with_names = std::mem::take(&mut self.with_names);
        let understood = parse::with_tree(text, |tree| {
            let Ok(tree) = tree else { return false };
            let [only] = tree.stmts.as_slice() else { return false };
            let Some(node) = &only.stmt else { return false };
            match &node.node {
                Some(NodeEnum::PrepareStmt(prepared)) => {
                    // Its arguments become values of these types now.
                    self.list(&prepared.argtypes);
                    self.maybe(&prepared.query);
                }
                _ => self.visit(node),
            }
            true
        });
        self.with_names = with_names;
        self.depth -= 1;
        if !understood {
            self.opaque(format!("what was prepared as {} could not be analysed", n.name));
        }
    }

    /// Its rows are computed when they are fetched, or at COMMIT, under the names of then.
    pub fn declare_cursor(&mut self, n: &DeclareCursorStmt) {
        self.maybe(&n.query);
        // `CURSOR_OPT_HOLD` of PostgreSQL's parser.
        let hold = n.options & 0x0020 != 0;
        self.found.statement.cursor = Some(CursorMove::Declares { name: n.portalname.clone(), hold });
        if self.found.rests_on_session || self.found.statement.changes_session {
            self.opaque("what the cursor's query does depends on names when its rows are fetched");
        }
    }

    pub fn transaction(&mut self, n: &TransactionStmt) {
        let moved = match TransactionStmtKind::try_from(n.kind) {
            Ok(TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart) => TransactionMove::Begin,
            Ok(TransactionStmtKind::TransStmtCommit) => TransactionMove::Commit,
            Ok(TransactionStmtKind::TransStmtRollback | TransactionStmtKind::TransStmtRollbackTo) => {
                TransactionMove::Rollback
            }
            Ok(TransactionStmtKind::TransStmtSavepoint | TransactionStmtKind::TransStmtRelease) => {
                TransactionMove::Savepoint
            }
            Ok(TransactionStmtKind::TransStmtPrepare) => {
                self.server();
                TransactionMove::Commit
            }
            Ok(TransactionStmtKind::TransStmtCommitPrepared | TransactionStmtKind::TransStmtRollbackPrepared) => {
                self.server();
                self.note("what the prepared transaction holds is not known");
                TransactionMove::None
            }
            Ok(TransactionStmtKind::Undefined) | Err(_) => {
                self.opaque("a transaction statement of a new kind");
                TransactionMove::None
            }
        };
        if moved != TransactionMove::None {
            self.on_connection(Action::Transaction);
        }
        self.found.statement.transaction = moved;
        self.transaction_modes(&n.options);
    }

    pub fn vacuum(&mut self, n: &VacuumStmt) {
        if n.rels.is_empty() {
            self.maintain_all(None);
        }
        self.list(&n.rels);
    }

    pub fn cluster(&mut self, n: &ClusterStmt) {
        match &n.relation {
            Some(relation) => self.maintain(Some(relation)),
            None => self.maintain_all(None),
        }
    }

    pub fn reindex(&mut self, n: &ReindexStmt) {
        self.event_triggers_fire();
        match &n.relation {
            Some(relation) => self.maintain(Some(relation)),
            None if n.kind == ReindexObjectType::ReindexObjectSchema as i32 => self.maintain_all(Some(&n.name)),
            None => self.maintain_all(None),
        }
    }

    /// It runs the view's query, and makes its indexes anew.
    pub fn refresh(&mut self, n: &RefreshMatViewStmt) {
        self.event_triggers_fire();
        self.maintain(n.relation.as_ref());
        if let Some(n) = &n.relation
            && let Some(view) = self.meaning(&n.schemaname, &n.relname).relation
            && view.kind == Kind::Materialized
        {
            self.shown_to_nobody(|walk| walk.expand_view(&view, Events::READ));
        }
    }

    pub fn maintain(&mut self, relation: Option<&RangeVar>) {
        let Some(n) = relation else {
            self.opaque("upkeep of nothing");
            return;
        };
        for object in self.objects_of(n) {
            self.effect(Action::Maintain, object);
        }
        let meaning = self.meaning(&n.schemaname, &n.relname);
        self.shown_to_nobody(|walk| {
            if meaning.temporary {
                walk.use_temporary(&n.relname, Events::READ);
            }
            if let Some(relation) = &meaning.relation {
                walk.upkeep(relation);
            }
        });
    }

    /// Every table of the database, or of a schema.
    fn maintain_all(&mut self, schema: Option<&str>) {
        self.on_connection(Action::Maintain);
        self.found.uses_names = true;
        let (snapshot, names) = (self.snapshot, self.names);
        self.shown_to_nobody(|walk| {
            let of = |relation: &&Arc<Relation>| schema.is_none_or(|schema| relation.schema == schema);
            for relation in snapshot.relations().filter(of) {
                // A foreign table takes part only where it is named, or as a partition.
                if matches!(relation.kind, Kind::Table | Kind::Materialized) {
                    walk.upkeep(relation);
                }
            }
            for name in names.temporary.keys().filter(|_| schema.is_none_or(is_temporary_schema)) {
                walk.use_temporary(name, Events::READ);
            }
        });
    }

    /// What is read on the way, and adds nothing to what is asked about.
    fn shown_to_nobody(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.found.effects);
        visit(self);
        let inside = std::mem::replace(&mut self.found.effects, before);
        self.found.effects.extend(inside.into_iter().filter(|effect| effect.action != Action::Select));
    }
}

/// Whether an EXPLAIN runs what it explains.
pub(super) fn runs_it(n: &ExplainStmt) -> bool {
    n.options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(o)) => o.defname == "analyze" && !o.arg.as_deref().is_some_and(is_off),
        _ => true,
    })
}

/// Whether a statement is one about the transaction or the session that rests on no name of the database's.
pub(super) fn is_control(node: &Node) -> bool {
    matches!(
        node.node,
        Some(
            NodeEnum::TransactionStmt(_)
                | NodeEnum::VariableSetStmt(_)
                | NodeEnum::DeallocateStmt(_)
                | NodeEnum::DiscardStmt(_)
        )
    )
}

/// Whether an option's value is one of the ways to say no. Anything else counts as yes.
fn is_off(value: &Node) -> bool {
    let word = match &value.node {
        Some(NodeEnum::String(s)) => Some(s.sval.clone()),
        Some(NodeEnum::Integer(i)) => Some(i.ival.to_string()),
        Some(NodeEnum::Boolean(b)) => Some(b.boolval.to_string()),
        _ => constant(value),
    };
    word.is_some_and(|word| ["false", "off", "0"].iter().any(|off| word.eq_ignore_ascii_case(off)))
}
