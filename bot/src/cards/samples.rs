//! One of every message that the bot posts, for validators that nobody here wrote.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    allow::{Parameters, Terms},
    api::{
        AccessDigest, AccessOption, AccessView, AllowanceView, AllowedRun, ApprovalView, DenialView, DigestAgent,
        DigestGrant, DigestPermission, DigestRole, DigestSecret, DigestToken, EffectView, Finding, GrantView, KeepView,
        LinkView, ListedLink, Needed, Outcome, QuestionView, RequestKind, RequestView, SessionView, SlackRef,
        StepState, StepView,
    },
    digest::{Digest, of_bytes},
    ids::{GrantId, RequestId, SessionId},
    impact::{Impact, Sample},
    request::{Assurance, State},
};
use serde_json::{Value, json};
use url::Url;

use super::{
    allow, answer, ask, blocks::Message, deny, details, digest as daily, direct, home, keep, life, linking, more,
    question, reach, request,
};

/// Whom the samples say is asked.
pub const APPROVER: &str = "U0123456789";

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
    ApprovalView {
        approver: "priya@acme.dev".into(),
        assurance: Assurance::Slack,
        at: noon(),
        slack: None,
        allow: None,
    }
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
        at_commit: false,
        notes: Vec::new(),
        impact: Vec::new(),
        created_at: noon(),
        expires_at: noon() + TimeDelta::minutes(15),
        needed: Needed { count: 1, groups: Vec::new(), from: vec!["dba".into()], step_up: false, at_commit: false },
        approvals: Vec::new(),
        allowable: None,
        allowance: None,
        denials: Vec::new(),
        denials_needed: 1,
        questions: Vec::new(),
        steps: Vec::new(),
        outcome: None,
        channel: None,
        card: None,
        requester_slack: None,
        stand_ins: Vec::new(),
        approvers: Vec::new(),
    }
}

/// Statements that are sent one by one, of which one has run.
#[must_use]
pub fn stepped(state: State) -> RequestView {
    let effect = |action: &str, object: &str| EffectView { action: action.into(), object: object.into() };
    let step = |number: u32, does: EffectView, state: StepState, outcome: Option<&str>| StepView {
        number,
        does: vec![does],
        state,
        outcome: outcome.map(str::to_owned),
    };
    let ran = if state == State::Pending { (StepState::Waits, None) } else { (StepState::Ran, Some("DELETE 3")) };
    let steps = vec![
        step(1, effect("set", "Connection::\"shop\""), StepState::Free, None),
        step(2, effect("delete", "Table::\"shop/public.orders\""), ran.0, ran.1),
        step(3, effect("update", "Table::\"shop/public.products\""), StepState::Waits, None),
    ];
    let approvals = if state == State::Pending { Vec::new() } else { vec![approval()] };
    let sql = "SET lock_timeout = '1s';\nDELETE FROM orders WHERE id = 7;\nUPDATE products SET stock = 0 WHERE id = 1;";
    RequestView { sql: sql.into(), parameters: Vec::new(), state, steps, approvals, ..view() }
}

/// What may be allowed of it.
pub const MOST: Terms = Terms { minutes: 60, runs: 20, rows: 5_000, parameters: Parameters::Free };

/// What was allowed of it, in one of its states.
#[must_use]
pub fn allowance(state: &str) -> AllowanceView {
    let run = |number: u32, outcome: Option<&str>| AllowedRun {
        number,
        at: noon(),
        session: None,
        outcome: outcome.map(str::to_owned),
        discarded: number == 2,
    };
    AllowanceView {
        terms: Terms { minutes: 30, runs: 10, rows: 500, parameters: Parameters::Free },
        until: noon() + TimeDelta::minutes(30),
        approved_by: vec!["priya@acme.dev".into()],
        state: state.into(),
        taken: 2,
        runs: vec![run(1, Some("DELETE 12")), run(2, Some("skipped")), run(3, None)],
        ended_at: None,
        ended_by: (state == "revoked").then(|| "<@U1>".into()),
        ended_why: (state == "void").then(|| "<!channel> changed".into()),
    }
}

