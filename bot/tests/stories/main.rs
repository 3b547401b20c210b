//! The bot against a small Slack and a small gateway: what it posts, when, and to whom.

mod bad_days;
mod fakes;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use countersign_bot::{
    cards::{request::block_id, samples},
    slack_routes,
};
use countersign_shared::{
    api::{ApprovalView, Outcome, Problem, RequestView, SlackRef},
    bot_token::Purpose,
    request::{Choice, State},
};
use fakes::{Memory, World};
use serde_json::{Value, json};
use tower::ServiceExt;

fn view() -> RequestView {
    RequestView { created_at: chrono::Utc::now(), ..samples::view() }
}

fn shown() -> String {
    block_id(&samples::id(), &samples::digest())
}

/// How many messages stand in a channel of their own.
fn posts(memory: &Memory) -> usize {
    memory.called("chat.postMessage").iter().filter(|body| body["thread_ts"].is_null()).count()
}

/// What was posted in threads: the thread, and all of the message.
fn in_threads(memory: &Memory) -> Vec<(String, String)> {
    let posts = memory.called("chat.postMessage").into_iter();
    posts.filter_map(|body| Some((body["thread_ts"].as_str()?.to_owned(), body.to_string()))).collect()
}

fn says(memory: &Memory, method: &str, words: &str) -> bool {
    memory.called(method).iter().any(|body| body.to_string().contains(words))
}

/// A world in which the card is up and the socket open.
async fn world_with_card() -> (World, fakes::Running) {
    let world = World::new(view()).await;
    let running = world.start();
    world.until("the card is named and the socket open", |m| m.cards_named == 1 && !m.called("hello").is_empty()).await;
    (world, running)
}

fn refuse(world: &World, code: &str) {
    let problem = Problem { code: code.into(), error: format!("because {code}"), hint: None };
    world.memory().refusal = Some(problem);
}

#[tokio::test]
async fn a_request_has_one_card_which_is_updated_to_its_outcome() {
    let (world, running) = world_with_card().await;
    for _ in 0..5 {
        world.change("request.created", |_| {});
    }
    world.change("request.updated", |view| {
        view.state = State::Done;
        view.approvals = vec![ApprovalView { slack: None, ..samples::approval() }];
        let (tag, milliseconds) = (Some("DELETE 1204".into()), Some(312));
        view.outcome = Some(Outcome { tag, milliseconds, ..Outcome::default() });
    });
    world.until("the outcome is on the card", |m| says(m, "chat.update", "DELETE 1204 in 0.3 s")).await;
    world.until("and in its thread", |m| !in_threads(m).is_empty()).await;
    running.stop().await;
    let memory = world.memory();
    assert_eq!(posts(&memory), 1);
    let card = memory.view.as_ref().unwrap().card.clone().unwrap();
    let said = in_threads(&memory);
    assert!(said.len() == 1 && said[0].0 == card.ts && said[0].1.contains("DELETE 1204 in 0.3 s"), "{said:?}");
    assert!(memory.called("chat.update").iter().all(|body| body["ts"] == card.ts && body["channel"] == "C1"));
}

#[tokio::test]
async fn a_restarted_bot_posts_nothing_again_and_shows_what_it_missed() {
    let (world, running) = world_with_card().await;
    running.stop().await;
    world.change("request.updated", |view| view.state = State::Void);
    let running = world.start();
    world.until("the card says void", |m| says(m, "chat.update", "Void")).await;
    running.stop().await;
    assert_eq!(posts(&world.memory()), 1);
}

#[tokio::test]
async fn slack_on_a_bad_day_gets_the_card_in_the_end_and_once() {
    let world = World::new(view()).await;
    let faults = [
        (StatusCode::TOO_MANY_REQUESTS, json!({ "ok": false, "error": "ratelimited" })),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({})),
        (StatusCode::OK, json!({ "ok": false, "error": "not_in_channel" })),
    ];
    world.memory().faults.insert("chat.postMessage".into(), faults.into());
    let running = world.start();
    world.until("the card is named", |m| m.cards_named == 1).await;
    running.stop().await;
    assert_eq!(posts(&world.memory()), 4, "three failures and one card");
}

