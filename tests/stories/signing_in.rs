//! Somebody signs in on their own machine, and psql comes through without a password of theirs.

use std::{path::PathBuf, process::Output, time::Duration};

use countersign_demo::{browser::Browser, ports};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::{Instant, interval, timeout},
};

use super::harness::{PATIENCE, Story, client::Client, server};

/// Somebody's own machine: the binary, and a folder that it keeps things in.
pub struct Machine<'a> {
    story: &'a Story,
    pub home: PathBuf,
}

impl<'a> Machine<'a> {
    pub fn of(story: &'a Story) -> Self {
        Self::at(story, "home")
    }

    /// Another one.
    pub fn at(story: &'a Story, home: &str) -> Self {
        Self { story, home: story.folder().join(home) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        // No config file here, no browser, and psql where the server's own is.
        let psql = server().psql();
        let folder = psql.parent().expect("a folder").to_owned();
        command.args(arguments).current_dir(&self.home).env("PATH", folder).env("COUNTERSIGN_HOME", &self.home);
        command.env_remove("COUNTERSIGN_TOKEN").env_remove("DISPLAY").kill_on_drop(true);
        command
    }

    pub async fn runs(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).stdin(std::process::Stdio::null()).output();
        timeout(PATIENCE, output).await.expect("it ends").expect("the binary")
    }

    /// Signs in; `answer` gets each line that the person reads, until it has done what they would.
    async fn signs_in(&self, more: &[&str], who: &str) -> Output {
        self.signs_in_by(more, &[who]).await.0
    }

    /// The same, by pressing these one after another; and the browser.
    pub async fn signs_in_by(&self, more: &[&str], presses: &[&str]) -> (Output, Browser) {
        std::fs::create_dir_all(&self.home).expect("a home");
        let url = self.story.world.facts.control.to_string();
        let mut command = self.command(&["login", "--gateway", &url]);
        command.args(more).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let mut said = String::new();
        let mut browser = Browser::new().expect("a browser");
        while let Some(line) = timeout(PATIENCE, lines.next_line()).await.expect("a line").expect("text") {
            said.push_str(&line);
            let address = line.split_whitespace().find(|word| word.starts_with("http") && word.contains('?'));
            let Some(address) = address else { continue };
            browser.open(address).await.expect("the sign-in page");
            for button in presses {
                browser.press(button, &[]).await.expect("a button");
            }
            break;
        }
        assert!(said.contains("Sign in"), "{said}");
        (timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("the binary"), browser)
    }
}

pub fn out(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.trim().to_owned()
}

#[tokio::test]
async fn ana_signs_in_on_another_device_and_psql_needs_no_password() {
    let story = Story::begin().await;
    let machine = Machine::of(&story);
    let said = out(&machine.signs_in(&["--device"], "ana@acme.dev").await);
    assert!(said.starts_with("signed in as ana@acme.dev"), "{said}");
    let asks = ["psql", "shop", "--", "-X", "-At", "-c", "select 40 + 2"];
    assert_eq!(out(&machine.runs(&asks).await), "42");
    let shell = out(&machine.runs(&["env", "shop"]).await);
    for expected in ["export PGUSER='ana@acme.dev'", "export PGDATABASE='shop'", "export PGPASSWORD='ey", "#   [shop]"]
    {
        assert!(shell.contains(expected), "{shell}");
    }
    assert_eq!(out(&machine.runs(&["--config", &config(&story), "requests", "list"]).await), "nothing waits");
    let here = story.logs_in("ana").await;
    let sleep = here.runs("select pg_sleep(600)");
    let sessions = out(&machine.runs(&["--config", &config(&story), "sessions", "list"]).await);
    let id = sessions.split_whitespace().next().expect("an id").to_owned();
    for (verb, says) in [("show", "ana@acme.dev on shop"), ("kill", "is over")] {
        let said = out(&machine.runs(&["--config", &config(&story), "sessions", verb, &id]).await);
        assert!(said.contains(says), "{verb}: {said}");
    }
    assert_eq!(sleep.gets_refused().await.code, "57P01");
    out(&machine.runs(&["logout"]).await);
    let gone = machine.runs(&asks).await;
    let why = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(!gone.status.success() && why.contains("nobody is signed in here; run `countersign login`"), "{why}");
}

fn config(story: &Story) -> String {
    story.world.facts.config.display().to_string()
}

