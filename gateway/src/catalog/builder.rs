//! Puts a snapshot together, from the server's answers or, in tests, from a few lines.

use std::{collections::HashMap, sync::Arc};

use super::{
    builtins,
    snapshot::{
        Body, Code, Column, Events, Expression, Function, Hazard, Key, Kind, Memo, Referrer, Relation, Snapshot,
        TypeFacts,
    },
};

/// A snapshot in the making. Every method takes facts as the catalog has them.
#[derive(Debug, Default)]
pub struct Builder {
    snapshot: Snapshot,
    relations: HashMap<Key, Relation>,
    next_oid: u32,
}

impl Builder {
    /// Of a database with the server's own functions and nothing else.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = Self { next_oid: builtins::FIRST_USER_OID, ..Self::default() };
        builder.snapshot.builtin_functions =
            builtins::not_harmless().chain(builtins::harmless()).map(str::to_owned).collect();
        builder.snapshot.schemas.extend(["pg_catalog", "information_schema", "public"].map(str::to_owned));
        builder
    }

    /// See [`Snapshot::is_partial`].
    pub fn partial(&mut self, partial: bool) -> &mut Self {
        self.snapshot.partial = partial;
        self
    }

    /// The answer of the cheap version check.
    pub fn fingerprint(&mut self, fingerprint: &str) -> &mut Self {
        fingerprint.clone_into(&mut self.snapshot.fingerprint);
        self
    }

    /// A schema.
    pub fn schema(&mut self, name: &str) -> &mut Self {
        self.snapshot.schemas.insert(name.to_owned());
        self
    }

    /// A schema, with what changes whenever it or its rights do.
    pub fn stamped_schema(&mut self, name: &str, stamp: &str) -> &mut Self {
        self.snapshot.schema_stamp += &format!("{name:?}={stamp};");
        self.schema(name)
    }

    /// A function of the server's own.
    pub fn builtin(&mut self, name: &str) -> &mut Self {
        self.snapshot.builtin_functions.insert(name.to_owned());
        self
    }

    /// A relation, without what hangs on it.
    pub fn relation(&mut self, oid: u32, schema: &str, name: &str, kind: Kind) -> &mut Relation {
        self.snapshot.schemas.insert(schema.to_owned());
        self.relations.entry((schema.to_owned(), name.to_owned())).or_insert_with(|| Relation {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind,
            columns: Vec::new(),
            definition: None,
            of: None,
            hazards: Vec::new(),
            expressions: Vec::new(),
            children: Vec::new(),
            referrers: Vec::new(),
            rest: None,
            memo: Memo::default(),
        })
    }

    /// The relation of that name, if it was added.
    pub fn get(&mut self, schema: &str, name: &str) -> Option<&mut Relation> {
        self.relations.get_mut(&(schema.to_owned(), name.to_owned()))
    }

    fn oid(&mut self) -> u32 {
        self.next_oid += 1;
        self.next_oid
    }

    fn split(qualified: &str) -> (&str, &str) {
        qualified.split_once('.').unwrap_or(("public", qualified))
    }

    /// A table of the database's own: `table("public.orders", &["id", "status"])`.
    pub fn table(&mut self, qualified: &str, columns: &[&str]) -> &mut Self {
        let (oid, (schema, name)) = (self.oid(), Self::split(qualified));
        let relation = self.relation(oid, schema, name, Kind::Table);
        relation.columns = (1..)
            .zip(columns)
            .map(|(number, name)| Column {
                name: (*name).to_owned(),
                type_oid: 25,
                base_oid: 25,
                number,
                ..Column::default()
            })
            .collect();
        self
    }

    /// Another relation of the database's own.
    pub fn other(&mut self, qualified: &str, kind: Kind) -> &mut Self {
        let (oid, (schema, name)) = (self.oid(), Self::split(qualified));
        self.relation(oid, schema, name, kind);
        self
    }

    /// A relation that came with the server.
    pub fn system(&mut self, qualified: &str, kind: Kind) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        self.relation(1_259, schema, name, kind);
        self
    }

    /// A view with its stored query.
    pub fn view(&mut self, qualified: &str, definition: &str) -> &mut Self {
        let (oid, (schema, name)) = (self.oid(), Self::split(qualified));
        self.relation(oid, schema, name, Kind::View).definition = Some(definition.to_owned());
        self
    }

    /// Something on a relation that runs unseen code.
    pub fn hazard(&mut self, qualified: &str, on: Events, note: &str) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        if let Some(relation) = self.get(schema, name) {
            let stamp = note.to_owned();
            relation.hazards.push(Hazard { on, code: Code::unseen(note), stamp, ..Hazard::default() });
        }
        self
    }

    /// A trigger that calls a function which was added before.
    pub fn trigger(&mut self, qualified: &str, on: Events, function: &str) -> &mut Self {
        let called = self.oid_of(function);
        let (schema, name) = Self::split(qualified);
        if let Some(relation) = self.get(schema, name) {
            let code = Code { note: format!("trigger t calls {function}()"), function: called };
            relation.hazards.push(Hazard { on, code, ..Hazard::default() });
        }
        self
    }

    /// A rule with its text.
    pub fn rule(&mut self, qualified: &str, on: Events, definition: &str) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        if let Some(relation) = self.get(schema, name) {
            let (code, stamp) = (Code::unseen("rule r rewrites it"), definition.to_owned());
            relation.hazards.push(Hazard {
                on,
                code,
                definition: Some(definition.to_owned()),
                stamp,
                ..Hazard::default()
            });
        }
        self
    }

    /// An expression stored with a relation.
    pub fn expression(&mut self, qualified: &str, on: Events, what: &str, text: &str) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        if let Some(relation) = self.get(schema, name) {
            relation.expressions.push(Expression { on, what: what.to_owned(), text: text.to_owned() });
        }
        self
    }

    /// A foreign key of `child` that points to `parent`.
    pub fn foreign_key(&mut self, child: &str, parent: &str, on_delete: char, on_update: char) -> &mut Self {
        let child = Self::split(child);
        let child = (child.0.to_owned(), child.1.to_owned());
        let (schema, name) = Self::split(parent);
        if let Some(relation) = self.get(schema, name) {
            relation.referrers.push(Referrer { child, on_delete, on_update, columns: Vec::new() });
        }
        self
    }

    /// A partition, or a table that inherits.
    pub fn child(&mut self, child: &str, parent: &str) -> &mut Self {
        let child = Self::split(child);
        let child = (child.0.to_owned(), child.1.to_owned());
        let (schema, name) = Self::split(parent);
        if let Some(relation) = self.get(schema, name) {
            relation.children.push(child);
        }
        self
    }

    /// A function of the database's own, with one argument.
    pub fn function(&mut self, qualified: &str, language: &str) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        let function = Function {
            oid: self.oid(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            language: language.to_owned(),
            arguments: (1, Some(1)),
            volatile: true,
            ..Function::default()
        };
        self.add_function(function)
    }

    /// A function whose body is known, with any number of arguments.
    pub fn function_with(&mut self, qualified: &str, body: Body) -> &mut Self {
        let (schema, name) = Self::split(qualified);
        let function = Function {
            oid: self.oid(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            volatile: true,
            body,
            ..Function::default()
        };
        self.add_function(function)
    }

    /// A function.
    pub fn add_function(&mut self, function: Function) -> &mut Self {
        let overloads = self.snapshot.functions.entry(function.name.clone()).or_default();
        self.snapshot.functions_by_oid.insert(function.oid, (function.name.clone(), overloads.len()));
        overloads.push(function);
        self
    }

    /// An operator that runs code of the database.
    pub fn operator(&mut self, schema: &str, name: &str, code: Code) -> &mut Self {
        let why = (schema.to_owned(), code);
        self.snapshot.operators.entry(name.to_owned()).or_default().push(why);
        self
    }

    /// The oid of a function that was added.
    #[must_use]
    pub fn oid_of(&self, function: &str) -> Option<u32> {
        let (schema, name) = Self::split(function);
        self.snapshot.functions(name).iter().find(|f| f.schema == schema).map(|f| f.oid)
    }

    /// A function that was added.
    pub fn function_mut(&mut self, oid: u32) -> Option<&mut Function> {
        let (name, index) = self.snapshot.functions_by_oid.get(&oid)?;
        self.snapshot.functions.get_mut(name)?.get_mut(*index)
    }

    /// A type.
    pub fn add_type(&mut self, oid: u32, facts: TypeFacts) -> &mut Self {
        self.snapshot.types_by_name.entry(facts.name.clone()).or_default().push(oid);
        self.snapshot.types.insert(oid, facts);
        self
    }

    /// A type that was added.
    pub fn type_mut(&mut self, oid: u32) -> Option<&mut TypeFacts> {
        self.snapshot.types.get_mut(&oid)
    }

    /// A cast between the server's own types, or a comparison of one, that runs code of the database.
    pub fn cast(&mut self, code: Code) -> &mut Self {
        self.snapshot.casts.push(code);
        self
    }

    /// An enabled event trigger.
    pub fn event_trigger(&mut self, code: Code) -> &mut Self {
        self.snapshot.event_triggers.push(code);
        self
    }

    /// The snapshot. From here on it is known.
    #[must_use]
    pub fn build(&mut self) -> Snapshot {
        let mut snapshot = std::mem::take(&mut self.snapshot);
        snapshot.known = true;
        for ((schema, name), relation) in self.relations.drain() {
            snapshot.relations.entry(schema).or_default().insert(name, Arc::new(relation));
        }
        snapshot
    }
}
