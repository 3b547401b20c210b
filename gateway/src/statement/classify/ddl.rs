//! CREATE, ALTER, GRANT and the like. What a definition would run later is judged when it runs,
//! through the catalog; what it runs at once (a default of a new column, an index expression) now.

use pg_query::{
    NodeEnum,
    protobuf::{
        AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, CompositeTypeStmt, Constraint, CreateDomainStmt,
        CreateForeignTableStmt, CreateFunctionStmt, CreateSchemaStmt, CreateStmt, CreateTableAsStmt, DefineStmt,
        GrantStmt, IndexStmt, IntoClause, Node, ObjectType, PartitionBoundSpec, RangeVar, TableLikeClause, ViewStmt,
    },
};

use super::{
    functions::schema_and_name,
    relations::{is_temporary_schema, temporary_object},
    walk::Walk,
};
use crate::statement::effect::{Action, Object};

impl Walk<'_> {
    /// What every DDL does: names may change, and event triggers fire.
    fn ddl_happens(&mut self) {
        self.found.uses_path = true;
        self.found.changes_objects = true;
        self.found.statement.changes_session = true;
        self.event_triggers_fire();
    }

    /// They fire for more than DDL: rights, labels, REFRESH, and from 17 on REINDEX. Which of them fire for what
    /// is not asked.
    pub fn event_triggers_fire(&mut self) {
        let snapshot = self.snapshot;
        for code in snapshot.event_triggers() {
            self.run_code(code, &[], None);
        }
    }

    /// DDL on something that is not a relation nor a function.
    pub fn ddl(&mut self, action: Action) {
        self.ddl_on(action, Object::Connection);
    }

    pub fn ddl_on(&mut self, action: Action, object: Object) {
        self.ddl_happens();
        self.effect(action, object);
    }

    pub fn function_ddl(&mut self, action: Action, name: &[Node]) {
        let (schema, name) = schema_and_name(name);
        let schema = if schema.is_empty() { self.creation_schema() } else { schema };
        self.ddl_on(action, Object::Function { schema, name });
    }

    /// Where something new without a schema goes: the first schema of the path that exists.
    pub fn creation_schema(&self) -> String {
        let first = || self.path().find(|schema| *schema != "pg_catalog" && self.snapshot.has_schema(schema));
        self.creation_schema.clone().or_else(|| first().map(str::to_owned)).unwrap_or_else(|| "public".to_owned())
    }

    /// Whether something new is temporary: its own schema says so, or the first of the path.
    fn goes_to_temporary(&self, schema: &str) -> bool {
        is_temporary_schema(schema)
            || schema.is_empty() && self.creation_schema.is_none() && self.names.creates_temporary()
    }

    fn is_temporary(&self, n: &RangeVar) -> bool {
        n.relpersistence == "t" || self.goes_to_temporary(&n.schemaname)
    }

    /// A relation that comes into being. `true` if it is temporary.
    fn created_relation(&mut self, n: Option<&RangeVar>) -> bool {
        self.ddl_happens();
        match n {
            None => {
                self.on_connection(Action::Create);
                false
            }
            Some(n) if self.is_temporary(n) => {
                self.effect(Action::Temp, temporary_object(&n.relname));
                true
            }
            Some(n) => {
                let schema = if n.schemaname.is_empty() { self.creation_schema() } else { n.schemaname.clone() };
                self.effect(Action::Create, Object::Table { schema, name: n.relname.clone() });
                false
            }
        }
    }

    pub fn created(&mut self, n: Option<&RangeVar>) {
        self.created_relation(n);
    }

    /// DDL on a relation that exists.
    pub fn relation_ddl(&mut self, action: Action, n: Option<&RangeVar>) {
        self.ddl_happens();
        let Some(n) = n else {
            self.on_connection(action);
            return;
        };
        // Within CREATE SCHEMA, names are first those of the new schema.
        if n.schemaname.is_empty()
            && let Some(schema) = self.creation_schema.clone()
        {
            self.effect(action, Object::Table { schema, name: n.relname.clone() });
        }
        for object in self.objects_of(n) {
            let temporary = matches!(&object, Object::Table { schema, .. } if schema == "pg_temp");
            self.effect(if temporary { Action::Temp } else { action }, object);
        }
    }

    pub fn altered(&mut self, n: Option<&RangeVar>) {
        self.relation_ddl(Action::Alter, n);
    }

    /// A trigger, rule, index or policy, which is made on a relation.
    pub fn hung_on(&mut self, n: Option<&RangeVar>) {
        self.relation_ddl(Action::Create, n);
        // What hangs on a temporary relation acts later, where nobody asks again.
        if n.is_some_and(|n| self.meaning(&n.schemaname, &n.relname).temporary) {
            self.on_connection(Action::Create);
        }
    }

    /// A trigger or rule. On a temporary relation it runs with later statements, which nobody but this session sees, and
    /// of which the catalog says nothing.
    pub fn acts_later(&mut self, n: Option<&RangeVar>) {
        self.hung_on(n);
        if n.is_some_and(|n| self.meaning(&n.schemaname, &n.relname).temporary) {
            self.opaque("what hangs on a temporary relation runs with later statements, where nobody asks again");
        }
    }

    /// Code that a rewrite or validation of the relation runs.
    fn code_of_target(&mut self, n: Option<&RangeVar>) {
        let Some(n) = n else { return };
        let meaning = self.meaning(&n.schemaname, &n.relname);
        if meaning.temporary {
            self.rewrite_temporary(&n.relname);
        }
        if let Some(relation) = meaning.relation {
            self.code_of(&relation);
        }
    }

    pub fn create_table(&mut self, n: &CreateStmt) {
        let temporary = self.created_relation(n.relation.as_ref());
        if temporary {
            // It runs later as `temp`, so that it must be plain now.
            self.definition_of_temporary(|walk| {
                walk.table_definition(n);
                for parent in n.inh_relations.iter().filter_map(|parent| parent.node.as_ref()) {
                    if let NodeEnum::RangeVar(parent) = parent {
                        walk.code_of_target(Some(parent));
                    }
                }
            });
        } else {
            self.table_definition(n);
        }
        for parent in &n.inh_relations {
            match &parent.node {
                Some(NodeEnum::RangeVar(parent)) => {
                    self.altered(Some(parent));
                    if n.partbound.is_some() {
                        // The rows of a default partition are looked at again.
                        self.partition_key_of(parent);
                    }
                }
                _ => self.opaque("a parent of a new kind"),
            }
        }
        if let Some(bound) = &n.partbound {
            self.partition_bound(bound);
        }
    }

    /// Columns, defaults, checks and the partition key.
    fn table_definition(&mut self, n: &CreateStmt) {
        self.list(&n.table_elts);
        self.list(&n.constraints);
        self.list(&n.nnconstraints);
        if let Some(spec) = &n.partspec {
            self.list(&spec.part_params);
        }
        self.type_name(n.of_typename.as_ref());
    }

    pub fn create_foreign_table(&mut self, n: &CreateForeignTableStmt) {
        self.ddl(Action::Create);
        let Some(base) = &n.base_stmt else { return };
        if base.relation.as_ref().is_some_and(|relation| self.is_temporary(relation)) {
            self.opaque("what is done to a temporary foreign table, another server carries out");
        }
        self.create_table(base);
    }

    /// The definition of a temporary relation, or a part of it: whatever in it is not a plain read is opaque, and so
    /// is code of the database's own, which may be other code when the relation is used.
    fn definition_of_temporary(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.found.effects);
        let rested = std::mem::take(&mut self.found.rests_on_session);
        let moved = std::mem::take(&mut self.found.changes_names);
        visit(self);
        let inside = std::mem::replace(&mut self.found.effects, before);
        let reads = inside.iter().all(|effect| effect.action.group() == Some("read"));
        if !reads || self.found.rests_on_session || self.found.changes_names {
            self.opaque(
                "the definition of something temporary does more than read, or calls code of the database's own, which \
                 may be other code whenever it is used",
            );
        }
        self.found.rests_on_session |= rested;
        self.found.changes_names |= moved;
        self.found.effects.extend(inside);
    }

    pub fn column_definition(&mut self, n: &ColumnDef) {
        self.type_name(n.type_name.as_ref());
        self.maybe(&n.raw_default);
        self.maybe(&n.cooked_default);
        self.list(&n.constraints);
    }

    pub fn constraint(&mut self, n: &Constraint) {
        self.maybe(&n.raw_expr);
        self.maybe(&n.where_clause);
        self.list(&n.options);
        for exclusion in &n.exclusions {
            // (index element, operator)
            if let Some(NodeEnum::List(pair)) = &exclusion.node {
                for part in &pair.items {
                    match &part.node {
                        Some(NodeEnum::List(operator)) => self.operator(&operator.items),
                        _ => self.visit(part),
                    }
                }
            } else {
                self.visit(exclusion);
            }
        }
        if let Some(target) = &n.pktable {
            // The referenced table is locked, and gets triggers.
            for object in self.objects_of(target) {
                self.effect(Action::Lock, object);
            }
        }
    }

    /// LIKE copies defaults, checks and index expressions, which run for the copy then.
    pub fn table_like(&mut self, n: &TableLikeClause) {
        // CONSTRAINTS, DEFAULTS, GENERATED, INDEXES and STATISTICS of `TableLikeOption`: without them
        // nothing but columns and their types is copied.
        const CODE: u32 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7;
        if let Some(relation) = &n.relation {
            self.read_target(relation);
            if n.options & CODE != 0 {
                self.code_of_target(Some(relation));
            }
        }
    }

    fn partition_key_of(&mut self, n: &RangeVar) {
        let meaning = self.meaning(&n.schemaname, &n.relname);
        if meaning.temporary {
            self.rewrite_temporary(&n.relname);
        }
        if let Some(relation) = meaning.relation {
            self.partition_key(&relation);
        }
    }

    pub fn partition_bound(&mut self, n: &PartitionBoundSpec) {
        self.list(&n.listdatums);
        self.list(&n.lowerdatums);
        self.list(&n.upperdatums);
    }

    pub fn into(&mut self, n: &IntoClause) {
        self.created_relation(n.rel.as_ref());
        if n.view_query.is_some() {
            self.opaque("an INTO that the analyser has seen already");
        }
    }

    pub fn create_table_as(&mut self, n: &CreateTableAsStmt) {
        if let Some(into) = &n.into {
            self.into(into);
        }
        self.maybe(&n.query);
    }

    pub fn create_view(&mut self, n: &ViewStmt) {
        if self.created_relation(n.view.as_ref()) {
            // Whoever reads it later reads its tables, without their being named again.
            self.on_connection(Action::Create);
            self.note("a temporary view stands for its query in later statements");
            self.definition_of_temporary(|walk| walk.maybe(&n.query));
            return;
        }
        self.only_planned(|walk| walk.maybe(&n.query));
    }

    pub fn create_schema(&mut self, n: &CreateSchemaStmt) {
        let owner = n.authrole.as_ref().map(|role| role.rolename.clone()).unwrap_or_default();
        let schema = if n.schemaname.is_empty() { owner } else { n.schemaname.clone() };
        if n.authrole.is_some() {
            self.privilege();
        }
        self.ddl_on(Action::Create, Object::Schema { schema: schema.clone() });
        // It may be on the path already.
        self.changes_names();
        let outer = self.creation_schema.replace(schema);
        self.list(&n.schema_elts);
        self.creation_schema = outer;
    }

    pub fn create_index(&mut self, n: &IndexStmt) {
        self.relation_ddl(Action::Create, n.relation.as_ref());
        self.definition(n.relation.as_ref(), |walk| {
            walk.list(&n.index_params);
            walk.list(&n.index_including_params);
            walk.maybe(&n.where_clause);
        });
    }

    /// Part of the definition of a relation that exists.
    fn definition(&mut self, n: Option<&RangeVar>, visit: impl FnOnce(&mut Self)) {
        if n.is_some_and(|n| self.meaning(&n.schemaname, &n.relname).temporary) {
            self.definition_of_temporary(visit);
        } else {
            visit(self);
        }
    }

    pub fn create_function(&mut self, n: &CreateFunctionStmt) {
        self.function_ddl(Action::Create, &n.funcname);
        self.options_set(&n.options);
        for option in &n.options {
            if let Some(NodeEnum::DefElem(o)) = &option.node
                && o.defname == "language"
                && !matches!(&o.arg.as_ref().and_then(|a| a.node.as_ref()), Some(NodeEnum::String(s)) if s.sval == "sql" || s.sval == "plpgsql")
            {
                // Native and untrusted languages reach the server itself.
                self.server();
            }
        }
    }

    pub fn create_domain(&mut self, n: &CreateDomainStmt) {
        self.create_code(&n.domainname);
        self.type_name(n.type_name.as_ref());
    }

    pub fn create_composite_type(&mut self, n: &CompositeTypeStmt) {
        self.ddl(Action::Create);
        if n.typevar.as_ref().is_some_and(|name| self.is_temporary(name)) {
            self.temporary_code();
        }
    }

    /// A type or an operator, or what one is made of.
    pub fn create_code(&mut self, name: &[Node]) {
        self.ddl(Action::Create);
        if self.goes_to_temporary(&schema_and_name(name).0) {
            self.temporary_code();
        }
    }

    /// No snapshot has it when it is used.
    fn temporary_code(&mut self) {
        self.opaque("what a temporary type or operator runs, it runs where nobody asks again");
    }

    /// The operator class of an index or of a partition key.
    pub fn operator_class(&mut self, name: &[Node]) {
        if is_temporary_schema(&schema_and_name(name).0) {
            self.temporary_code();
        }
        // It runs when the index is made, on rows that are there.
        self.found.uses_names |= !name.is_empty();
    }

    pub fn define(&mut self, n: &DefineStmt) {
        match ObjectType::try_from(n.kind) {
            Ok(ObjectType::ObjectAggregate) => self.function_ddl(Action::Create, &n.defnames),
            Ok(ObjectType::ObjectOperator | ObjectType::ObjectType) => self.create_code(&n.defnames),
            _ => self.ddl(Action::Create),
        }
    }

    pub fn alter_table(&mut self, n: &AlterTableStmt) {
        if n.objtype == ObjectType::ObjectType as i32 {
            self.ddl(Action::Alter);
        } else {
            self.altered(n.relation.as_ref());
        }
        let rewrites = n.cmds.iter().any(|command| match &command.node {
            Some(NodeEnum::AlterTableCmd(c)) => !only_changes_the_catalog(c.subtype),
            _ => true,
        });
        if rewrites {
            self.code_of_target(n.relation.as_ref());
        }
        self.definition(n.relation.as_ref(), |walk| walk.list(&n.cmds));
    }

    pub fn alter_table_command(&mut self, n: &AlterTableCmd) {
        if n.newowner.is_some() {
            self.privilege();
        }
        match AlterTableType::try_from(n.subtype) {
            // The other table changes too.
            Ok(AlterTableType::AtAddInherit | AlterTableType::AtDropInherit) => match n.def.as_ref().map(|d| &d.node) {
                Some(Some(NodeEnum::RangeVar(parent))) => self.altered(Some(parent)),
                _ => self.opaque("an INHERIT of a new kind"),
            },
            Ok(AlterTableType::Undefined) | Err(_) => self.opaque("an ALTER TABLE of a new kind"),
            Ok(
                AlterTableType::AtEnableRowSecurity
                | AlterTableType::AtDisableRowSecurity
                | AlterTableType::AtForceRowSecurity
                | AlterTableType::AtNoForceRowSecurity,
            ) => self.privilege(),
            Ok(AlterTableType::AtDropColumn) => {
                self.note("it drops a column");
            }
            Ok(_) => self.maybe(&n.def),
        }
    }

    pub fn grant(&mut self, n: &GrantStmt) {
        self.event_triggers_fire();
        let mut named = false;
        if n.objtype == ObjectType::ObjectTable as i32 {
            for object in &n.objects {
                if let Some(NodeEnum::RangeVar(relation)) = &object.node {
                    for object in self.objects_of(relation) {
                        self.effect(Action::Privilege, object);
                        named = true;
                    }
                }
            }
        }
        if !named {
            self.privilege();
        }
    }
}

