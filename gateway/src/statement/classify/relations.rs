//! Relations by name, and what reading or writing one brings along.

use std::sync::Arc;

use pg_query::protobuf::RangeVar;

use super::{
    Doubt,
    walk::{Place, Walk},
};
use crate::{
    catalog::{Derived, Events, Relation},
    statement::effect::{Action, Object},
};

/// What a name may mean. Where it is ambiguous, all of it counts.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// A temporary relation of the session.
    pub temporary: bool,
    /// A relation of the catalog.
    pub relation: Option<Arc<Relation>>,
}

/// The system views that read files of the server.
const READS_FILES: [&str; 3] = ["pg_file_settings", "pg_hba_file_rules", "pg_ident_file_mappings"];

/// Whether a schema is the session's own for temporary objects, or another session's.
#[must_use]
pub fn is_temporary_schema(schema: &str) -> bool {
    schema == "pg_temp" || schema.starts_with("pg_temp_")
}

pub(super) fn temporary_object(name: &str) -> Object {
    Object::Table { schema: "pg_temp".to_owned(), name: name.to_owned() }
}

pub(super) fn table_object(relation: &Relation) -> Object {
    Object::Table { schema: relation.schema.clone(), name: relation.name.clone() }
}

pub(super) fn written(schema: &str, name: &str) -> String {
    if schema.is_empty() { name.to_owned() } else { format!("{schema}.{name}") }
}

