//! What the server answered, row by row, into a snapshot. Which function is harmless is decided
//! here, once; everything that may run another is kept as a hazard with a sentence for the card.

use std::collections::HashMap;

use super::{
    builder::Builder,
    builtins,
    snapshot::{Body, Code, Column, Events, Expression, Function, Hazard, Key, Kind, Referrer, Snapshot, TypeFacts},
};

type Row<'a> = &'a [Option<String>];
type Taken = Result<(), String>;

/// A snapshot in the making, by oids.
pub(super) struct Reader {
    builder: Builder,
    keys: HashMap<u32, Key>,
    trusted: HashMap<u32, bool>,
    /// A text was left out.
    partial: bool,
}

/// The first oid that did not come with the server.
const FIRST_OWN: u32 = 16384;

/// The function that something calls: oid, schema, name, stamp, from column `at` on.
struct Called {
    oid: u32,
    label: String,
    name: String,
    stamp: String,
}

fn text(row: Row<'_>, at: usize) -> Result<&str, String> {
    row.get(at).and_then(Option::as_deref).ok_or_else(|| format!("column {} is missing", at + 1))
}

fn oid(row: Row<'_>, at: usize) -> Result<u32, String> {
    text(row, at)?.parse().map_err(|_| format!("column {} is not an oid", at + 1))
}

fn optional_oid(row: Row<'_>, at: usize) -> Result<Option<u32>, String> {
    match row.get(at) {
        Some(Some(_)) => oid(row, at).map(|oid| (oid != 0).then_some(oid)),
        _ => Ok(None),
    }
}

fn optional_text(row: Row<'_>, at: usize) -> Option<&str> {
    row.get(at).and_then(Option::as_deref)
}

fn letter(row: Row<'_>, at: usize) -> Result<char, String> {
    text(row, at)?.chars().next().ok_or_else(|| format!("column {} is empty", at + 1))
}

impl Called {
    /// What it is to whom it is told: `trigger audit calls public.log_change()`.
    fn code(&self, caller: &str) -> Code {
        Code { note: format!("{caller} calls {}", self.label), function: Some(self.oid) }
    }
}

