use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;

const ANA: &str = "U0ANA00001";
const PRIYA: &str = "U0PRIYA001";
const CHANNEL: &str = "C0APPROVE1";
const SOON: Duration = Duration::from_secs(10);

fn config() -> WorkspaceConfig {
    let mut gone = Person::new("U0GONE0001", "gone", "Gone Former", "gone@acme.dev");
    gone.deleted = true;
    let mut stranger = Person::new("U0STRANGE1", "stan", "Stan Stranger", "stan@other.dev");
    stranger.is_stranger = true;
    stranger.team_id = Some("T0OTHER001".into());
    let mut private = Channel::public("C0PRIVATE1", "secret");
    private.is_private = true;
    private.members = Some(vec![PRIYA.into()]);
    let mut elsewhere = Channel::public("C0ELSEWHER", "elsewhere");
    elsewhere.members = Some(vec![ANA.into()]);
    WorkspaceConfig {
        people: vec![
            Person::new(ANA, "ana", "Ana Fernandes", "ana@acme.dev"),
            Person::new(PRIYA, "priya", "Priya Raman", "priya@acme.dev"),
            gone,
            stranger,
        ],
        channels: vec![Channel::public(CHANNEL, "db-approvals"), private, elsewhere],
        usergroups: vec![Usergroup::new("S0DBA00001", "dba", "DBAs", &[PRIYA])],
        ..WorkspaceConfig::default()
    }
}

async fn workspace() -> Workspace {
    Workspace::start(config()).await.unwrap()
}

/// Calls a method with a token of one's choice.
async fn call_as(workspace: &Workspace, token: Option<&str>, method: &str, arguments: &Value) -> Value {
    let mut request = reqwest::Client::new().post(format!("{}{method}", workspace.api_url())).json(arguments);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().json().await.unwrap()
}

async fn call(workspace: &Workspace, method: &str, arguments: Value) -> Value {
    call_as(workspace, Some(&workspace.bot_token()), method, &arguments).await
}

fn card() -> Value {
    json!([
        {"type": "section", "text": {"type": "mrkdwn", "text": "held"}},
        {"type": "actions", "block_id": "decision", "elements": [
            {"type": "button", "action_id": "approve", "value": "K7Q2", "text": {"type": "plain_text", "text": "Approve"}},
        ]},
    ])
}

