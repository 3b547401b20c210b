//! The stand-in for Slack, held against clients that nobody of this project wrote: an app on Slack's own framework in
//! both modes, and the two checkers that cards go through.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use countersign_demo::slack::{
    ActError, Channel, Message, Mode, Person, Submission, Surface, Undelivered, Usergroup, Workspace, WorkspaceConfig,
    validate_blocks, validate_view,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const SOON: Duration = Duration::from_secs(30);
const ANA: &str = "U0ANA00001";
const PRIYA: &str = "U0PRIYA001";
const CHANNEL: &str = "C0APPROVE1";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("slack-fidelity")
}

/// The tools that `make tools` installs; without them this test must fail, not pass for nothing.
fn tool(path: &str) -> PathBuf {
    let tool = folder().join(path);
    assert!(tool.exists(), "{} is not there; run: make tools", tool.display());
    tool
}

/// A workspace with ana, priya and a channel.
async fn workspace() -> Workspace {
    let mut guest = Person::new("U0GUEST001", "gus", "Gus Guest", "gus@elsewhere.dev");
    guest.is_restricted = true;
    Workspace::start(WorkspaceConfig {
        people: vec![
            Person::new(ANA, "ana", "Ana Fernandes", "ana@acme.dev"),
            Person::new(PRIYA, "priya", "Priya Raman", "priya@acme.dev"),
            guest,
        ],
        channels: vec![Channel::public(CHANNEL, "db-approvals")],
        usergroups: vec![Usergroup::new("S0DBA00001", "dba", "Database administrators", &[PRIYA])],
        events: vec!["app_home_opened".into()],
        ack_within: Duration::from_secs(10),
        trigger_lives: Duration::from_secs(30),
        ..WorkspaceConfig::default()
    })
    .await
    .unwrap()
}

/// The app, and what it prints.
struct BoltApp {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl BoltApp {
    async fn start(workspace: &Workspace, mode: &str) -> (Self, String) {
        tool("node_modules/@slack/bolt/package.json");
        let mut child = Command::new("node")
            .arg(folder().join("bolt-app.mjs"))
            .env("API_URL", workspace.api_url())
            .env("BOT_TOKEN", workspace.bot_token())
            .env("APP_TOKEN", workspace.app_token())
            .env("SIGNING_SECRET", workspace.signing_secret())
            .env("MODE", mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut app = Self { child, said };
        let ready = app.line().await;
        (app, ready.strip_prefix("ready").unwrap_or_else(|| panic!("the app said {ready}")).trim().to_owned())
    }

    async fn line(&mut self) -> String {
        tokio::time::timeout(SOON, self.said.next_line()).await.expect("the app said nothing").unwrap().unwrap()
    }

    async fn says(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    async fn stop(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().await.unwrap();
    }
}

/// Types a command and waits for what ana alone is told.
async fn told(workspace: &Workspace, text: &str) -> String {
    let before = workspace.ephemerals(ANA).len();
    workspace.command(ANA, CHANNEL, "/access", text).await.unwrap();
    workspace.wait_for(SOON, |workspace| workspace.ephemerals(ANA).get(before).map(Message::shown)).await.unwrap()
}

async fn post_card(workspace: &Workspace, app: &mut BoltApp) -> String {
    workspace.command(ANA, CHANNEL, "/access", "card").await.unwrap();
    let said = app.says().await;
    assert_eq!(said["by"], "B0BOT00001");
    said["posted"].as_str().unwrap().to_owned()
}

/// What both modes have in common; the app can't tell, and so the story is one.
async fn the_whole_story(workspace: &Workspace, app: &mut BoltApp) {
    commands_are_answered(workspace).await;
    a_press_updates_the_card(workspace, app).await;
    a_modal_is_filled_with_errors_and_then_well(workspace, app).await;
    refusals_reach_the_app(workspace, app).await;
    workspace.open_home(ANA).unwrap();
    let home = workspace.wait_for(SOON, |workspace| workspace.home(ANA)).await.unwrap();
    assert!(home.shown().contains("Nothing is waiting"));
    assert_eq!(workspace.notices(ANA), vec![], "nothing failed in ana's eyes");
}

async fn commands_are_answered(workspace: &Workspace) {
    assert_eq!(told(workspace, "hello").await, "hello yourself");
    assert_eq!(told(workspace, "respond").await, "through the response_url");
    assert_eq!(told(workspace, "who").await, "Ana Fernandes <ana@acme.dev> member T0ACME0001");
    assert_eq!(told(workspace, "private").await, "only you");
    assert_eq!(told(workspace, "group").await, PRIYA);
    assert_eq!(workspace.ephemerals(PRIYA), vec![], "what is for ana is for ana alone");
    workspace.command(ANA, CHANNEL, "/access", "loud").await.unwrap();
    workspace.wait_for_message(CHANNEL, SOON, |message| message.text == "for everybody").await.unwrap();
    workspace.rate_limit("conversations.open", 2, 1);
    workspace.command(ANA, CHANNEL, "/access", "dm").await.unwrap();
    let direct = workspace.wait_for(SOON, |workspace| workspace.direct_messages(ANA).first().cloned()).await.unwrap();
    assert_eq!(direct.text, "a direct message");
    let outcomes: Vec<_> = workspace.calls_of("conversations.open").into_iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, ["ratelimited", "ratelimited", "ok"], "the client waits and tries again");
}

async fn a_press_updates_the_card(workspace: &Workspace, app: &mut BoltApp) {
    let ts = post_card(workspace, app).await;
    let card = workspace.message(CHANNEL, &ts).unwrap();
    let buttons: Vec<_> = card.buttons().into_iter().map(|button| button.action_id).collect();
    assert_eq!(buttons, ["approve", "deny"]);
    workspace.press(PRIYA, CHANNEL, &ts, "approve").await.unwrap();
    assert_eq!(
        app.says().await,
        json!({"pressed": "approve", "value": "K7Q2", "by": PRIYA, "in": "db-approvals", "was": "held"})
    );
    let card = workspace.wait_for_message(CHANNEL, SOON, |message| message.edits == 1).await.unwrap();
    assert_eq!((card.ts.as_str(), card.shown().as_str()), (ts.as_str(), "approved by <@U0PRIYA001>"));
    let thanks = workspace.wait_for(SOON, |workspace| workspace.ephemerals(PRIYA).pop()).await.unwrap();
    assert_eq!(thanks.text, "thank you");
    let again = workspace.press(PRIYA, CHANNEL, &ts, "approve").await;
    assert!(matches!(again, Err(ActError::NoElement { .. })), "the buttons are gone: {again:?}");
}

async fn a_modal_is_filled_with_errors_and_then_well(workspace: &Workspace, app: &mut BoltApp) {
    let ts = post_card(workspace, app).await;
    workspace.press(PRIYA, CHANNEL, &ts, "deny").await.unwrap();
    let opened = app.says().await["opened"].as_str().unwrap().to_owned();
    let views = workspace.open_views(PRIYA);
    assert_eq!(views.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), [opened.as_str()]);
    assert_eq!(views[0].callback_id(), "deny");