/// Subcommands of ALTER TABLE that neither rewrite the table nor look at its rows.
fn only_changes_the_catalog(subtype: i32) -> bool {
    matches!(
        AlterTableType::try_from(subtype),
        Ok(AlterTableType::AtColumnDefault
            | AlterTableType::AtDropNotNull
            | AlterTableType::AtSetStatistics
            | AlterTableType::AtSetOptions
            | AlterTableType::AtResetOptions
            | AlterTableType::AtSetStorage
            | AlterTableType::AtSetCompression
            | AlterTableType::AtDropColumn
            | AlterTableType::AtDropConstraint
            | AlterTableType::AtChangeOwner
            | AlterTableType::AtSetRelOptions
            | AlterTableType::AtResetRelOptions
            | AlterTableType::AtEnableTrig
            | AlterTableType::AtDisableTrig
            | AlterTableType::AtEnableTrigAll
            | AlterTableType::AtDisableTrigAll
            | AlterTableType::AtEnableTrigUser
            | AlterTableType::AtDisableTrigUser
            | AlterTableType::AtEnableRowSecurity
            | AlterTableType::AtDisableRowSecurity
            | AlterTableType::AtForceRowSecurity
            | AlterTableType::AtNoForceRowSecurity
            | AlterTableType::AtReplicaIdentity
            | AlterTableType::AtDropInherit
            | AlterTableType::AtDetachPartition)
    )
}
