//! A statement by its type: queries go to the walk, everything else is named here; what is not
//! named is opaque.

use serde_json::Value;

use super::{
    Doubt, Names, OwnSetting, Statement, TransactionMove,
    parse::{Parsed, flag, number, statements, strings, tagged, text},
    settings,
    walk::Walk,
};
use crate::{
    catalog::Snapshot,
    statement::effect::{Action, Object},
};

/// What a statement is, a lone setting of ours in it, and what could not be resolved.
pub fn statement(parsed: &Parsed, catalog: &Snapshot, names: &Names) -> (Statement, Option<OwnSetting>, Option<Doubt>) {
    let mut walk = Walk::new(catalog, names);
    let own = dispatch(&mut walk, &parsed.kind, &parsed.fields, names, 0);
    if walk.statement.effects.is_empty() {
        walk.connection(Action::Select);
    }
    let Walk { mut statement, doubt, .. } = walk;
    for effect in &mut statement.effects {
        // What is done to a temporary relation resolves to the connection.
        use Action::{Alter, Delete, Drop, Insert, Lock, Merge, Truncate, Update};
        if effect.object == Object::Connection
            && matches!(effect.action, Insert | Update | Delete | Merge | Truncate | Lock | Alter | Drop)
            && !names.temporary.is_empty()
            && !is_ddl_without_table(&parsed.kind)
        {
            effect.action = Action::Temp;
        }
    }
    statement.range = parsed.range.clone();
    (statement, own, doubt)
}

fn is_ddl_without_table(kind: &str) -> bool {
    !matches!(
        kind,
        "SelectStmt"
            | "InsertStmt"
            | "UpdateStmt"
            | "DeleteStmt"
            | "MergeStmt"
            | "TruncateStmt"
            | "DropStmt"
            | "LockStmt"
    )
}

/// How deep EXPLAIN, PREPARE and EXECUTE may wrap each other.
const WRAPS: usize = 8;

fn dispatch(walk: &mut Walk<'_>, kind: &str, fields: &Value, names: &Names, wraps: usize) -> Option<OwnSetting> {
    if wraps > WRAPS {
        walk.opaque("statements wrap each other too deep");
        return None;
    }
    match kind {
        "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => walk.node(kind, fields),
        "TransactionStmt" => transaction(walk, fields),
        "VariableSetStmt" => return settings::set(fields, names, &mut walk.statement),
        "VariableShowStmt" => return settings::show(fields, &mut walk.statement),
        "DeallocateStmt" | "DiscardStmt" => {
            walk.connection(Action::Set);
            walk.statement.changes_session = true;
        }
        "ConstraintsSetStmt" => walk.connection(Action::Transaction),
        "FetchStmt" | "ClosePortalStmt" => walk.connection(Action::Select),
        "ListenStmt" | "UnlistenStmt" => walk.connection(Action::Listen),
        "NotifyStmt" => walk.connection(Action::Notify),
        "DeclareCursorStmt" => inner(walk, fields.get("query"), names, wraps),
        "ExplainStmt" => {
            let analyze = fields.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(tagged);
            // EXPLAIN (ANALYZE false) is rare; taking it for ANALYZE asks for more, not for less.
            if analyze.into_iter().any(|(_, option)| text(option, "defname") == "analyze") {
                inner(walk, fields.get("query"), names, wraps);
            } else {
                only_named(walk, fields.get("query"), names, wraps);
            }
        }
        "PrepareStmt" => {
            only_named(walk, fields.get("query"), names, wraps);
            walk.statement.prepares = Some(text(fields, "name").to_owned());
            walk.statement.changes_session = true;
        }
        "ExecuteStmt" => execute(walk, fields, names, wraps),
        "CopyStmt" => copy(walk, fields),
        "LockStmt" => {
            let action = if number(fields, "mode") == 1 { Action::Select } else { Action::Lock };
            each_relation(walk, fields.get("relations"), action, false);
        }
        "TruncateStmt" => each_relation(walk, fields.get("relations"), Action::Truncate, true),
        "CreateStmt" | "CreateForeignTableStmt" => {
            let fields = if kind == "CreateStmt" { fields } else { fields.get("base_stmt").unwrap_or(fields) };
            if let Some(relation) = fields.get("relation") {
                walk.create(relation);
            }
            walk.statement.changes_session = true;
            if kind != "CreateStmt" {
                walk.connection(Action::Server);
            }
        }
        "CreateTableAsStmt" => {
            if let Some(into) = fields.get("into") {
                walk.into(into);
            }
            inner(walk, fields.get("query"), names, wraps);
        }
        "DropStmt" => drop_objects(walk, fields),
        "DoStmt" => walk.opaque("what a DO block does is not analysed"),
        "CallStmt" => {
            if let Some(call) = fields.get("funccall") {
                walk.value(call);
            }
            walk.opaque("what a procedure does is not analysed");
        }
        _ => ddl(walk, kind, fields),
    }
    None
}