async fn post_card(workspace: &Workspace) -> String {
    let answer =
        call(workspace, "chat.postMessage", json!({"channel": CHANNEL, "text": "held", "blocks": card()})).await;
    answer["ts"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn tokens_and_scopes_are_checked_in_slacks_order() {
    let workspace = workspace().await;
    let (bot, app) = (workspace.bot_token(), workspace.app_token());
    for (token, method, error) in [
        (None, "auth.test", "not_authed"),
        (Some("xoxb-guessed"), "auth.test", "invalid_auth"),
        (Some(app.as_str()), "auth.test", "not_allowed_token_type"),
        (Some(bot.as_str()), "apps.connections.open", "not_allowed_token_type"),
        (Some(bot.as_str()), "chat.nonsense", "unknown_method"),
        (Some(bot.as_str()), "/auth.test", "unknown_method"),
    ] {
        assert_eq!(call_as(&workspace, token, method, &json!({})).await["error"], error, "{method} with {token:?}");
    }
    assert_eq!(call(&workspace, "auth.test", json!({})).await["ok"], true);
    assert_eq!(call_as(&workspace, Some(&app), "apps.connections.open", &json!({})).await["ok"], true);

    let mut few = config();
    few.scopes = vec!["chat:write".into(), "users:read".into()];
    let workspace = Workspace::start(few).await.unwrap();
    let answer = call(&workspace, "usergroups.list", json!({})).await;
    assert_eq!(
        answer,
        json!({"ok": false, "error": "missing_scope", "needed": "usergroups:read",
        "provided": "chat:write,users:read"})
    );
    let user = call(&workspace, "users.info", json!({"user": ANA})).await;
    assert_eq!(user["user"]["profile"]["email"], Value::Null, "without users:read.email there is no e-mail");
}

#[tokio::test]
async fn methods_refuse_with_slacks_own_words() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    let theirs = workspace.say(ANA, CHANNEL, "hello").unwrap().ts;
    let long = "x".repeat(40_001);
    for (method, arguments, error) in [
        ("chat.postMessage", json!({"text": "x"}), "invalid_arguments"),
        ("chat.postMessage", json!({"channel": "C0NOWHERE1", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "C0PRIVATE1", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": "C0ELSEWHER", "text": "x"}), "not_in_channel"),
        ("chat.postMessage", json!({"channel": CHANNEL}), "no_text"),
        ("chat.postMessage", json!({"channel": CHANNEL, "text": long}), "msg_too_long"),
        ("chat.postMessage", json!({"channel": CHANNEL, "blocks": "{"}), "invalid_blocks_format"),
        ("chat.postMessage", json!({"channel": CHANNEL, "blocks": [{"type": "no"}]}), "invalid_blocks"),
        ("chat.update", json!({"channel": CHANNEL, "ts": "1.2", "text": "x"}), "message_not_found"),
        ("chat.update", json!({"channel": CHANNEL, "ts": theirs, "text": "x"}), "cant_update_message"),
        ("chat.update", json!({"channel": CHANNEL, "ts": ts, "text": &long[..4001]}), "msg_too_long"),
        ("chat.postEphemeral", json!({"channel": CHANNEL, "user": "U0NOBODY01", "text": "x"}), "user_not_found"),
        ("chat.getPermalink", json!({"channel": CHANNEL, "message_ts": "1.2"}), "message_not_found"),
        ("users.info", json!({"user": "U0NOBODY01"}), "user_not_found"),
        ("usergroups.users.list", json!({"usergroup": "S0NOTHING1"}), "no_such_subteam"),
        ("conversations.open", json!({"users": "U0NOBODY01"}), "user_not_found"),
        ("conversations.open", json!({"users": "U0GONE0001"}), "user_disabled"),
        ("conversations.open", json!({}), "users_list_not_supplied"),
        ("views.open", json!({"trigger_id": "1.2.3", "view": {"type": "modal"}}), "invalid_arguments"),
        ("views.update", json!({"view_id": "V1", "view": {"type": "home", "blocks": []}}), "not_found"),
    ] {
        let answer = call(&workspace, method, arguments.clone()).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)), "{method} {arguments:.80}");
    }
    assert_eq!(workspace.messages(CHANNEL).len(), 2, "what was refused was not done");
}

#[tokio::test]
async fn people_are_described_with_all_that_tells_a_colleague_from_a_stranger() {
    let workspace = workspace().await;
    workspace.change_user(ANA, |ana| ana.is_restricted = true).unwrap();
    let ana = call(&workspace, "users.info", json!({"user": ANA})).await["user"].clone();
    assert_eq!((&ana["is_restricted"], &ana["profile"]["email"]), (&json!(true), &json!("ana@acme.dev")));
    let stan = call(&workspace, "users.info", json!({"user": "U0STRANGE1"})).await["user"].clone();
    assert_eq!((&stan["is_stranger"], &stan["team_id"]), (&json!(true), &json!("T0OTHER001")));
    assert_eq!(stan["profile"]["email"], Value::Null, "a stranger's e-mail is not given");
    let members = call(&workspace, "users.list", json!({})).await["members"].as_array().unwrap().len();
    assert_eq!(members, 5, "four people and the bot");
}

#[tokio::test]
async fn ordered_failures_come_as_often_as_ordered() {
    let workspace = workspace().await;
    workspace.rate_limit("auth.test", 1, 7);
    workspace.fail("auth.test", 1, "internal_error");
    workspace.break_down("*", 1, 502);
    let client = reqwest::Client::new();
    let get = || client.get(format!("{}auth.test", workspace.api_url())).bearer_auth(workspace.bot_token()).send();
    let limited = get().await.unwrap();
    assert_eq!(
        (limited.status(), &limited.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
    );
    assert_eq!(get().await.unwrap().json::<Value>().await.unwrap()["error"], "internal_error");
    assert_eq!(get().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    assert_eq!(get().await.unwrap().json::<Value>().await.unwrap()["ok"], true);
    let outcomes: Vec<_> = workspace.calls().into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, ["ratelimited", "internal_error", "HTTP 502", "ok"]);
}

#[tokio::test]
async fn a_form_and_json_say_the_same() {
    let workspace = workspace().await;
    let form = [("token", workspace.bot_token()), ("channel", CHANNEL.into()), ("blocks", card().to_string())];
    let url = format!("{}chat.postMessage", workspace.api_url());
    let answer: Value = reqwest::Client::new().post(url).form(&form).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["message"]["blocks"][1]["block_id"], "decision", "{answer}");
    let logged = workspace.calls().pop().unwrap().arguments;
    assert_eq!(logged["token"], Value::Null, "the log keeps no token");
    let inside = call_as(&workspace, None, "auth.test", &json!({"token": workspace.bot_token()})).await;
    assert_eq!(inside["error"], "not_authed", "Slack takes no token from JSON");
}

#[tokio::test]
async fn a_press_says_who_where_what_and_how_to_answer() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    let payload = workspace.press_payload(PRIYA, CHANNEL, &ts, "approve").unwrap();
    let told = |pointer: &str| payload.pointer(pointer).cloned().unwrap_or_else(|| panic!("no {pointer} in {payload}"));
    for (pointer, value) in [
        ("/type", json!("block_actions")),
        ("/user", json!({"id": PRIYA, "username": "priya", "name": "priya", "team_id": "T0ACME0001"})),
        ("/team", json!({"id": "T0ACME0001", "domain": "acme"})),
        ("/channel", json!({"id": CHANNEL, "name": "db-approvals"})),
        ("/enterprise", Value::Null),
        ("/is_enterprise_install", json!(false)),
        ("/container/type", json!("message")),
        ("/container/message_ts", json!(ts)),
        ("/message/blocks/1/block_id", json!("decision")),
        ("/message/bot_id", json!("B0BOT00001")),
        ("/state/values", json!({})),
        ("/actions/0/type", json!("button")),
        ("/actions/0/action_id", json!("approve")),
        ("/actions/0/block_id", json!("decision")),
        ("/actions/0/value", json!("K7Q2")),
        ("/actions/0/text/text", json!("Approve")),
    ] {
        assert_eq!(told(pointer), value, "{pointer}");
    }
    assert!(told("/actions/0/action_ts").is_string() && told("/trigger_id").is_string());
    assert!(told("/response_url").as_str().unwrap().starts_with("http://127.0.0.1:"));
    let stranger = workspace.press_payload("U0STRANGE1", CHANNEL, &ts, "approve").unwrap();
    assert_eq!(stranger["user"]["team_id"], "T0OTHER001", "a stranger's team is their own");
}