#[tokio::test]
async fn a_program_that_keeps_a_password_comes_through_the_proxy() {
    let story = Story::begin().await;
    let machine = Machine::of(&story);
    out(&machine.signs_in(&["--device"], "ana@acme.dev").await);
    let port = ports::free().expect("a port");
    let mut command = machine.command(&["proxy", "shop", "--port", &port.to_string()]);
    let mut proxy = command.stdout(std::process::Stdio::piped()).spawn().expect("the binary");
    let mut lines = BufReader::new(proxy.stdout.take().expect("its stdout")).lines();
    let told = timeout(PATIENCE, lines.next_line()).await.expect("a line").expect("text").expect("a port");
    let secret = told.rsplit(' ').next().expect("a password").to_owned();
    let command = |password: &str, database: &str, sql: &str| {
        let mut command = Command::new(server().psql());
        let line = format!("host=127.0.0.1 port={port} dbname={database} user=anybody");
        command.args(["-X", "-At", "-c", sql]).arg(line).env("PGPASSWORD", password).kill_on_drop(true);
        command
    };
    let psql = |password: &str, database: &str, sql: &str| {
        let mut command = command(password, database, sql);
        async move { timeout(PATIENCE, command.output()).await.expect("psql ends").expect("psql") }
    };
    let asks = "select split_part(current_setting('application_name'), '|', 2), 40 + 2";
    assert_eq!(out(&psql(&secret, "shop", asks).await), "psql|42");
    let upstream = "select usename from pg_stat_activity where application_name like 'ana@acme.dev|%' limit 1";
    assert!(!out(&psql(&secret, "shop", upstream).await).is_empty(), "it is ana");
    let token = out(&machine.runs(&["token"]).await);
    for (why, password, database) in [
        ("this is not the password", "guessed", "shop"),
        ("this is not the password", token.as_str(), "shop"),
        ("this port is for shop, not for crm", &secret, "crm"),
    ] {
        let refused = psql(password, database, "select 1").await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    // Ctrl-C reaches the statement, through both.
    let mut deletes = command(&secret, "shop", "delete from orders where status = 'cancelled'");
    let mut deletes = deletes.stderr(std::process::Stdio::piped()).spawn().expect("psql");
    let mut said = BufReader::new(deletes.stderr.take().expect("its stderr")).lines();
    let notice = timeout(PATIENCE, said.next_line()).await.expect("a line").expect("text").expect("a notice");
    assert!(notice.contains("held for approval"), "{notice}");
    let id = deletes.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.expect("kill").success());
    let mut withdrawn = String::new();
    while let Some(line) = timeout(PATIENCE, said.next_line()).await.expect("a line").expect("text") {
        withdrawn.push_str(&line);
    }
    assert!(withdrawn.contains("was withdrawn"), "{withdrawn}");
    // A login that is over is told to the program's user.
    out(&machine.runs(&["logout"]).await);
    let over = psql(&secret, "shop", "select 1").await;
    let said = String::from_utf8_lossy(&over.stderr).into_owned();
    assert!(said.contains("run `countersign login`"), "{said}");
}

