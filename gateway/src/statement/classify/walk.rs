//! The walk over a tree: every object of it is looked at; a type that is not known makes the
//! statement opaque.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Doubt, Names, Statement, builtins,
    parse::{constants, flag, has, number, strings, tagged, text},
    settings,
};
use crate::{
    catalog::{Relation, Snapshot},
    statement::effect::{Action, Effect, Object},
};

/// Node types of expressions and clauses that add nothing by themselves.
const PLAIN: [&str; 73] = [
    "AArrayExpr",
    "AConst",
    "AIndices",
    "AStar",
    "Alias",
    "BitString",
    "Boolean",
    "BooleanTest",
    "BoolExpr",
    "CaseExpr",
    "CaseWhen",
    "CoalesceExpr",
    "CollateClause",
    "ColumnDef",
    "Constraint",
    "CtecycleClause",
    "CtesearchClause",
    "CurrentOfExpr",
    "DefElem",
    "Float",
    "GroupingFunc",
    "GroupingSet",
    "IndexElem",
    "InferClause",
    "Integer",
    "JsonAggConstructor",
    "JsonArgument",
    "JsonArrayAgg",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonBehavior",
    "JsonFormat",
    "JsonFuncExpr",
    "JsonIsPredicate",
    "JsonKeyValue",
    "JsonObjectAgg",
    "JsonObjectConstructor",
    "JsonOutput",
    "JsonParseExpr",
    "JsonReturning",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonTable",
    "JsonTableColumn",
    "JsonTablePathSpec",
    "JsonValueExpr",
    "JoinExpr",
    "List",
    "MergeSupportFunc",
    "MergeWhenClause",
    "MinMaxExpr",
    "MultiAssignRef",
    "NamedArgExpr",
    "NullTest",
    "OnConflictClause",
    "ParamRef",
    "RangeFunction",
    "RangeSubselect",
    "RangeTableFunc",
    "RangeTableFuncCol",
    "RangeTableSample",
    "ResTarget",
    "ReturningClause",
    "ReturningOption",
    "RoleSpec",
    "RowExpr",
    "SetToDefault",
    "SqlvalueFunction",
    "SubLink",
    "WindowDef",
    "XmlExpr",
    "XmlSerialize",
    "String",
];
const COMPARISONS: [&str; 6] = ["=", "<>", "<", ">", "<=", ">="];
/// Views that read views deeper than this are not followed.
const VIEWS: usize = 16;

/// What the walk has found.
pub struct Walk<'a> {
    pub catalog: &'a Snapshot,
    pub names: &'a Names,
    pub statement: Statement,
    pub doubt: Option<Doubt>,
    /// Names of common table expressions in sight, innermost last.
    scopes: Vec<BTreeSet<String>>,
    views: usize,
    /// Instead of `select`: what naming a relation means (in DDL).
    pub naming: Action,
}

impl<'a> Walk<'a> {
    pub fn new(catalog: &'a Snapshot, names: &'a Names) -> Self {
        let statement = Statement { has_where: true, ..Statement::default() };
        Self { catalog, names, statement, doubt: None, scopes: Vec::new(), views: 0, naming: Action::Select }
    }

    pub fn effect(&mut self, action: Action, object: Object) {
        self.statement.effects.push(Effect::new(action, object));
    }

    pub fn connection(&mut self, action: Action) {
        self.effect(action, Object::Connection);
    }

