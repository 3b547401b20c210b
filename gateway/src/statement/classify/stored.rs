//! What is not in the text: views, triggers, rules, stored expressions, foreign keys, partitions
//! and types of a relation.

use std::{collections::HashSet, sync::Arc};

use pg_query::{NodeEnum, protobuf::RangeVar};

use super::{
    parse, planning,
    relations::table_object,
    walk::{DEEPEST, Found, Place, Walk},
};
use crate::{
    catalog::{Code, Events, Hazard, Kind, Relation, builtins},
    statement::effect::{Action, Effect, Object},
};

impl Walk<'_> {
    /// Finds all that `event` on `relation` brings along, into this walk.
    pub fn expand(&mut self, relation: &Arc<Relation>, event: Events) {
        for hazard in relation.hazards.iter().filter(|hazard| hazard.on.meets(event)) {
            self.hazard(relation, hazard);
        }
        if relation.kind == Kind::Foreign {
            self.opaque_on(relation, "it is a foreign table, so that another server carries it out");
        }
        for expression in &relation.expressions {
            let planned = || expression.is_planned() && !event.meets(Events::TRUNCATE);
            if expression.on.meets(event) || planned() && self.may_run_at_planning(&expression.text) {
                self.stored_expression(Some(relation), &expression.what, &expression.text);
            }
        }
        if !event.meets(Events::TRUNCATE) {
            for column in &relation.columns {
                self.use_type(column.type_oid, &column.name, Some(relation));
            }
        }
        if relation.kind == Kind::View {
            self.expand_view(relation, event);
        }
        self.expand_children(relation, event);
        self.expand_foreign_keys(relation, event);
    }

    /// A trigger, rule or other code on a relation.
    fn hazard(&mut self, relation: &Relation, hazard: &Hazard) {
        let Some(definition) = &hazard.definition else {
            self.run_code(&hazard.code, &hazard.transitions, Some(relation));
            return;
        };
        if !self.may_read(definition) {
            return;
        }
        let place = std::mem::replace(&mut self.place, Place::Stored);
        let with_names = std::mem::take(&mut self.with_names);
        let understood = parse::with_tree(definition, |tree| {
            let tree = tree.ok()?;
            let [only] = tree.stmts.as_slice() else { return None };
            match only.stmt.as_ref().and_then(|node| node.node.as_ref())? {
                NodeEnum::RuleStmt(rule) => {
                    self.maybe(&rule.where_clause);
                    self.list(&rule.actions);
                }
                NodeEnum::CreateTrigStmt(trigger) => {
                    self.maybe(&trigger.when_clause);
                    self.run_code(&hazard.code, &hazard.transitions, Some(relation));
                }
                _ => return None,
            }
            Some(())
        });
        self.place = place;
        self.with_names = with_names;
        if understood.is_none() {
            self.opaque_on(relation, &hazard.code.note);
        }
    }

    pub fn opaque_on(&mut self, relation: &Relation, why: &str) {
        self.effect(Action::Opaque, table_object(relation));
        self.note(format!("{}.{}: {why}", relation.schema, relation.name));
    }

    fn expand_children(&mut self, relation: &Relation, event: Events) {
        for (schema, name) in &relation.children {
            let Some(child) = self.snapshot.relation(schema, name).cloned() else { continue };
            self.follow(&child, event);
            if event == Events::UPDATE {
                // A row that moves to another partition is deleted in one and inserted in the other.
                self.follow(&child, Events::DELETE);
                self.follow(&child, Events::INSERT);
            }
        }
    }

    fn expand_foreign_keys(&mut self, relation: &Relation, event: Events) {
        for referrer in &relation.referrers {
            let rule = match event {
                Events::DELETE => referrer.on_delete,
                Events::UPDATE => referrer.on_update,
                _ => continue,
            };
            let (action, event) = match rule {
                'a' | 'r' => continue,
                'c' if event == Events::DELETE => (Action::Delete, Events::DELETE),
                _ => (Action::Update, Events::UPDATE),
            };
            let (schema, name) = &referrer.child;
            match self.snapshot.relation(schema, name).cloned() {
                Some(child) => {
                    self.note(format!("a foreign key of {schema}.{name} carries it on"));
                    self.write_relation(&child, action, event);
                }
                None => self.unknown_relation(schema, name),
            }
        }
    }

    pub fn expand_view(&mut self, view: &Relation, event: Events) {
        let Some(definition) = &view.definition else {
            self.opaque_on(view, "the view's query is not known");
            return;
        };
        if self.depth >= DEEPEST {
            self.opaque_on(view, "views are nested too deeply");
            return;
        }
        if !self.may_read(definition) {
            return;
        }
        self.depth += 1;
        let place = std::mem::replace(&mut self.place, Place::Stored);
        let with_names = std::mem::take(&mut self.with_names);
        let target = parse::with_tree(definition, |tree| {
            let tree = tree.ok()?;
            let [only] = tree.stmts.as_slice() else { return None };
            let Some(NodeEnum::SelectStmt(select)) = only.stmt.as_ref().and_then(|node| node.node.as_ref()) else {
                return None;
            };
            self.select(select);
            // A view that can be written through has one relation in FROM.
            Some(match select.from_clause.as_slice() {
                [node] => match &node.node {
                    Some(NodeEnum::RangeVar(base)) => Some(base.clone()),
                    _ => None,
                },
                _ => None,
            })
        });
        self.with_names = with_names;
        self.place = place;
        self.depth -= 1;
        match target {
            None => self.opaque_on(view, "the view's query could not be analysed"),
            Some(_) if event == Events::READ => {}
            // What stands in for the write is opaque already.
            Some(_) if view.hazards.iter().any(|hazard| hazard.on.meets(event)) => {}
            Some(Some(base)) => self.write_through(view, &base, event),
            Some(None) => self.opaque_on(view, "it is not known what a write to the view writes to"),
        }
    }

    fn write_through(&mut self, view: &Relation, base: &RangeVar, event: Events) {
        let action = match event {
            Events::INSERT => Action::Insert,
            Events::UPDATE => Action::Update,
            Events::DELETE => Action::Delete,
            _ => {
                self.opaque_on(view, "it is not known what this does to a view");
                return;
            }
        };
        let place = std::mem::replace(&mut self.place, Place::Stored);
        self.write(Some(base), action, event);
        self.place = place;
    }

    /// A default, check, index expression or policy. What a policy reads (in its sub-select) is not shown
    /// to anybody and adds nothing. The others have no sub-selects: what they read, a function reads for
    /// them, and a default may give it away.
    fn stored_expression(&mut self, on: Option<&Relation>, what: &str, text: &str) {
        let place = if what.starts_with("the default of ") { Place::Default } else { Place::Stored };
        let found = self.effects_of_expression(text, place);
        let why = match &found {
            None => Some("it could not be analysed".to_owned()),
            Some(found) if found.effects.iter().any(|effect| effect.action == Action::Opaque) => {
                Some(found.notes.join("; "))
            }
            Some(_) => None,
        };
        match (why, on) {
            (Some(why), Some(relation)) => self.opaque_on(relation, &format!("{what}: {why}")),
            (Some(why), None) => self.opaque(format!("{what}: {why}")),
            (None, _) => {}
        }
        if let Some(mut found) = found {
            let of_policy = what.starts_with("the policy ");
            found.effects.retain(|effect| match effect.action {
                Action::Select => !of_policy,
                action => action != Action::Opaque,
            });
            found.notes.clear();
            found.tables.clear();
            self.found.absorb(found);
        }
    }

    /// Whether the planner may run functions of the database while it reads a check, an index's or a
    /// statistics' expression: those that are given constants, and what is written out in place of
    /// a call. A function that is given a column waits for rows.
    fn may_run_at_planning(&self, text: &str) -> bool {
        if self.snapshot.has_no_code() {
            return false;
        }
        parse::with_tree(&format!("SELECT {text}"), |tree| match tree {
            Ok(tree) => {
                tree.stmts.iter().any(|raw| raw.stmt.as_deref().is_none_or(|node| planning::may_run(self, node)))
            }
            Err(_) => true,
        })
    }

    /// What a stored expression was found to do.
    fn effects_of_expression(&mut self, text: &str, place: Place) -> Option<Found> {
        if self.depth >= DEEPEST || !self.may_read(text) {
            return None;
        }
        let mut inner = Walk::stored(self.snapshot, self.names, place, self.depth + 1);
        inner.stored = self.stored;
        (inner.planned, inner.nested) = (self.planned, self.nested);
        // So that a policy which reads its own table ends. Not given back: what is followed in here
        // is judged here, and may have to be followed again out there.
        inner.followed.clone_from(&self.followed);
        inner.called.clone_from(&self.called);
        let parsed = parse::with_tree(&format!("SELECT {text}"), |tree| match tree {
            Ok(tree) => match tree.stmts.as_slice() {
                [only] => {
                    if let Some(node) = &only.stmt {
                        inner.visit(node);
                    }
                    true
                }
                _ => false,
            },
            Err(_) => false,
        });
        self.stored = inner.stored;
        parsed.then_some(inner.found)
    }

    /// Code that values of a type may run: its own, that of its parts, and a domain's checks. For
    /// people, `column` says where the type is met, if it is one.
    pub fn use_type(&mut self, oid: u32, column: &str, on: Option<&Relation>) {
        let snapshot = self.snapshot;
        let prefix = if column.is_empty() { String::new() } else { format!("column {column}: ") };
        let mut seen = HashSet::new();
        let mut rest = vec![oid];
        while let Some(oid) = rest.pop() {
            if !seen.insert(oid) {
                continue;
            }
            let Some(facts) = snapshot.type_facts(oid) else {
                if oid >= builtins::FIRST_USER_OID && snapshot.is_known() {
                    // A temporary one, for instance.
                    self.opaque(format!("{prefix}there is no type {oid} in the catalog that was read"));
                }
                continue;
            };
            for hazard in &facts.hazards {
                let code = Code { note: format!("{prefix}{}", hazard.note), function: hazard.function };
                self.run_estimated(&code, on);
            }
            rest.extend(&facts.parts);
            for check in &facts.checks {
                self.stored_expression(
                    on,
                    &format!("{prefix}the check of type {}.{}", facts.schema, facts.name),
                    check,
                );
            }
        }
    }

    /// Code that a rewrite of the table runs: its stored expressions and types, and those of what inherits from it.
    pub fn code_of(&mut self, relation: &Arc<Relation>) {
        // 2 is no event.
        if !self.followed.insert((relation.oid, 2)) {
            return;
        }
        for expression in &relation.expressions {
            self.stored_expression(Some(relation), &expression.what, &expression.text);
        }
        for column in &relation.columns {
            self.use_type(column.type_oid, &column.name, Some(relation));
        }
        for (schema, name) in &relation.children {
            if let Some(child) = self.snapshot.relation(schema, name).cloned() {
                self.code_of(&child);
            }
        }
        let names = self.names;
        for (name, _) in names.temporary.iter().filter(|(_, made)| made.parents.contains(&relation.oid)) {
            self.rewrite_temporary(name);
        }
    }

    /// What finds the partition of a row.
    pub fn partition_key(&mut self, relation: &Arc<Relation>) {
        for expression in relation.expressions.iter().filter(|expression| expression.what == "the partition key") {
            self.stored_expression(Some(relation), &expression.what, &expression.text);
        }
    }

    /// Code that ANALYZE, REINDEX, CLUSTER and the making anew of indexes run: of indexes, statistics and types. That of
    /// partitions and of an index's table too.
    pub fn upkeep(&mut self, relation: &Arc<Relation>) {
        if relation.is_builtin() || !self.followed.insert((relation.oid, 0)) {
            return;
        }
        if relation.kind == Kind::Index {
            match relation.of.as_ref().and_then(|(schema, name)| self.snapshot.relation(schema, name)).cloned() {
                Some(table) => self.upkeep(&table),
                None => self.opaque_on(relation, "it is not known what it is an index of"),
            }
            return;
        }
        if relation.kind == Kind::Foreign {
            self.opaque_on(relation, "it is a foreign table, so that another server carries it out");
        }
        for hazard in &relation.hazards {
            // Of what could not be read nothing is known but that it may be an index's.
            let unread = || self.snapshot.is_partial() && hazard.code.function.is_none();
            if hazard.on.meets(Events::READ) || unread() {
                self.hazard(relation, hazard);
            }
        }
        for expression in relation.expressions.iter().filter(|expression| expression.is_kept_up()) {
            self.stored_expression(Some(relation), &expression.what, &expression.text);
        }
        for column in &relation.columns {
            self.use_type(column.type_oid, &column.name, Some(relation));
        }
        for (schema, name) in &relation.children {
            if let Some(child) = self.snapshot.relation(schema, name).cloned() {
                self.upkeep(&child);
            }
        }
        self.use_temporary_children(relation.oid, Events::READ);
    }

    /// Effects that were only planned: what it would write it has merely named.
    pub fn only_planned(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.found.effects);
        let was = std::mem::replace(&mut self.planned, true);
        visit(self);
        self.planned = was;
        let planned = std::mem::replace(&mut self.found.effects, before);
        for Effect { action, object } in planned {
            match (action.group(), action, object) {
                (_, Action::Create | Action::Maintain, _) => {}
                (Some("write" | "ddl"), _, object @ Object::Table { .. }) => self.effect(Action::Select, object),
                (_, action, object) => self.effect(action, object),
            }
        }
    }
}
