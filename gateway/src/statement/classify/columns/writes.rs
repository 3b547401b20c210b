//! Whole statements, and those that change rows: what they write, what they write it from, and
//! what RETURNING gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pg_query::{
    NodeEnum,
    protobuf::{
        CmdType, CopyStmt, DeleteStmt, ExecuteStmt, InsertStmt, MergeStmt, MergeWhenClause, Node, OnConflictClause,
        RangeVar, ReturningClause, SelectStmt, UpdateStmt,
    },
};

use super::{
    Use,
    reader::Reader,
    scope::{Field, Item, Level, Open, Rows, Value},
};
use crate::{
    catalog::{Events, Kind, Relation},
    statement::classify::{functions::strings, parse},
};

/// Deepest EXECUTE of an EXECUTE.
const DEEPEST_EXECUTE: usize = 4;

/// What a statement writes to.
pub(super) struct Target {
    /// As it can be named.
    item: Item,
    relation: Option<Arc<Relation>>,
    /// What is written to its columns, beside what they hold.
    assigned: BTreeMap<String, BTreeSet<u32>>,
}

impl Reader<'_> {
    /// A whole statement. The rows that it gives to the client.
    pub fn statement(&mut self, node: &Node) -> Option<Rows> {
        use NodeEnum as N;
        match node.node.as_ref()? {
            N::SelectStmt(n) => {
                let rows = self.select(n);
                let role = if goes_into_a_table(n) { Use::Source } else { Use::Output };
                Some(self.given(rows, role))
            }
            N::InsertStmt(_) | N::UpdateStmt(_) | N::DeleteStmt(_) | N::MergeStmt(_) => {
                let rows = self.query(node);
                Some(self.given(rows, Use::Output))
            }
            N::CopyStmt(n) => self.copy(n),
            N::ExplainStmt(n) => {
                // No row is shown; how many there were may be, and what of it was carried out.
                self.is_shown |= crate::statement::classify::utility::runs_it(n);
                self.inner(n.query.as_deref(), Use::Predicate);
                Some(Rows { fields: vec![Field::new("QUERY PLAN", Value::default())], open: Vec::new() })
            }
            N::PrepareStmt(n) => {
                self.inner(n.query.as_deref(), Use::Output);
                Some(Rows::default())
            }
            N::DeclareCursorStmt(n) => {
                let rows = n.query.as_deref().map(|query| self.query(query)).unwrap_or_default();
                self.fetched = Some(self.given(rows, Use::Output));
                Some(Rows::default())
            }
            N::CreateTableAsStmt(n) => {
                self.inner(n.query.as_deref(), Use::Source);
                Some(Rows::default())
            }
            N::ViewStmt(n) => {
                self.inner(n.query.as_deref(), Use::Source);
                Some(Rows::default())
            }
            N::ExecuteStmt(n) => self.execute(n),
            N::FetchStmt(_) => {
                self.doubt("its rows are those of a cursor, whose DECLARE says what they are");
                None
            }
            N::CallStmt(n) => {
                if let Some(call) = &n.funccall {
                    let value = self.list(&call.args);
                    let (schema, name) = crate::statement::classify::functions::schema_and_name(&call.funcname);
                    self.call_with(&schema, &name, &call.args, &value);
                }
                None
            }
            // What it compares decides later which rows there are, where nobody is asked.
            N::CreatePolicyStmt(n) => self.policy(n.table.as_ref(), [&n.qual, &n.with_check]),
            N::AlterPolicyStmt(n) => self.policy(n.table.as_ref(), [&n.qual, &n.with_check]),
            // Its rows keep the order of an index, whatever that is over.
            N::ClusterStmt(n) => {
                let (_, relation) = self.target(n.relation.as_ref()?, false);
                let key = relation.map(|relation| relation.key()).filter(|_| !n.indexname.is_empty());
                let every = key.map(|key| self.every_column(&key)).unwrap_or_default();
                self.record(&every, Use::Predicate);
                Some(Rows::default())
            }
            // Neither reads columns.
            N::LockStmt(n) => {
                for relation in &n.relations {
                    if let Some(NodeEnum::RangeVar(relation)) = &relation.node {
                        self.target(relation, false);
                    }
                }
                Some(Rows::default())
            }
            _ => None,
        }
    }

    fn policy(&mut self, table: Option<&RangeVar>, expressions: [&Option<Box<Node>>; 2]) -> Option<Rows> {
        let (item, _) = self.target(table?, false);
        self.scopes.push(Level::of(item));
        self.use_all(expressions.into_iter().filter_map(Option::as_deref), Use::Source);
        self.scopes.pop();
        Some(Rows::default())
    }

    fn given(&mut self, rows: Rows, role: Use) -> Rows {
        let all = self.whole(&rows);
        self.record(&all, role);
        if role == Use::Output { rows } else { Rows::default() }
    }

    /// A statement within a statement, whose rows go elsewhere.
    fn inner(&mut self, node: Option<&Node>, role: Use) {
        let Some(node) = node else { return };
        match &node.node {
            Some(NodeEnum::SelectStmt(_)) => {
                let rows = self.query(node);
                let all = self.whole(&rows);
                if role == Use::Predicate {
                    self.record_unseen(&all);
                } else {
                    self.record(&all, role);
                }
            }
            _ => {
                let rows = self.statement(node);
                let all = rows.map(|rows| self.whole(&rows)).unwrap_or_default();
                if role == Use::Predicate {
                    self.record_unseen(&all);
                } else {
                    self.record(&all, role);
                }
            }
        }
    }

    fn execute(&mut self, n: &ExecuteStmt) -> Option<Rows> {
        self.use_all(&n.params, Use::Source);
        let names = self.names;
        let text = names.prepared.get(&n.name).filter(|_| self.depth < DEEPEST_EXECUTE);
        let Some(text) = text.filter(|text| self.spend(text.len())) else {
            self.doubt(format!("no statement is known that was prepared as {}", n.name));
            return None;
        };
        self.depth += 1;
        let with = std::mem::take(&mut self.with);
        let rows = parse::with_tree(text, |tree| {
            let tree = tree.ok()?;
            let [only] = tree.stmts.as_slice() else { return None };
            match &only.stmt.as_ref()?.node {
                Some(NodeEnum::PrepareStmt(prepared)) => self.statement(prepared.query.as_deref()?),
                _ => self.statement(only.stmt.as_deref()?),
            }
        });
        self.with = with;
        self.depth -= 1;
        rows
    }

    fn copy(&mut self, n: &CopyStmt) -> Option<Rows> {
        if let Some(query) = &n.query {
            let rows = self.query(query);
            return Some(self.given(rows, Use::Output));
        }
        let relation = n.relation.as_ref()?;
        let columns = strings(&n.attlist);
        if n.is_from {
            let target = self.changed(relation, Events::INSERT);
            self.assign(&target, &columns);
            self.scopes.push(Level::of(target.item));
            self.use_all(n.where_clause.as_deref(), Use::Predicate);
            self.scopes.pop();
            return Some(Rows::default());
        }
        let (item, _) = self.target(relation, true);
        let mut rows = item.rows;
        if !columns.is_empty() {
            let mut chosen = Rows::default();
            for name in columns {
                let found = self.named(&rows, name).map(|(value, _)| value);
                let value = match found {
                    Some(value) => value,
                    None => self.whole(&rows),
                };
                chosen.fields.push(Field::new(name, value));
            }
            rows = chosen;
        }
        Some(self.given(rows, Use::Output))
    }

    /// A relation that rows of are changed, with all that this sets off.
    fn changed(&mut self, n: &RangeVar, event: Events) -> Target {
        let (item, relation) = self.target(n, false);
        if let Some(relation) = &relation {
            self.wrote.insert(relation.key());
            if event != Events::default() {
                self.set_off(relation, event);
            }
        }
        Target { item, relation, assigned: BTreeMap::new() }
    }

    /// Columns that are written; all where none is named.
    fn assign(&mut self, target: &Target, columns: &[&str]) {
        let Some(relation) = &target.relation else { return };
        let through_a_view = relation.kind == Kind::View;
        let mut written = Value::default();
        if columns.is_empty() || through_a_view {
            // What a view's columns are in its table, the view's own effects say.
            let every = if through_a_view { self.whole(&target.item.rows) } else { self.every_column(&relation.key()) };
            written.add(&every);
        } else {
            for name in columns {
                written.from.insert(self.number(&relation.key(), name));
            }
        }
        self.write(&written);
    }

    /// A value for a column of the target.
    fn give(&mut self, target: &mut Target, column: &str, value: &Value) {
        self.record(value, Use::Source);
        target.assigned.entry(column.to_owned()).or_default().extend(&value.from);
    }

    pub fn insert(&mut self, n: &InsertStmt) -> Rows {
        let outer = self.enter_with(n.with_clause.as_ref());
        let Some(relation) = &n.relation else { return Rows::default() };
        let mut target = self.changed(relation, Events::INSERT);
        let mut columns = Vec::new();
        for node in &n.cols {
            if let Some(NodeEnum::ResTarget(column)) = &node.node {
                columns.push(column.name.as_str());
                self.use_all(&column.indirection, Use::Source);
            }
        }
        self.assign(&target, &columns);
        let rows = n.select_stmt.as_ref().map(|query| self.query(query)).unwrap_or_default();
        self.give_rows(&mut target, &columns, &rows);
        if let Some(conflict) = &n.on_conflict_clause {
            self.conflict(relation, &mut target, conflict);
        }
        let rows = self.returning(&target, Level::default(), n.returning_clause.as_ref());
        self.with.truncate(outer);
        rows
    }

    /// The rows of a query, or VALUES, for columns in order.
    fn give_rows(&mut self, target: &mut Target, columns: &[&str], rows: &Rows) {
        let own: Vec<String> = target.item.rows.fields.iter().filter_map(|field| field.name.clone()).collect();
        let names: Vec<&str> =
            if columns.is_empty() { own.iter().map(String::as_str).collect() } else { columns.to_vec() };
        if rows.open.is_empty() && rows.fields.len() <= names.len() {
            for (name, field) in names.iter().zip(&rows.fields) {
                self.give(target, name, &field.value);
            }
            return;
        }
        let all = self.whole(rows);
        self.record(&all, Use::Source);
        for name in names {
            self.give(target, name, &all);
        }
        self.give(target, "*", &all);
    }

    fn conflict(&mut self, relation: &RangeVar, target: &mut Target, n: &OnConflictClause) {
        let mut level = Level::of(target.item.clone());
        level.items.push(Item { name: "excluded".to_owned(), schema: String::new(), rows: self.after(target) });
        self.scopes.push(level);
        if let Some(infer) = &n.infer {
            for node in &infer.index_elems {
                match &node.node {
                    Some(NodeEnum::IndexElem(element)) if element.expr.is_none() => {
                        let value = self.named(&target.item.rows.clone(), &element.name).map(|(value, _)| value);
                        self.record(&value.unwrap_or_default(), Use::Predicate);
                    }
                    Some(NodeEnum::IndexElem(element)) => self.use_all(element.expr.as_deref(), Use::Predicate),
                    _ => self.uses(node, Use::Predicate),
                }
            }
            self.use_all(infer.where_clause.as_deref(), Use::Predicate);
        }
        if !n.target_list.is_empty() {
            let updated = self.changed(relation, Events::UPDATE);
            drop(updated);
            self.set(target, &n.target_list);
        }
        self.use_all(n.where_clause.as_deref(), Use::Predicate);
        self.scopes.pop();
    }

    /// SET: each column with what it is given.
    fn set(&mut self, target: &mut Target, list: &[Node]) {
        for node in list {
            let Some(NodeEnum::ResTarget(n)) = &node.node else {
                self.gives_up("an assignment of a new kind");
                continue;
            };
            self.use_all(&n.indirection, Use::Source);
            let value = self.maybe(&n.val);
            self.assign(target, &[n.name.as_str()]);
            self.give(target, &n.name, &value);
        }
    }

    pub fn update(&mut self, n: &UpdateStmt) -> Rows {
        let outer = self.enter_with(n.with_clause.as_ref());
        let Some(relation) = &n.relation else { return Rows::default() };
        let mut target = self.changed(relation, Events::UPDATE);
        let level = self.beside(&target, &n.from_clause);
        self.scopes.push(level);
        self.set(&mut target, &n.target_list);
        self.conditions(n.where_clause.as_deref());
        let level = self.scopes.pop().unwrap_or_default();
        let rows = self.returning(&target, others(level), n.returning_clause.as_ref());
        self.with.truncate(outer);
        rows
    }

    pub fn delete(&mut self, n: &DeleteStmt) -> Rows {
        let outer = self.enter_with(n.with_clause.as_ref());
        let Some(relation) = &n.relation else { return Rows::default() };
        let target = self.changed(relation, Events::DELETE);
        let level = self.beside(&target, &n.using_clause);
        self.scopes.push(level);
        self.conditions(n.where_clause.as_deref());
        let level = self.scopes.pop().unwrap_or_default();
        let rows = self.returning(&target, others(level), n.returning_clause.as_ref());
        self.with.truncate(outer);
        rows
    }

    /// The target, and what FROM or USING joins to it.
    fn beside(&mut self, target: &Target, from: &[Node]) -> Level {
        self.scopes.push(Level::of(target.item.clone()));
        self.sources(from);
        self.scopes.pop().unwrap_or_default()
    }

    pub fn merge_into(&mut self, n: &MergeStmt) -> Rows {
        let outer = self.enter_with(n.with_clause.as_ref());
        let Some(relation) = &n.relation else { return Rows::default() };
        let mut target = self.changed(relation, Events::default());
        let source: Vec<Node> = n.source_relation.iter().map(|node| (**node).clone()).collect();
        let level = self.beside(&target, &source);
        self.scopes.push(level);
        self.use_all(n.join_condition.as_deref(), Use::Predicate);
        for node in &n.merge_when_clauses {
            match &node.node {
                Some(NodeEnum::MergeWhenClause(when)) => self.when(relation, &mut target, when),
                _ => self.gives_up("a MERGE with a branch of a new kind"),
            }
        }
        let level = self.scopes.pop().unwrap_or_default();
        let rows = self.returning(&target, others(level), n.returning_clause.as_ref());
        self.with.truncate(outer);
        let has_star = n.returning_clause.iter().flat_map(|returning| &returning.exprs).any(is_star);
        // In which order its star lists the two tables, differs.
        if has_star { Rows::over(self.whole(&rows).from) } else { rows }
    }

    fn when(&mut self, relation: &RangeVar, target: &mut Target, n: &MergeWhenClause) {
        self.use_all(n.condition.as_deref(), Use::Predicate);
        match CmdType::try_from(n.command_type) {
            Ok(CmdType::CmdInsert) => {
                self.changed(relation, Events::INSERT);
                let names = n.target_list.iter().filter_map(|node| match &node.node {
                    Some(NodeEnum::ResTarget(column)) => Some(column.name.as_str()),
                    _ => None,
                });
                let names: Vec<&str> = names.collect();
                self.assign(target, &names);
                let values = n.values.iter().map(|node| Field { name: None, value: self.expression(node) });
                let rows = Rows { fields: values.collect(), open: Vec::new() };
                self.give_rows(target, &names, &rows);
            }
            Ok(CmdType::CmdUpdate) => {
                self.changed(relation, Events::UPDATE);
                self.set(target, &n.target_list);
            }
            Ok(CmdType::CmdDelete) => {
                self.changed(relation, Events::DELETE);
            }
            Ok(CmdType::CmdNothing) => {}
            _ => self.gives_up("a MERGE with a branch of a new kind"),
        }
    }

    /// The target's columns as they are afterwards: what they held, or what they were given.
    fn after(&mut self, target: &Target) -> Rows {
        let mut rows = target.item.rows.clone();
        let any = target.assigned.get("*");
        for field in &mut rows.fields {
            let given = field.name.as_ref().and_then(|name| target.assigned.get(name));
            for from in given.into_iter().chain(any).filter(|from| !from.is_empty()) {
                field.value.add(&Value::over(from.clone()));
            }
        }
        if !rows.open.is_empty() {
            let all = target.assigned.values().flatten().copied().collect();
            rows.open.push(Open::Over(all));
        }
        rows
    }

    fn returning(&mut self, target: &Target, beside: Level, n: Option<&ReturningClause>) -> Rows {
        let Some(n) = n else { return Rows::default() };
        let after = self.after(target);
        let item = |name: &str, rows: Rows| Item { schema: String::new(), name: name.to_owned(), rows };
        let mut level = Level::of(Item { rows: after.clone(), ..target.item.clone() });
        level.absorb(beside);
        for name in ["old", "new"] {
            level.items.push(item(name, after.clone()));
        }
        for node in &n.options {
            if let Some(NodeEnum::ReturningOption(option)) = &node.node {
                level.items.push(item(&option.value, after.clone()));
            }
        }
        self.scopes.push(level);
        let rows = self.targets(&n.exprs);
        self.scopes.pop();
        rows
    }
}

/// What is beside the target, which comes first.
fn others(mut level: Level) -> Level {
    let Some(target) = (!level.items.is_empty()).then(|| level.items.remove(0)) else { return level };
    level.star.fields.drain(..target.rows.fields.len().min(level.star.fields.len()));
    level
}

fn is_star(target: &Node) -> bool {
    let Some(NodeEnum::ResTarget(n)) = &target.node else { return true };
    match n.val.as_ref().and_then(|value| value.node.as_ref()) {
        Some(NodeEnum::ColumnRef(n)) => n.fields.len() == 1 && strings(&n.fields).is_empty(),
        _ => false,
    }
}

/// `SELECT … INTO`, which may stand in the first of several joined by UNION.
fn goes_into_a_table(n: &SelectStmt) -> bool {
    n.into_clause.is_some() || n.larg.as_ref().is_some_and(|left| goes_into_a_table(left))
}
