//! An entry as an event of the Open Cybersecurity Schema Framework, version 1.5.0: <https://schema.ocsf.io/1.5.0>.
//!
//! Statements and what comes of them are datastore activity; logins, authentication; roles given for a
//! time, user access; starts, stops and loads, the life of an application. What none of these fits is a base event.

use serde_json::{Map, Value, json};

use super::find::effects;
use crate::log::{Entry, Kind};

/// `metadata.version`.
const SCHEMA: &str = "1.5.0";

struct Class {
    name: &'static str,
    category: u64,
    uid: u64,
}

const DATASTORE: Class = Class { name: "Datastore Activity", category: 6, uid: 6005 };
const LIFECYCLE: Class = Class { name: "Application Lifecycle", category: 6, uid: 6002 };
const AUTHENTICATION: Class = Class { name: "Authentication", category: 3, uid: 3002 };
const USER_ACCESS: Class = Class { name: "User Access Management", category: 3, uid: 3005 };
const BASE: Class = Class { name: "Base Event", category: 0, uid: 0 };

/// The class and the activity within it.
fn class(entry: &Entry) -> (Class, u64) {
    match entry.kind {
        Kind::Login | Kind::LoginRefused | Kind::Renewed => (AUTHENTICATION, 1),
        Kind::Logout | Kind::AccessEnded if entry.principal.is_some() => (AUTHENTICATION, 2),
        Kind::Granted => (USER_ACCESS, 1),
        Kind::GrantEnded => (USER_ACCESS, 2),
        Kind::Start => (LIFECYCLE, 3),
        Kind::Stop => (LIFECYCLE, 4),
        Kind::Load => (LIFECYCLE, 99),
        Kind::Statement | Kind::Denied | Kind::Held | Kind::BreakGlass => (DATASTORE, activity(entry)),
        Kind::Decision | Kind::Released | Kind::HoldEnded | Kind::AllowanceEnded | Kind::Outcome
            if entry.connection.is_some() =>
        {
            (DATASTORE, 99)
        }
        _ => (BASE, 99),
    }
}

/// What a statement does; the most that it does, where it does several things.
fn activity(entry: &Entry) -> u64 {
    let of = |action: &str| match action {
        "delete" | "truncate" | "drop" => 7,
        "update" | "merge" | "alter" => 2,
        "create" => 6,
        "insert" | "copy_in" => 5,
        "select" | "copy_out" => 1,
        _ => 4,
    };
    let order = [7, 2, 6, 5, 4, 1];
    effects(entry).map(|(action, _)| of(action)).min_by_key(|id| order.iter().position(|at| at == id)).unwrap_or(4)
}

/// 1 success, 2 failure, 99 something else.
fn status(entry: &Entry) -> u64 {
    let outcome = entry.outcome.as_deref().unwrap_or_default();
    // A server's error begins with its SQLSTATE.
    let code = outcome.split(' ').next().unwrap_or_default();
    // An entry that says so is of a newer gateway than one that only begins so.
    let failed = || {
        entry.detail["failed"] == true
            || code.len() == 5
                && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && code.bytes().any(|byte| byte.is_ascii_digit())
            || ["undone", "not forwarded"].iter().any(|end| outcome.starts_with(end))
    };
    let unknown = || outcome == "skipped" || outcome.starts_with("the session ended before");
    match entry.kind {
        Kind::Denied | Kind::LoginRefused | Kind::AccessEnded => 2,
        Kind::Outcome if failed() => 2,
        Kind::Outcome if unknown() => 99,
        Kind::Held | Kind::HoldEnded | Kind::AllowanceEnded => 99,
        _ => 1,
    }
}

/// 1 informational, 2 low, 3 medium.
const fn severity(entry: &Entry) -> u64 {
    match entry.kind {
        Kind::Denied | Kind::LoginRefused | Kind::AccessEnded | Kind::TokensEnded | Kind::BreakGlass => 3,
        Kind::Held | Kind::Granted | Kind::Load => 2,
        _ => 1,
    }
}