/// From column `at` on.
fn called(row: Row<'_>, at: usize) -> Result<Called, String> {
    let (schema, name) = (text(row, at + 1)?, text(row, at + 2)?);
    Ok(Called {
        oid: oid(row, at)?,
        label: format!("{schema}.{name}()"),
        name: name.to_owned(),
        stamp: text(row, at + 3)?.to_owned(),
    })
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { builder: Builder::new(), keys: HashMap::new(), trusted: HashMap::new(), partial: false }
    }

    pub(super) fn finish(mut self, fingerprint: &str) -> Snapshot {
        for (schema, name) in self.keys.values() {
            let of = self.builder.get(schema, name).and_then(|r| r.of.as_ref()).and_then(|(_, oid)| oid.parse().ok());
            if let Some(of) = of {
                let table = self.keys.get::<u32>(&of).cloned();
                if let Some(index) = self.builder.get(schema, name) {
                    index.of = table;
                }
            }
        }
        self.builder.partial(self.partial).fingerprint(fingerprint).build()
    }

    /// Whether a function is harmless when something other than the statement calls it.
    fn is_harmless(&self, called: &Called) -> bool {
        match self.trusted.get(&called.oid) {
            Some(trusted) => *trusted,
            None => called.oid < builtins::FIRST_USER_OID && builtins::is_harmless(&called.name),
        }
    }

    fn hazard(&mut self, relation: u32, hazard: Hazard) {
        let Some((schema, name)) = self.keys.get(&relation) else { return };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.hazards.push(hazard);
        }
    }

    pub(super) fn schema(&mut self, row: Row<'_>) -> Taken {
        self.builder.stamped_schema(text(row, 0)?, text(row, 1)?);
        Ok(())
    }

    pub(super) fn builtin(&mut self, row: Row<'_>) -> Taken {
        self.builder.builtin(text(row, 0)?);
        Ok(())
    }

    pub(super) fn function(&mut self, row: Row<'_>) -> Taken {
        let function = Function {
            oid: oid(row, 0)?,
            schema: text(row, 1)?.to_owned(),
            name: text(row, 2)?.to_owned(),
            stamp: text(row, 3)?.to_owned(),
            language: text(row, 4)?.to_owned(),
            extension: optional_text(row, 5).map(str::to_owned),
            arguments: (
                text(row, 6)?.parse().map_err(|_| "a number of arguments is none".to_owned())?,
                optional_text(row, 7).and_then(|most| most.parse().ok()),
            ),
            volatile: text(row, 8)? == "true",
            returns_set: text(row, 14)? == "true",
            body: match (text(row, 4)?, optional_text(row, 9), optional_text(row, 10)) {
                (_, _, Some("")) => Body::Unseen,
                ("sql", Some(_), Some(body)) => Body::SqlResolved(body.to_owned()),
                ("sql", Some(body), None) => Body::Sql(body.to_owned()),
                ("internal", Some(code), None) if builtins::is_constructor(code) => Body::Constructor,
                ("plpgsql", Some(body), None) => Body::PlPgSql(body.to_owned()),
                _ => Body::Unseen,
            },
            types: text(row, 11)?.split(' ').filter_map(|oid| oid.parse().ok()).collect(),
            defaults: optional_text(row, 12).map(str::to_owned),
            settings: match optional_text(row, 13) {
                Some(list) => serde_json::from_str(list).map_err(|_| "a function's settings are no list".to_owned())?,
                None => Vec::new(),
            },
        };
        self.partial |= optional_text(row, 10) == Some("");
        self.trusted.insert(function.oid, function.is_trusted());
        self.builder.add_function(function);
        Ok(())
    }

    /// What an aggregate calls. A function of the server's own takes part if it is immutable, or is
    /// harmless by name: it can't be given what it would not be given in an expression.
    pub(super) fn aggregate(&mut self, row: Row<'_>) -> Taken {
        let called = oid(row, 1)?;
        let own = called < builtins::FIRST_USER_OID;
        let plain = own && (text(row, 3)? == "true" || builtins::is_harmless(text(row, 2)?));
        if let Some(aggregate) = self.builder.function_mut(oid(row, 0)?) {
            if !matches!(aggregate.body, Body::Calls(_)) {
                aggregate.body = Body::Calls(Vec::new());
            }
            if let Body::Calls(calls) = &mut aggregate.body
                && !plain
            {
                calls.push(called);
            }
        }
        Ok(())
    }

    pub(super) fn relation(&mut self, row: Row<'_>) -> Taken {
        let (oid, schema, name) = (oid(row, 0)?, text(row, 1)?, text(row, 2)?);
        let relation = self.builder.relation(oid, schema, name, Kind::of(text(row, 3)?));
        relation.definition = row.get(5).cloned().flatten();
        let partial = relation.kind == Kind::View && oid >= FIRST_OWN && relation.definition.is_none();
        self.keys.insert(oid, relation.key());
        self.partial |= partial;
        // An index may come before its table: kept as the table's oid until both are known.
        if let Some(table) = optional_oid(row, 4)? {
            relation.of = Some((String::new(), table.to_string()));
        }
        Ok(())
    }

    pub(super) fn column(&mut self, row: Row<'_>) -> Taken {
        let Some((schema, name)) = self.keys.get(&oid(row, 0)?) else { return Ok(()) };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.columns.push(Column {
                name: text(row, 1)?.to_owned(),
                type_oid: oid(row, 2)?,
                base_oid: oid(row, 4)?,
                number: text(row, 3)?.parse().map_err(|_| "a column's number is none".to_owned())?,
                types: match optional_text(row, 5) {
                    Some(names) => serde_json::from_str(names).map_err(|_| "a type has no name".to_owned())?,
                    None => Vec::new(),
                },
                class: optional_text(row, 6).map(str::to_owned),
            });
        }
        Ok(())
    }

    pub(super) fn definition(&mut self, row: Row<'_>) -> Taken {
        let Some((schema, name)) = self.keys.get(&oid(row, 0)?) else { return Ok(()) };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.rest = Some(text(row, 1)?.parse().map_err(|_| "a definition's hash is none".to_owned())?);
        }
        Ok(())
    }

    pub(super) fn inherits(&mut self, row: Row<'_>) -> Taken {
        let (parent, child) = (oid(row, 0)?, oid(row, 1)?);
        let (Some((schema, name)), Some(child)) = (self.keys.get(&parent), self.keys.get(&child)) else {
            return Ok(());
        };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.children.push(child.clone());
        }
        Ok(())
    }

    pub(super) fn foreign_key(&mut self, row: Row<'_>) -> Taken {
        let (parent, child) = (oid(row, 0)?, oid(row, 1)?);
        let (Some((schema, name)), Some(child)) = (self.keys.get(&parent), self.keys.get(&child)) else {
            return Ok(());
        };
        // Of a partition's part of a key the whole key tells.
        let columns = match (optional_oid(row, 4)?, optional_text(row, 5)) {
            (None, Some(pairs)) => {
                serde_json::from_str(pairs).map_err(|_| "a key's columns are no pairs".to_owned())?
            }
            _ => Vec::new(),
        };
        let (on_delete, on_update) = (letter(row, 2)?, letter(row, 3)?);
        let referrer = Referrer { child: child.clone(), on_delete, on_update, columns };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.referrers.push(referrer);
        }
        Ok(())
    }

    pub(super) fn trigger(&mut self, row: Row<'_>) -> Taken {
        // The server's own trigger functions: the row's text search vector, and skipping an update.
        const HARMLESS: [&str; 3] =
            ["tsvector_update_trigger", "tsvector_update_trigger_column", "suppress_redundant_updates_trigger"];
        let called = called(row, 4)?;
        let definition = optional_text(row, 3);
        let builtin = called.oid < builtins::FIRST_USER_OID && HARMLESS.contains(&called.name.as_str());
        if builtin && definition.is_none() {
            return Ok(());
        }
        let mut code = called.code(&format!("trigger {}", text(row, 2)?));
        let unread = definition == Some("");
        let definition = definition.filter(|_| !unread);
        if unread {
            self.partial = true;
            code.function = None;
        }
        let fixed = |function: &Function| {
            matches!(function.body, Body::SqlResolved(_))
                || function.settings.iter().any(|s| s.starts_with("search_path="))
        };
        let deferrable = text(row, 10)? == "true";
        if deferrable && !self.builder.function_mut(called.oid).is_some_and(|function| fixed(function)) {
            // It may be deferred to the end of the transaction, where names may mean something else.
            code.function = None;
        }
        let kind: u16 = text(row, 1)?.parse().map_err(|_| "tgtype is not a number".to_owned())?;
        let hazard = Hazard {
            on: Events((kind & 0x3c) as u8),
            code,
            definition: definition.map(str::to_owned),
            transitions: [optional_text(row, 8), optional_text(row, 9)]
                .into_iter()
                .flatten()
                .map(str::to_owned)
                .collect(),
            stamp: called.stamp,
            deferrable,
        };
        self.hazard(oid(row, 0)?, hazard);
        Ok(())
    }

    pub(super) fn rule(&mut self, row: Row<'_>) -> Taken {
        let on = match letter(row, 1)? {
            '1' => Events::READ,
            '2' => Events::UPDATE,
            '3' => Events::INSERT,
            '4' => Events::DELETE,
            _ => Events::ANY,
        };
        // Without its text, where somebody has locked what it names, it can do anything.
        let definition = row.get(3).cloned().flatten();
        self.partial |= definition.is_none();
        let hazard = Hazard {
            on,
            code: Code::unseen(&format!("rule {} rewrites it", text(row, 2)?)),
            stamp: definition.clone().unwrap_or_default(),
            definition,
            ..Hazard::default()
        };
        self.hazard(oid(row, 0)?, hazard);
        Ok(())
    }

    pub(super) fn expression(&mut self, row: Row<'_>) -> Taken {
        let relation = oid(row, 0)?;
        let Some((schema, name)) = self.keys.get(&relation) else { return Ok(()) };
        let on = match text(row, 1)? {
            "store" => Events::STORE,
            "planned" => Events::default(),
            _ => Events::ANY,
        };
        let Some(source) = row.get(3).cloned().flatten() else {
            let note = format!("{} can't be read while somebody locks the table", text(row, 2)?);
            self.hazard(relation, Hazard { on, code: Code::unseen(&note), ..Hazard::default() });
            self.partial = true;
            return Ok(());
        };
        if let Some(relation) = self.builder.get(schema, name) {
            relation.expressions.push(Expression { on, what: text(row, 2)?.to_owned(), text: source });
        }
        Ok(())
    }

    pub(super) fn index_code(&mut self, row: Row<'_>) -> Taken {
        let called = called(row, 2)?;
        if !self.is_harmless(&called) {
            let code = called.code(text(row, 1)?);
            self.hazard(oid(row, 0)?, Hazard { on: Events::ANY, code, stamp: called.stamp, ..Hazard::default() });
        }
        Ok(())
    }

    pub(super) fn operator(&mut self, row: Row<'_>) -> Taken {
        let called = called(row, 2)?;
        if !self.is_harmless(&called) {
            let (name, schema) = (text(row, 0)?, text(row, 1)?);
            self.builder.operator(schema, name, called.code(&format!("the operator {schema}.{name}")));
        }
        Ok(())
    }

    pub(super) fn type_facts(&mut self, row: Row<'_>) -> Taken {
        let mut parts = Vec::new();
        for at in 3..=6 {
            parts.extend(optional_oid(row, at)?.filter(|part| *part >= builtins::FIRST_USER_OID));
        }
        let facts = TypeFacts {
            schema: text(row, 1)?.to_owned(),
            name: text(row, 2)?.to_owned(),
            parts,
            ..TypeFacts::default()
        };
        self.builder.add_type(oid(row, 0)?, facts);
        Ok(())
    }

    pub(super) fn type_attribute(&mut self, row: Row<'_>) -> Taken {
        let part = oid(row, 1)?;
        if let Some(facts) = self.builder.type_mut(oid(row, 0)?) {
            facts.parts.push(part);
        }
        Ok(())
    }

    pub(super) fn type_check(&mut self, row: Row<'_>) -> Taken {
        let check = text(row, 1)?.to_owned();
        if let Some(facts) = self.builder.type_mut(oid(row, 0)?) {
            facts.checks.push(check);
        }
        Ok(())
    }

    pub(super) fn type_code(&mut self, row: Row<'_>) -> Taken {
        let called = called(row, 2)?;
        let harmless = self.is_harmless(&called);
        let (of, role) = (oid(row, 0)?, text(row, 1)?.to_owned());
        if harmless {
            return Ok(());
        }
        if of < FIRST_OWN {
            // ORDER BY, DISTINCT, GROUP BY and the like run it, and any expression may have the type.
            self.builder.cast(called.code(&role));
        } else if let Some(facts) = self.builder.type_mut(of) {
            let caller = format!("{role} of type {}.{}", facts.schema, facts.name);
            facts.hazards.push(called.code(&caller));
        }
        Ok(())
    }

    pub(super) fn cast(&mut self, row: Row<'_>) -> Taken {
        let called = called(row, 3)?;
        if self.is_harmless(&called) {
            return Ok(());
        }
        let code = called.code(&format!("the cast from {}", text(row, 2)?));
        let mut of_own_type = false;
        for oid in [oid(row, 0)?, oid(row, 1)?] {
            if let Some(facts) = self.builder.type_mut(oid) {
                facts.hazards.push(code.clone());
                of_own_type = true;
            }
        }
        // A whole row has a type that no text names.
        let of_rows = row.get(7).and_then(Option::as_deref) == Some("true");
        if !of_own_type || of_rows {
            self.builder.cast(code);
        }
        Ok(())
    }

    pub(super) fn event_trigger(&mut self, row: Row<'_>) -> Taken {
        let called = called(row, 1)?;
        self.builder.event_trigger(called.code(&format!("event trigger {}", text(row, 0)?)));
        Ok(())
    }
}