#[tokio::test]
async fn the_gateway_hears_what_channels_are_called() {
    let world = World::new(view()).await;
    let running = world.start();
    world.until("both names are told", |m| m.channels.len() == 2).await;
    running.stop().await;
    assert_eq!(world.memory().channels["C1"], "db-approvals");
}

/// A message of `user` in the channel's history, with a button for the request.
fn in_history(user: &str, ts: &str) -> Value {
    let button = json!({ "type": "button", "action_id": "approve", "value": samples::id() });
    json!({ "user": user, "ts": ts, "blocks": [{ "type": "actions", "elements": [button] }] })
}

#[tokio::test]
async fn a_card_that_was_posted_without_an_answer_is_found_and_not_posted_again() {
    let world = World::new(view()).await;
    world.memory().faults.insert("chat.postMessage".into(), [(StatusCode::BAD_GATEWAY, json!({}))].into());
    let first =
        json!({ "ok": true, "messages": [in_history("U9", "7.7")], "response_metadata": { "next_cursor": "n" } });
    let nothing = json!({ "ok": true, "messages": [] });
    let second = json!({ "ok": true, "messages": [in_history("UBOT", "5.5")] });
    // In each channel, for a message that counts, and before the first try, as after every start; then, once the answer
    // is lost, two pages.
    let pages = [nothing.clone(), nothing.clone(), nothing, first, second].map(|page| (StatusCode::OK, page));
    world.memory().faults.insert("conversations.history".into(), pages.into());
    let running = world.start();
    world.until("the card is named", |m| m.cards_named == 1).await;
    world.until("it shows what is", |m| says(m, "chat.update", "5.5")).await;
    running.stop().await;
    let memory = world.memory();
    assert_eq!(memory.view.as_ref().unwrap().card.as_ref().unwrap().ts, "5.5", "ours, and nobody else's");
    let cards = memory.called("chat.postMessage").into_iter().filter(|body| body["channel"] == "C1").count();
    assert_eq!(cards, 1, "one try, none again");
}

#[tokio::test]
async fn an_app_that_may_not_search_the_channel_posts_anew() {
    let world = World::new(view()).await;
    let refused = (StatusCode::OK, json!({ "ok": false, "error": "missing_scope" }));
    world.memory().faults.insert("conversations.history".into(), [refused].into());
    let running = world.start();
    world.until("the card is named", |m| m.cards_named == 1).await;
    running.stop().await;
    assert_eq!(posts(&world.memory()), 1);
}

#[tokio::test]
async fn a_card_that_slack_refuses_becomes_one_that_cannot_approve() {
    let world = World::new(view()).await;
    let refused = (StatusCode::OK, json!({ "ok": false, "error": "invalid_blocks" }));
    world.memory().faults.insert("chat.postMessage".into(), [refused].into());
    let running = world.start();
    world.until("the card is named", |m| m.cards_named == 1).await;
    running.stop().await;
    let memory = world.memory();
    let card = memory.called("chat.postMessage")[1].to_string();
    assert!(!card.contains("\"approve\"") && card.contains("\"deny\""), "{card}");
}

#[tokio::test]
async fn a_linked_requester_is_told_with_a_way_to_withdraw_and_how_it_ended() {
    let requester_slack = Some(SlackRef { team: "T1".into(), user: "U2".into() });
    let world = World::new(RequestView { requester_slack, ..view() }).await;
    let running = world.start();
    world.until("both messages are posted", |m| posts(m) == 2).await;
    world.change("request.updated", |view| view.state = State::Expired);
    world.until("both are updated", |m| m.called("chat.update").len() >= 2).await;
    running.stop().await;
    let memory = world.memory();
    let direct = memory.called("chat.postMessage")[1].clone();
    assert_eq!(direct["channel"], "D1");
    assert!(direct.to_string().contains("\"withdraw\""));
    let updates = memory.called("chat.update");
    let last = updates.iter().rfind(|body| body["channel"] == "D1").unwrap().to_string();
    assert!(last.contains("Expired") && !last.contains("\"withdraw\""), "{last}");
}