/// The event.
pub(super) fn event(seq: u64, entry: &Entry) -> Value {
    let (class, activity) = class(entry);
    let mut event = Map::new();
    let mut set = |key: &str, value: Value| drop(event.insert(key.to_owned(), value));
    set("class_uid", class.uid.into());
    set("class_name", class.name.into());
    set("category_uid", class.category.into());
    set("activity_id", activity.into());
    set("type_uid", (class.uid * 100 + activity).into());
    set("severity_id", severity(entry).into());
    set("status_id", status(entry).into());
    set("time", entry.time.timestamp_millis().into());
    set(
        "metadata",
        json!({
            "version": SCHEMA, "uid": seq.to_string(), "sequence": seq, "log_name": "countersign",
            "product": { "name": "Countersign", "version": env!("CARGO_PKG_VERSION") },
        }),
    );
    if let Some(outcome) = &entry.outcome {
        set("status_detail", outcome.as_str().into());
    }
    let user = json!({ "name": entry.principal.as_deref().unwrap_or("unknown"), "uid": entry.principal.as_deref().unwrap_or("unknown") });
    let session = entry.session.as_ref().map(|id| json!({ "uid": id }));
    let source = json!({ "ip": entry.detail["address"].as_str().unwrap_or("0.0.0.0"), "name": "client" });
    let connection = entry.connection.as_deref().unwrap_or("unknown");
    match class.uid {
        6005 => {
            let mut actor = json!({ "user": user });
            if let Some(session) = session {
                actor["session"] = session;
            }
            set("actor", actor);
            set("database", json!({ "name": connection, "type_id": 1, "type": "Relational" }));
            // Where a session comes from stands in its login.
            set("src_endpoint", if entry.detail["address"].is_string() { source } else { json!({ "name": "client" }) });
            if let Some(sql) = &entry.sql {
                set("query_info", json!({ "query_string": sql, "uid": seq.to_string() }));
            }
        }
        3002 => {
            set("user", user);
            set("service", json!({ "name": connection }));
            if entry.detail["address"].is_string() {
                set("src_endpoint", source);
            }
            if let Some(session) = session {
                set("session", session);
            }
        }
        3005 => {
            set("user", user);
            let role = entry.detail["role"].as_str().unwrap_or_default();
            set("privileges", json!([format!("{role} on {connection}")]));
        }
        6002 => set("app", json!({ "name": "Countersign", "version": env!("CARGO_PKG_VERSION") })),
        _ => set("message", json!(entry.kind)),
    }
    set(
        "unmapped",
        json!({
            "kind": entry.kind, "request": entry.request, "connection": entry.connection, "detail": entry.detail,
        }),
    );
    Value::Object(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_an_event_of_its_class() {
        let statement =
            |effects: &[&str]| Entry { detail: json!({ "effects": effects }), ..Entry::new(Kind::Statement) };
        let table = [
            (Entry::new(Kind::Login), 300_201),
            (Entry::new(Kind::Granted), 300_501),
            (Entry::new(Kind::Stop), 600_204),
            (Entry::new(Kind::Link), 99),
            (statement(&[]), 600_504),
            (statement(&["select Table::\"a\"", "delete Table::\"b\""]), 600_507),
            (statement(&["select Table::\"a\""]), 600_501),
        ];
        for (entry, expected) in table {
            let event = event(7, &entry);
            assert_eq!(event["type_uid"], expected, "{event}");
            assert_eq!(event["metadata"]["sequence"], 7);
        }
    }

    /// Whoever adds a kind adds it here, and to the sample that `make ocsf` validates.
    fn known(kind: Kind) -> usize {
        let all = [
            Kind::Start,
            Kind::Stop,
            Kind::Load,
            Kind::Login,
            Kind::LoginRefused,
            Kind::Renewed,
            Kind::Logout,
            Kind::Statement,
            Kind::Denied,
            Kind::Held,
            Kind::BreakGlass,
            Kind::Decision,
            Kind::Question,
            Kind::Released,
            Kind::HoldEnded,
            Kind::AllowanceEnded,
            Kind::Outcome,
            Kind::Link,
            Kind::Asked,
            Kind::Granted,
            Kind::GrantEnded,
            Kind::GrantKept,
            Kind::Review,
            Kind::Delegation,
            Kind::AccessEnded,
            Kind::TokensEnded,
            Kind::Directory,
            Kind::Audit,
            Kind::Bypass,
            Kind::Retention,
            Kind::Clock,
        ];
        match kind {
            Kind::Start
            | Kind::Stop
            | Kind::Load
            | Kind::Login
            | Kind::LoginRefused
            | Kind::Renewed
            | Kind::Logout
            | Kind::Statement
            | Kind::Denied
            | Kind::Held
            | Kind::BreakGlass
            | Kind::Decision
            | Kind::Question
            | Kind::Released
            | Kind::HoldEnded
            | Kind::AllowanceEnded
            | Kind::Outcome
            | Kind::Link
            | Kind::Asked
            | Kind::Granted
            | Kind::GrantEnded
            | Kind::GrantKept
            | Kind::Review
            | Kind::Delegation
            | Kind::AccessEnded
            | Kind::TokensEnded
            | Kind::Directory
            | Kind::Audit
            | Kind::Bypass
            | Kind::Retention
            | Kind::Clock => {}
        }
        all.iter().position(|one| *one == kind).map_or(0, |_| all.len())
    }

    #[test]
    fn the_sample_that_is_validated_has_every_kind() {
        let sample = include_str!("../../../tests/ocsf/sample/log/00000001.jsonl");
        let mut kinds = std::collections::BTreeSet::new();
        for line in sample.lines() {
            let entry: Entry = serde_json::from_str(line).unwrap();
            assert!(event(1, &entry)["type_uid"].is_u64());
            kinds.insert(format!("{:?}", entry.kind));
        }
        assert_eq!(kinds.len(), known(Kind::Start), "{kinds:?}");
    }

    #[test]
    fn a_failure_is_one() {
        let outcome = |text: &str| Entry { outcome: Some(text.into()), ..Entry::new(Kind::Outcome) };
        let table = [
            ("SELECT 1", 1),
            ("UPDATE 5", 1),
            ("MERGE 1", 1),
            ("BEGIN", 1),
            ("42P01 relation is gone", 2),
            ("22P02", 2),
            ("INSERT 0 1", 1),
            ("undone: 3 rows, and 2 were approved", 2),
            ("undone", 2),
            ("not forwarded: access ended first", 2),
            ("skipped", 99),
            ("the session ended before the database answered", 99),
        ];
        for (text, expected) in table {
            assert_eq!(status(&outcome(text)), expected, "{text}");
        }
        for text in ["ABCDE bad", "ABCDE"] {
            let mut entry = outcome(text);
            entry.detail = json!({ "failed": true });
            assert_eq!(status(&entry), 2, "{text}");
        }
    }
}
