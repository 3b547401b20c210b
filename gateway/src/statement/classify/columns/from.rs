//! FROM: relations, views, sub-selects, functions and joins.

use std::sync::Arc;

use pg_query::{
    NodeEnum,
    protobuf::{
        Alias, JoinExpr, JsonTable, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeTableSample, RangeVar,
    },
};

use super::{
    Use,
    reader::Reader,
    scope::{Field, Item, Level, Open, Rows, Value},
};
use crate::{
    catalog::{Events, Kind, Relation},
    statement::classify::{
        functions::{schema_and_name, strings},
        parse,
        walk::DEEPEST,
    },
};

/// Functions with one column that has a name of its own, `value`.
const CALLED_VALUE: [&str; 4] =
    ["json_array_elements", "json_array_elements_text", "jsonb_array_elements", "jsonb_array_elements_text"];

/// The server's own functions that give one column, and are in FROM all the time.
const ONE_COLUMN: [&str; 12] = [
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "json_object_keys",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_object_keys",
    "regexp_split_to_table",
    "string_to_table",
    "current_schemas",
    "pg_listening_channels",
];

impl Reader<'_> {
    /// FROM into the innermost scope, item by item, so that LATERAL sees those before it.
    pub fn sources(&mut self, nodes: &[Node]) {
        for node in nodes {
            let part = self.from(node);
            if !self.spend(part.size()) {
                return;
            }
            if let Some(level) = self.scopes.last_mut() {
                level.absorb(part);
            }
        }
    }

    fn from(&mut self, node: &Node) -> Level {
        use NodeEnum as N;
        match &node.node {
            Some(N::RangeVar(n)) => Level::of(self.relation(n)),
            Some(N::RangeSubselect(n)) => self.sub_select(n),
            Some(N::JoinExpr(n)) => self.join(n),
            Some(N::RangeFunction(n)) => self.function_rows(n),
            Some(N::RangeTableSample(n)) => self.sample(n),
            Some(N::RangeTableFunc(n)) => self.xml_table(n),
            Some(N::JsonTable(n)) => self.json_table(n),
            _ => {
                self.gives_up("it is not known what a new kind of FROM gives");
                Level::default()
            }
        }
    }

    /// Without the scope of the query that is being put together, for what is not LATERAL.
    fn apart<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let level = self.scopes.pop();
        let result = read(self);
        self.scopes.extend(level);
        result
    }

    fn aliased(&mut self, alias: Option<&Alias>, name: &str, schema: &str, rows: Rows) -> Item {
        match alias {
            Some(alias) => {
                let rows = self.renamed(rows, strings(&alias.colnames));
                Item { schema: String::new(), name: alias.aliasname.clone(), rows }
            }
            None => Item { schema: schema.to_owned(), name: name.to_owned(), rows },
        }
    }

    fn relation(&mut self, n: &RangeVar) -> Item {
        let with = self.with.iter().rev().find(|(name, _)| n.schemaname.is_empty() && *name == n.relname);
        if let Some((_, rows)) = with {
            let rows = rows.clone();
            self.spend(rows.fields.len());
            return self.aliased(n.alias.as_ref(), &n.relname, "", rows);
        }
        self.target(n, true).0
    }

    /// A relation that is no common table expression, with its rows. `reads` says that its rows are
    /// read, and so whatever a read sets off.
    pub fn target(&mut self, n: &RangeVar, reads: bool) -> (Item, Option<Arc<Relation>>) {
        let meaning = self.walk().meaning(&n.schemaname, &n.relname);
        let mut rows = Rows::default();
        let mut schema = n.schemaname.clone();
        if let Some(relation) = &meaning.relation {
            rows = self.rows_of(relation, reads);
            schema.clone_from(&relation.schema);
        } else if !meaning.temporary {
            self.doubt(format!("there is no relation {} in the catalog that was read", n.relname));
        }
        if meaning.temporary {
            self.temporary(&n.relname);
        }
        if meaning.temporary || meaning.relation.is_none() {
            // Columns of its own, which the catalog that was read does not have.
            rows.open.push(Open::Over(Value::default().from));
        }
        (self.aliased(n.alias.as_ref(), &n.relname, &schema, rows), meaning.relation)
    }

    pub fn rows_of(&mut self, relation: &Arc<Relation>, reads: bool) -> Rows {
        let key = relation.key();
        self.spend(relation.columns.len() + 1);
        if self.muted == 0 {
            self.met.insert(key.clone());
        }
        if relation.kind == Kind::View && !relation.is_builtin() {
            return self.view(relation);
        }
        if relation.kind == Kind::View {
            // Its columns are worked out where they are used, by functions that look tables up and lock them.
            self.reads();
            self.locks_within |= self.muted == 0;
        }
        if reads {
            self.set_off(relation, Events::READ);
        }
        if relation.columns.is_empty() && (relation.is_builtin() || relation.kind != Kind::Table) {
            return Rows { fields: Vec::new(), open: vec![Open::Of(key)] };
        }
        let mut fields = Vec::new();
        for column in &relation.columns {
            let number = self.number(&key, &column.name);
            fields.push(Field::new(&column.name, Value { from: [number].into(), bare: true }));
        }
        if relation.kind == Kind::Materialized {
            // A copy: what its columns rest on counts as well. How it was made is not this statement.
            self.muted += 1;
            let origin = self.view(relation);
            self.muted -= 1;
            for (field, origin) in fields.iter_mut().zip(&origin.fields) {
                field.value.add(&origin.value);
            }
        }
        Rows { fields, open: Vec::new() }
    }

    /// The rows of a stored query, under the names that the catalog gives its columns.
    fn view(&mut self, view: &Relation) -> Rows {
        if let Some(rows) = self.views.get(&view.oid) {
            let rows = rows.clone();
            self.spend(rows.fields.len());
            return rows;
        }
        let inner = self.stored_query(view);
        let rows = match inner {
            Some(rows) if view.columns.is_empty() => rows,
            Some(rows) if rows.open.is_empty() && rows.fields.len() == view.columns.len() => {
                self.renamed(rows, view.columns.iter().map(|column| column.name.as_str()))
            }
            Some(rows) => {
                let all = self.whole(&rows);
                let fields = view.columns.iter().map(|column| Field::new(&column.name, Value::over(all.from.clone())));
                Rows { fields: fields.collect(), open: Vec::new() }
            }
            None => {
                self.doubt(format!("the query of {}.{} could not be read", view.schema, view.name));
                let all = self.every_column(&view.key());
                for role in Use::ALL {
                    self.record(&all, role);
                }
                self.met.remove(&view.key());
                Rows::over(all.from)
            }
        };
        if self.muted == 0 {
            // What a muted reading leaves out must be read again.
            self.views.insert(view.oid, rows.clone());
        }
        rows
    }

    fn stored_query(&mut self, view: &Relation) -> Option<Rows> {
        let definition = view.definition.as_ref()?;
        if self.depth >= DEEPEST || !self.spend(definition.len()) {
            return None;
        }
        self.depth += 1;
        let stored = std::mem::replace(&mut self.stored, true);
        let scopes = std::mem::take(&mut self.scopes);
        let with = std::mem::take(&mut self.with);
        let rows = parse::with_tree(definition, |tree| {
            let tree = tree.ok()?;
            let [only] = tree.stmts.as_slice() else { return None };
            match only.stmt.as_ref().and_then(|node| node.node.as_ref())? {
                NodeEnum::SelectStmt(select) => {
                    self.locks_within |= !select.locking_clause.is_empty();
                    Some(self.select(select))
                }
                _ => None,
            }
        });
        (self.stored, self.scopes, self.with) = (stored, scopes, with);
        self.depth -= 1;
        rows
    }

    fn sub_select(&mut self, n: &RangeSubselect) -> Level {
        let Some(query) = &n.subquery else { return Level::default() };
        let rows = if n.lateral { self.query(query) } else { self.apart(|reader| reader.query(query)) };
        Level::of(self.aliased(n.alias.as_ref(), "", "", rows))
    }

    fn function_rows(&mut self, n: &RangeFunction) -> Level {
        let (mut all, mut called, mut defined) = (Value::default(), Vec::new(), Vec::new());
        for entry in &n.functions {
            let Some(NodeEnum::List(pair)) = &entry.node else {
                self.gives_up("a function in FROM is written in a new way");
                continue;
            };
            for node in &pair.items {
                match &node.node {
                    Some(NodeEnum::FuncCall(call)) => {
                        called.push(schema_and_name(&call.funcname));
                        all.add(&self.expression(node));
                    }
                    // The columns that its call gives.
                    Some(NodeEnum::List(list)) => defined.extend(&list.items),
                    None => {}
                    Some(_) => {
                        called.push(Default::default());
                        all.add(&self.expression(node));
                    }
                }
            }
        }
        defined.extend(&n.coldeflist);
        for node in &defined {
            if let Some(NodeEnum::ColumnDef(column)) = &node.node {
                self.type_name(column.type_name.as_ref(), &all.clone());
            }
        }
        // How many rows it gives rests on what it is given.
        self.record_own(&all, Use::Predicate);
        let from = all.from;
        let field = |name: &str| Field::new(name, Value::over(from.clone()));
        let mut rows = Rows::over(from.clone());
        if let [(schema, name)] = called.as_slice() {
            let own = self.snapshot.functions(name).is_empty() && (schema.is_empty() || schema == "pg_catalog");
            if !defined.is_empty() {
                let names = defined.iter().filter_map(|node| match &node.node {
                    Some(NodeEnum::ColumnDef(column)) => Some(column.colname.as_str()),
                    _ => None,
                });
                rows = Rows { fields: names.map(field).collect(), open: Vec::new() };
            } else if own && ONE_COLUMN.contains(&name.as_str()) {
                // What a function itself calls its one column stays so, whatever its rows are called.
                let alias = n.alias.as_ref().map(|alias| alias.aliasname.as_str());
                let name = if CALLED_VALUE.contains(&name.as_str()) { "value" } else { alias.unwrap_or(name) };
                rows = Rows { fields: vec![field(name)], open: Vec::new() };
            }
        }
        if n.ordinality {
            rows.fields.push(Field::new("ordinality", Value::default()));
        }
        let name = called.first().map(|(_, name)| name.clone()).unwrap_or_default();
        Level::of(self.aliased(n.alias.as_ref(), &name, "", rows))
    }

    fn sample(&mut self, n: &RangeTableSample) -> Level {
        let level = n.relation.as_ref().map(|node| self.from(node)).unwrap_or_default();
        // It sees nothing that is beside it.
        self.apart(|reader| {
            reader.use_all(&n.args, Use::Predicate);
            reader.use_all(n.repeatable.as_deref(), Use::Predicate);
        });
        level
    }

    fn xml_table(&mut self, n: &RangeTableFunc) -> Level {
        let mut all = self.maybe(&n.docexpr);
        all.add(&self.maybe(&n.rowexpr));
        all.add(&self.list(&n.namespaces));
        let mut names = Vec::new();
        for node in &n.columns {
            if let Some(NodeEnum::RangeTableFuncCol(column)) = &node.node {
                all.add(&self.maybe(&column.colexpr));
                all.add(&self.maybe(&column.coldefexpr));
                self.type_name(column.type_name.as_ref(), &all.clone());
                names.push(column.colname.as_str());
            }
        }
        self.record_own(&all, Use::Predicate);
        let fields = names.into_iter().map(|name| Field::new(name, Value::over(all.from.clone()))).collect();
        Level::of(self.aliased(n.alias.as_ref(), "xmltable", "", Rows { fields, open: Vec::new() }))
    }

    /// Nested columns come in an order that is not followed here: any of them is any.
    fn json_table(&mut self, n: &JsonTable) -> Level {
        let mut all = self.json_value(n.context_item.as_deref());
        all.add(&self.list(&n.passing));
        let mut rest: Vec<&Node> = n.columns.iter().collect();
        while let Some(node) = rest.pop() {
            if let Some(NodeEnum::JsonTableColumn(column)) = &node.node {
                self.type_name(column.type_name.as_ref(), &all.clone());
                for behavior in [&column.on_empty, &column.on_error].into_iter().flatten() {
                    all.add(&self.maybe(&behavior.expr));
                }
                rest.extend(&column.columns);
            }
        }
        self.record_own(&all, Use::Predicate);
        self.call("", "json_table", 1, &all.clone());
        Level::of(self.aliased(n.alias.as_ref(), "json_table", "", Rows::over(all.from)))
    }

    fn join(&mut self, n: &JoinExpr) -> Level {
        let left = n.larg.as_ref().map(|node| self.from(node)).unwrap_or_default();
        let right = match &n.rarg {
            Some(node) if may_look_left(node) => {
                self.spend(left.size());
                let before = self.scopes.last().cloned().unwrap_or_default();
                if let Some(level) = self.scopes.last_mut() {
                    level.absorb(left.clone());
                }
                let right = self.from(node);
                if let Some(level) = self.scopes.last_mut() {
                    *level = before;
                }
                right
            }
            Some(node) => self.from(node),
            None => Level::default(),
        };
        if !self.spend(left.size() + right.size()) {
            return Level::default();
        }
        let (merged, star) = self.merge(n, left.star, right.star);
        let mut items = left.items;
        items.extend(right.items);
        if let Some(alias) = &n.join_using_alias {
            let rows = Rows { fields: merged, open: Vec::new() };
            items.push(Item { schema: String::new(), name: alias.aliasname.clone(), rows });
        }
        let joined = Level { items, star };
        let joined = if n.quals.is_some() { self.on(n, joined) } else { joined };
        match &n.alias {
            // What it hides can't be named any more.
            Some(alias) => Level::of(self.aliased(Some(alias), "", "", joined.star)),
            None => joined,
        }
    }

    /// ON sees the two sides, and queries around this one.
    fn on(&mut self, n: &JoinExpr, joined: Level) -> Level {
        self.apart(|reader| {
            reader.scopes.push(joined);
            reader.conditions(n.quals.as_deref());
            reader.scopes.pop().unwrap_or_default()
        })
    }

    /// The columns of a join: those that USING or NATURAL merges first.
    fn merge(&mut self, n: &JoinExpr, mut left: Rows, mut right: Rows) -> (Vec<Field>, Rows) {
        let mut names: Vec<String> = strings(&n.using_clause).into_iter().map(str::to_owned).collect();
        if n.is_natural {
            if !(left.open.is_empty() && right.open.is_empty()) {
                // Any may be compared.
                for side in [&left, &right] {
                    let all = self.whole(side);
                    self.record(&all, Use::Predicate);
                }
            }
            let on_the_right = |f: &&Field| f.name.is_some() && right.fields.iter().any(|other| other.name == f.name);
            names = left.fields.iter().filter(on_the_right).filter_map(|field| field.name.clone()).collect();
        }
        // A column that may have any name may be merged, too; the others come in another order then.
        let nameless = |rows: &Rows| rows.fields.iter().any(|field| field.name.is_none());
        let mut in_doubt =
            n.is_natural && (nameless(&left) || nameless(&right) || !left.open.is_empty() || !right.open.is_empty());
        if n.is_natural && (nameless(&left) || nameless(&right)) {
            for side in [&left, &right] {
                let all = self.whole(side);
                self.record(&all, Use::Predicate);
            }
        }
        let mut all = self.whole(&left);
        all.add(&self.whole(&right));
        let mut merged = Vec::new();
        for name in &names {
            let (mut both, mut sides) = (Value::default(), Vec::new());
            for side in [&mut left, &mut right] {
                let value = match self.named(side, name) {
                    Some((value, certain)) => {
                        in_doubt |= !certain;
                        value
                    }
                    None => self.lost(&format!("which column {name} of a join is")),
                };
                both.add(&value);
                sides.push(value);
                if let Some(at) = side.fields.iter().position(|field| field.name.as_ref() == Some(name)) {
                    side.fields.remove(at);
                }
            }
            match sides.as_slice() {
                [one, other] if one.is_one_column() && other.is_one_column() => self.record_join(one, other),
                _ => self.record(&both, Use::Predicate),
            }
            self.equality(&both);
            merged.push(Field::new(name, both));
        }
        if in_doubt {
            return (merged, Rows::over(all.from));
        }
        let mut star = Rows { fields: merged.clone(), open: left.open };
        star.fields.extend(left.fields);
        star.fields.extend(right.fields);
        star.open.extend(right.open);
        (merged, star)
    }
}

/// Whether something on the right of a JOIN may name what is on its left.
fn may_look_left(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::RangeVar(_)) => false,
        Some(NodeEnum::RangeSubselect(n)) => n.lateral,
        Some(NodeEnum::JoinExpr(n)) => {
            n.larg.as_deref().is_some_and(may_look_left) || n.rarg.as_deref().is_some_and(may_look_left)
        }
        _ => true,
    }
}