#[tokio::test]
async fn nobody_presses_what_they_do_not_see() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    let blocks = card();
    call(&workspace, "chat.postEphemeral", json!({"channel": CHANNEL, "user": ANA, "text": "x", "blocks": blocks}))
        .await;
    let private = workspace.ephemerals(ANA)[0].ts.clone();
    let press =
        async |user: &str, channel: &str, ts: &str, action: &str| workspace.press(user, channel, ts, action).await;
    assert!(matches!(press("U0GONE0001", CHANNEL, &ts, "approve").await, Err(ActError::Deactivated(_))));
    assert!(matches!(press("U0NOBODY01", CHANNEL, &ts, "approve").await, Err(ActError::NoUser(_))));
    assert!(matches!(press(PRIYA, "C0ELSEWHER", &ts, "approve").await, Err(ActError::NotInChannel { .. })));
    assert!(matches!(press(PRIYA, CHANNEL, "1.2", "approve").await, Err(ActError::NoMessage { .. })));
    assert!(matches!(press(PRIYA, CHANNEL, &private, "approve").await, Err(ActError::NoMessage { .. })));
    assert!(matches!(press(PRIYA, CHANNEL, &ts, "deny").await, Err(ActError::NoElement { .. })));
    let nobody = press(ANA, CHANNEL, &private, "approve").await;
    assert_eq!(nobody, Err(ActError::AppFailed(Undelivered::NobodyConnected)), "seen, but no app is there");
    assert!(workspace.notices(ANA)[0].text.contains("did not respond"));
}