#[tokio::test]
async fn a_press_is_acknowledged_and_delivered_signed_over_what_its_card_showed() {
    let (world, running) = world_with_card().await;
    // The request as it is now has another digest; the press must not take it.
    world.memory().view.as_mut().unwrap().digest = countersign_shared::digest::of_bytes(b"other");
    world.press("approve", Some(&shown()));
    world.until("the decision arrives", |m| m.decisions.len() == 1 && m.acknowledged == ["press"]).await;
    world.until("that more is needed is said", |m| says(m, "chat.postEphemeral", "One more is needed.")).await;
    running.stop().await;
    let memory = world.memory();
    let Purpose::Decision { request, digest, choice, slack, .. } = &memory.decisions[0].purpose else { panic!() };
    assert_eq!((request, digest, *choice), (&samples::id(), &samples::digest(), Choice::Approve));
    assert_eq!((slack.user.as_str(), slack.full_member), ("U1", true));
    assert_eq!(memory.called("users.info").len(), 1);
}

#[tokio::test]
async fn a_requester_who_approves_is_told_no_privately() {
    let (world, running) = world_with_card().await;
    refuse(&world, "own_request");
    world.press("approve", Some(&shown()));
    let words = "You cannot approve your own request K7Q2AB9X";
    world.until("it is said", |m| says(m, "chat.postEphemeral", words)).await;
    running.stop().await;
    let memory = world.memory();
    assert_eq!(memory.called("chat.postEphemeral")[0]["user"], "U1");
    assert_eq!(posts(&memory), 1, "nobody else hears of it");
}