#[tokio::test]
async fn a_token_is_renewed_silently_and_once() {
    let story = Story::begin().await;
    let machine = Machine::of(&story);
    out(&machine.signs_in(&["--browser"], "ben@acme.dev").await);
    let file = machine.home.join("login.json");
    let first = out(&machine.runs(&["token"]).await);
    assert_eq!(out(&machine.runs(&["token"]).await), first, "it is good for long");
    // Time passes.
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("kept")).expect("JSON");
    let mut old = kept.clone();
    old["expires_at"] = "2026-01-01T00:00:00Z".into();
    std::fs::write(&file, old.to_string()).expect("an old one");
    let all = [machine.runs(&["token"]), machine.runs(&["token"]), machine.runs(&["token"])];
    let [one, two, three] = futures_util::future::join_all(all).await.try_into().expect("three");
    let (one, two, three) = (out(&one), out(&two), out(&three));
    assert!(one != first && one == two && two == three, "all three have the new one, and nobody asked twice");
    let now: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("kept")).expect("JSON");
    assert_ne!(now["refresh_token"], kept["refresh_token"], "what renewed it is used up");
    // A provider that renews no more.
    let mut revoked = now.clone();
    revoked["expires_at"] = "2026-01-01T00:00:00Z".into();
    revoked["refresh_token"] = kept["refresh_token"].clone();
    std::fs::write(&file, revoked.to_string()).expect("a revoked one");
    let over = machine.runs(&["token"]).await;
    let why = String::from_utf8_lossy(&over.stderr).into_owned();
    assert!(why.contains("does not renew it any more") && why.contains("countersign login"), "{why}");
    assert!(over.stdout.is_empty() && !over.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_leaked_is_denied_from_the_command_line() {
    let story = Story::begin().await;
    let leaked = story.world.idp.token_for("ana").expect("a token");
    let (thief, ana) =
        (Client::log_in(story.world.facts.listen, "shop", &leaked).await.expect("let in"), story.logs_in("ana").await);
    let sleeps = thief.runs("select pg_sleep(67.5)");
    let machine = Machine::of(&story);
    std::fs::create_dir_all(&machine.home).expect("a home");
    let says = async |who: &str, arguments: &[&str], stdin: &str| {
        let token = story.world.idp.token_for(who).expect("a token");
        let mut command = machine.command(&[&["--config", &config(&story), "tokens"], arguments].concat());
        command.env("COUNTERSIGN_TOKEN", token).stdin(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
        let child = child.as_mut().expect("the binary");
        child.stdin.take().expect("its stdin").write_all(stdin.as_bytes()).await.expect("a token");
        let mut said = String::new();
        let (mut told, mut failed) = (child.stdout.take().expect("out"), child.stderr.take().expect("err"));
        timeout(PATIENCE, told.read_to_string(&mut said)).await.expect("it ends").expect("text");
        timeout(PATIENCE, failed.read_to_string(&mut said)).await.expect("it ends").expect("text");
        (child.wait().await.expect("it ends").success(), said)
    };
    let deny = ["deny", "-", "--reason", "in a public repository"];
    let refused = says("ana", &deny, &leaked).await;
    assert!(!refused.0 && refused.1.contains("Only who administers"), "{refused:?}");
    assert_eq!(says("olu", &["denied"], "").await, (true, "no token was denied\n".to_owned()));
    let denied = says("olu", &deny, &format!("{leaked}\n")).await;
    assert_eq!(denied, (true, "denied; sessions that ended with it: 1\n".to_owned()));
    let over = sleeps.gets_refused().await;
    assert_eq!((over.code.as_str(), over.message.as_str()), ("57P01", "the token counts no more; sign in again"));
    assert!(Client::log_in(story.world.facts.listen, "shop", &leaked).await.is_err(), "nobody logs in with it");
    ana.runs("select 1").ends().await.expect("her other session goes on");
    let listed = says("olu", &["denied"], "").await.1;
    assert!(listed.contains("by olu@acme.dev: in a public repository") && !listed.contains(&leaked), "{listed}");
}

#[tokio::test]
async fn whoever_says_no_at_the_provider_is_not_signed_in() {
    let story = Story::begin().await;
    let machine = Machine::of(&story);
    let refused = machine.signs_in(&["--device"], "Cancel").await;
    assert!(!refused.status.success() && !machine.home.join("login.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_through_the_proxy_goes_on_with_newer_tokens() {
    const LIVES: Duration = Duration::from_secs(8);
    let story = Story::begin().await;
    story.world.idp.set_lifetime(LIVES);
    let machine = Machine::of(&story);
    out(&machine.signs_in(&["--device"], "ana@acme.dev").await);
    let port = ports::free().expect("a port");
    let mut command = machine.command(&["proxy", "shop", "--port", &port.to_string()]);
    let mut proxy = command.stdout(std::process::Stdio::piped()).spawn().expect("the binary");
    let mut lines = BufReader::new(proxy.stdout.take().expect("its stdout")).lines();
    let told = timeout(PATIENCE, lines.next_line()).await.expect("a line").expect("text").expect("a port");
    let secret = told.rsplit(' ').next().expect("a password");
    let began = Instant::now();
    let client = Client::log_in(([127, 0, 0, 1], port).into(), "shop", secret).await.expect("let in");
    let prepared = client.pg.prepare("select $1::int + 1").await.expect("a statement");
    let renewed = || {
        let written = story.everything_written().into_iter();
        let log: String = written.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect();
        log.matches("\"kind\":\"renewed\"").count()
    };
    let mut looks = interval(Duration::from_millis(40));
    let goes_on = async {
        // It does nothing at first, then one thing after another.
        while renewed() == 0 {
            looks.tick().await;
        }
        while began.elapsed() < LIVES * 2 || renewed() < 2 {
            let rows = client.pg.query(&prepared, &[&41]).await.expect("it goes on");
            assert_eq!(rows[0].get::<_, i32>(0), 42);
            let simple = client.runs("select 42").ends().await.expect("it goes on");
            assert_eq!(simple.rows, [[Some("42".to_owned())]], "and is told nothing but its own answers");
            looks.tick().await;
        }
    };
    timeout(PATIENCE, goes_on).await.expect("tokens are renewed");
    // Nobody renews for who has signed out here; the session ends with its token.
    out(&machine.runs(&["logout"]).await);
    let over = client.runs("select pg_sleep(60)").gets_refused().await;
    assert_eq!((over.code.as_str(), over.message.as_str()), ("57P01", "the token has expired"));
}
