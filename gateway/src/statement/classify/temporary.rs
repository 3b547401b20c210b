//! What is temporary: it stands on what is not, which may be replaced after it was made. So whatever it runs
//! counts at every use, as it is then.

use crate::{
    catalog::{Code, Events, Temporary, builtins, temporary::Needs},
    statement::effect::Action,
};

use super::{Names, relations::is_temporary_schema, walk::Walk};

/// A temporary relation, and those that it is made of: its partitions and parents, and what a view names.
pub(super) fn made_of<'n>(names: &'n Names, name: &str) -> Vec<(&'n str, &'n Temporary)> {
    let mut rest: Vec<_> = names.temporary.get_key_value(name).into_iter().collect();
    let mut all: Vec<(&str, &Temporary)> = Vec::new();
    while let Some((name, made)) = rest.pop() {
        if all.iter().any(|(known, _)| known == name) {
            continue;
        }
        all.push((name, made));
        let named = made.runs.relations.iter().filter(|named| is_temporary_schema(&named.schema));
        rest.extend(named.filter_map(|named| names.temporary.get_key_value(&named.name)));
        // A row that goes into a partition is held against the parent's key.
        let related =
            |(_, other): &(&String, &Temporary)| other.parents.contains(&made.oid) || made.parents.contains(&other.oid);
        rest.extend(names.temporary.iter().filter(related));
    }
    all
}

impl Walk<'_> {
    /// All that an event on a temporary relation runs and reaches.
    pub fn use_temporary(&mut self, name: &str, event: Events) {
        for (name, made) in made_of(self.names, name) {
            if !self.followed.insert((made.oid, event.0)) {
                continue;
            }
            self.code_of_temporary(name, made, event);
            self.reached_from(name, &made.runs);
            if event.meets(Events::STORE) {
                self.reached_from(name, &made.defaults);
            }
        }
    }

    /// Temporary tables that inherit from a relation which is not.
    pub fn use_temporary_children(&mut self, oid: u32, event: Events) {
        for (name, child) in &self.names.temporary {
            if child.parents.contains(&oid) {
                self.use_temporary(name, event);
            }
        }
    }

    /// What runs, without the relations that are read.
    pub fn code_of_temporary(&mut self, name: &str, made: &Temporary, event: Events) {
        if made.acts && event != Events::READ {
            self.opaque("a write to a temporary view, or to what has rules or triggers, may go anywhere");
        }
        if made.is_foreign {
            self.opaque(format!("{name} is a temporary foreign table, so that another server carries it out"));
        }
        self.types_of_temporary(name);
        self.needed(name, &made.runs);
        if event.meets(Events::STORE) {
            self.needed(name, &made.defaults);
        }
    }

    /// The types of its columns.
    pub fn types_of_temporary(&mut self, name: &str) {
        let names = self.names;
        for oid in names.temporary.get(name).into_iter().flat_map(|made| &made.types) {
            self.use_type(*oid, name, None);
        }
    }

    fn needed(&mut self, name: &str, needs: &Needs) {
        for (oid, function) in &needs.functions {
            let note = format!("the temporary {name} calls {function}()");
            if *oid >= builtins::FIRST_USER_OID {
                self.run_code(&Code { note, function: Some(*oid) }, &[], None);
            } else if !(builtins::is_harmless(function)
                || builtins::is_information_schema_helper(function)
                || function == "nextval" && needs.moves_known())
            {
                self.opaque(note);
            }
        }
        for (schema, operator) in &needs.operators {
            self.operator_in(operator, |candidate| candidate == schema);
        }
        for oid in &needs.types {
            self.use_type(*oid, name, None);
        }
        if needs.locks {
            self.opaque(format!("the temporary {name} locks the rows that it reads"));
        }
    }

    /// Relations that are not temporary themselves.
    fn reached_from(&mut self, name: &str, needs: &Needs) {
        for named in needs.relations.iter().filter(|named| !is_temporary_schema(&named.schema)) {
            match named.found(self.snapshot).cloned() {
                Some(sequence) if named.is_sequence && needs.moves_known() => {
                    self.write_relation(&sequence, Action::Update, Events::default());
                }
                Some(relation) => self.read_relation(&relation),
                None => self.opaque(format!(
                    "the temporary {name} stands on {}.{}, which is not in the catalog that was read",
                    named.schema, named.name
                )),
            }
        }
    }
}

impl Needs {
    /// Whether it moves sequences, and names them.
    fn moves_known(&self) -> bool {
        self.functions.iter().any(|(oid, name)| *oid < builtins::FIRST_USER_OID && name == "nextval")
            && self.relations.iter().any(|named| named.is_sequence)
    }
}