impl Walk<'_> {
    /// The schemas that an unqualified name is looked for in, in order.
    pub fn path(&self) -> impl Iterator<Item = &str> {
        let listed: &[String] = if self.place == Place::Text { &self.names.search_path } else { &[] };
        let implicit = if listed.iter().any(|schema| schema == "pg_catalog") { None } else { Some("pg_catalog") };
        implicit.into_iter().chain(listed.iter().map(String::as_str)).filter(|schema| !is_temporary_schema(schema))
    }

    pub fn meaning(&mut self, schema: &str, name: &str) -> Meaning {
        self.found.uses_names = true;
        let is_temporary = || self.names.temporary.contains_key(name);
        if is_temporary_schema(schema) {
            return Meaning { temporary: is_temporary(), relation: None };
        }
        if !schema.is_empty() {
            let relation = self.snapshot.relation(schema, name).cloned();
            if let Some(relation) = &relation {
                self.resolves(relation.oid);
            }
            return Meaning { temporary: false, relation };
        }
        let (relation, several) = {
            let mut all = self.path().filter_map(|schema| self.snapshot.relation(schema, name));
            (all.next().cloned(), all.next().is_some())
        };
        if let Some(relation) = &relation {
            self.resolves(relation.oid);
        }
        if several && self.plans_are_kept {
            // A plan from before the first of them was there goes on with another.
            self.opaque(format!(
                "which {name} a function uses of several on the search path rests on what came before"
            ));
        }
        // A temporary relation hides a permanent one; but it may be gone, with a rollback for
        // instance, so that both count.
        Meaning { temporary: self.place == Place::Text && is_temporary(), relation }
    }

    pub fn unknown_relation(&mut self, schema: &str, name: &str) {
        if !self.snapshot.is_known() {
            self.opaque("the database's catalog is not known, so its names can't be resolved");
            return;
        }
        let name = written(schema, name);
        self.opaque(format!("there is no relation {name} in the catalog that was read"));
        self.found.doubt.get_or_insert(Doubt::UnknownRelation { name });
    }

    /// The objects that a name may mean; none for an unknown one, which is then opaque.
    pub fn objects_of(&mut self, n: &RangeVar) -> Vec<Object> {
        let meaning = self.meaning(&n.schemaname, &n.relname);
        let mut objects = Vec::new();
        if meaning.temporary {
            objects.push(temporary_object(&n.relname));
        }
        objects.extend(meaning.relation.as_deref().map(table_object));
        if objects.is_empty() {
            self.unknown_relation(&n.schemaname, &n.relname);
        }
        objects
    }

    /// A name in FROM.
    pub fn read(&mut self, n: &RangeVar) {
        if n.schemaname.is_empty() && self.with_names.contains(&n.relname) {
            return;
        }
        self.read_target(n);
    }

    /// A name that can't be a common table expression.
    pub fn read_target(&mut self, n: &RangeVar) {
        let meaning = self.meaning(&n.schemaname, &n.relname);
        if meaning.temporary {
            self.effect(Action::Temp, temporary_object(&n.relname));
            self.use_temporary(&n.relname, Events::READ);
        }
        match meaning.relation {
            Some(relation) => self.read_relation(&relation),
            None if meaning.temporary => {}
            None => self.unknown_relation(&n.schemaname, &n.relname),
        }
    }

    pub fn read_relation(&mut self, relation: &Arc<Relation>) {
        self.effect(Action::Select, table_object(relation));
        self.found.tables.insert(format!("{}.{}", relation.schema, relation.name));
        if relation.is_builtin() {
            if READS_FILES.contains(&relation.name.as_str()) {
                self.server();
            }
            return;
        }
        self.follow(relation, Events::READ);
        self.use_temporary_children(relation.oid, Events::READ);
    }

    /// A relation that is written to. Its name never means a common table expression.
    pub fn write(&mut self, n: Option<&RangeVar>, action: Action, event: Events) {
        let Some(n) = n else {
            self.opaque("a write without a target");
            return;
        };
        let meaning = self.meaning(&n.schemaname, &n.relname);
        if meaning.temporary {
            self.effect(Action::Temp, temporary_object(&n.relname));
            self.use_temporary(&n.relname, event);
        }
        match meaning.relation {
            Some(relation) => self.write_relation(&relation, action, event),
            None if meaning.temporary => {}
            None => self.unknown_relation(&n.schemaname, &n.relname),
        }
    }

    pub fn write_relation(&mut self, relation: &Arc<Relation>, action: Action, event: Events) {
        self.found.tables.insert(format!("{}.{}", relation.schema, relation.name));
        if self.planned {
            // The planner runs what is marked immutable in views, defaults and policies.
            self.read_relation(relation);
            self.code_of(relation);
            return;
        }
        self.effect(action, table_object(relation));
        if relation.is_builtin() {
            // The catalog's own rows say who may do what, and some views of it set settings.
            self.effect(Action::Privilege, table_object(relation));
            self.note(format!("it writes to the system catalog {}.{}", relation.schema, relation.name));
            return;
        }
        if event != Events::default() {
            self.follow(relation, event);
            self.use_temporary_children(relation.oid, event);
        }
    }

    /// Adds what an event on a relation brings along. Found once per snapshot.
    pub fn follow(&mut self, relation: &Arc<Relation>, event: Events) {
        if self.place != Place::Text || self.nested {
            // Within a stored query or a body everything is followed once, into one result: kept results
            // must be whole, and foreign keys may run in circles.
            if self.followed.insert((relation.oid, event.0)) {
                self.expand(relation, event);
            }
            return;
        }
        // Temporary children are this session's alone.
        let inherits = self.names.temporary.values().any(|made| !made.parents.is_empty());
        let slot = relation.memo.slot(event).filter(|_| !inherits);
        if let Some(derived) = slot.and_then(|slot| slot.get()) {
            self.found.merge(derived);
            return;
        }
        let mut inner = Walk::stored(self.snapshot, self.names, Place::Stored, 0);
        (inner.planned, inner.stored) = (self.planned, self.stored);
        inner.followed.insert((relation.oid, event.0));
        inner.expand(relation, event);
        self.stored = inner.stored;
        let found = inner.found;
        match slot {
            Some(slot) if found.is_plain() && !self.planned => {
                let derived = Derived {
                    effects: found.effects,
                    tables: found.tables,
                    functions: found.functions,
                    notes: found.notes,
                };
                self.found.merge(slot.get_or_init(|| Arc::new(derived)));
            }
            _ => self.found.absorb(found),
        }
    }

    /// TRUNCATE … CASCADE: every table whose foreign key points here, and on.
    pub fn truncate_referrers(&mut self, n: &RangeVar) {
        let Some(first) = self.meaning(&n.schemaname, &n.relname).relation else { return };
        let mut seen = vec![first.oid];
        let mut rest = vec![first];
        while let Some(relation) = rest.pop() {
            let below = relation.referrers.iter().map(|referrer| &referrer.child).chain(&relation.children);
            for (schema, name) in below {
                match self.snapshot.relation(schema, name).cloned() {
                    Some(child) if seen.contains(&child.oid) => {}
                    Some(child) => {
                        seen.push(child.oid);
                        self.write_relation(&child, Action::Truncate, Events::TRUNCATE);
                        rest.push(child);
                    }
                    None => self.unknown_relation(schema, name),
                }
            }
        }
    }
}