/// A link that waits.
#[must_use]
pub fn listed_link() -> ListedLink {
    let slack = SlackRef { team: "T1".into(), user: "U0GUEST".into() };
    ListedLink {
        link: LinkView { slack, principal: "priya@acme.dev".into(), confirmed: false },
        slack_name: Some("<!channel> P\u{202E}riya".into()),
        slack_email: None,
        made_at: noon(),
    }
}

/// A grant of ana's.
#[must_use]
pub fn grant() -> GrantView {
    GrantView {
        id: "6Q0M3T8ZC1VA".parse().unwrap_or_else(|_| GrantId::random()),
        principal: "ana@acme.dev".into(),
        owner: None,
        connection: "shop".into(),
        role: "shop-writer".into(),
        reason: "INC-42: refunds are stuck".into(),
        created_at: noon(),
        expires_at: noon() + TimeDelta::hours(4),
        seconds: 4 * 3_600,
        request: Some(id()),
        approved_by: vec!["priya@acme.dev".into()],
        state: "active".into(),
        ended_at: None,
        ended_by: None,
        slack: None,
    }
}

/// A digest with `count` grants that matter, and one of each other kind.
#[must_use]
pub fn digest_of(count: usize) -> AccessDigest {
    let found = |finding: Finding, last_used: Option<i64>| DigestGrant {
        grant: GrantView { expires_at: noon() + TimeDelta::days(90), ..grant() },
        finding,
        last_used: last_used.map(|days| noon() - TimeDelta::days(days)),
        kept: None,
    };
    let mut grants: Vec<DigestGrant> = (0..count)
        .map(|n| if n % 2 == 0 { found(Finding::Stale, Some(20)) } else { found(Finding::NeverUsed, None) })
        .collect();
    if let Some(first) = grants.first_mut() {
        first.grant.reason = "=cmd|' /C calc'!A0 <!channel> \u{202E}".repeat(30);
        first.grant.owner = Some("<@U1>".into());
        first.kept =
            Some(KeepView { by: "priya@acme.dev".into(), until: noon(), reason: "<!here> on call".repeat(40) });
    }
    grants.extend([found(Finding::TooNew, None), found(Finding::NoData, None), found(Finding::InUse, Some(1))]);
    let role = |n: usize| DigestRole {
        role: format!("role-{n}"),
        finding: if n < 15 { Finding::Stale } else { Finding::TooNew },
        last_given: None,
        last_used: Some(noon() - TimeDelta::days(40)),
    };
    let permission = |n: usize| DigestPermission {
        permission: format!("40-<!channel>-{n}.cedar#1"),
        finding: [Finding::NeverUsed, Finding::Stale, Finding::NoData, Finding::InUse][n % 4],
        since: noon() - TimeDelta::days(50),
        last_used: [None, Some(35), None, Some(1)][n % 4].map(|days| noon() - TimeDelta::days(days)),
    };
    let agent = DigestAgent { name: "deploy".into(), owner: "gone@acme.dev".into(), why: "<!channel> is gone".into() };
    let session = SessionView {
        id: SessionId::random(),
        principal: "ana@acme.dev".into(),
        connection: "shop".into(),
        address: "127.0.0.1".into(),
        application: Some("<!channel>".into()),
        started_at: noon() - TimeDelta::days(2),
        state: "idle".into(),
    };
    let token = DigestToken {
        principal: "ana@acme.dev".into(),
        connection: "shop".into(),
        session: session.id.clone(),
        issued_at: noon() - TimeDelta::days(2),
        expires_at: noon() + TimeDelta::hours(3),
    };
    AccessDigest {
        at: noon(),
        stale_after: 14 * 86_400,
        recorded_since: noon() - TimeDelta::days(60),
        grants,
        roles: (0..20).map(role).collect(),
        permissions: (0..8).map(permission).collect(),
        tokens: vec![token],
        secrets: vec![
            DigestSecret {
                what: "password of <!channel> on shop".into(),
                connection: Some("shop".into()),
                since: noon() - TimeDelta::days(100),
                at_least: true,
            },
            DigestSecret {
                what: "Slack's bot_token".into(),
                connection: None,
                since: noon() - TimeDelta::days(91),
                at_least: false,
            },
        ],
        agents: vec![agent],
        reviews: Vec::new(),
        sessions: vec![session],
        checkpoint: None,
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
            "asked first".into(),
            RequestView { approvers: vec![SlackRef { team: "T1".into(), user: APPROVER.into() }; 3], ..view() },
        ),
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
        (
            "at commit".into(),
            RequestView {
                sql: "begin;\nupdate orders set status = $1 where id < $2; -- with $1 = paid, $2 = 4".into(),
                at_commit: true,
                in_transaction: true,
                impact: vec![Impact {
                    action: "update".into(),
                    table: "public.orders".into(),
                    rows: Some(3),
                    counted: true,
                    done: true,
                    sample: Some(Sample {
                        before: vec!["id = 1, status = open, email = ‹pii›".into(); 5],
                        after: vec![format!("id = 1, status = {}", "x".repeat(900)); 5],
                        missing: Some("there was no time <!channel> to look for its rows".into()),
                    }),
                    ..Impact::default()
                }],
                ..view()
            },
        ),
        ("may be allowed".into(), RequestView { allowable: Some(MOST), ..view() }),
        (
            "allowed by one of two".into(),
            RequestView {
                allowable: Some(MOST),
                needed: Needed { count: 2, ..view().needed },
                approvals: vec![ApprovalView { allow: Some(MOST), ..approval() }],
                denials: vec![DenialView {
                    by: "<!channel>".into(),
                    at: noon(),
                    reason: Some("not <!here> on a Friday".into()),
                }],
                denials_needed: 2,
                ..view()
            },
        ),
        ("many effects".into(), RequestView { effects: vec![view().effects[0].clone(); 60], ..view() }),
        (
            "two needed".into(),
            RequestView {
                needed: Needed {
                    count: 2,
                    groups: vec!["dba".into()],
                    from: vec!["dba".into()],
                    step_up: true,
                    at_commit: false,
                },
                approvals: vec![approval()],
                ..view()
            },
        ),
    ];
    for state in ["open", "used", "expired", "revoked", "void"] {
        let (allowance, approvals) = (Some(allowance(state)), vec![approval()]);
        let allowed = RequestView { state: State::Done, allowable: Some(MOST), allowance, approvals, ..view() };
        all.push((format!("allowed, {state}"), allowed));
    }
    for state in State::ALL {
        all.push((format!("statement by statement, {}", state.as_str()), stepped(state)));
    }
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

