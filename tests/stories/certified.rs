//! At a certified OpenID provider (oidc-provider, from npm), in a process of its own.

use std::{process::Stdio, time::Duration};

use countersign_demo::browser::Browser;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{interval, timeout},
};

use crate::{
    harness::{PATIENCE, Story, client::Client, process::NotStarted},
    signing_in::{Machine, out},
};

const ASKS: &str = "poll = { introspect = true, every = \"1s\", client_id = \"countersign-asks\", client_secret = { command = [\"printf\", \"%s\", \"it's a s%cret\"] } }";

/// The provider's process.
struct Certified {
    issuer: String,
    child: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Certified {
    async fn start(story: &Story, port: u16, keys: &[u8]) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/provider");
        let gateway = story.world.facts.control.as_str().trim_end_matches('/').to_owned();
        let how = json!({ "gateway": gateway, "port": port, "keys": keys });
        let mut command = Command::new("node");
        command.arg("provider.mjs").arg(how.to_string()).current_dir(folder).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("node");
        let mut said = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let issuer = timeout(PATIENCE, said.next_line()).await.expect("a line").expect("text");
        let issuer = issuer.expect("an issuer; `make tools` installs the provider");
        Self { issuer, child, _said: said }
    }

    fn port(&self) -> u16 {
        self.issuer.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    async fn stops(mut self) -> u16 {
        self.child.kill().await.expect("it ends");
        self.port()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let answer = http.post(format!("{}{path}", self.issuer)).form(form).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

/// A gateway that trusts the certified provider in place of the demo's.
async fn story(more: &str) -> (Story, Certified) {
    for _ in 0..3 {
        let mut story = Story::prepare().await;
        let provider = Certified::start(&story, 0, &[1]).await;
        let file = story.world.facts.config.clone();
        let config = std::fs::read_to_string(&file).expect("the config");
        let before = format!("issuer   = \"{}\"\n", story.world.idp.url());
        assert!(config.contains(&before));
        let config = config.replacen(&before, &format!("issuer   = \"{}\"\n{more}\n", provider.issuer), 1);
        std::fs::write(&file, config).expect("a changed config");
        match story.try_start("gateway").await {
            Ok(process) => story.gateway = Some(process),
            Err(NotStarted(said)) if said.contains("in use") => continue,
            Err(NotStarted(said)) => panic!("the gateway did not start:\n{said}"),
        }
        return (story, provider);
    }
    panic!("no port stays free");
}

/// Signs in on another device, whose browser stays signed in.
async fn signs_in(machine: &Machine<'_>) -> Browser {
    let (output, browser) = machine.signs_in_by(&["--device"], &["Continue", "Continue"]).await;
    assert!(out(&output).starts_with("signed in as ana@acme.dev"));
    browser
}

fn kept(machine: &Machine<'_>) -> Value {
    serde_json::from_slice(&std::fs::read(machine.home.join("login.json")).expect("kept")).expect("JSON")
}

async fn token(machine: &Machine<'_>) -> String {
    out(&machine.runs(&["token"]).await)
}

async fn refused(story: &Story, token: &str) {
    let refused = Client::log_in(story.world.facts.listen, "shop", token).await.err().expect("refused");
    assert_eq!(
        (refused.code.as_str(), refused.message.as_str()),
        ("28P01", "the token is not accepted; sign in again")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_at_the_provider_is_out_here_at_once() {
    let (story, provider) = story("").await;
    let machine = Machine::of(&story);
    let mut browser = signs_in(&machine).await;
    let first = token(&machine).await;
    // What renews it works, and is used up.
    let file = machine.home.join("login.json");
    let mut old = kept(&machine);
    let renews = old["refresh_token"].clone();
    old["expires_at"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&file, old.to_string()).expect("an old one");
    let second = token(&machine).await;
    assert_ne!(kept(&machine)["refresh_token"], renews);
    let ana = Client::log_in(story.world.facts.listen, "shop", &first).await.expect("let in");
    let renewed = Client::log_in(story.world.facts.listen, "shop", &second).await.expect("let in");
    assert_eq!(ana.runs("select 42").ends().await.expect("an answer").rows, [[Some("42".to_owned())]]);
    let (sleeps, waits) = (ana.runs("select pg_sleep(64.5)"), renewed.runs("select pg_sleep(65.5)"));
    browser.open(&format!("{}/session/end", provider.issuer)).await.expect("a page");
    browser.press("Sign out", &[]).await.expect("signed out");
    for statement in [sleeps, waits] {
        let over = statement.gets_refused().await;
        assert_eq!(over.code, "57P01");
        assert_eq!(over.message, "you signed out at the identity provider; sign in again");
    }
    for token in [&first, &second] {
        refused(&story, token).await;
    }
    signs_in(&machine).await;
    let third = token(&machine).await;
    let ana = Client::log_in(story.world.facts.listen, "shop", &third).await.expect("let in again");
    ana.runs("select 1").ends().await.expect("she goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_were_rotated_count_as_long_as_they_are_shown() {
    let (story, provider) = story("").await;
    let (one, other) = (Machine::of(&story), Machine::at(&story, "other"));
    signs_in(&one).await;
    let before = token(&one).await;
    let port = provider.stops().await;
    let _provider = Certified::start(&story, port, &[2, 1]).await;
    signs_in(&other).await;
    let after = token(&other).await;
    for token in [&before, &after] {
        let client = Client::log_in(story.world.facts.listen, "shop", token).await.expect("let in");
        client.runs("select 1").ends().await.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_call_is_asked() {
    let (story, provider) = story(ASKS).await;
    let (one, other) = (Machine::of(&story), Machine::at(&story, "other"));
    signs_in(&one).await;
    signs_in(&other).await;
    let (hers, also) = (token(&one).await, token(&other).await);
    let ana = Client::log_in(story.world.facts.listen, "shop", &hers).await.expect("let in");
    let stays = Client::log_in(story.world.facts.listen, "shop", &also).await.expect("let in");
    let sleeps = ana.runs("select pg_sleep(66.5)");
    let renews = kept(&one)["refresh_token"].as_str().expect("a token").to_owned();
    provider.post("/token/revocation", &[("token", &renews), ("client_id", "countersign")]).await;
    let over = sleeps.gets_refused().await;
    assert_eq!((over.code.as_str(), over.message.as_str()), ("57P01", "the token counts no more; sign in again"));
    refused(&story, &hers).await;
    stays.runs("select 1").ends().await.expect("another sign-in");
    // One that does not answer ends nothing.
    provider.stops().await;
    let said = || {
        let written = story.everything_written().into_iter();
        let log: String = written.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
        log.contains("does not say whether tokens still count")
    };
    let mut looks = interval(Duration::from_millis(100));
    let waits = async {
        while !said() {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, waits).await.expect("the log says so");
    stays.runs("select 1").ends().await.expect("she goes on");
    refused(&story, &hers).await;
}