#[tokio::test]
async fn a_response_url_answers_five_times_and_not_after_its_time() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    let url = |workspace: &Workspace| {
        let payload = workspace.press_payload(PRIYA, CHANNEL, &ts, "approve").unwrap();
        payload["response_url"].as_str().unwrap().to_owned()
    };
    let client = reqwest::Client::new();
    let send = async |url: &str, body: Value| {
        let response = client.post(url).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let first = url(&workspace);
    assert_eq!(send(&first, json!({"text": "for you"})).await, (200, "ok".into()));
    assert_eq!(send(&first, json!({"text": "for all", "response_type": "in_channel"})).await.0, 200);
    assert_eq!(send(&first, json!({"text": "done", "replace_original": true})).await.0, 200);
    assert_eq!(send(&first, json!({"text": "x", "blocks": [{"type": "no"}]})).await.0, 400);
    assert_eq!(workspace.ephemerals(PRIYA)[0].text, "for you");
    assert_eq!(workspace.messages(CHANNEL)[1].text, "for all");
    assert_eq!(workspace.message(CHANNEL, &ts).unwrap().shown(), "done");
    assert_eq!(send(&first, json!({"delete_original": true})).await.0, 200);
    assert_eq!(workspace.message(CHANNEL, &ts), None);
    let sixth = send(&first, json!({"text": "once more"})).await;
    assert!(sixth.0 == 404 && sixth.1.contains("used_url"), "{sixth:?}");

    let ts = post_card(&workspace).await;
    let payload = workspace.press_payload(PRIYA, CHANNEL, &ts, "approve").unwrap();
    workspace.expire_everything();
    let late = send(payload["response_url"].as_str().unwrap(), json!({"text": "late"})).await;
    assert!(late.0 == 404 && late.1.contains("expired_url"), "{late:?}");
    let modal = json!({"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": []});
    let opened = call(&workspace, "views.open", json!({"trigger_id": payload["trigger_id"], "view": modal})).await;
    assert_eq!(opened["error"], "expired_trigger_id");
}

#[tokio::test]
async fn an_update_keeps_the_blocks_that_it_does_not_mention() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    call(&workspace, "chat.update", json!({"channel": CHANNEL, "ts": ts, "text": "new text"})).await;
    assert_eq!(workspace.message(CHANNEL, &ts).unwrap().buttons().len(), 1);
    call(&workspace, "chat.update", json!({"channel": CHANNEL, "ts": ts, "text": "bare", "blocks": []})).await;
    let message = workspace.message(CHANNEL, &ts).unwrap();
    assert_eq!((message.shown().as_str(), message.edits), ("bare", 2));
}

#[tokio::test]
async fn a_thread_and_a_direct_message_are_found_again() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    call(&workspace, "chat.postMessage", json!({"channel": CHANNEL, "text": "reply", "thread_ts": ts})).await;
    assert_eq!(workspace.thread(CHANNEL, &ts)[0].text, "reply");
    let opened = call(&workspace, "conversations.open", json!({"users": [ANA], "return_im": true})).await;
    assert_eq!(opened["channel"]["is_im"], true);
    call(&workspace, "chat.postMessage", json!({"channel": ANA, "text": "psst"})).await;
    assert_eq!(workspace.direct_messages(ANA)[0].channel, opened["channel"]["id"]);
    assert!(workspace.press_payload(PRIYA, opened["channel"]["id"].as_str().unwrap(), "1.2", "a").is_err());
}

#[tokio::test]
async fn when_slack_is_away_nothing_answers() {
    let workspace = workspace().await;
    workspace.go_down();
    let url = format!("{}auth.test", workspace.api_url());
    let away = reqwest::Client::new().post(url).bearer_auth(workspace.bot_token()).send().await.unwrap();
    assert_eq!(away.status(), StatusCode::SERVICE_UNAVAILABLE);
    workspace.come_back();
    assert_eq!(call(&workspace, "auth.test", json!({})).await["ok"], true);
}