fn transaction(walk: &mut Walk<'_>, fields: &Value) {
    walk.statement.transaction = match number(fields, "kind") {
        1 | 2 => TransactionMove::Begin,
        3 => TransactionMove::Commit,
        4 | 7 => TransactionMove::Rollback,
        5 | 6 => TransactionMove::Savepoint,
        // Two-phase commit outlives the session that was asked.
        _ => return walk.connection(Action::Server),
    };
    walk.connection(Action::Transaction);
}

fn inner(walk: &mut Walk<'_>, query: Option<&Value>, names: &Names, wraps: usize) {
    match query.and_then(tagged) {
        // A setting of ours within another statement is not a lone one.
        Some((kind, fields)) => {
            if dispatch(walk, kind, fields, names, wraps + 1).is_some() {
                walk.opaque("countersign.* settings stand in a text of their own");
            }
        }
        None => walk.opaque("a statement within a statement is missing"),
    }
}

/// EXPLAIN and PREPARE name, but do not do. What planning could run stays.
fn only_named(walk: &mut Walk<'_>, query: Option<&Value>, names: &Names, wraps: usize) {
    let before = walk.statement.effects.len();
    let has_where = walk.statement.has_where;
    inner(walk, query, names, wraps);
    walk.statement.has_where = has_where;
    walk.statement.transaction = TransactionMove::None;
    for effect in &mut walk.statement.effects[before..] {
        if !matches!(effect.action, Action::Opaque | Action::Call | Action::Temp) {
            effect.action = Action::Select;
        }
    }
}

fn execute(walk: &mut Walk<'_>, fields: &Value, names: &Names, wraps: usize) {
    if let Some(params) = fields.get("params") {
        walk.value(params);
    }
    let name = text(fields, "name");
    let Some(sql) = names.prepared.get(name) else {
        return walk.opaque(format!("the prepared statement {name} is not known"));
    };
    // What is approved is what it does, not its name.
    walk.statement.notes.push(format!("{name} is: {sql}"));
    match statements(sql).as_deref() {
        // The server keeps the whole PREPARE as the text of a statement that SQL prepared.
        Ok([one]) if one.kind == "PrepareStmt" => inner(walk, one.fields.get("query"), names, wraps),
        Ok([one]) => {
            if dispatch(walk, &one.kind, &one.fields, names, wraps + 1).is_some() {
                walk.opaque("countersign.* settings are not executed");
            }
        }
        _ => walk.opaque(format!("the prepared statement {name} could not be read")),
    }
}

fn copy(walk: &mut Walk<'_>, fields: &Value) {
    if flag(fields, "is_program") || !text(fields, "filename").is_empty() {
        walk.connection(Action::Server);
    }
    for name in ["query", "where_clause"] {
        if let Some(value) = fields.get(name) {
            walk.value(value);
        }
    }
    let relation = fields.get("relation").filter(|relation| !relation.is_null());
    match (relation, flag(fields, "is_from")) {
        (Some(relation), true) => {
            for object in walk.resolve(relation, false) {
                let action = if object == Object::Connection { Action::Temp } else { Action::CopyIn };
                walk.written(&[action], object);
            }
        }
        (Some(relation), false) => {
            walk.node("RangeVar", relation);
            for object in walk.resolve(relation, false) {
                let action = if object == Object::Connection { Action::Temp } else { Action::CopyOut };
                walk.effect(action, object);
            }
        }
        (None, _) => walk.connection(Action::CopyOut),
    }
}

fn each_relation(walk: &mut Walk<'_>, list: Option<&Value>, action: Action, writes: bool) {
    for (_, relation) in list.and_then(Value::as_array).into_iter().flatten().filter_map(tagged) {
        for object in walk.resolve(relation, false) {
            let action = if object == Object::Connection { Action::Temp } else { action };
            if writes { walk.written(&[action], object) } else { walk.effect(action, object) }
        }
    }
}

fn drop_objects(walk: &mut Walk<'_>, fields: &Value) {
    walk.statement.changes_session = true;
    // Tables, views, sequences, materialized views, foreign tables, indexes; the rest by connection.
    let relations = matches!(number(fields, "remove_type"), 42 | 52 | 39 | 24 | 19);
    for object in fields.get("objects").and_then(Value::as_array).into_iter().flatten() {
        let names = match tagged(object) {
            Some(("List", list)) if relations => strings(list.get("items")),
            _ => Vec::new(),
        };
        let rel = match names.as_slice() {
            [name] => serde_json::json!({ "schemaname": "", "relname": name }),
            [schema, name] => serde_json::json!({ "schemaname": schema, "relname": name }),
            _ => {
                walk.connection(Action::Drop);
                continue;
            }
        };
        for object in walk.resolve(&rel, true) {
            let action = if object == Object::Connection { Action::Temp } else { Action::Drop };
            walk.effect(action, object);
        }
    }
}

