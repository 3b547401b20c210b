//! One of every message that the bot posts, for validators that nobody here wrote.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{AccessView, ApprovalView, EffectView, Needed, Outcome, RequestKind, RequestView},
    digest::{Digest, of_bytes},
    ids::RequestId,
    request::{Assurance, State},
};
use serde_json::{Value, json};
use url::Url;

use super::{blocks::Message, deny, direct, request};

/// A request id that any text can name.
///
/// # Panics
/// Never: the text is an id.
#[must_use]
#[allow(clippy::expect_used, reason = "a constant that a test reads")]
pub fn id() -> RequestId {
    "K7Q2AB9X".parse().expect("an id")
}

fn base() -> Option<Url> {
    Url::parse("https://countersign.acme.dev/").ok()
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default()
}

/// What the samples' cards show.
#[must_use]
pub fn digest() -> Digest {
    of_bytes(b"a sample")
}

/// A yes by priya.
#[must_use]
pub fn approval() -> ApprovalView {
    ApprovalView { approver: "priya@acme.dev".into(), assurance: Assurance::Slack, at: noon(), slack: None }
}

/// A pending DELETE by ana.
#[must_use]
pub fn view() -> RequestView {
    RequestView {
        id: id(),
        kind: RequestKind::Statement,
        state: State::Pending,
        digest: digest(),
        connection: "shop".into(),
        principal: "ana@acme.dev".into(),
        owner: None,
        session: None,
        access: None,
        sql: "DELETE FROM orders WHERE created_at < $1 AND note <> '<!channel>'".into(),
        parameters: vec!["2020-01-01".into()],
        effects: vec![EffectView { action: "delete".into(), object: "Table::\"shop/public.orders\"".into() }],
        reason: Some("clean up after the import".into()),
        application: Some("psql".into()),
        address: Some("127.0.0.1".into()),
        in_transaction: false,
        notes: Vec::new(),
        impact: Vec::new(),
        created_at: noon(),
        expires_at: noon() + TimeDelta::minutes(15),
        needed: Needed { count: 1, groups: Vec::new(), from: vec!["dba".into()], step_up: false },
        approvals: Vec::new(),
        outcome: None,
        channel: None,
        card: None,
        requester_slack: None,
    }
}

fn variants() -> Vec<(String, RequestView)> {
    let mut all = vec![
        ("pending".to_owned(), view()),
        ("bare".into(), RequestView { parameters: vec![], effects: vec![], reason: None, ..view() }),
        (
            "access".into(),
            RequestView {
                kind: RequestKind::Access,
                sql: String::new(),
                access: Some(AccessView { role: "shop-writer".into(), seconds: 9_000, extends: None }),
                effects: vec![EffectView { action: "request".into(), object: "Role::\"shop-writer\"".into() }],
                parameters: vec![],
                ..view()
            },
        ),
        ("empty".into(), RequestView { sql: String::new(), reason: Some(String::new()), ..view() }),
        ("agent".into(), RequestView { principal: "deploy".into(), owner: Some("ana@acme.dev".into()), ..view() }),
        (
            "hostile".into(),
            RequestView {
                sql: "SELECT '```' -- \u{202E}<!channel> <https://evil|bank>\rDROP TABLE orders; \0 `x` *b* @here"
                    .into(),
                reason: Some("<!here> ```".into()),
                principal: "<@U1>".into(),
                notes: vec!["It is more than one statement.".into(), "<!everyone>".into()],
                in_transaction: true,
                ..view()
            },
        ),
        ("long".into(), RequestView { sql: format!("SELECT '{}'", "x".repeat(9_000)), ..view() }),
        ("long parameter".into(), RequestView { parameters: vec!["é".repeat(9_000); 3], ..view() }),
        ("long reason".into(), RequestView { reason: Some("because ".repeat(2_000)), ..view() }),
        (
            "fullest".into(),
            RequestView {
                sql: "x".repeat(2_900),
                parameters: vec!["y".repeat(2_890)],
                reason: Some("z".repeat(1_000)),
                notes: vec!["n".repeat(300); 12],
                effects: vec![
                    EffectView { action: "delete".into(), object: format!("Table::\"{}\"", "t".repeat(230)) };
                    25
                ],
                ..view()
            },
        ),
        ("many effects".into(), RequestView { effects: vec![view().effects[0].clone(); 60], ..view() }),
        (
            "two needed".into(),
            RequestView {
                needed: Needed { count: 2, groups: vec!["dba".into()], from: vec!["dba".into()], step_up: true },
                approvals: vec![approval()],
                ..view()
            },
        ),
    ];
    let outcome = Outcome {
        by: Some("dario@acme.dev".into()),
        reason: Some("not on a Friday <!channel>".into()),
        tag: Some("DELETE 1204".into()),
        error: None,
        milliseconds: Some(312),
    };
    for state in State::ALL {
        let approvals = vec![approval()];
        let outcome = state.is_final().then(|| outcome.clone());
        all.push((state.as_str().to_owned(), RequestView { state, approvals, outcome, ..view() }));
    }
    all
}

/// Every message as `{"name", "text", "blocks"}`, every form as `{"name", "view"}`.
#[must_use]
pub fn samples() -> Vec<Value> {
    let Some(base) = base() else { return Vec::new() };
    let message = |name: String, m: Message| json!({ "name": name, "text": m.text, "blocks": m.blocks });
    let mut all = Vec::new();
    for (name, view) in variants() {
        all.push(message(format!("card: {name}"), request::card(&view, &base)));
        all.push(message(format!("bare card: {name}"), request::bare_card(&view, &base)));
        all.push(message(format!("direct message: {name}"), direct::direct(&view, &base)));
    }
    let carried = deny::Carried { request: id(), digest: digest(), channel: Some("C0123456789".into()) };
    all.push(json!({ "name": "form: deny", "view": deny::form(&carried) }));
    all
}
