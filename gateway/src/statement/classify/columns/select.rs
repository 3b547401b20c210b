//! SELECT, VALUES, set operations and WITH.

use pg_query::{
    NodeEnum,
    protobuf::{CommonTableExpr, Node, SelectStmt, SetOperation, WithClause, a_const},
};

use super::{
    Use, naming,
    reader::Reader,
    scope::{Field, Level, Open, Rows, Value},
};
use crate::statement::classify::functions::strings;

/// So often a recursive query is read until what its columns rest on grows no more.
const MOST_ROUNDS: usize = 12;

impl Reader<'_> {
    /// A query, or a statement with RETURNING.
    pub fn query(&mut self, node: &Node) -> Rows {
        match &node.node {
            Some(NodeEnum::SelectStmt(n)) => {
                self.locks_within |= !n.locking_clause.is_empty();
                self.select(n)
            }
            Some(NodeEnum::InsertStmt(n)) => self.insert(n),
            Some(NodeEnum::UpdateStmt(n)) => self.update(n),
            Some(NodeEnum::DeleteStmt(n)) => self.delete(n),
            Some(NodeEnum::MergeStmt(n)) => self.merge_into(n),
            _ => {
                self.gives_up("it is not known what a query of a new kind gives");
                Rows::default()
            }
        }
    }

    pub fn select(&mut self, n: &SelectStmt) -> Rows {
        let outer = self.enter_with(n.with_clause.as_ref());
        let rows = match (&n.larg, &n.rarg) {
            (Some(left), Some(right)) => self.set_operation(n, left, right),
            _ => self.plain(n),
        };
        self.with.truncate(outer);
        rows
    }

    fn set_operation(&mut self, n: &SelectStmt, left: &SelectStmt, right: &SelectStmt) -> Rows {
        let left = self.select(left);
        let right = self.select(right);
        let rows = self.one_of(&left, &right);
        // ALL compares nothing of a UNION, and everything of the others.
        if !(n.all && n.op == SetOperation::SetopUnion as i32) {
            let all = self.whole(&rows);
            self.record(&all, Use::Predicate);
        }
        self.scopes.push(Level { items: Vec::new(), star: rows });
        self.order_and_limit(n, None);
        self.scopes.pop().unwrap_or_default().star
    }

    /// Rows of one of two queries.
    fn one_of(&mut self, left: &Rows, right: &Rows) -> Rows {
        let matched = left.fields.len() == right.fields.len() && left.open.is_empty() && right.open.is_empty();
        if !matched {
            let mut all = self.whole(left);
            all.add(&self.whole(right));
            return Rows::over(all.from);
        }
        self.spend(left.fields.len());
        let both = left.fields.iter().zip(&right.fields).map(|(left, right)| {
            let mut value = left.value.clone();
            if left.value != right.value {
                value.add(&right.value);
            }
            Field { name: left.name.clone(), value }
        });
        Rows { fields: both.collect(), open: Vec::new() }
    }

    fn plain(&mut self, n: &SelectStmt) -> Rows {
        self.scopes.push(Level::default());
        self.sources(&n.from_clause);
        let rows = if n.values_lists.is_empty() { self.targets(&n.target_list) } else { self.values(&n.values_lists) };
        self.conditions(n.where_clause.as_deref());
        for node in &n.group_clause {
            self.position_or_value(node, &rows);
        }
        self.use_all(n.having_clause.as_deref(), Use::Predicate);
        for node in &n.window_clause {
            match &node.node {
                Some(NodeEnum::WindowDef(window)) => self.window(window),
                _ => self.uses(node, Use::Predicate),
            }
        }
        match n.distinct_clause.as_slice() {
            [] => {}
            // Plain DISTINCT is a list of nothing.
            [only] if only.node.is_none() => {
                let all = self.whole(&rows);
                self.record(&all, Use::Predicate);
            }
            some => some.iter().for_each(|node| self.position_or_value(node, &rows)),
        }
        self.order_and_limit(n, Some(&rows));
        self.scopes.pop();
        rows
    }

    fn order_and_limit(&mut self, n: &SelectStmt, rows: Option<&Rows>) {
        for node in &n.sort_clause {
            match rows {
                Some(rows) => self.position_or_value(node, rows),
                None => {
                    let rows = self.scopes.last().map(|level| level.star.clone()).unwrap_or_default();
                    self.position_or_value(node, &rows);
                }
            }
        }
        self.use_all(n.limit_offset.as_deref(), Use::Predicate);
        self.use_all(n.limit_count.as_deref(), Use::Predicate);
    }

    /// An element of ORDER BY, GROUP BY or DISTINCT ON: an output by its number or name, or an
    /// expression. Where it may be both, both count.
    fn position_or_value(&mut self, node: &Node, rows: &Rows) {
        let mut value = Value::default();
        match &node.node {
            Some(NodeEnum::GroupingSet(n)) => {
                n.content.iter().for_each(|inner| self.position_or_value(inner, rows));
                return;
            }
            // In parentheses, GROUP BY looks at each by itself; anywhere else it is a row, of expressions.
            Some(NodeEnum::RowExpr(n)) => {
                n.args.iter().for_each(|inner| self.position_or_value(inner, rows));
                value = self.expression(node);
            }
            Some(NodeEnum::SortBy(n)) => {
                if let Some(inner) = &n.node {
                    self.position_or_value(inner, rows);
                    if !n.use_op.is_empty() {
                        let sorted = self.expression(inner);
                        self.operator(&n.use_op, &sorted);
                    }
                }
                return;
            }
            Some(NodeEnum::AConst(n)) => {
                if let Some(a_const::Val::Ival(position)) = &n.val {
                    match usize::try_from(position.ival).ok().and_then(|at| rows.fields.get(at.checked_sub(1)?)) {
                        Some(field) if rows.open.is_empty() => value.add(&field.value),
                        _ => value = self.whole(rows),
                    }
                }
            }
            Some(NodeEnum::ColumnRef(n)) if n.fields.len() == 1 => {
                let name = strings(&n.fields);
                let output = name.first().and_then(|name| self.named(rows, name));
                let as_column = output.is_none() || !matches!(output, Some((_, true))) || self.is_column(&name);
                value.add(&output.map(|(value, _)| value).unwrap_or_default());
                if as_column {
                    value.add(&self.expression(node));
                }
            }
            _ => value = self.expression(node),
        }
        self.record(&value, Use::Predicate);
    }

    /// Whether the innermost query may have a column of that name, or a relation, which stands for its rows.
    fn is_column(&self, name: &[&str]) -> bool {
        let named = |level: &Level| {
            let name = name.first().copied();
            level.star.has_nameless()
                || level.star.fields.iter().any(|field| field.name.as_deref() == name)
                || level.items.iter().any(|item| Some(item.name.as_str()) == name)
        };
        self.scopes.last().is_some_and(named)
    }

    /// The rows of a list of targets.
    pub fn targets(&mut self, nodes: &[Node]) -> Rows {
        let mut rows = Rows::default();
        for node in nodes {
            let Some(NodeEnum::ResTarget(target)) = &node.node else {
                self.gives_up("a target of a new kind");
                continue;
            };
            let Some(value) = &target.val else { continue };
            self.listed(&mut rows, value, || naming::of_target(&target.name, value));
        }
        rows
    }

    /// `*`, `relation.*`.
    pub fn star(&mut self, fields: &[Node]) -> Rows {
        let found = match strings(fields).as_slice() {
            [] => self.scopes.last().map(|level| level.star.clone()),
            [relation] => self.item("", relation).map(|item| item.rows),
            [.., schema, relation] => self.item(schema, relation).map(|item| item.rows),
        };
        match found {
            Some(rows) => rows,
            None => Rows::over(self.lost("what a star stands for").from),
        }
    }

    fn values(&mut self, lists: &[Node]) -> Rows {
        let mut rows = Rows::default();
        for (first, list) in lists.iter().enumerate() {
            let Some(NodeEnum::List(list)) = &list.node else {
                self.gives_up("a list of VALUES of a new kind");
                continue;
            };
            let one = self.value_list(&list.items);
            // Where it is not known how many a star stands for, nobody can say which are the first.
            let counted =
                rows.open.is_empty() && one.open.is_empty() && (first == 0 || rows.fields.len() == one.fields.len());
            if !counted {
                let mut all = self.whole(&rows);
                all.add(&self.whole(&one));
                rows = Rows::over(all.from);
                continue;
            }
            for (at, field) in one.fields.into_iter().enumerate() {
                match rows.fields.get_mut(at) {
                    Some(known) => known.value.add(&field.value),
                    None => rows.fields.push(Field::new(&format!("column{}", at + 1), field.value)),
                }
            }
        }
        rows
    }

    /// A list of VALUES, in which a star stands for as many as it does in a list of targets.
    fn value_list(&mut self, nodes: &[Node]) -> Rows {
        let mut rows = Rows::default();
        nodes.iter().for_each(|node| self.listed(&mut rows, node, || None));
        rows
    }

    /// An element of a list of expressions: one column, or all that a star stands for.
    fn listed(&mut self, rows: &mut Rows, node: &Node, name: impl FnOnce() -> Option<String>) {
        match &node.node {
            Some(NodeEnum::ColumnRef(n)) if ends_in_star(&n.fields) => {
                let all = self.star(&n.fields);
                self.spend(all.fields.len());
                rows.fields.extend(all.fields);
                rows.open.extend(all.open);
            }
            Some(NodeEnum::AIndirection(n)) if ends_in_star(&n.indirection) => {
                let all = self.expression(node);
                rows.open.push(Open::Over(all.from));
            }
            _ => {
                let value = self.expression(node);
                rows.fields.push(Field { name: name(), value });
            }
        }
    }

    /// Brings the queries of a WITH into scope. Gives how many there were before.
    pub fn enter_with(&mut self, with: Option<&WithClause>) -> usize {
        let outer = self.with.len();
        let Some(with) = with else { return outer };
        let queries: Vec<&CommonTableExpr> = with
            .ctes
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::CommonTableExpr(n)) => Some(&**n),
                _ => None,
            })
            .collect();
        if queries.len() != with.ctes.len() {
            self.gives_up("a WITH of a new kind");
        }
        if with.recursive {
            self.recursive(&queries, outer);
        } else {
            for n in queries {
                let rows = self.common_table(n);
                self.with.push((n.ctename.clone(), rows));
            }
        }
        outer
    }

    /// Each may name each: read again until nothing more is found, and then once for good.
    fn recursive(&mut self, queries: &[&CommonTableExpr], outer: usize) {
        self.with.extend(queries.iter().map(|n| (n.ctename.clone(), Rows::over(Value::default().from))));
        self.muted += 1;
        let mut settled = false;
        for round in 0..MOST_ROUNDS {
            let before = self.with[outer..].to_vec();
            self.read_again(queries, outer, round == 0);
            if round > 0 && self.with[outer..] == before[..] {
                settled = true;
                break;
            }
        }
        self.muted -= 1;
        if !settled {
            self.gives_up("it is not known what a recursive query gives");
        }
        self.read_again(queries, outer, false);
    }

    /// `first`: of none of them anything is known.
    fn read_again(&mut self, queries: &[&CommonTableExpr], outer: usize, first: bool) {
        for (at, n) in queries.iter().enumerate() {
            let rows = match n.ctequery.as_ref().and_then(|query| query.node.as_ref()) {
                // The part that does not name itself says what columns there are.
                Some(NodeEnum::SelectStmt(select)) if first && select.larg.is_some() => {
                    let inner = self.enter_with(select.with_clause.as_ref());
                    let rows = select.larg.as_ref().map(|left| self.select(left)).unwrap_or_default();
                    self.with.truncate(inner);
                    self.finished(n, rows)
                }
                _ => self.common_table(n),
            };
            self.with[outer + at].1 = rows;
        }
    }

    fn common_table(&mut self, n: &CommonTableExpr) -> Rows {
        let rows = n.ctequery.as_ref().map(|query| self.query(query)).unwrap_or_default();
        self.finished(n, rows)
    }

    /// Under its names, with the columns that SEARCH and CYCLE add.
    fn finished(&mut self, n: &CommonTableExpr, rows: Rows) -> Rows {
        let mut rows = self.renamed(rows, strings(&n.aliascolnames));
        let all = self.whole(&rows);
        if let Some(search) = &n.search_clause {
            self.record(&all, Use::Predicate);
            rows.fields.push(Field::new(&search.search_seq_column, Value::over(all.from.clone())));
            // In a query below the one that has the WITH, a star leaves it out.
            rows.open.push(Open::Over(all.from.clone()));
        }
        if let Some(cycle) = &n.cycle_clause {
            self.record(&all, Use::Predicate);
            self.equality(&all);
            let mut mark = self.maybe(&cycle.cycle_mark_value);
            mark.add(&self.maybe(&cycle.cycle_mark_default));
            mark.add(&all);
            rows.fields.push(Field::new(&cycle.cycle_mark_column, mark));
            rows.fields.push(Field::new(&cycle.cycle_path_column, Value::over(all.from.clone())));
            rows.open.push(Open::Over(all.from));
        }
        rows
    }
}

fn ends_in_star(fields: &[Node]) -> bool {
    matches!(fields.last().and_then(|node| node.node.as_ref()), Some(NodeEnum::AStar(_)))
}
