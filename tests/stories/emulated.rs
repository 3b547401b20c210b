//! The app against an emulator of Slack that nobody here wrote: npm's `emulate`, over HTTP with signatures.
//!
//! `make emulate` runs it, since it needs npm. What the emulator does not do (it presses nothing, types nothing and has no
//! response URLs), `tests/emulate/emulator.mjs` does beside it, in JavaScript and with Node's own HMAC.

use std::{env, fs, process::Stdio, time::Duration};

use countersign_demo::{browser::Browser, people::People};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{interval, timeout},
};
use url::{Url, form_urlencoded};

use crate::{
    asking::{POLICY, ROLES},
    harness::{CHANNEL, PATIENCE, Story, declared_scopes},
};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const BOT: &str = "U0COUNTER01";
/// The app's token has the scopes of its manifest, this one those of a person who looks on.
const TOKENS: (&str, &str) = ("xoxb-emulated", "xoxp-looks-on");

struct Emulator {
    _child: Child,
    client: reqwest::Client,
    ours: Url,
    page: Url,
    channel: String,
}

impl Emulator {
    async fn start(app: &Url) -> Self {
        let people = People::acme().people.into_iter().filter(|person| !person.guest);
        let user = |person: countersign_demo::people::Person| {
            let (name, email) = (person.handle().to_owned(), person.email);
            json!({ "name": name, "real_name": person.name, "email": email, "profile": { "email": email } })
        };
        let (bot, looks_on) = TOKENS;
        let seed = json!({
            "team": { "name": "Acme", "domain": "acme" },
            "users": people.map(user).collect::<Vec<_>>(),
            "channels": [{ "name": "db-approvals" }],
            "oauth_apps": [{
                "client_id": "1.2", "client_secret": "x", "app_id": "A0COUNTER01", "name": "Countersign",
                "redirect_uris": [], "scopes": declared_scopes(), "bot_id": "B0COUNTER01", "bot_user_id": BOT,
                "bot_name": "countersign",
            }],
            "tokens": [
                { "token": bot, "type": "bot", "user": BOT, "app_id": "A0COUNTER01", "bot_id": "B0COUNTER01",
                  "bot_user_id": BOT, "scopes": declared_scopes() },
                { "token": looks_on, "user": "ana" },
            ],
            "signing_secret": SECRET,
            "strict_scopes": true,
        });
        let node = env::var("COUNTERSIGN_EMULATE_NODE").expect("`make emulate` says where Node.js 22 is");
        let mut command = Command::new(node);
        command.arg("emulator.mjs").arg(json!({ "app": app, "seed": seed }).to_string());
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/emulate"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the emulator starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text").expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let url = |name: &str| Url::parse(told[name].as_str().expect("an address")).expect("an address");
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let mut emulator =
            Self { _child: child, client, ours: url("ours"), page: url("emulator"), channel: String::new() };
        let channels = emulator.asks("conversations.list", json!({})).await["channels"].clone();
        let ours = channels.as_array().expect("a list").iter().find(|channel| channel["name"] == "db-approvals");
        emulator.channel = ours.expect("the channel")["id"].as_str().expect("an id").to_owned();
        emulator
    }

    fn at(&self, path: &str) -> Url {
        self.ours.join(path).expect("an address")
    }

    /// Calls the emulator as somebody who looks on.
    async fn asks(&self, method: &str, body: Value) -> Value {
        let call = self.client.post(self.at(&format!("api/{method}"))).bearer_auth(TOKENS.1).json(&body);
        let answer: Value = call.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer
    }

    async fn user(&self, name: &str) -> String {
        let users = self.asks("users.list", json!({})).await["members"].clone();
        let user =
            users.as_array().expect("a list").iter().find(|user| user["name"] == name).expect("somebody").clone();
        user["id"].as_str().expect("an id").to_owned()
    }

    /// What the app answers to a signed request.
    async fn delivers(&self, path: &str, kind: &str, body: String) -> u16 {
        let call = self.client.post(self.at(&format!("deliver/{path}"))).header("content-type", kind).body(body);
        call.send().await.expect("an answer").status().as_u16()
    }

    async fn interacts(&self, payload: &Value) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form.append_pair("payload", &payload.to_string()).finish();
        assert_eq!(self.delivers("interactive", "application/x-www-form-urlencoded", body).await, 200);
    }

    async fn types(&self, user: &str, text: &str) {
        let respond = self.at("respond");
        let fields = [
            ("command", "/access"),
            ("text", text),
            ("user_id", user),
            ("team_id", "T000000001"),
            ("channel_id", &self.channel),
            ("response_url", respond.as_str()),
            ("trigger_id", &format!("typed {user} {text}")),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        assert_eq!(self.delivers("commands", "application/x-www-form-urlencoded", body).await, 200);
    }

    /// Waits for what `find` finds.
    async fn finds<T>(&self, what: &str, find: impl AsyncFn() -> Option<T>) -> T {
        let mut looks = interval(Duration::from_millis(100));
        let found = async {
            loop {
                looks.tick().await;
                if let Some(found) = find().await {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("in vain: {what}"))
    }

    /// The message in the channel that has all of these words.
    async fn sees(&self, words: &[&str]) -> Value {
        let find = async || {
            let history = self.asks("conversations.history", json!({ "channel": self.channel })).await;
            let messages = history["messages"].as_array().expect("a list").clone();
            messages.into_iter().find(|message| words.iter().all(|word| message.to_string().contains(word)))
        };
        self.finds(&format!("a message with {words:?}"), find).await
    }

    /// Waits until the emulator's own pages show these words.
    async fn page_shows(&self, tab: &str, words: &str) {
        let mut url = self.page.clone();
        url.set_query(Some(tab));
        let find = async || {
            let page = self.client.get(url.clone()).send().await.expect("a page").text().await.expect("text");
            page.contains(words).then_some(())
        };
        self.finds(&format!("{words} on {tab}"), find).await;
    }

    /// What came by response URLs so far.
    async fn responses(&self) -> Vec<String> {
        let call = self.client.get(self.at("respond")).send().await.expect("an answer");
        let all: Vec<Value> = call.json().await.expect("a list");
        all.iter().filter_map(|one| one["text"].as_str().map(str::to_owned)).collect()
    }

    /// What came by a response URL after the first `count`, and holds `words`.
    async fn responded(&self, count: usize, words: &str) -> String {
        let find = async || self.responses().await.into_iter().skip(count).find(|text| text.contains(words));
        self.finds(&format!("an answer with {words}"), find).await
    }

    /// Links somebody's account as they would.
    async fn links(&self, story: &Story, who: &str) -> String {
        let user = self.user(who).await;
        let before = self.responses().await.len();
        self.types(&user, "link").await;
        let told = self.responded(before, "/link/").await;
        let url = told.split_once('<').and_then(|(_, rest)| rest.split_once('|')).expect("a link").0.to_owned();
        let mut browser = Browser::new().expect("a browser");
        browser.open(&url).await.expect("the sign-in page");
        let email = story.world.idp.person(who).expect("somebody who works here").email;
        browser.press(&email, &[]).await.expect("signing in");
        browser.press("Link these accounts", &[]).await.expect("confirming");
        assert!(browser.shows("You can close this page"), "{}", browser.text());
        user
    }

    /// Presses a button of a message, as Slack tells of it; the trigger is the emulator's.
    async fn presses(&self, user: &str, message: &Value, action: &str) {
        let blocks = message["blocks"].as_array().expect("blocks");
        let row = blocks.iter().find(|block| block["type"] == "actions").expect("buttons");
        let buttons = row["elements"].as_array().expect("buttons");
        let mut button = buttons.iter().find(|button| button["action_id"] == action).expect("the button").clone();
        button["block_id"] = row["block_id"].clone();
        // A trigger belongs to the app, so it is the app's token that has one made.
        let call = self.client.post(self.at("api/views.generateTriggerId")).bearer_auth(TOKENS.0);
        let trigger: Value =
            call.json(&json!({ "user_id": user })).send().await.expect("an answer").json().await.expect("JSON");
        self.interacts(&json!({
            "type": "block_actions",
            "team": { "id": "T000000001" },
            "user": { "id": user, "team_id": "T000000001" },
            "channel": { "id": self.channel },
            "container": { "type": "message", "message_ts": message["ts"], "channel_id": self.channel },
            "message": message,
            "trigger_id": trigger["trigger_id"],
            "response_url": self.at("respond"),
            "actions": [button],
        }))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs npm's emulate and Node.js 22: make emulate"]
async fn a_hold_is_asked_approved_denied_and_digested_on_an_emulator_of_slack_that_nobody_here_wrote() {
    let mut story = Story::prepare().await;
    let emulator = Emulator::start(&story.world.facts.control).await;
    let folder = story.folder();
    fs::write(folder.join("signing.secret"), SECRET).expect("a file");
    fs::write(folder.join("secrets/slack-bot.token"), TOKENS.0).expect("a file");
    fs::write(folder.join("policy/90-roles.cedar"), POLICY).expect("a policy");
    let config = fs::read_to_string(&story.world.facts.config).expect("the config");
    let api = format!("api_url   = \"{}\"", emulator.at("api/"));
    let config: Vec<&str> =
        config.lines().map(|line| if line.starts_with("api_url") { api.as_str() } else { line }).collect();
    let config = config.join("\n").replace("secrets/slack-app.token", "signing.secret");
    let config = config.replace("app_token", "signing_secret").replace(CHANNEL, &emulator.channel);
    let digest = "digest = { at = \"00:00\", timezone = \"UTC\", stale_after = \"1s\" }\n";
    fs::write(&story.world.facts.config, format!("{config}\n{digest}{ROLES}")).expect("the config");
    let checked = story.tells(&["check", "--slack"]).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("bot_token is good for Acme"), "{said}");
    story.gateway = Some(story.try_start("serve").await.unwrap_or_else(|no| panic!("{}", no.0)));

    // What is signed otherwise is not Slack's; what the emulator signs itself is.
    let forged = emulator.delivers("events?secret=another", "application/json", json!({}).to_string()).await;
    assert_eq!(forged, 401);
    emulator.client.post(emulator.at("subscribe")).send().await.expect("a subscription");
    let channel = emulator.channel.clone();
    emulator.asks("chat.postMessage", json!({ "channel": channel, "text": "who is on call?" })).await;
    let events = async || {
        let all: Value = emulator.client.get(emulator.at("subscribe")).send().await.ok()?.json().await.ok()?;
        all.as_array()?.iter().find(|one| one["payload"]["event"]["text"] == "who is on call?").cloned()
    };
    let event = emulator.finds("an event of the emulator's", events).await;
    assert_eq!(event["status_code"], 200, "its own signature is good: {event}");

    let (ana, priya) = (emulator.links(&story, "ana").await, emulator.links(&story, "priya").await);
    let session = story.logs_in("ana").await;
    let delete = session.runs("delete from orders where id = 5");
    let id = session.is_held().await;
    let card = emulator.sees(&[&id, "Approval needed"]).await;
    assert_eq!(card["user"], BOT);
    emulator.presses(&ana, &card, "approve").await;
    let refused = async || {
        let written = story.everything_written();
        let mut said = written.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "stderr"));
        said.any(|(_, said)| String::from_utf8_lossy(said).contains("a decision was not taken")).then_some(())
    };
    emulator.finds("that her own press counts for nothing", refused).await;
    assert!(delete.waits(), "nobody approves their own");
    emulator.presses(&priya, &card, "approve").await;
    assert_eq!(delete.ends().await.expect("it runs").affected, [1]);
    let done = emulator.sees(&[&id, "DELETE 1"]).await;
    assert_eq!(done["ts"], card["ts"], "updated in place");

    let delete = session.runs("delete from orders where id = 6");
    let id = session.is_held().await;
    let card = emulator.sees(&[&id, "Approval needed"]).await;
    emulator.presses(&priya, &card, "deny").await;
    emulator.page_shows("tab=views", &format!("Deny {id}")).await;
    let digest = card["blocks"].as_array().expect("blocks").iter().find_map(|block| {
        block["block_id"].as_str().and_then(|id| id.strip_prefix("request:")).and_then(|id| id.split_once(':'))
    });
    let carried = json!({ "request": id, "digest": digest.expect("its digest").1, "channel": emulator.channel });
    let view = json!({
        "callback_id": "deny", "private_metadata": carried.to_string(),
        "state": { "values": { "reason": { "reason": { "type": "plain_text_input", "value": "not on a Friday" } } } },
    });
    let user = json!({ "id": priya, "team_id": "T000000001" });
    emulator
        .interacts(&json!({ "type": "view_submission", "team": { "id": "T000000001" }, "user": user, "view": view }))
        .await;
    assert!(delete.gets_refused().await.detail.contains("not on a Friday"));
    emulator.sees(&[&id, "Denied by priya@acme.dev: not on a Friday"]).await;

    let home = json!({
        "type": "event_callback", "team_id": "T000000001", "event_id": "Ev1",
        "event": { "type": "app_home_opened", "user": ana, "tab": "home" },
    });
    assert_eq!(emulator.delivers("events", "application/json", home.to_string()).await, 200);
    emulator.page_shows("tab=views", "app home").await;

    emulator.types(&ana, "request shop shop-looker 24h to look").await;
    emulator.responded(0, "You have shop-looker").await;
    let grant = story.grants("ana").await.remove(0).id.to_string();
    story.digest_finds(&grant, |found| found["finding"] == "never_used").await;
    let posted = story.tells(&["digest", "--now"]).await;
    assert!(posted.status.success(), "{posted:?}");
    let digest = emulator.sees(&[&grant, "Access digest"]).await;
    emulator.page_shows("tab=files", "access-").await;
    emulator.presses(&priya, &digest, "revoke").await;
    emulator.sees(&[&grant, "It was revoked by priya"]).await;
    assert!(story.grants("ana").await.is_empty());
}
