//! SELECT, VALUES, WITH and FROM.

use pg_query::{
    NodeEnum,
    protobuf::{CommonTableExpr, Node, OnConflictAction, OnConflictClause, RangeTableSample, SelectStmt, WithClause},
};

use super::{literals, walk::Walk};
use crate::statement::effect::{Action, Object};

impl Walk<'_> {
    pub fn select(&mut self, n: &SelectStmt) {
        let outer = self.enter_with(n.with_clause.as_ref());
        // The branches of UNION and its kin see the WITH of the whole.
        for branch in [&n.larg, &n.rarg].into_iter().flatten() {
            self.select(branch);
        }
        if n.op > 1 {
            // Rows are compared by their types' own operators, see `use_type`.
            self.found.uses_names = true;
        }
        if let Some(into) = &n.into_clause {
            self.into(into);
        }
        self.from(&n.from_clause, !n.locking_clause.is_empty());
        for clause in [&n.distinct_clause, &n.group_clause, &n.sort_clause] {
            if clause.iter().any(literals::is_position) {
                self.reads_literals();
            }
        }
        self.list(&n.distinct_clause);
        self.list(&n.target_list);
        self.maybe(&n.where_clause);
        self.list(&n.group_clause);
        self.maybe(&n.having_clause);
        self.list(&n.window_clause);
        self.list(&n.values_lists);
        self.list(&n.sort_clause);
        self.maybe(&n.limit_offset);
        self.maybe(&n.limit_count);
        self.leave_with(outer);
    }

    /// FROM, and what FOR UPDATE and its kin lock of it: every table that is read there, those
    /// behind views and sub-selects included.
    fn from(&mut self, from: &[Node], locks: bool) {
        if !locks {
            self.list(from);
            return;
        }
        let before = std::mem::take(&mut self.found.effects);
        self.list(from);
        let read: Vec<Object> = self
            .found
            .effects
            .iter()
            .filter(|effect| effect.action == Action::Select && effect.object != Object::Connection)
            .map(|effect| effect.object.clone())
            .collect();
        for table in read {
            self.effect(if self.planned { Action::Select } else { Action::Lock }, table);
        }
        self.found.effects.extend(before);
    }

    /// Brings a WITH's names into scope, and visits its queries. Gives what `leave_with` takes.
    pub fn enter_with(&mut self, with: Option<&WithClause>) -> usize {
        let outer = self.with_names.len();
        let Some(with) = with else { return outer };
        let name = |node: &Node| match &node.node {
            Some(NodeEnum::CommonTableExpr(n)) => Some(n.ctename.clone()),
            _ => None,
        };
        if with.recursive {
            self.with_names.extend(with.ctes.iter().filter_map(name));
            self.list(&with.ctes);
        } else {
            // Each sees those before it, and an outer or real relation of its own name.
            for node in &with.ctes {
                self.visit(node);
                self.with_names.extend(name(node));
            }
        }
        outer
    }

    pub fn leave_with(&mut self, outer: usize) {
        self.with_names.truncate(outer);
    }

    pub fn common_table(&mut self, n: &CommonTableExpr) {
        self.maybe(&n.ctequery);
        if let Some(cycle) = &n.cycle_clause {
            self.operator_named("=");
            self.maybe(&cycle.cycle_mark_value);
            self.maybe(&cycle.cycle_mark_default);
        }
    }

    pub fn table_sample(&mut self, n: &RangeTableSample) {
        self.maybe(&n.relation);
        let method = super::functions::strings(&n.method);
        match method.last().copied() {
            Some(name @ ("bernoulli" | "system")) if self.snapshot.functions(name).is_empty() => {}
            Some(name) if self.is_trusted_function(name) => {}
            _ => self.opaque(format!("TABLESAMPLE {} is not the server's own", method.join("."))),
        }
        self.list(&n.args);
        self.maybe(&n.repeatable);
    }

    pub fn conflict(&mut self, n: &OnConflictClause) {
        if let Some(infer) = &n.infer {
            self.list(&infer.index_elems);
            self.maybe(&infer.where_clause);
        }
        self.list(&n.target_list);
        self.maybe(&n.where_clause);
        if !matches!(
            OnConflictAction::try_from(n.action),
            Ok(OnConflictAction::OnconflictNothing | OnConflictAction::OnconflictUpdate)
        ) {
            self.opaque("an ON CONFLICT of a new kind");
        }
    }
}
