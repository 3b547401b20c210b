//! What Slack delivers twice, late, or again and again, counts once: against the real API and a real state.

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use countersign_shared::{
    bot_token::Purpose,
    digest::of_bytes,
    request::{Choice, State},
};
use serde_json::{Value, json};

use super::{
    router,
    who_may::{call, granted, link},
};
use crate::{
    approval::house::{House, slack},
    store::NewRequest,
};

/// How often each is delivered.
const TIMES: usize = 125;
/// How many of each kind there are.
const EACH: usize = 10;

/// One thing that somebody did in Slack.
struct Act {
    method: &'static str,
    path: String,
    body: Option<Value>,
    token: Box<dyn Fn() -> String + Send + Sync>,
}

/// A call, as the bot signs it: the same number however often it hears of the press.
fn act(house: &Arc<House>, user: &'static str, method: &'static str, path: String, body: Option<Value>) -> Act {
    let bytes = body.as_ref().map(Value::to_string).unwrap_or_default();
    let (bot, call) = (Arc::clone(house), format!("{method} {path}"));
    let token = move || {
        let body = of_bytes(bytes.as_bytes());
        let purpose = Purpose::Act { call: call.clone(), body, slack: slack(user, None) };
        bot.bot.sign_as(of_bytes(format!("{call} {bytes}").as_bytes()).to_string(), purpose).unwrap()
    };
    Act { method, path, body, token: Box::new(token) }
}

/// A press at a request.
fn press(house: &Arc<House>, request: NewRequest, choice: Choice) -> Act {
    let path = format!("/v1/requests/{}/decisions", request.id);
    let body = json!({ "choice": choice, "digest": request.digest });
    let user = if choice == Choice::Withdraw { "UANA" } else { "UPRIYA" };
    let bot = Arc::clone(house);
    let token = move || bot.click(&request, choice, slack(user, None));
    Act { method: "POST", path, body: Some(body), token: Box::new(token) }
}

/// Delivers each so often, eight at a time, each in an order of its own; how often each succeeded.
async fn deliver(app: &Router, acts: &Arc<Vec<Act>>) -> Vec<usize> {
    let mut deliveries = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let (acts, app) = (Arc::clone(acts), app.clone());
        deliveries.spawn(async move {
            let mut good = vec![0_usize; acts.len()];
            for step in (0..acts.len() * TIMES).filter(|step| step % 8 == lane) {
                let which = step * 17 % acts.len();
                let Act { method, path, body, token } = &acts[which];
                let answer = call(&app, method, path, Some(&token()), body.clone()).await;
                assert!(answer.status != StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
                good[which] += usize::from(answer.status.is_success());
            }
            good
        });
    }
    let mut good = vec![0_usize; acts.len()];
    while let Some(lane) = deliveries.join_next().await {
        good.iter_mut().zip(lane.unwrap()).for_each(|(sum, more)| *sum += more);
    }
    good
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_deliveries_of_eighty_acts_have_eighty_effects() {
    let house = Arc::new(House::open().await);
    let app = router(house.gateway.clone());
    for (user, principal) in [("UANA", "ana@acme.dev"), ("UPRIYA", "priya@acme.dev"), ("UOLU", "olu@acme.dev")] {
        link(&house, user, principal, true).await;
    }
    let mut grants = Vec::new();
    for _ in 0..EACH * 4 {
        grants.push(granted(&house, &["priya@acme.dev"]).await);
    }
    let open = act(&house, "UOLU", "POST", "/v1/reviews".to_owned(), Some(json!({ "connection": "shop" })));
    let review = call(&app, open.method, &open.path, Some(&(open.token)()), open.body).await.json()["id"].clone();
    let answers = format!("/v1/reviews/{}/answers", review.as_str().expect("a review"));
    let (mut acts, mut requests) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        let of = |kind: usize| grants[number * 4 + kind].clone();
        acts.push(act(&house, "UPRIYA", "DELETE", format!("/v1/grants/{}", of(0)), None));
        let why = Some(json!({ "reason": "on call" }));
        acts.push(act(&house, "UOLU", "POST", format!("/v1/grants/{}/keep", of(1)), why));
        for (choice, grant) in [("revoke", of(2)), ("keep", of(3))] {
            let body = json!({ "grant": grant, "choice": choice, "reason": "as it is" });
            acts.push(act(&house, "UOLU", "POST", answers.clone(), Some(body)));
        }
        let until = chrono::Utc::now() + chrono::TimeDelta::days(1 + i64::try_from(number).unwrap());
        let away = json!({ "to": "dario@acme.dev", "until": until });
        acts.push(act(&house, "UPRIYA", "PUT", "/v1/delegation".to_owned(), Some(away)));
        for choice in [Choice::Approve, Choice::Deny, Choice::Withdraw] {
            let request = house.ana_deletes().await;
            requests.push((request.id.clone(), choice));
            acts.push(press(&house, request, choice));
        }
    }
    assert_eq!(acts.len() * TIMES, 10_000);
    let acts = Arc::new(acts);
    let good = deliver(&app, &acts).await;

    // A decision that is taken already is answered with what came of it; a call is not.
    let calls = good.iter().zip(acts.iter()).filter(|(_, act)| !act.path.ends_with("/decisions"));
    assert_eq!(calls.map(|(good, _)| *good).collect::<Vec<_>>(), vec![1; 5 * EACH], "each call succeeds once");
    let log = house.log_text();
    let entries = |kind: &str, outcome: &str| {
        let is = |line: &&str| {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            entry["kind"] == kind && (outcome.is_empty() || entry["outcome"] == outcome)
        };
        log.lines().filter(is).count()
    };
    for (kind, outcome, count) in [
        ("grant_ended", "", 2 * EACH),
        ("grant_kept", "", EACH),
        ("review", "opened", 1),
        ("review", "revoked", EACH),
        ("review", "kept", EACH),
        ("delegation", "begun", EACH),
        ("decision", "", 3 * EACH),
    ] {
        assert_eq!(entries(kind, outcome), count, "{kind} {outcome}");
    }
    assert_eq!(house.gateway.store.usage().await.unwrap().keeps.len(), 2 * EACH);
    assert_eq!(house.gateway.store.delegations(chrono::Utc::now()).await.unwrap().len(), 1);
    for (place, grant) in grants.iter().enumerate() {
        let stays = [false, true, false, true][place % 4];
        assert_eq!(house.gateway.grants.get(grant).is_some(), stays, "{place}");
    }
    for (id, choice) in requests {
        let request = house.request(&id).await;
        let (state, approvals) = match choice {
            Choice::Approve => (State::Approved, 1),
            Choice::Deny => (State::Denied, 0),
            Choice::Withdraw => (State::Withdrawn, 0),
        };
        assert_eq!((request.state, request.approvals.len()), (state, approvals), "{choice:?}");
    }
}
