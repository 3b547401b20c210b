//! What Slack delivers twice, late, or again and again, counts once: against the real API and a real state.

use axum::http::StatusCode;
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
use crate::approval::house::{House, slack};

/// How often each is delivered.
const TIMES: usize = 250;
/// How many of each kind there are.
const EACH: usize = 8;

/// One thing that somebody did in Slack.
struct Act {
    method: &'static str,
    path: String,
    body: Option<Value>,
    token: Box<dyn Fn() -> String + Send + Sync>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_deliveries_of_forty_acts_have_forty_effects() {
    let house = std::sync::Arc::new(House::open().await);
    let app = router(house.gateway.clone());
    for (user, principal) in [("UANA", "ana@acme.dev"), ("UPRIYA", "priya@acme.dev"), ("UOLU", "olu@acme.dev")] {
        link(&house, user, principal, true).await;
    }
    let mut acts = Vec::new();
    let mut grants = (Vec::new(), Vec::new());
    let mut requests = (Vec::new(), Vec::new());
    for number in 0..EACH {
        for kept in [false, true] {
            let grant = granted(&house, &["priya@acme.dev"]).await;
            let (method, path, body) = if kept {
                ("POST", format!("/v1/grants/{grant}/keep"), Some(json!({ "reason": "on call" })))
            } else {
                ("DELETE", format!("/v1/grants/{grant}"), None)
            };
            let bytes = body.as_ref().map(Value::to_string).unwrap_or_default();
            let (bot, call) = (std::sync::Arc::clone(&house), format!("{method} {path}"));
            let token = move || {
                let purpose = Purpose::Act {
                    call: call.clone(),
                    body: of_bytes(bytes.as_bytes()),
                    slack: slack(if kept { "UOLU" } else { "UPRIYA" }, None),
                };
                // What the bot makes of one press, however often it hears of it.
                bot.bot.sign_as(of_bytes(format!("{number} {call}").as_bytes()).to_string(), purpose).unwrap()
            };
            acts.push(Act { method, path, body, token: Box::new(token) });
            if kept { grants.1.push(grant) } else { grants.0.push(grant) }
        }
        for choice in [Choice::Approve, Choice::Deny, Choice::Withdraw] {
            let request = house.ana_deletes().await;
            let path = format!("/v1/requests/{}/decisions", request.id);
            let body = json!({ "choice": choice, "digest": request.digest });
            let user = if choice == Choice::Withdraw { "UANA" } else { "UPRIYA" };
            let bot = std::sync::Arc::clone(&house);
            let clicked = request.clone();
            let token = move || bot.click(&clicked, choice, slack(user, None));
            acts.push(Act { method: "POST", path, body: Some(body), token: Box::new(token) });
            requests.0.push((request.id.clone(), choice));
            requests.1.push(request.id);
        }
    }
    assert_eq!(acts.len() * TIMES, 10_000);
    let acts = std::sync::Arc::new(acts);
    let mut deliveries = tokio::task::JoinSet::new();
    // Eight at a time, each in an order of its own.
    for lane in 0..8 {
        let (acts, app) = (std::sync::Arc::clone(&acts), app.clone());
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
    // A decision that is taken already is answered with what came of it; a call is not.
    let calls = good.iter().zip(acts.iter()).filter(|(_, act)| !act.path.ends_with("/decisions"));
    assert_eq!(calls.map(|(good, _)| *good).collect::<Vec<_>>(), vec![1; 2 * EACH], "each call succeeds once");
    let log = house.log_text();
    assert_eq!(log.matches("\"kind\":\"grant_ended\"").count(), EACH);
    assert_eq!(log.matches("\"kind\":\"grant_kept\"").count(), EACH);
    assert_eq!(log.matches("\"kind\":\"decision\"").count(), 3 * EACH, "each decision is taken once");
    let usage = house.gateway.store.usage().await.unwrap();
    assert_eq!(usage.keeps.len(), EACH);
    assert!(grants.0.iter().all(|grant| house.gateway.grants.get(grant).is_none()));
    assert!(grants.1.iter().all(|grant| house.gateway.grants.get(grant).is_some()));
    for (id, choice) in requests.0 {
        let request = house.request(&id).await;
        let (state, approvals) = match choice {
            Choice::Approve => (State::Approved, 1),
            Choice::Deny => (State::Denied, 0),
            Choice::Withdraw => (State::Withdrawn, 0),
        };
        assert_eq!((request.state, request.approvals.len()), (state, approvals), "{choice:?}");
    }
}
