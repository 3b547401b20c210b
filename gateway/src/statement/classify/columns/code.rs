//! What runs beside the text: functions, operators, types, triggers. Values given to code that may
//! do more than compute are a `source`, and whatever tables such code uses are used as a whole.

use std::sync::Arc;

use pg_query::{
    NodeEnum,
    protobuf::{Node, TypeName},
};

use super::{Use, reader::Reader, scope::Value};
use crate::{
    catalog::{Body, Events, Key, Kind, Relation, builtins},
    statement::{
        classify::{
            functions::{schema_and_name, strings},
            parse,
            relations::is_temporary_schema,
            temporary::made_of,
            walk::{Found, Place, Walk},
        },
        effect::{Action, Object},
    },
};

impl<'a> Reader<'a> {
    pub fn walk(&self) -> Walk<'a> {
        if self.stored {
            Walk::stored(self.snapshot, self.names_of_session(), Place::Stored, 0)
        } else {
            Walk::new(self.snapshot, self.names_of_session())
        }
    }

    fn names_of_session(&self) -> &'a crate::statement::classify::Names {
        self.names
    }

    /// A call with arguments that are not in the text.
    pub fn call(&mut self, schema: &str, name: &str, count: usize, values: &Value) {
        self.call_with(schema, name, &vec![Node::default(); count], values);
    }

    /// A call, with all that its arguments rest on.
    pub fn call_with(&mut self, schema: &str, name: &str, args: &[Node], values: &Value) {
        let own = self.snapshot.functions(name);
        let of_server = schema.is_empty() || schema == "pg_catalog";
        let plain = own.is_empty() && self.snapshot.types_named(name).is_empty();
        if of_server && plain && builtins::is_harmless(name) {
            return;
        }
        let may_do_more = own.iter().any(|function| !function.is_trusted());
        let mut walk = self.walk();
        walk.function(schema, name, Some(args));
        self.ran(walk.found, may_do_more, values);
    }

    pub fn operator(&mut self, name: &[Node], values: &Value) {
        if !self.snapshot.cast_hazards().is_empty() {
            // A cast or a comparison of the database's own may be what carries it out, and be told the values.
            self.record(values, Use::Source);
        }
        let Some(last) = strings(name).last().copied() else { return };
        let temporary = || strings(name).first().is_some_and(|schema| is_temporary_schema(schema));
        if self.snapshot.operator_hazards(last).is_empty() && !temporary() {
            return;
        }
        let mut walk = self.walk();
        walk.operator(name);
        self.ran(walk.found, false, values);
    }

    /// An operator that a construct means without naming it.
    pub fn equality(&mut self, values: &Value) {
        if !self.snapshot.operator_hazards("=").is_empty() {
            let mut walk = self.walk();
            walk.operator_named("=");
            self.ran(walk.found, false, values);
        }
    }

    pub fn type_name(&mut self, n: Option<&TypeName>, values: &Value) {
        let Some(n) = n else { return };
        let (_, name) = schema_and_name(&n.names);
        if self.snapshot.types_named(&name).is_empty() && !self.names.temporary_types.contains(&name) {
            return;
        }
        let mut walk = self.walk();
        walk.type_name(Some(n));
        self.ran(walk.found, false, values);
    }

    /// Casts that may be meant without a word.
    pub fn casts(&mut self) {
        for code in self.snapshot.cast_hazards() {
            let mut walk = self.walk();
            walk.run_code(code, &[], None);
            self.beyond(walk.found);
        }
    }

    pub fn ran(&mut self, found: Found, may_do_more: bool, values: &Value) {
        if may_do_more || !found.effects.is_empty() || !found.executed.is_empty() {
            self.record(values, Use::Source);
        }
        let reads = |effect: &crate::statement::effect::Effect| effect.action == Action::Select;
        if !found.effects.iter().chain(&found.executed).all(reads) {
            self.may_be_conditional();
        }
        self.beyond(found);
    }

    /// Code that leaves something behind: whether it runs may rest on any column in scope, and what it
    /// leaves then tells of that.
    pub fn may_be_conditional(&mut self) {
        for at in 0..self.scopes.len() {
            let level = std::mem::take(&mut self.scopes[at]);
            let mut all = self.whole(&level.star);
            for item in &level.items {
                all.add(&self.whole(&item.rows));
            }
            self.scopes[at] = level;
            self.record_own(&all, Use::Source);
        }
    }

    /// What a temporary relation runs, and the views that it reads: both may be others than when it was made.
    pub fn temporary(&mut self, name: &str) {
        for (name, made) in made_of(self.names, name) {
            let mut walk = self.walk();
            walk.code_of_temporary(name, made, Events::READ);
            self.ran(walk.found, false, &Value::default());
            for named in made.runs.relations.iter().filter(|named| !is_temporary_schema(&named.schema)) {
                match named.found(self.snapshot).cloned() {
                    Some(view) if view.kind == Kind::View => {
                        let rows = self.rows_of(&view, true);
                        let all = self.whole(&rows);
                        self.record(&all, Use::Source);
                    }
                    Some(table) => {
                        // Which of its columns show was asked about when the view was made.
                        if self.muted == 0 {
                            self.met.insert(table.key());
                        }
                        self.set_off(&table, Events::READ);
                    }
                    None => self.doubt(format!("{}.{} is not in the catalog that was read", named.schema, named.name)),
                }
            }
        }
    }

    /// Takes over what code does that is no part of the text.
    fn beyond(&mut self, found: Found) {
        if self.muted > 0 {
            return;
        }
        for effect in found.effects.iter().chain(&found.executed) {
            match &effect.object {
                Object::Table { schema, name } => {
                    self.touched(effect.action, &(schema.clone(), name.clone()));
                }
                _ if effect.action == Action::Opaque => self.doubt("a function of it can't be seen into"),
                _ => {}
            }
        }
    }

    /// A table of which no more is known than that this is done to it.
    pub fn touched(&mut self, action: Action, table: &Key) {
        let every = self.every_column(table);
        match action {
            Action::Select | Action::CopyOut | Action::Alter | Action::Opaque => {
                for role in Use::ALL {
                    self.record(&every, role);
                }
            }
            Action::Insert | Action::Update | Action::Merge | Action::CopyIn => self.write(&every),
            // Rows go, or nothing but their table does.
            _ => {}
        }
    }

    pub fn every_column(&mut self, table: &Key) -> Value {
        let relation = self.snapshot.relation(&table.0, &table.1);
        let names: Vec<&str> = match relation {
            Some(relation) if !relation.columns.is_empty() => {
                relation.columns.iter().map(|column| column.name.as_str()).collect()
            }
            _ => vec!["*"],
        };
        self.spend(names.len());
        Value::over(names.into_iter().map(|name| self.number(table, name)).collect())
    }

    /// Triggers, rules, defaults, foreign keys and partitions that an event on a relation sets off.
    pub fn set_off(&mut self, relation: &Arc<Relation>, event: Events) {
        if self.muted > 0 || relation.is_builtin() {
            return;
        }
        let sees_rows = relation.hazards.iter().any(|hazard| hazard.on.meets(event));
        if relation.kind == Kind::View
            && !sees_rows
            && let Some(base) = self.behind(relation)
        {
            self.touched(Action::Update, &base.key());
            self.set_off(&base, event);
            return;
        }
        let mut walk = self.walk();
        walk.follow(relation, event);
        if sees_rows {
            match self.quiet_triggers(relation, event, &walk.found) {
                Some(bodies) => {
                    let key = relation.key();
                    self.others += 1;
                    self.touched(Action::Select, &key);
                    self.others -= 1;
                    self.triggers.extend(bodies.into_iter().map(|body| (key.clone(), body)));
                }
                None => self.touched(Action::Select, &relation.key()),
            }
        }
        self.beyond(walk.found);
    }

    /// The bodies of triggers that do nothing but read, and at most change the row that is written; `None`
    /// where that is not all that is set off.
    fn quiet_triggers(&self, relation: &Relation, event: Events, found: &Found) -> Option<Vec<String>> {
        let reads = |effect: &crate::statement::effect::Effect| effect.action == Action::Select;
        if relation.kind != Kind::Table || !found.effects.iter().chain(&found.executed).all(reads) {
            return None;
        }
        let met = relation.hazards.iter().filter(|hazard| hazard.on.meets(event));
        met.map(|hazard| match &self.snapshot.function(hazard.code.function?)?.body {
            Body::PlPgSql(body) if hazard.definition.is_none() && hazard.transitions.is_empty() => Some(body.clone()),
            _ => None,
        })
        .collect()
    }

    /// The one relation that a view reads, to which a write through it goes.
    fn behind(&mut self, view: &Relation) -> Option<Arc<Relation>> {
        let definition = view.definition.as_ref().filter(|definition| self.spend(definition.len()))?;
        let base = parse::with_tree(definition, |tree| {
            let tree = tree.ok()?;
            let [only] = tree.stmts.as_slice() else { return None };
            let NodeEnum::SelectStmt(select) = only.stmt.as_ref()?.node.as_ref()? else { return None };
            let [only] = select.from_clause.as_slice() else { return None };
            match only.node.as_ref()? {
                NodeEnum::RangeVar(base) => Some(base.clone()),
                _ => None,
            }
        })?;
        let base = self.snapshot.relation(&base.schemaname, &base.relname).cloned()?;
        // A view of views is followed as deep as views are.
        (base.oid != view.oid).then_some(base)
    }
}
