//! INSERT, UPDATE, DELETE, MERGE, COPY, TRUNCATE and LOCK.

use pg_query::{
    NodeEnum,
    protobuf::{
        CmdType, CopyStmt, DeleteStmt, InsertStmt, LockStmt, MergeStmt, Node, OnConflictAction, RangeVar,
        ReturningClause, TruncateStmt, UpdateStmt,
    },
};

use super::walk::Walk;
use crate::{
    catalog::Events,
    statement::effect::{Action, Object},
};

impl Walk<'_> {
    pub fn insert(&mut self, n: &InsertStmt) {
        let outer = self.enter_with(n.with_clause.as_ref());
        self.write(n.relation.as_ref(), Action::Insert, Events::INSERT);
        self.list(&n.cols);
        self.maybe(&n.select_stmt);
        if let Some(conflict) = &n.on_conflict_clause {
            self.conflict(conflict);
            if conflict.action != OnConflictAction::OnconflictNothing as i32 {
                self.write(n.relation.as_ref(), Action::Update, Events::UPDATE);
            }
        }
        self.returning(n.relation.as_ref(), n.returning_clause.as_ref());
        self.leave_with(outer);
    }

    pub fn update(&mut self, n: &UpdateStmt) {
        let outer = self.enter_with(n.with_clause.as_ref());
        self.write(n.relation.as_ref(), Action::Update, Events::UPDATE);
        self.list(&n.target_list);
        self.list(&n.from_clause);
        self.where_clause(n.where_clause.as_deref());
        self.returning(n.relation.as_ref(), n.returning_clause.as_ref());
        self.leave_with(outer);
    }

    pub fn delete(&mut self, n: &DeleteStmt) {
        let outer = self.enter_with(n.with_clause.as_ref());
        self.write(n.relation.as_ref(), Action::Delete, Events::DELETE);
        self.list(&n.using_clause);
        self.where_clause(n.where_clause.as_deref());
        self.returning(n.relation.as_ref(), n.returning_clause.as_ref());
        self.leave_with(outer);
    }

    /// A WHERE that looks at no column (`WHERE true`) chooses no rows, and so is none.
    fn where_clause(&mut self, clause: Option<&Node>) {
        let chooses = clause.is_some_and(|node| {
            node.node.as_ref().is_some_and(|inner| match inner {
                NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::TypeCast(_) => false,
                NodeEnum::AExpr(n) => {
                    let constant = |side: &Option<Box<Node>>| {
                        side.as_ref().is_none_or(|s| matches!(&s.node, Some(NodeEnum::AConst(_)) | None))
                    };
                    !(constant(&n.lexpr) && constant(&n.rexpr))
                }
                _ => true,
            })
        });
        if !chooses {
            self.found.statement.has_where = false;
        }
        if let Some(node) = clause {
            self.visit(node);
        }
    }

    fn returning(&mut self, relation: Option<&RangeVar>, returning: Option<&ReturningClause>) {
        if let (Some(relation), Some(returning)) = (relation, returning) {
            self.read_target(relation);
            self.list(&returning.exprs);
        }
    }

    pub fn merge(&mut self, n: &MergeStmt) {
        let outer = self.enter_with(n.with_clause.as_ref());
        self.write(n.relation.as_ref(), Action::Merge, Events::default());
        self.maybe(&n.source_relation);
        self.maybe(&n.join_condition);
        for clause in &n.merge_when_clauses {
            if let Some(NodeEnum::MergeWhenClause(when)) = &clause.node {
                match CmdType::try_from(when.command_type) {
                    Ok(CmdType::CmdInsert) => self.write(n.relation.as_ref(), Action::Insert, Events::INSERT),
                    Ok(CmdType::CmdUpdate) => self.write(n.relation.as_ref(), Action::Update, Events::UPDATE),
                    Ok(CmdType::CmdDelete) => self.write(n.relation.as_ref(), Action::Delete, Events::DELETE),
                    Ok(CmdType::CmdNothing) => {}
                    _ => self.opaque("a MERGE with a branch of a new kind"),
                }
            }
            self.visit(clause);
        }
        self.returning(n.relation.as_ref(), n.returning_clause.as_ref());
        self.leave_with(outer);
    }

    pub fn copy(&mut self, n: &CopyStmt) {
        if n.is_program || !n.filename.is_empty() {
            let what =
                if n.is_program { "COPY runs a program on the server" } else { "COPY uses a file of the server" };
            self.server();
            self.note(what);
        }
        if n.is_from {
            self.write(n.relation.as_ref(), Action::CopyIn, Events::INSERT);
        } else if let Some(relation) = &n.relation {
            self.read_target(relation);
            for object in self.objects_of(relation) {
                self.effect(Action::CopyOut, object);
            }
        }
        if let Some(query) = &n.query {
            self.visit(query);
            let read: Vec<Object> = self
                .found
                .effects
                .iter()
                .filter(|effect| effect.action == Action::Select)
                .map(|effect| effect.object.clone())
                .collect();
            for object in read {
                self.effect(Action::CopyOut, object);
            }
            if !self.found.effects.iter().any(|effect| effect.action == Action::CopyOut) {
                self.on_connection(Action::CopyOut);
            }
        }
        self.maybe(&n.where_clause);
    }

    pub fn truncate(&mut self, n: &TruncateStmt) {
        for node in &n.relations {
            if let Some(NodeEnum::RangeVar(relation)) = &node.node {
                self.write(Some(relation), Action::Truncate, Events::TRUNCATE);
                if n.behavior == pg_query::protobuf::DropBehavior::DropCascade as i32 {
                    self.truncate_referrers(relation);
                }
            } else {
                self.opaque("a TRUNCATE of something new");
            }
        }
    }

    pub fn lock(&mut self, n: &LockStmt) {
        const ACCESS_SHARE: i32 = 1;
        for node in &n.relations {
            if let Some(NodeEnum::RangeVar(relation)) = &node.node {
                self.read_target(relation);
                if n.mode != ACCESS_SHARE {
                    for object in self.objects_of(relation) {
                        self.effect(Action::Lock, object);
                    }
                }
            } else {
                self.opaque("a LOCK of something new");
            }
        }
    }
}