fn ddl(walk: &mut Walk<'_>, kind: &str, fields: &Value) {
    walk.statement.changes_session = true;
    let action = match kind {
        "AlterTableStmt"
        | "RenameStmt"
        | "AlterObjectSchemaStmt"
        | "AlterSeqStmt"
        | "AlterTypeStmt"
        | "AlterEnumStmt"
        | "AlterDomainStmt"
        | "AlterFunctionStmt"
        | "AlterStatsStmt"
        | "AlterCollationStmt"
        | "AlterOperatorStmt"
        | "AlterOpFamilyStmt"
        | "AlterTsdictionaryStmt"
        | "AlterTsconfigurationStmt"
        | "AlterObjectDependsStmt"
        | "CommentStmt" => Action::Alter,
        "IndexStmt"
        | "ViewStmt"
        | "CreateSeqStmt"
        | "CreateSchemaStmt"
        | "CreateFunctionStmt"
        | "CreateTrigStmt"
        | "RuleStmt"
        | "CompositeTypeStmt"
        | "CreateEnumStmt"
        | "CreateRangeStmt"
        | "CreateDomainStmt"
        | "DefineStmt"
        | "CreateStatsStmt"
        | "CreateCastStmt"
        | "CreateConversionStmt"
        | "CreateOpClassStmt"
        | "CreateOpFamilyStmt"
        | "CreateTransformStmt" => Action::Create,
        "VacuumStmt" | "ClusterStmt" | "ReindexStmt" | "RefreshMatViewStmt" => Action::Maintain,
        "GrantStmt"
        | "GrantRoleStmt"
        | "AlterDefaultPrivilegesStmt"
        | "CreateRoleStmt"
        | "AlterRoleStmt"
        | "AlterRoleSetStmt"
        | "DropRoleStmt"
        | "AlterOwnerStmt"
        | "ReassignOwnedStmt"
        | "DropOwnedStmt"
        | "CreatePolicyStmt"
        | "AlterPolicyStmt"
        | "SecLabelStmt" => Action::Privilege,
        "AlterSystemStmt"
        | "CheckPointStmt"
        | "LoadStmt"
        | "CreatedbStmt"
        | "DropdbStmt"
        | "AlterDatabaseStmt"
        | "AlterDatabaseSetStmt"
        | "AlterDatabaseRefreshCollStmt"
        | "CreateTableSpaceStmt"
        | "DropTableSpaceStmt"
        | "AlterTableSpaceOptionsStmt"
        | "AlterTableMoveAllStmt"
        | "CreateExtensionStmt"
        | "AlterExtensionStmt"
        | "AlterExtensionContentsStmt"
        | "CreateFdwStmt"
        | "AlterFdwStmt"
        | "CreateForeignServerStmt"
        | "AlterForeignServerStmt"
        | "CreateUserMappingStmt"
        | "AlterUserMappingStmt"
        | "DropUserMappingStmt"
        | "ImportForeignSchemaStmt"
        | "CreateEventTrigStmt"
        | "AlterEventTrigStmt"
        | "CreatePlangStmt"
        | "CreateAmStmt"
        | "CreatePublicationStmt"
        | "AlterPublicationStmt"
        | "CreateSubscriptionStmt"
        | "AlterSubscriptionStmt"
        | "DropSubscriptionStmt"
        | "ReplicaIdentityStmt" => Action::Server,
        _ => return walk.opaque(format!("{kind} is not analysed")),
    };
    walk.connection(action);
    let name = if kind == "ViewStmt" { "view" } else { "relation" };
    if let Some(relation) = fields.get(name).filter(|relation| relation.get("relname").is_some()) {
        for object in walk.resolve(relation, true) {
            walk.effect(action, object);
        }
    }
    // What a maintenance or an ALTER runs besides, no one here can see: index expressions, USING,
    // a materialized view's query. A database that has functions of its own makes it opaque.
    let runs = matches!(kind, "AlterTableStmt" | "IndexStmt" | "AlterDomainStmt") || action == Action::Maintain;
    if runs && !walk.catalog.functions.iter().all(|(_, schemas)| schemas.iter().all(|s| s == "information_schema")) {
        walk.opaque("functions of the database may run with it");
    }
}
