//! Who may call what, and how every refusal looks.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use countersign_shared::{
    api::{Problem, RequestView},
    bot_token::{BotKey, Purpose},
    ids::GrantId,
    request::{Choice, State},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::router;
use crate::{
    access::book::{Live, Now},
    approval::house::{House, other_digest, slack},
    identity::provider::flipped,
    store::{NewRequest, PendingLink, Term},
};

pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn code(&self) -> String {
        serde_json::from_str::<Problem>(&self.body).map_or_else(|_| self.status.to_string(), |problem| problem.code)
    }
}

pub(super) async fn call(app: &Router, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:6480");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    send(app, request.body(body).unwrap()).await
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// Who calls, in the order of the table's columns.
const CALLERS: [&str; 9] = ["nobody", "a forger", "ana", "ben", "priya", "olu", "sam", "deploy", "bot"];

fn tokens(house: &House) -> Vec<Option<String>> {
    let mut tokens = vec![None, Some("abc.def.ghi".to_owned())];
    tokens.extend(["ana", "ben", "priya", "olu", "sam"].map(|who| Some(house.token(&format!("{who}@acme.dev")))));
    tokens.extend([Some(house.token("deploy")), Some(house.bot_token())]);
    tokens
}

pub(super) async fn link(house: &House, user: &str, principal: &str, confirmed: bool) {
    let store = &house.gateway.store;
    let now = chrono::Utc::now();
    let nonce = format!("{:x<43}", user);
    let pending =
        PendingLink { nonce: nonce.clone(), slack: slack(user, None), expires_at: now + chrono::TimeDelta::minutes(1) };
    store.start_link(&pending).await.unwrap();
    store.complete_link(&nonce, principal, confirmed, now).await.unwrap();
}

#[tokio::test]
async fn every_call_answers_each_caller_as_it_should() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    let id = &request.id;
    let (session, _killed) = house.session("ben@acme.dev");
    link(&house, "U1", "priya@acme.dev", true).await;
    let decision = json!({ "choice": "approve", "digest": other_digest() });
    let card = json!({ "channel": "C1", "ts": "1.2" });
    let account = json!({ "team": "T1", "user": "U9", "name": "n", "email": null, "full_member": true });
    let guest = json!({ "team": "T1", "user": "U8", "name": "n", "email": null, "full_member": false });
    let missing = "/v1/requests/ZZZZZZZZ";
    let grant = granted(&house, &["priya@acme.dev"]).await;
    let wish = json!({ "connection": "shop", "role": "writer", "duration": "1h", "reason": "INC-1" });
    let more = json!({ "duration": "1h", "reason": "INC-1" });
    // nobody, forger, ana, ben, priya, olu (administers), sam (audits), deploy (priya's agent), bot
    #[rustfmt::skip]
    let table: Vec<(&str, String, Option<Value>, [u16; 9])> = vec![
        ("GET", "/v1/requests".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 200]),
        ("GET", format!("/v1/requests/{id}"), None, [401, 401, 200, 404, 200, 404, 200, 404, 200]),
        ("GET", missing.into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 404]),
        ("GET", "/v1/requests/no%20id".into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 404]),
        // The digest is wrong, so that whoever may decide gets 409 and nothing changes.
        ("POST", format!("/v1/requests/{id}/decisions"), Some(decision.clone()), [401, 401, 409, 409, 409, 409, 409, 403, 403]),
        ("POST", format!("{missing}/decisions"), Some(decision), [401, 401, 404, 404, 404, 404, 404, 403, 403]),
        // The question is none, so that nothing changes; whether somebody may ask is looked at after that.
        ("POST", format!("/v1/requests/{id}/questions"), Some(json!({ "question": " " })), [401, 401, 400, 400, 400, 400, 400, 400, 403]),
        ("POST", format!("/v1/requests/{id}/questions"), Some(json!({ "question": "why?" })), [401, 401, 403, 403, 200, 403, 403, 403, 403]),
        ("POST", format!("{missing}/questions"), Some(json!({ "question": "why?" })), [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        // No session waits here, so that nothing changes.
        ("POST", format!("/v1/requests/{id}/park"), None, [401, 401, 409, 403, 403, 403, 403, 403, 403]),
        ("POST", format!("{missing}/park"), None, [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("PUT", format!("/v1/requests/{id}/card"), Some(card.clone()), [401, 401, 403, 403, 403, 403, 403, 403, 204]),
        ("PUT", format!("{missing}/card"), Some(card), [401, 401, 403, 403, 403, 403, 403, 403, 404]),
        ("POST", format!("/v1/requests/{id}/audience"), Some(json!({ "readers": [] })), [401, 401, 403, 403, 403, 403, 403, 403, 200]),
        ("POST", format!("{missing}/audience"), Some(json!({ "readers": [] })), [401, 401, 403, 403, 403, 403, 403, 403, 404]),
        ("PUT", "/v1/channels/C0OTHER".into(), Some(json!({ "name": "x" })), [401, 401, 403, 403, 403, 403, 403, 403, 404]),
        ("GET", "/v1/sessions".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 200]),
        ("GET", "/v1/access".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 403]),
        ("POST", "/v1/access".into(), Some(wish), [401, 401, 403, 403, 403, 403, 403, 403, 403]),
        ("GET", "/v1/grants".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 200]),
        ("GET", format!("/v1/grants/{grant}"), None, [401, 401, 200, 404, 200, 200, 200, 404, 200]),
        ("GET", "/v1/grants/ZZZZZZZZZZZZ".into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 404]),
        ("DELETE", "/v1/grants/ZZZZZZZZZZZZ".into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("POST", "/v1/grants/ZZZZZZZZZZZZ/extend".into(), Some(more), [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("POST", "/v1/grants/ZZZZZZZZZZZZ/keep".into(), Some(json!({ "reason": "x" })), [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        // Ana holds it and ben does not see it; priya approved it, olu administers, sam only audits.
        ("POST", format!("/v1/grants/{grant}/keep"), Some(json!({ "reason": "on call" })), [401, 401, 403, 404, 200, 200, 403, 404, 403]),
        ("POST", format!("/v1/grants/{grant}/keep"), Some(json!({ "reason": " " })), [401, 401, 403, 404, 400, 400, 403, 404, 403]),
        ("GET", "/v1/digest".into(), None, [401, 401, 403, 403, 403, 200, 200, 403, 200]),
        ("GET", "/v1/delegation".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 403]),
        // Ana, whom they name, may approve nothing; nor may most of those who name her.
        ("PUT", "/v1/delegation".into(), Some(json!({ "to": "ana", "until": chrono::Utc::now() + chrono::TimeDelta::days(1) })), [401, 401, 403, 403, 403, 403, 403, 403, 403]),
        ("DELETE", "/v1/delegation".into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        // Olu begins it and goes on with it; whoever only audits reads it.
        ("POST", "/v1/reviews".into(), Some(json!({ "connection": "shop" })), [401, 401, 403, 403, 403, 200, 403, 403, 403]),
        ("POST", "/v1/reviews".into(), Some(json!({ "connection": "other" })), [401, 401, 403, 403, 403, 403, 403, 403, 403]),
        ("GET", "/v1/reviews".into(), None, [401, 401, 200, 200, 200, 200, 200, 200, 403]),
        ("GET", "/v1/reviews/ZZZZZZZZZZ".into(), None, [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("POST", "/v1/reviews/ZZZZZZZZZZ/answers".into(), Some(json!({ "grant": grant, "choice": "keep", "reason": "x" })), [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("POST", "/v1/notices/claim".into(), Some(json!({ "name": "n", "by": "b" })), [401, 401, 403, 403, 403, 403, 403, 403, 200]),
        ("POST", "/v1/notices/posted".into(), Some(json!({ "name": "n", "by": "b" })), [401, 401, 403, 403, 403, 403, 403, 403, 204]),
        ("DELETE", format!("/v1/sessions/{}", "Z".repeat(16)), None, [401, 401, 404, 404, 404, 404, 404, 404, 403]),
        ("GET", "/v1/users".into(), None, [401, 401, 403, 403, 403, 200, 200, 403, 403]),
        ("GET", "/v1/users/Ana@acme.dev".into(), None, [401, 401, 403, 403, 403, 200, 200, 403, 403]),
        ("GET", "/v1/users/nobody@acme.dev".into(), None, [401, 401, 403, 403, 403, 404, 404, 403, 403]),
        ("GET", "/v1/tokens/denied".into(), None, [401, 401, 403, 403, 403, 200, 403, 403, 403]),
        ("POST", "/v1/tokens/denied".into(), Some(json!({ "jti": "of-nobody", "reason": "leaked" })), [401, 401, 403, 403, 403, 201, 403, 403, 403]),
        ("POST", "/v1/tokens/denied".into(), Some(json!({ "reason": "leaked" })), [401, 401, 403, 403, 403, 400, 403, 403, 403]),
        ("GET", "/v1/links/T1/U1".into(), None, [401, 401, 403, 403, 403, 200, 403, 403, 200]),
        ("GET", "/v1/links/T1/U7".into(), None, [401, 401, 403, 403, 403, 404, 403, 403, 404]),
        ("GET", "/v1/links".into(), None, [401, 401, 403, 403, 403, 200, 403, 403, 403]),
        ("POST", "/v1/links".into(), Some(account), [401, 401, 403, 403, 403, 403, 403, 403, 201]),
        ("POST", "/v1/links".into(), Some(guest), [401, 401, 403, 403, 403, 403, 403, 403, 403]),
        ("GET", "/v1/links/waiting".into(), None, [401, 401, 403, 403, 403, 403, 403, 403, 200]),
        ("POST", "/v1/links/T1/U1/refuse".into(), Some(json!({ "principal": "zoe@acme.dev" })), [401, 401, 403, 403, 403, 409, 403, 403, 403]),
        ("POST", "/v1/links/T1/U1/refuse".into(), Some(json!({ "principal": "priya@acme.dev" })), [401, 401, 403, 403, 403, 409, 403, 403, 403]),
        ("POST", "/v1/links/T1/U1/refuse".into(), None, [401, 401, 403, 403, 403, 400, 403, 403, 403]),
        ("POST", "/v1/links/T1/U1/confirm?principal=zoe@acme.dev".into(), None, [401, 401, 403, 403, 403, 409, 403, 403, 403]),
        ("POST", "/v1/links/T1/U1/confirm".into(), None, [401, 401, 403, 403, 403, 204, 403, 403, 403]),
        ("POST", "/v1/links/T1/U7/confirm".into(), None, [401, 401, 403, 403, 403, 404, 403, 403, 403]),
        ("DELETE", "/v1/links/T1/U7".into(), None, [401, 401, 404, 404, 404, 404, 404, 403, 403]),
        ("GET", "/v1/openapi.json".into(), None, [200; 9]),
        ("GET", "/healthz".into(), None, [200; 9]),
        ("GET", "/metrics".into(), None, [200; 9]),
        ("GET", "/v1/nothing".into(), None, [404; 9]),
        ("PATCH", "/v1/requests".into(), None, [405; 9]),
    ];
    let tokens = tokens(&house);
    for (method, path, body, expected) in table {
        for ((who, token), status) in CALLERS.iter().zip(&tokens).zip(expected) {
            let answer = call(&app, method, &path, token.as_deref(), body.clone()).await;
            assert_eq!(answer.status.as_u16(), status, "{who}: {method} {path}: {}", answer.body);
            if status >= 400 {
                assert!(serde_json::from_str::<Problem>(&answer.body).is_ok(), "{method} {path}: {}", answer.body);
            }
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    assert_eq!(house.state(id).await, State::Pending);
    for (who, token) in [("ana", 2), ("priya", 4), ("deploy", 7)] {
        let path = format!("/v1/sessions/{session}");
        let answer = call(&app, "DELETE", &path, tokens[token].as_deref(), None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{who} may not end ben's session");
    }
}

/// A grant of ana's, as if these had approved it.
pub(super) async fn granted(house: &House, approved_by: &[&str]) -> GrantId {
    let request = house.ana_asks_for_writer().await;
    let store = &house.gateway.store;
    for (from, to) in [(State::Pending, State::Approved), (State::Approved, State::Released)] {
        assert!(store.move_request(&request.id, &[from], to, None).await.unwrap());
    }
    let from = chrono::DateTime::from_timestamp_millis(chrono::Utc::now().timestamp_millis()).unwrap();
    let term = house.gateway.seal.seal_term(Term {
        grant: GrantId::random(),
        number: 0,
        human: house.human("ana@acme.dev"),
        connection: "shop".into(),
        role: "writer".into(),
        reason: "INC-1".into(),
        request: Some(request.id),
        approved_by: approved_by.iter().map(|who| (*who).to_owned()).collect(),
        from,
        until: from + chrono::TimeDelta::hours(1),
        signature: String::new(),
    });
    store.give(&term).await.unwrap();
    let grant = store.grant(&term.grant).await.unwrap().unwrap();
    house.gateway.grants.add(Live::of(&grant, &house.gateway.seal, Now::read()).unwrap());
    term.grant
}

#[tokio::test]
async fn a_grant_is_ended_by_its_holder_its_approver_or_an_administrator_and_nobody_else() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let tokens = tokens(&house);
    // nobody, forger, ana (holds), ben, priya (approved), olu (administers), sam (audits), deploy, bot
    let expected = [401, 401, 200, 404, 200, 200, 403, 404, 403];
    for ((who, token), status) in CALLERS.iter().zip(&tokens).zip(expected) {
        let grant = granted(&house, &["priya@acme.dev"]).await;
        let path = format!("/v1/grants/{grant}");
        let answer = call(&app, "DELETE", &path, token.as_deref(), None).await;
        assert_eq!(answer.status.as_u16(), status, "{who}: {}", answer.body);
        assert_eq!(house.gateway.grants.get(&grant).is_none(), status == 200, "{who}");
        if status == 200 {
            let state = answer.json()["state"].clone();
            assert_eq!(state, if *who == "ana" { "done" } else { "revoked" });
            let again = call(&app, "DELETE", &path, token.as_deref(), None).await;
            assert_eq!(again.code(), "over", "{who}");
        }
    }
}

#[tokio::test]
async fn the_bot_acts_for_a_linked_person_with_one_signed_call_once() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    link(&house, "UANA", "ana@acme.dev", true).await;
    link(&house, "UBEN", "ben@acme.dev", true).await;
    link(&house, "UDARIO", "dario@acme.dev", false).await;
    let grant = granted(&house, &["priya@acme.dev"]).await;
    let path = format!("/v1/grants/{grant}");
    let signs = |user: &str, call: String, body: &[u8]| {
        let slack = slack(user, None);
        house.bot.sign(Purpose::Act { call, body: countersign_shared::digest::of_bytes(body), slack }).unwrap()
    };
    let wish = json!({ "connection": "shop", "role": "writer", "duration": "1h", "reason": "INC-1" });
    let bytes = wish.to_string();
    for (case, token, expected) in [
        ("another body", signs("UANA", "POST /v1/access".into(), b"{}"), "bad_request"),
        ("another call", signs("UANA", format!("DELETE {path}"), bytes.as_bytes()), "bad_request"),
        ("nobody is linked", signs("UNEW", "POST /v1/access".into(), bytes.as_bytes()), "not_linked"),
        ("the link waits", signs("UDARIO", "POST /v1/access".into(), bytes.as_bytes()), "not_linked"),
        ("policy says no", signs("UANA", "POST /v1/access".into(), bytes.as_bytes()), "forbidden"),
    ] {
        assert_eq!(call(&app, "POST", "/v1/access", Some(&token), Some(wish.clone())).await.code(), expected, "{case}");
    }
    let bens = signs("UBEN", format!("DELETE {path}"), b"");
    assert_eq!(call(&app, "DELETE", &path, Some(&bens), None).await.code(), "not_found", "a stranger");
    let anas = signs("UANA", format!("DELETE {path}"), b"");
    assert_eq!(call(&app, "DELETE", &path, Some(&anas), None).await.status, StatusCode::OK);
    let again = call(&app, "DELETE", &path, Some(&anas), None).await;
    assert_eq!(again.code(), "repeated", "a call is made once: {}", again.body);
}

#[tokio::test]
async fn lists_hold_only_what_the_caller_may_see() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let _hers = house.ana_deletes().await;
    let agents = house.asks(house.agent(), &["ci"], crate::statement::effect::Action::Delete).await;
    let (_own, _a) = house.session("ben@acme.dev");
    let (_agent, _b) = house.session("deploy");
    let expected = [(0, 0), (0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (2, 0), (1, 1), (2, 2)];
    for ((who, token), (requests, sessions)) in CALLERS.iter().zip(tokens(&house)).zip(expected).skip(2) {
        let listed = call(&app, "GET", "/v1/requests?state=pending", token.as_deref(), None).await.json();
        assert_eq!(listed.as_array().unwrap().len(), requests, "{who} sees requests");
        let listed = call(&app, "GET", "/v1/sessions", token.as_deref(), None).await.json();
        assert_eq!(listed.as_array().unwrap().len(), sessions, "{who} sees sessions");
    }
    let bot = house.bot_token();
    for (query, count) in [
        ("state=denied", Some(0)),
        ("principal=DEPLOY", Some(1)),
        ("limit=1", Some(1)),
        ("state=x", None),
        ("limit=x", None),
    ] {
        let answer = call(&app, "GET", &format!("/v1/requests?{query}"), Some(&bot), None).await;
        match count {
            Some(count) => assert_eq!(answer.json().as_array().unwrap().len(), count, "{query}"),
            None => assert_eq!(answer.code(), "bad_request", "{query}"),
        }
    }
    let one = call(&app, "GET", &format!("/v1/requests/{}", agents.id), Some(&bot), None).await;
    let view: RequestView = serde_json::from_str(&one.body).unwrap();
    assert_eq!(view.owner.as_deref(), Some("priya@acme.dev"));
    assert_eq!(view.effects[1].object, "Table::\"shop/public.orders\"");
    assert_eq!(view.address.as_deref(), Some("127.0.0.1"));
}

async fn clicks(app: &Router, token: &str, request: &NewRequest, choice: &str) -> Answer {
    let body = json!({ "choice": choice, "digest": request.digest, "reason": null });
    call(app, "POST", &format!("/v1/requests/{}/decisions", request.id), Some(token), Some(body)).await
}

#[tokio::test]
async fn a_click_counts_only_from_a_linked_full_member_and_for_what_was_signed() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let (request, other) = (house.ana_deletes().await, house.ana_deletes().await);
    link(&house, "UPRIYA", "priya@acme.dev", true).await;
    link(&house, "UDARIO", "dario@acme.dev", false).await;
    link(&house, "UANA", "ana@acme.dev", true).await;
    let approve = |user: &str| house.click(&request, Choice::Approve, slack(user, Some("priya@acme.dev")));
    let mut guest = slack("UPRIYA", None);
    guest.full_member = false;
    let guest = house.click(&request, Choice::Approve, guest);
    let forger = {
        let folder = tempfile::tempdir().unwrap();
        let pem = crate::approval::keys::load_or_create(&folder.path().join("k")).unwrap();
        let purpose = Purpose::Decision {
            request: request.id.clone(),
            digest: request.digest,
            choice: Choice::Approve,
            reason: None,
            allow: None,
            slack: slack("UPRIYA", None),
        };
        BotKey::from_pem(pem.reveal().as_bytes()).unwrap().sign(purpose).unwrap()
    };
    for (case, token, choice, expected) in [
        ("nobody is linked", approve("UNEW"), "approve", "not_linked"),
        ("the link waits", approve("UDARIO"), "approve", "not_linked"),
        ("the requester's own", approve("UANA"), "approve", "own_request"),
        ("a guest", guest, "approve", "forbidden"),
        ("another choice than signed", approve("UPRIYA"), "deny", "bad_request"),
        ("another key", forger, "approve", "not_signed_in"),
        ("the bot's own token", house.bot_token(), "approve", "forbidden"),
    ] {
        assert_eq!(clicks(&app, &token, &request, choice).await.code(), expected, "{case}");
    }
    assert_eq!(clicks(&app, &approve("UPRIYA"), &other, "approve").await.code(), "bad_request", "another request");
    assert_eq!(house.state(&request.id).await, State::Pending);
    let click = approve("UPRIYA");
    let read = call(&app, "GET", &format!("/v1/requests/{}", request.id), Some(&click), None).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND, "a click is good for nothing else");
    let taken = clicks(&app, &click, &request, "approve").await;
    assert_eq!(taken.json()["message"], "Approved; it runs now.");
    assert_eq!(taken.json()["request"]["approvals"][0]["slack"]["user"], "UPRIYA");
    let replayed = clicks(&app, &click, &request, "approve").await;
    assert_eq!(replayed.json()["message"], "You have approved this already; nothing was changed.");
    let stored = house.request(&request.id).await;
    assert_eq!(stored.approvals[0].evidence, click);
}

#[tokio::test]
async fn a_person_decides_with_a_token_that_is_kept_nowhere() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    let token = house.token("priya@acme.dev");
    assert_eq!(clicks(&app, &house.token("ana@acme.dev"), &request, "approve").await.code(), "own_request");
    assert_eq!(clicks(&app, &house.token("ben@acme.dev"), &request, "approve").await.code(), "not_an_approver");
    let taken = clicks(&app, &token, &request, "approve").await;
    assert_eq!(taken.json()["request"]["state"], "approved");
    let stored = house.request(&request.id).await;
    assert!(stored.approvals[0].evidence.starts_with("sha256:"));
    let signature = token.rsplit('.').next().unwrap();
    assert!(!house.log_text().contains(signature) && !stored.approvals[0].evidence.contains(signature));
    assert!(house.log_text().contains("\"decision\""));
}

#[tokio::test]
async fn a_card_is_posted_once() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    let bot = house.bot_token();
    let path = format!("/v1/requests/{}/card", request.id);
    for (ts, expected) in [("1.1", 204), ("1.1", 204), ("2.2", 409)] {
        let card = json!({ "channel": "C1", "ts": ts });
        assert_eq!(call(&app, "PUT", &path, Some(&bot), Some(card)).await.status.as_u16(), expected, "{ts}");
    }
    assert_eq!(house.request(&request.id).await.card.unwrap().ts, "1.1");
}

#[tokio::test]
async fn whoever_may_ends_a_session_and_it_learns_why() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    for (who, whose) in
        [("ben@acme.dev", "ben@acme.dev"), ("olu@acme.dev", "ben@acme.dev"), ("priya@acme.dev", "deploy")]
    {
        let (session, killed) = house.session(whose);
        let answer = call(&app, "DELETE", &format!("/v1/sessions/{session}"), Some(&house.token(who)), None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{who}");
        assert!(killed.killed().unwrap().reason.contains(who));
    }
}

#[tokio::test]
async fn a_denied_token_logs_nobody_in_and_ends_what_rests_on_it() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let olu = house.token("olu@acme.dev");
    let of = |jti: Option<&str>| {
        let mut claims = house.provider.claims("ana@acme.dev", "1", &["engineering"]);
        claims["jti"] = json!(jti);
        house.provider.token(&claims)
    };
    let (leaked, bare, other) = (of(Some("leaked")), of(None), of(Some("other")));
    let mut places = Vec::new();
    for token in [&leaked, &bare, &other] {
        places.push(house.session_by(token).await);
    }
    let denies = async |body: Value| call(&app, "POST", "/v1/tokens/denied", Some(&olu), Some(body)).await;
    let sha256 = countersign_shared::digest::of_token(&bare);
    for (case, body) in [
        ("an issuer that is none of ours", json!({ "issuer": "https://idp", "jti": "leaked", "reason": "x" })),
        ("no reason", json!({ "jti": "leaked", "reason": " " })),
        ("an empty name", json!({ "jti": "", "reason": "x" })),
        ("no digest", json!({ "sha256": "abc", "reason": "x" })),
    ] {
        assert_eq!(denies(body).await.code(), "bad_request", "{case}");
    }
    for (body, who) in [
        (json!({ "jti": "leaked", "reason": "in a public repository" }), 0),
        (json!({ "issuer": house.provider.url, "sha256": sha256, "reason": "in a ticket" }), 1),
    ] {
        let answer = denies(body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["sessions"]), (201, &json!(1)), "{}", answer.body);
        let told = places[who].killed().unwrap().reason;
        assert_eq!(told, "the token counts no more; sign in again");
    }
    assert!(places[2].killed().is_none(), "her other session rests on another token");
    let (flipped_bare, flipped_other) = (flipped(&bare), flipped(&other));
    assert_ne!(flipped_bare, bare);
    for (token, status) in [(&leaked, 401), (&bare, 401), (&flipped_bare, 401), (&other, 200), (&flipped_other, 200)] {
        assert_eq!(call(&app, "GET", "/v1/sessions", Some(token), None).await.status.as_u16(), status);
    }
    let listed = call(&app, "GET", "/v1/tokens/denied", Some(&olu), None).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[1]["denied_by"], "olu@acme.dev");
    let again = router(house.reopened());
    assert_eq!(call(&again, "GET", "/v1/sessions", Some(&leaked), None).await.status, 401, "after a restart");
    assert!(house.log_text().contains("in a public repository"));
}

#[tokio::test]
async fn bad_bodies_and_hosts_are_problems_too() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    let token = house.token("priya@acme.dev");
    let path = format!("/v1/requests/{}/decisions", request.id);
    let build = |kind: Option<&str>, hosts: &[&str], body: String| {
        let mut built = Request::post(&path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        for host in hosts {
            built = built.header(header::HOST, *host);
        }
        if let Some(kind) = kind {
            built = built.header(header::CONTENT_TYPE, kind);
        }
        built.body(Body::from(body)).unwrap()
    };
    let json = Some("application/json");
    let here: &[&str] = &["localhost:6480"];
    let table = [
        ("not JSON", build(json, here, "{".into()), 400),
        ("an unknown choice", build(json, here, r#"{"choice":"maybe","digest":""}"#.into()), 400),
        ("no digest", build(json, here, r#"{"choice":"approve"}"#.into()), 400),
        ("a form", build(Some("application/x-www-form-urlencoded"), here, "choice=approve".into()), 415),
        ("no content type", build(None, here, "{}".into()), 415),
        ("too large", build(json, here, " ".repeat(300 * 1024)), 413),
        ("another host", build(json, &["evil.dev"], "{}".into()), 421),
        ("no host", build(json, &[], "{}".into()), 421),
        ("two hosts", build(json, &["localhost", "localhost"], "{}".into()), 421),
    ];
    for (case, request, status) in table {
        let answer = send(&app, request).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.body);
        assert!(serde_json::from_str::<Problem>(&answer.body).is_ok(), "{case}: {}", answer.body);
    }
}

/// The next event of a stream, as its lines.
async fn next_event(stream: &mut axum::body::BodyDataStream) -> String {
    let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next()).await;
    String::from_utf8(chunk.unwrap().unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn events_come_as_they_happen_resume_and_show_only_what_may_be_seen() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let listen = |token: String, after: Option<&'static str>| {
        let app = app.clone();
        async move {
            let mut request = Request::get("/v1/events")
                .header(header::HOST, "localhost")
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
            if let Some(after) = after {
                request = request.header("last-event-id", after);
            }
            app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
        }
    };
    let refused = listen(house.bot_token(), Some("-1")).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let bot = listen(house.bot_token(), None).await;
    assert_eq!(bot.headers()[header::CONTENT_TYPE], "text/event-stream");
    let (mut bot, mut ben) = (
        bot.into_body().into_data_stream(),
        listen(house.token("ben@acme.dev"), None).await.into_body().into_data_stream(),
    );
    let hers = house.ana_deletes().await;
    let event = next_event(&mut bot).await;
    assert!(event.contains("event: request.created") && event.contains(hers.id.as_str()), "{event}");
    let his = house.asks(house.human("ben@acme.dev"), &["engineering"], crate::statement::effect::Action::Delete).await;
    let event = next_event(&mut ben).await;
    assert!(event.contains(his.id.as_str()), "ben's first event is his own request: {event}");
    let mut again = listen(house.bot_token(), Some("0")).await.into_body().into_data_stream();
    let first = next_event(&mut again).await;
    assert!(first.contains("id: 1") && first.contains(hers.id.as_str()), "{first}");
}

#[tokio::test]
async fn the_public_address_serves_people_pages_only() {
    let house = House::open().await;
    let app = super::public_router(house.gateway.clone());
    for path in ["/v1/requests", "/v1/events", "/v1/openapi.json", "/metrics", "/healthz"] {
        let answer = call(&app, "GET", path, Some(&house.bot_token()), None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}