    pub fn opaque(&mut self, why: impl Into<String>) {
        self.connection(Action::Opaque);
        self.statement.notes.push(why.into());
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(_) => match tagged(value) {
                Some((kind, fields)) => self.node(kind, fields),
                None => self.untagged(value),
            },
            _ => {}
        }
    }

    fn fields(&mut self, fields: &Value) {
        if let Value::Object(fields) = fields {
            fields.values().for_each(|value| self.value(value));
        }
    }

    fn field(&mut self, fields: &Value, name: &str) {
        if let Some(value) = fields.get(name) {
            self.value(value);
        }
    }

    /// A struct that stands in a field of its own type: known by the fields that only it has.
    fn untagged(&mut self, fields: &Value) {
        if fields.get("relname").is_some() {
            self.node("RangeVar", fields);
        } else if fields.get("larg").is_some() && fields.get("from_clause").is_some() {
            self.node("SelectStmt", fields);
        } else if fields.get("names").is_some() && fields.get("typmods").is_some() {
            self.node("TypeName", fields);
        } else if fields.get("funcname").is_some() && fields.get("agg_star").is_some() {
            self.node("FuncCall", fields);
        } else {
            self.fields(fields);
        }
    }

    /// A node by its type.
    pub fn node(&mut self, kind: &str, fields: &Value) {
        match kind {
            "SelectStmt" => self.select(fields),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.write(kind, fields),
            "RangeVar" => self.relation(fields),
            "FuncCall" => self.function(fields),
            "AExpr" | "SortBy" => {
                self.operator(kind, fields);
                self.fields(fields);
            }
            "ColumnRef" => self.attribute(&strings(fields.get("fields"))),
            "AIndirection" => {
                self.attribute(&strings(fields.get("indirection")));
                self.fields(fields);
            }
            "TypeCast" => self.fields(fields),
            "TypeName" => {
                let names = strings(fields.get("names"));
                if names.last().is_some_and(|name| self.catalog.risky_types.contains(name)) {
                    self.opaque(format!("casts or checks of the type {} call functions", names.join(".")));
                }
                self.field(fields, "typmods");
                self.field(fields, "array_bounds");
            }
            "LockingClause" => self.field(fields, "locked_rels"),
            "CommonTableExpr" | "WithClause" => self.fields(fields),
            _ if PLAIN.contains(&kind) => {
                if matches!(kind, "SubLink" | "CaseExpr" | "JoinExpr" | "MinMaxExpr") {
                    self.comparisons();
                }
                if kind == "SubLink" {
                    self.operator_name(&strings(fields.get("oper_name")));
                }
                self.fields(fields);
            }
            _ => {
                self.opaque(format!("{kind} is not analysed"));
                self.fields(fields);
            }
        }
    }

    /// Puts the names of a WITH clause in sight, after looking at its queries.
    fn with(&mut self, fields: &Value) {
        let mut scope = BTreeSet::new();
        let Some(clause) = fields.get("with_clause").filter(|clause| !clause.is_null()) else {
            self.scopes.push(scope);
            return;
        };
        let ctes = clause.get("ctes").and_then(Value::as_array).cloned().unwrap_or_default();
        let ctes: Vec<_> = ctes.iter().filter_map(tagged).map(|(_, cte)| cte.clone()).collect();
        if flag(clause, "recursive") {
            scope.extend(ctes.iter().map(|cte| text(cte, "ctename").to_owned()));
        }
        self.scopes.push(scope);
        for cte in &ctes {
            self.fields(cte);
            if let Some(scope) = self.scopes.last_mut() {
                scope.insert(text(cte, "ctename").to_owned());
            }
        }
    }

    fn select(&mut self, fields: &Value) {
        self.with(fields);
        if let Some(into) = fields.get("into_clause").filter(|into| !into.is_null()) {
            self.into(into);
        }
        if has(fields, "locking_clause") {
            let before = self.statement.effects.len();
            self.field(fields, "from_clause");
            let locked: Vec<_> = self.statement.effects[before..].iter().map(|e| e.object.clone()).collect();
            locked.into_iter().for_each(|object| self.effect(Action::Lock, object));
        }
        if has(fields, "distinct_clause") || has(fields, "group_clause") || number(fields, "op") > 1 {
            self.comparisons();
        }
        for (name, value) in fields.as_object().into_iter().flatten() {
            if name != "with_clause" && name != "into_clause" {
                self.value(value);
            }
        }
        self.scopes.pop();
    }

    /// SELECT INTO, CREATE TABLE AS: the new table.
    pub fn into(&mut self, into: &Value) {
        if let Some(rel) = into.get("rel") {
            self.create(rel);
        }
        self.statement.changes_session = true;
    }

    /// A new relation, temporary or not.
    pub fn create(&mut self, rel: &Value) {
        let schema = text(rel, "schemaname");
        if text(rel, "relpersistence") == "t" || schema.starts_with("pg_temp") {
            return self.connection(Action::Temp);
        }
        let schema = if schema.is_empty() { self.creation_schema() } else { schema.to_owned() };
        self.effect(Action::Create, Object::Table { schema, name: text(rel, "relname").to_owned() });
    }

    /// Where an unqualified new object goes.
    pub fn creation_schema(&self) -> String {
        let place = self.names.search_path.iter().find(|s| *s != "pg_catalog" && !s.starts_with("pg_temp"));
        place.cloned().unwrap_or_else(|| "public".to_owned())
    }

    fn write(&mut self, kind: &str, fields: &Value) {
        self.with(fields);
        let action = match kind {
            "InsertStmt" => Action::Insert,
            "UpdateStmt" => Action::Update,
            "DeleteStmt" => Action::Delete,
            _ => Action::Merge,
        };
        if matches!(kind, "UpdateStmt" | "DeleteStmt") && fields.get("where_clause").is_none_or(Value::is_null) {
            self.statement.has_where = false;
        }
        let mut actions = vec![action];
        if kind == "InsertStmt" && number(fields.get("on_conflict_clause").unwrap_or(&Value::Null), "action") == 3 {
            actions.push(Action::Update);
        }
        if kind == "MergeStmt" {
            for clause in fields.get("merge_when_clauses").and_then(Value::as_array).into_iter().flatten() {
                // CmdType: 2 UPDATE, 3 SELECT, … in protobuf order: UPDATE 3, INSERT 4, DELETE 5.
                match tagged(clause).map(|(_, clause)| number(clause, "command_type")) {
                    Some(3) => actions.push(Action::Update),
                    Some(4) => actions.push(Action::Insert),
                    Some(5) => actions.push(Action::Delete),
                    _ => {}
                }
            }
        }
        if let Some(relation) = fields.get("relation") {
            for object in self.resolve(relation, false) {
                self.written(&actions, object);
            }
        }
        let reads = has(fields, "returning_clause") || kind != "InsertStmt";
        if let Some(relation) = fields.get("relation").filter(|_| reads) {
            self.relation_unscoped(relation);
        }
        for (name, value) in fields.as_object().into_iter().flatten() {
            if name != "with_clause" && name != "relation" {
                self.value(value);
            }
        }
        self.scopes.pop();
    }

    /// A relation that is written: its triggers, rules, defaults and cascades too.
    pub fn written(&mut self, actions: &[Action], object: Object) {
        let Object::Table { schema, name } = &object else { return self.effect(actions[0], object) };
        let (schema, name) = (schema.clone(), name.clone());
        self.statement.tables.push(format!("{schema}.{name}"));
        actions.iter().for_each(|action| self.effect(*action, object.clone()));
        let mut seen = BTreeSet::new();
        let mut next = vec![(actions.to_vec(), schema, name)];
        while let Some((actions, schema, name)) = next.pop() {
            if !seen.insert((actions.clone(), schema.clone(), name.clone())) {
                continue;
            }
            let Some(relation) = self.catalog.relation(&schema, &name).cloned() else { continue };
            for hazard in &relation.on_write {
                self.effect(Action::Opaque, Object::Table { schema: schema.clone(), name: name.clone() });
                self.statement.notes.push(format!("writing {schema}.{name}: {hazard}"));
            }
            if relation.kind == 'v' {
                self.view(&schema, &name, &relation, &actions);
            }
            let removes = actions.iter().any(|a| matches!(a, Action::Delete | Action::Merge | Action::Update));
            for (action, child_schema, child) in relation.cascades.iter().filter(|_| removes) {
                let object = Object::Table { schema: child_schema.clone(), name: child.clone() };
                self.effect(*action, object);
                self.statement.notes.push(format!("a foreign key passes it on to {child_schema}.{child}"));
                next.push((vec![*action], child_schema.clone(), child.clone()));
            }
        }
    }

    /// A relation that is read (or, in DDL, named).
    fn relation(&mut self, fields: &Value) {
        let name = text(fields, "relname");
        let in_sight = text(fields, "schemaname").is_empty() && self.scopes.iter().any(|s| s.contains(name));
        if !in_sight {
            self.relation_unscoped(fields);
        }
    }

    fn relation_unscoped(&mut self, fields: &Value) {
        for object in self.resolve(fields, self.naming != Action::Select) {
            if let Object::Table { schema, name } = &object {
                self.statement.tables.push(format!("{schema}.{name}"));
                if let Some(relation) = self.catalog.relation(schema, name).cloned() {
                    for hazard in &relation.on_read {
                        self.effect(Action::Opaque, object.clone());
                        self.statement.notes.push(format!("reading {schema}.{name}: {hazard}"));
                    }
                    self.view(schema, name, &relation, &[]);
                }
                self.effect(self.naming, object);
            } else {
                self.effect(Action::Temp, object);
            }
        }
    }

    /// What a view reads and calls; written through, its base tables are written.
    fn view(&mut self, schema: &str, name: &str, relation: &Relation, writes: &[Action]) {
        let Some(query) = relation.query.clone().filter(|_| !relation.system && relation.kind == 'v') else { return };
        if self.views >= VIEWS {
            return self.opaque(format!("the views below {schema}.{name} nest too deep"));
        }
        let names = Names { search_path: vec!["pg_catalog".to_owned()], ..Names::default() };
        let mut inner = Walk::new(self.catalog, &names);
        inner.views = self.views + 1;
        match super::parse::statements(&query).as_deref() {
            Ok([one]) => inner.node(&one.kind, &one.fields),
            _ => inner.opaque(format!("the view {schema}.{name} could not be read")),
        }
        let (found, doubt) = (inner.statement, inner.doubt);
        if !writes.is_empty() {
            for effect in found.effects.iter().filter(|e| e.action == Action::Select) {
                self.written(writes, effect.object.clone());
            }
        }
        self.statement.effects.extend(found.effects);
        self.statement.tables.extend(found.tables);
        self.statement.functions.extend(found.functions);
        self.statement.notes.extend(found.notes);
        self.doubt = self.doubt.take().or(doubt);
    }

    /// What a name may mean. A temporary relation is `Object::Connection`: its action is `temp`.
    pub fn resolve(&mut self, fields: &Value, lenient: bool) -> Vec<Object> {
        let (schema, name) = (text(fields, "schemaname"), text(fields, "relname"));
        let table = |schema: &str| Object::Table { schema: schema.to_owned(), name: name.to_owned() };
        if schema.starts_with("pg_temp") {
            return vec![Object::Connection];
        }
        let mut found = Vec::new();
        if schema.is_empty() {
            if self.names.temporary.iter().any(|temporary| temporary == name) {
                found.push(Object::Connection);
            }
            let path = self.names.search_path.iter();
            found.extend(path.filter(|s| self.catalog.relation(s, name).is_some()).take(1).map(|s| table(s)));
        } else if self.catalog.relation(schema, name).is_some() {
            found.push(table(schema));
        }
        if found.is_empty() && lenient {
            let schema = if schema.is_empty() { self.creation_schema() } else { schema.to_owned() };
            found.push(table(&schema));
        } else if found.is_empty() {
            let written = if schema.is_empty() { name.to_owned() } else { format!("{schema}.{name}") };
            self.opaque(format!("{written} is not in the catalog"));
            self.doubt.get_or_insert(Doubt::UnknownRelation { name: written });
        }
        found
    }

    fn function(&mut self, fields: &Value) {
        let names = strings(fields.get("funcname"));
        let args = constants(fields.get("args"));
        self.fields(&serde_json::json!({
            "args": fields.get("args"), "order": fields.get("agg_order"),
            "filter": fields.get("agg_filter"), "over": fields.get("over"),
        }));
        if flag(fields, "agg_distinct") || has(fields, "agg_order") {
            self.comparisons();
        }
        let (schema, name) = match names.as_slice() {
            [name] => (None, name.as_str()),
            [schema, name] => (Some(schema.as_str()), name.as_str()),
            _ => return self.opaque("a function's name has more than two parts"),
        };
        let users: Vec<String> = self.catalog.functions.get(name).into_iter().flatten().cloned().collect();
        let users: Vec<String> = users
            .into_iter()
            .filter(|s| schema.map_or_else(|| self.names.search_path.contains(s), |schema| schema == s))
            .collect();
        for schema in &users {
            let object = Object::Function { schema: schema.clone(), name: name.to_owned() };
            self.effect(Action::Call, object.clone());
            self.effect(Action::Opaque, object);
            self.statement.functions.push(format!("{schema}.{name}"));
            self.statement.notes.push(format!("{schema}.{name}() is not known to be harmless"));
        }
        if schema.is_none_or(|schema| schema == "pg_catalog") {
            self.builtin(name, args.as_deref(), !users.is_empty());
        } else if users.is_empty() {
            self.opaque(format!("there is no function {}", names.join(".")));
        }
    }

    fn builtin(&mut self, name: &str, args: Option<&[String]>, shadowed: bool) {
        self.statement.functions.push(format!("pg_catalog.{name}"));
        let first = args.and_then(<[String]>::first).map(String::as_str);
        match (name, first) {
            _ if builtins::harmless(name) => {}
            _ if builtins::advisory_lock(name) => self.connection(Action::Set),
            ("current_setting", Some(setting)) if settings::own(setting).is_none() => {}
            ("nextval", Some(sequence)) => {
                let (schema, name) = sequence.split_once('.').unwrap_or(("", sequence));
                let plain = |part: &str| part.trim_matches('"').to_owned();
                let rel = serde_json::json!({ "schemaname": plain(schema), "relname": plain(name) });
                for object in self.resolve(&rel, false) {
                    self.effect(Action::Update, object);
                }
            }
            ("pg_notify", _) => self.connection(Action::Notify),
            ("set_config", Some(setting)) => {
                let kind = serde_json::json!({ "name": setting, "kind": 1, "args": [] });
                let mut statement = Statement::default();
                if settings::set(&kind, self.names, &mut statement).is_some() {
                    return self.opaque("countersign.* is set with SET alone");
                }
                // The value may be anything, the pinned ones among them.
                if matches!(setting.to_ascii_lowercase().as_str(), "client_encoding" | "standard_conforming_strings") {
                    return self.connection(Action::Privilege);
                }
                self.statement.effects.append(&mut statement.effects);
                self.statement.changes_session = true;
            }
            ("pg_cancel_backend" | "pg_terminate_backend" | "pg_reload_conf" | "pg_rotate_logfile", _) => {
                self.connection(Action::Server);
            }
            _ if name.starts_with("pg_read_") || name.starts_with("pg_ls_") || name.starts_with("lo_") => {
                self.connection(Action::Server);
            }
            _ if shadowed => {}
            _ => self.opaque(format!("{name}() is not known to be harmless")),
        }
    }

    fn operator(&mut self, kind: &str, fields: &Value) {
        let names = strings(fields.get(if kind == "SortBy" { "use_op" } else { "name" }));
        self.operator_name(&names);
        // IN, BETWEEN, NULLIF, IS DISTINCT FROM and ORDER BY compare without naming an operator.
        if kind == "SortBy" || number(fields, "kind") > 1 {
            self.comparisons();
        }
    }

    fn operator_name(&mut self, names: &[String]) {
        if names.first().is_some_and(|first| names.len() > 1 && first == "pg_catalog") {
            return;
        }
        if let Some(name) = names.last().filter(|name| self.catalog.operators.contains(*name)) {
            let why = format!("the database has an operator {name} of its own");
            self.opaque(why);
        }
    }

    fn comparisons(&mut self) {
        if COMPARISONS.iter().any(|name| self.catalog.operators.contains(*name)) {
            self.opaque("the database has a comparison operator of its own");
        }
    }

    /// `t.f` reads a column, or calls a function of the row.
    fn attribute(&mut self, names: &[String]) {
        if let Some(name) = names.last().filter(|name| self.catalog.attribute_functions.contains(*name)) {
            let why = format!("{name} may be a function of the row");
            self.opaque(why);
        }
    }
}