    let empty = workspace.submit_view(PRIYA, &opened, &[]).await.unwrap();
    assert!(matches!(&empty, Submission::Errors(errors) if errors["reason"] == "Please complete this required field."));
    let short = workspace.submit_view(PRIYA, &opened, &[("reason", "no")]).await.unwrap();
    assert!(matches!(&short, Submission::Errors(errors) if errors["reason"] == "Say more than that."), "{short:?}");
    let more = workspace.submit_view(PRIYA, &opened, &[("reason", "show more")]).await.unwrap();
    assert!(matches!(&more, Submission::Updated(view) if view.shown().contains("Deny for good")), "{more:?}");
    let done = workspace.submit_view(PRIYA, &opened, &[("reason", "too wide")]).await.unwrap();
    assert_eq!(done, Submission::Closed);
    assert_eq!(workspace.open_views(PRIYA), vec![]);
    let denied = workspace.wait_for_message(CHANNEL, SOON, |message| message.ts == ts && message.edits > 0).await;
    assert_eq!(denied.unwrap().text, "denied: too wide");
}

async fn refusals_reach_the_app(workspace: &Workspace, app: &mut BoltApp) {
    workspace.command(ANA, CHANNEL, "/access", "wrong").await.unwrap();
    assert_eq!(
        app.says().await,
        json!({"refused": "invalid_blocks", "details": ["[ERROR] unsupported type: marquee [json-pointer:/blocks/0]"]})
    );
    workspace.command(ANA, CHANNEL, "/access", "twice").await.unwrap();
    assert_eq!(app.says().await, json!({"refused": "exchanged_trigger_id"}));
}

#[tokio::test]
async fn an_app_on_bolt_works_in_socket_mode() {
    let workspace = workspace().await;
    let (mut app, _) = BoltApp::start(&workspace, "socket").await;
    workspace.wait_for_connection(SOON).await.unwrap();
    the_whole_story(&workspace, &mut app).await;

    workspace.refresh_connections();
    workspace.wait_for_connection(SOON).await.unwrap();
    assert_eq!(told(&workspace, "hello").await, "hello yourself", "it reconnects when asked to");
    workspace.drop_connections();
    workspace.wait_for_connection(SOON).await.unwrap();
    assert_eq!(told(&workspace, "hello").await, "hello yourself", "it reconnects when cut off");

    app.stop().await;
    workspace.wait_for(SOON, |workspace| (workspace.connections() == 0).then_some(())).await.unwrap();
    let gone = workspace.command(ANA, CHANNEL, "/access", "hello").await;
    assert_eq!(gone, Err(ActError::AppFailed(Undelivered::NobodyConnected)));
    let notice = workspace.notices(ANA).pop().unwrap();
    assert_eq!(notice.text, "/access failed with the error \"dispatch_failed\"");
    workspace.stop().await;
}

#[tokio::test]
async fn an_app_on_bolt_works_over_signed_http_requests() {
    let workspace = workspace().await;
    let (mut app, port) = BoltApp::start(&workspace, "http").await;
    workspace.set_mode(Mode::Http { request_url: format!("http://127.0.0.1:{port}") });
    the_whole_story(&workspace, &mut app).await;
    app.stop().await;
    let gone = workspace.command(ANA, CHANNEL, "/access", "hello").await;
    assert!(matches!(gone, Err(ActError::AppFailed(Undelivered::Unreachable(_)))), "{gone:?}");
    workspace.stop().await;
}

#[tokio::test]
async fn an_app_on_bolt_refuses_what_another_secret_signed() {
    let ours = workspace().await;
    let (app, port) = BoltApp::start(&ours, "http").await;
    let forger = Workspace::start(WorkspaceConfig {
        people: ours.people(),
        channels: vec![Channel::public(CHANNEL, "db-approvals")],
        signing_secret: "not the secret".into(),
        mode: Mode::Http { request_url: format!("http://127.0.0.1:{port}") },
        ack_within: SOON,
        ..WorkspaceConfig::default()
    })
    .await
    .unwrap();
    let refused = forger.command(ANA, CHANNEL, "/access", "hello").await;
    assert_eq!(refused, Err(ActError::AppFailed(Undelivered::Status(401))));
    app.stop().await;
}

#[tokio::test]
async fn a_command_that_is_not_acknowledged_fails_before_the_user() {
    let workspace = Workspace::start(WorkspaceConfig {
        people: vec![Person::new(ANA, "ana", "Ana Fernandes", "ana@acme.dev")],
        channels: vec![Channel::public(CHANNEL, "db-approvals")],
        ack_within: Duration::from_millis(300),
        ..WorkspaceConfig::default()
    })
    .await
    .unwrap();
    let (app, _) = BoltApp::start(&workspace, "socket").await;
    workspace.wait_for_connection(SOON).await.unwrap();
    let silent = workspace.command(ANA, CHANNEL, "/access", "silent").await;
    assert!(matches!(silent, Err(ActError::AppFailed(Undelivered::NotAcknowledged(_)))), "{silent:?}");
    assert_eq!(workspace.notices(ANA)[0].text, "/access failed with the error \"operation_timeout\"");
    app.stop().await;
}

/// Runs a checker over sample lines; answers with whether it was content, and what it said.
async fn checked(program: &Path, script: &str, lines: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .arg(folder().join(script))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_checkers_tell_good_cards_from_bad_ones() {
    tool("node_modules/@slack/types/package.json");
    let python = tool(".venv/bin/python");
    let good = std::fs::read_to_string(folder().join("samples/good.jsonl")).unwrap();
    let bad = std::fs::read_to_string(folder().join("samples/bad.jsonl")).unwrap();
    // slack_sdk lets a header's mrkdwn pass; the type check does not.
    let lenient = ["a header in mrkdwn"];
    for (program, script, overlooked) in
        [(Path::new("node"), "check-types.mjs", &[][..]), (python.as_path(), "check_blocks.py", &lenient[..])]
    {
        let (content, said) = checked(program, script, &good).await;
        assert!(content, "{script} refuses good cards: {said}");
        for line in bad.lines() {
            let name = serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned();
            let (content, said) = checked(program, script, line).await;
            assert_eq!(content, overlooked.contains(&name.as_str()), "{script} on {name}: {said}");
            assert!(content || said.contains(&name), "{script} does not name {name}: {said}");
        }
        let (content, _) = checked(program, script, "").await;
        assert!(!content, "{script} is content with nothing");
    }
}

#[test]
fn the_stand_in_judges_the_samples_as_the_checkers_do() {
    for (file, is_good) in [("samples/good.jsonl", true), ("samples/bad.jsonl", false)] {
        for line in std::fs::read_to_string(folder().join(file)).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let errors = match line.get("view") {
                Some(view) => validate_view(view),
                None => validate_blocks(&line["blocks"], Surface::Message),
            };
            assert_eq!(errors.is_empty(), is_good, "{}: {errors:?}", line["name"]);
        }
    }
}