#[tokio::test]
async fn waiting_sees_what_comes_later_and_says_what_is_there_when_it_does_not() {
    let workspace = workspace().await;
    let later = workspace.clone();
    let posting = tokio::spawn(async move { post_card(&later).await });
    let seen = workspace.wait_for_message(CHANNEL, SOON, |message| message.text == "held").await.unwrap();
    assert_eq!(seen.ts, posting.await.unwrap());
    let in_vain = workspace.wait_for_message(CHANNEL, Duration::ZERO, |_| false).await.unwrap_err();
    assert!(in_vain.to_string().contains("held"), "{in_vain}");
}

#[tokio::test]
async fn the_page_is_served_to_itself_and_drives_the_workspace() {
    let workspace = workspace().await;
    let ts = post_card(&workspace).await;
    let client = reqwest::Client::new();
    let page = client.get(workspace.url()).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let screen: Value = client
        .get(format!("{}stand-in/screen?user={PRIYA}", workspace.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((&screen["user"], &screen["items"][0]["ts"]), (&json!(PRIYA), &json!(ts)));
    let act = || client.post(format!("{}stand-in/act", workspace.url()));
    let said = json!({"do": "say", "user": ANA, "channel": CHANNEL, "text": "hi"});
    let foreign = act().header("origin", "http://evil.example").json(&said).send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let rebound = act().header("host", "evil.example").json(&said).send().await.unwrap();
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
    assert_eq!(workspace.messages(CHANNEL).len(), 1, "other sites change nothing");
    let own: Value = act().json(&said).send().await.unwrap().json().await.unwrap();
    assert_eq!(own["ok"], true);
    assert_eq!(workspace.messages(CHANNEL)[1].text, "hi");
}

#[tokio::test]
async fn it_ends_when_it_is_stopped_or_dropped() {
    let stopped = workspace().await;
    let url = stopped.url();
    stopped.stop().await;
    assert!(reqwest::get(url).await.is_err());
    let dropped = workspace().await;
    let (url, stop) = (dropped.url(), dropped.shared.stop.clone());
    drop(dropped);
    assert!(stop.is_cancelled());
    drop(url);
}

/// An app that takes events over HTTP, refuses the first two, and notes what it was sent.
async fn reluctant_app(seen: tokio::sync::mpsc::UnboundedSender<(axum::http::HeaderMap, String)>) -> String {
    let refusals = Arc::new(std::sync::atomic::AtomicUsize::new(2));
    let take = move |headers: axum::http::HeaderMap, body: String| async move {
        seen.send((headers, body)).unwrap();
        let left = refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/slack/events", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

#[tokio::test]
async fn an_event_is_sent_again_until_it_is_taken_and_each_time_signed() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let mut config = config();
    config.mode = Mode::Http { request_url: reluctant_app(seen).await };
    config.event_retries = vec![Duration::ZERO; 3];
    config.events = vec!["message.channels".into()];
    let workspace = Workspace::start(config).await.unwrap();
    workspace.say(ANA, CHANNEL, "a < b").unwrap();
    let mut ids = Vec::new();
    for attempt in 0..3 {
        let (headers, body) = sees.recv().await.unwrap();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let signature = deliver::sign(&workspace.signing_secret(), text("x-slack-request-timestamp").unwrap(), &body);
        assert_eq!(text("x-slack-signature"), Some(signature.as_str()));
        let retry = (attempt > 0).then(|| attempt.to_string());
        assert_eq!(text("x-slack-retry-num"), retry.as_deref());
        assert_eq!(text("x-slack-retry-reason"), (attempt > 0).then_some("http_error"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["type"], &body["event"]["text"]), (&json!("event_callback"), &json!("a &lt; b")));
        ids.push(body["event_id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "a repeated event keeps its id");
    let taken = workspace.send_event(json!({"type": "app_mention"})).await;
    assert_eq!(taken, Ok(1), "taken at once now, subscribed or not");
    workspace.go_down();
    assert_eq!(workspace.send_event(json!({"type": "app_mention"})).await, Err(Undelivered::NobodyConnected));
}

#[test]
fn a_signature_is_the_one_of_slacks_own_example() {
    // From https://docs.slack.dev/authentication/verifying-requests-from-slack
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = deliver::sign("8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body);
    assert_eq!(signature, "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
}