#[tokio::test]
async fn who_is_not_linked_gets_a_link_for_themselves() {
    let (world, running) = world_with_card().await;
    refuse(&world, "not_linked");
    world.press("approve", Some(&shown()));
    world.until("the link is given", |m| says(m, "chat.postEphemeral", "http://gateway/link/n0nce")).await;
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_checked_is_not_delivered() {
    let refused = (StatusCode::OK, json!({ "ok": false, "error": "user_not_found" }));
    let (world, running) = world_with_card().await;
    world.memory().faults.insert("users.info".into(), [refused].into());
    world.press("approve", Some(&shown()));
    world.until("it is said", |m| says(m, "chat.postEphemeral", "nothing was decided")).await;
    // A digest of another request does not count, and this process knows no such message.
    world.memory().view.as_mut().unwrap().card = None;
    world.press("approve", Some("x"));
    world.until("it is said", |m| says(m, "chat.postEphemeral", "does not say which statement")).await;
    running.stop().await;
    assert!(world.memory().decisions.is_empty());
}

#[tokio::test]
async fn a_press_without_a_block_id_counts_on_a_card_that_this_bot_wrote() {
    let (world, running) = world_with_card().await;
    world.press("approve", None);
    world.until("the decision arrives", |m| m.decisions.len() == 1).await;
    running.stop().await;
    let Purpose::Decision { digest, .. } = world.memory().decisions[0].purpose.clone() else { panic!() };
    assert_eq!(digest, samples::digest());
}

#[tokio::test]
async fn a_guest_is_delivered_as_no_full_member() {
    let (world, running) = world_with_card().await;
    world.memory().user["is_restricted"] = json!(true);
    world.press("approve", Some(&shown()));
    world.until("the decision arrives", |m| m.decisions.len() == 1).await;
    running.stop().await;
    let Purpose::Decision { slack, .. } = world.memory().decisions[0].purpose.clone() else { panic!() };
    assert!(!slack.full_member);
}

#[tokio::test]
async fn a_denial_asks_why_and_carries_the_answer() {
    let (world, running) = world_with_card().await;
    world.press("deny", Some(&shown()));
    world.until("the form opens", |m| m.called("views.open").len() == 1).await;
    let mut form = world.memory().called("views.open")[0]["view"].clone();
    form["state"] = json!({ "values": { "reason": { "reason": { "value": "not on a Friday" } } } });
    let user = json!({ "id": "U1", "team_id": "T1" });
    let payload = json!({ "type": "view_submission", "team": { "id": "T1" }, "user": user, "view": form });
    world.envelope("form", "interactive", &payload);
    world.until("the decision arrives", |m| m.decisions.len() == 1).await;
    running.stop().await;
    let Purpose::Decision { digest, choice, reason, .. } = world.memory().decisions[0].purpose.clone() else {
        panic!()
    };
    let expected = (samples::digest(), Choice::Deny, Some("not on a Friday".to_owned()));
    assert_eq!((digest, choice, reason), expected);
}

#[tokio::test]
async fn the_stream_of_events_goes_on_where_it_broke() {
    let (world, running) = world_with_card().await;
    world.change("request.updated", |view| view.notes.push("It has no WHERE.".into()));
    world.until("the event is heard", |m| says(m, "chat.update", "It has no WHERE.")).await;
    world.cut_events();
    world.until("the stream is opened again", |m| m.resumed_from.len() == 2).await;
    running.stop().await;
    assert_eq!(world.memory().resumed_from, [None, Some("1".to_owned())]);
}

#[tokio::test]
async fn a_command_is_answered_by_its_response_url() {
    let (world, running) = world_with_card().await;
    let command = |text: &str| {
        let url = world.url("respond");
        json!({ "command": "/access", "text": text, "user_id": "U1", "team_id": "T1", "channel_id": "C9", "response_url": url })
    };
    world.envelope("1", "slash_commands", &command("link"));
    world.until("the link is given", |m| says(m, "response_url", "http://gateway/link/n0nce")).await;
    world.envelope("2", "slash_commands", &command("lnik"));
    world.until("the verb is guessed", |m| says(m, "response_url", "Did you mean `/access link`?")).await;
    world.envelope("3", "slash_commands", &command("requests"));
    world
        .until("the unlinked are sent to link", |m| {
            says(m, "response_url", "not linked to an identity yet. After signing in, ask again.")
        })
        .await;
    running.stop().await;
}

/// Slack's documented secret, over a body of ours.
fn signed(path: &str, body: &str, secret: &str) -> Request<Body> {
    let time = chrono::Utc::now().timestamp();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, format!("v0:{time}:{body}").as_bytes());
    let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Request::post(path)
        .header("x-slack-request-timestamp", time)
        .header("x-slack-signature", format!("v0={tag}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn over_http_only_what_slack_signed_is_worked_on() {
    let (world, running) = world_with_card().await;
    let routes = slack_routes(&running.bot).unwrap();
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let body = format!("text=help&user_id=U1&team_id=T1&response_url={}", world.url("respond"));
    let forged = routes.clone().oneshot(signed("/slack/commands", &body, "another")).await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let answer = routes.clone().oneshot(signed("/slack/commands", &body, secret)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    world.until("the help is given", |m| says(m, "response_url", "/access help")).await;
    let huge = "x".repeat((1 << 20) + 1);
    let huge = routes.clone().oneshot(signed("/slack/interactive", &huge, secret)).await.unwrap();
    assert_eq!(huge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let challenge = r#"{"type":"url_verification","challenge":"abc"}"#;
    let answer = routes.oneshot(signed("/slack/events", challenge, secret)).await.unwrap();
    let answer = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({ "challenge": "abc" }));
    running.stop().await;
    assert_eq!(world.memory().called("response_url").len(), 1, "the forged command did nothing");
}

#[tokio::test]
async fn every_envelope_is_acknowledged_at_once_although_nobody_answers_behind_it() {
    let (world, running) = world_with_card().await;
    world.memory().silent = true;
    let command = |number: usize| {
        let url = world.url("respond");
        json!({ "command": "/access", "text": "status", "user_id": "U1", "team_id": "T1", "channel_id": "C9",
                "response_url": url, "trigger_id": format!("{number}") })
    };
    for number in 0..50 {
        world.envelope(&format!("command {number}"), "slash_commands", &command(number));
        let event = json!({ "team_id": "T1", "event_id": format!("Ev{number}"),
                            "event": { "type": "app_home_opened", "user": "U1", "tab": "home" } });
        world.envelope(&format!("event {number}"), "events_api", &event);
    }
    world.until("all are acknowledged", |m| m.acknowledged.len() >= 100).await;
    drop(running);
}