fn options(count: usize) -> Vec<AccessOption> {
    let option = |number: usize| AccessOption {
        connection: format!("shop-{number}-{}", "x".repeat(50)),
        role: "a-role-with-a-name-as-long-as-a-name-may-be-in-the-config-file".into(),
        longest: 28_800,
        at_once: number % 2 == 1,
    };
    (0..count).map(option).collect()
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
        all.push(message(format!("redacted card: {name}"), request::redacted(&view, &base)));
        all.push(message(format!("outcome: {name}"), request::outcome(&view)));
        all.push(message(format!("outcome of a redacted card: {name}"), request::redacted_outcome(&view)));
        all.push(message(format!("direct message: {name}"), direct::direct(&view, &base)));
        all.push(json!({ "name": format!("form: details: {name}"), "view": details::details(&view, true, &base) }));
    }
    let carried = deny::Carried { request: id(), digest: digest(), channel: Some("C0123456789".into()) };
    all.push(json!({ "name": "form: deny", "view": deny::form(&carried) }));
    let carried = allow::Carried { request: id(), digest: digest(), channel: Some("C0123456789".into()) };
    for (name, most) in [("much", MOST), ("little", Terms { minutes: 1, runs: 1, rows: 1, ..MOST })] {
        all.push(json!({ "name": format!("form: allow, {name}"), "view": allow::form(&view(), &most, &carried) }));
    }
    let carried = keep::Carried { grant: grant().id, channel: None, ts: None };
    all.push(json!({ "name": "form: keep", "view": keep::form(&carried) }));
    let ended = GrantView { state: "revoked".into(), ended_by: Some("<@U1>".into()), ..grant() };
    let agents = GrantView { owner: Some("ana@acme.dev".into()), principal: "<!channel>".into(), ..grant() };
    for (name, grant) in [("a grant", &grant()), ("a grant that ended", &ended), ("an agent's grant", &agents)] {
        all.push(message(format!("begun: {name}"), life::begun(grant)));
        all.push(message(format!("ends: {name}"), life::ends(grant, noon())));
        all.push(message(format!("ended: {name}"), life::ended(grant)));
        let given = RequestView { state: State::Done, ..view() };
        all.push(message(format!("card with {name}"), request::card_of(&given, Some(grant), &base)));
    }
    for count in [0, 3, 60] {
        let digest = digest_of(count);
        all.push(message(format!("digest: {count}"), daily::message(&digest)));
        let found: Vec<&DigestGrant> = digest.grants.iter().collect();
        all.push(message(format!("own digest: {count}"), daily::own(&found, &digest)));
    }
    let nothing = AccessDigest {
        grants: vec![],
        roles: vec![],
        permissions: vec![],
        agents: vec![],
        sessions: vec![],
        tokens: vec![],
        secrets: vec![],
        ..digest_of(0)
    };
    all.push(message("digest: nothing".into(), daily::message(&nothing)));
    all.push(message("reminder".into(), reach::reminder(&view(), None, &base, noon())));
    let asked =
        QuestionView { by: "priya@acme.dev".into(), text: "Why <!channel> *now*?\nhttps://a.b".into(), at: noon() };
    let (who, carried) =
        (SlackRef { team: "T1".into(), user: APPROVER.into() }, question::Carried { request: id(), channel: None });
    let linked = RequestView { requester_slack: Some(who), ..view() };
    all.push(message("question".into(), question::in_thread(&linked, &asked)));
    all.push(message("question: redacted".into(), question::redacted(&linked, &asked, &base)));
    all.push(json!({ "name": "form: details closed", "view": details::closed(id().as_str(), answer::NOT_FOR_YOU) }));
    let url = "https://countersign.acme.dev/link/x";
    all.push(
        json!({ "name": "form: details link", "view": details::sign_in(id().as_str(), answer::LINK_TO_READ, url) }),
    );
    all.push(json!({ "name": "form: question", "view": question::form(&carried) }));
    all.push(message("more".into(), more::waiting(&view(), 3, "notice:more:0123456789abcdef:K7Q2AB9X")));
    all.push(message("no more".into(), more::over("over:more:0123456789abcdef:K7Q2AB9X")));
    all.push(message("link waits".into(), linking::waits(&listed_link())));
    let account = listed_link().link.slack;
    all.push(message("link decided".into(), linking::decided(&account, "<!channel>", true)));
    all.push(message("reach".into(), reach::waits(&view(), None, &base)));
    let (grants, requests) = (vec![grant(), agents], vec![view(); 20]);
    let tab = home::view("ana@acme.dev", (&grants, &requests, &requests), &base, noon());
    all.push(json!({ "name": "home", "view": tab }));
    all.push(json!({ "name": "home: closed", "view": home::closed(answer::LINK_AT_HOME) }));
    all.push(json!({ "name": "form: a moment", "view": ask::moment() }));
    all.push(json!({ "name": "form: closed", "view": ask::closed(answer::NOTHING_TO_ASK, None) }));
    for (name, count) in [("one", 1), ("many", 150)] {
        let view = ask::form(&options(count), &ask::Carried { channel: Some("C0123456789".into()) });
        all.push(json!({ "name": format!("form: ask, {name}"), "view": view }));
    }
    all
}
