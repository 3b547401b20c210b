//! SET, RESET, SHOW.

use serde_json::Value;

use super::{
    Names, OwnSetting, Statement,
    parse::{constants, number, text},
};
use crate::statement::effect::{Action, Effect};

/// Settings that change how values look, how long things may take, how plans are made, or what an
/// approval binds; none of them gives rights or runs code.
const HARMLESS: [&str; 34] = [
    "application_name",
    "bytea_output",
    "check_function_bodies",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "random_page_cost",
    "search_path",
    "statement_timeout",
    "synchronous_commit",
    "timezone",
    "transaction_timeout",
    "work_mem",
];

/// The part behind `countersign.`, where a name is one of ours.
pub fn own(name: &str) -> Option<String> {
    name.to_ascii_lowercase().strip_prefix("countersign.").map(str::to_owned)
}

/// VariableSetStmt.
pub fn set(fields: &Value, names: &Names, statement: &mut Statement) -> Option<OwnSetting> {
    let name = text(fields, "name").to_ascii_lowercase();
    let values = constants(fields.get("args"));
    statement.changes_session = true;
    let resets = matches!(number(fields, "kind"), 2 | 5 | 6);
    if let Some(name) = own(&name) {
        statement.effects.push(Effect::on_connection(Action::Set));
        return Some(match (&values, resets) {
            (_, true) => OwnSetting::Set { name, value: None },
            (Some(values), _) => OwnSetting::Set { name, value: Some(values.join(", ")) },
            (None, _) => OwnSetting::Set { name, value: Some(String::new()) },
        });
    }
    let one = values.as_ref().and_then(|values| values.first()).map(|value| value.to_ascii_lowercase());
    let one = one.as_deref().unwrap_or_default();
    let action = match name.as_str() {
        // SET TRANSACTION …, SET SESSION CHARACTERISTICS …
        _ if number(fields, "kind") == 4 => {
            if name.contains("snapshot") {
                Action::Opaque
            } else {
                Action::Transaction
            }
        }
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => Action::Transaction,
        // RESET ALL also ends the role and the settings that we pin; those are checked as they change.
        _ if number(fields, "kind") == 6 => Action::Set,
        "role" | "session_authorization" if resets || one == "none" || one == names.login.to_ascii_lowercase() => {
            Action::Set
        }
        "client_encoding" if resets || matches!(one, "utf8" | "utf-8" | "unicode") => Action::Set,
        "standard_conforming_strings" if resets || matches!(one, "on" | "true" | "1" | "yes") => Action::Set,
        name if HARMLESS.contains(&name) || name.starts_with("enable_") => Action::Set,
        _ => {
            statement.notes.push(format!("the setting {name} is not on the list of harmless ones"));
            Action::Privilege
        }
    };
    statement.effects.push(Effect::on_connection(action));
    None
}

/// VariableShowStmt.
pub fn show(fields: &Value, statement: &mut Statement) -> Option<OwnSetting> {
    statement.effects.push(Effect::on_connection(Action::Select));
    own(text(fields, "name")).map(|name| OwnSetting::Show { name })
}
