//! What becomes of grants: their holders are told, the digest asks who still needs them, and a button takes
//! them back.

use std::{fs, time::Duration};

use chrono::{TimeDelta, Utc};
use countersign_demo::slack::{Message, Workspace};
use serde_json::Value;
use tokio::time::{interval, timeout};

use crate::{
    asking::{POLICY, ROLES, id_in, story},
    harness::{CHANNEL, OTHER_CHANNEL, PATIENCE, Story, people::Colleague},
};

const UPDATE: &str = "update products set stock = stock + 1 where id = 1";

impl Colleague<'_> {
    /// Is granted a role in Slack: asks, and priya approves on the card.
    async fn is_granted(&self, priya: &Colleague<'_>, text: &str) -> String {
        let before = self.story.grants(&self.person.email).await.len();
        self.types(text).await;
        let told = self.is_told("Request ").await;
        priya.presses("approve", &id_in(&told, "Request ")).await;
        let mut looks = interval(Duration::from_millis(50));
        let grants = async {
            loop {
                looks.tick().await;
                let grants = self.story.grants(&self.person.email).await;
                if grants.len() > before {
                    return grants;
                }
            }
        };
        timeout(PATIENCE, grants).await.expect("a grant").remove(0).id.to_string()
    }
}

impl Story {
    /// The newest digest in the channel that holds `text`.
    async fn digest_says(&self, text: &str) -> Message {
        let says = |workspace: &Workspace| {
            let digest =
                |message: &Message| message.shown().contains("Access digest") && message.shown().contains(text);
            workspace.messages(CHANNEL).into_iter().rfind(digest)
        };
        let digest = self.workspace.wait_for(PATIENCE, says).await;
        digest.unwrap_or_else(|in_vain| panic!("no digest says {text:?}: {in_vain}"))
    }

    /// Makes what is watched so many days older, as somebody may who has the state's file.
    async fn is_watched_for(&self, days: i64) {
        let mut state = self.state().await;
        let mut looks = interval(Duration::from_millis(50));
        let there = async {
            let kinds = "SELECT count(DISTINCT kind) FROM watched";
            while sqlx::query_scalar::<_, i64>(kinds).fetch_one(&mut state).await.expect("a look") < 3 {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, there).await.expect("roles, permissions and secrets are watched");
        for sql in ["DROP TRIGGER watched_uses_never_go_back", "UPDATE watched SET since = since - ?1 * 86400000"] {
            sqlx::query(sql).bind(days).execute(&mut state).await.expect("older");
        }
    }

    /// Waits until the digest says so of a permission.
    async fn digest_says_of_permission(&self, id: &str, finding: &str) {
        let mut looks = interval(Duration::from_millis(300));
        let says = async {
            loop {
                looks.tick().await;
                let digest = self.tells_json(&["digest", "--now", "--dry-run", "--json"]).await;
                let all = digest["permissions"].as_array().cloned().unwrap_or_default();
                if all.iter().any(|one| one["permission"] == id && one["finding"] == finding) {
                    return;
                }
            }
        };
        timeout(PATIENCE, says).await.unwrap_or_else(|_| panic!("{id} is not {finding}"));
    }

    /// The digest as JSON, once it says of this grant what `is` wants.
    pub(crate) async fn digest_finds(&self, grant: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut looks = interval(Duration::from_millis(300));
        let found = async {
            loop {
                looks.tick().await;
                let digest = self.tells_json(&["digest", "--now", "--dry-run", "--json"]).await;
                let grants = digest["grants"].as_array().cloned().unwrap_or_default();
                if let Some(found) = grants.into_iter().find(|found| found["grant"]["id"] == grant && is(found)) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the digest finds it")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_is_told_that_it_begins_ends_and_has_ended_and_extends_it_with_a_button() {
    let story = story("").await;
    let (ana, priya) = (story.linked("ana").await, story.linked("priya").await);
    ana.types("request shop shop-looker 40s to look").await;
    ana.is_written("You have shop-looker on shop\n until").await;
    let warning = ana.is_written("What runs with it then is cancelled").await;
    ana.presses_on(&warning, "extend").await;
    let told = |workspace: &Workspace| {
        let told = workspace.ephemerals(ana.user()).into_iter().map(|message| message.shown());
        (told.filter(|shown| shown.contains("You have shop-looker on shop until")).count() == 2).then_some(())
    };
    story.workspace.wait_for(PATIENCE, told).await.expect("it is longer");
    let begun = ana.is_written("You have shop-looker on shop\n until").await;
    ana.presses_on(&begun, "revoke").await;
    ana.is_written("was given back by ana@acme.dev").await;
    assert!(story.grants("ana").await.is_empty());

    let grant = ana.is_granted(&priya, "request shop shop-writer 1h INC-42").await;
    let card = story.card_says("shop-writer for 1 h", "Until ").await;
    story.ends_grant("priya", &grant).await.expect("she approved it");
    ana.is_written("was revoked by priya@acme.dev").await;
    let card = |workspace: &Workspace| {
        workspace.message(CHANNEL, &card.ts).filter(|card| card.shown().contains("The access was revoked by priya"))
    };
    story.workspace.wait_for(PATIENCE, card).await.expect("the card says so, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_takes_back_what_nobody_uses_and_keeps_what_another_person_vouches_for() {
    let story = story("digest = { at = \"00:00\", timezone = \"UTC\", stale_after = \"1s\" }\n").await;
    let (ana, priya, olu) = (story.linked("ana").await, story.linked("priya").await, story.linked("olu").await);
    let said = async |words: &[&str]| String::from_utf8_lossy(&story.tells(words).await.stdout).into_owned();
    let early = said(&["digest", "--now", "--dry-run"]).await;
    assert!(!early.contains("nobody had or used"), "nobody can know yet: {early}");
    story.is_watched_for(31).await;
    let empty = story.tells(&["digest", "--now"]).await;
    assert!(empty.status.success(), "{empty:?}");
    let empty = story.digest_says("nobody had or used").await;
    assert!(empty.shown().contains("shop-writer"), "a role that nobody ever had: {}", empty.shown());
    assert!(empty.shown().contains("90-roles.cedar#2: never used in the 31 d"), "{}", empty.shown());

    let writer = ana.is_granted(&priya, "request shop shop-writer 4h INC-42").await;
    let session = story.logs_in("ana").await;
    session.runs(UPDATE).ends().await.expect("she may");
    story.digest_says_of_permission("90-roles.cedar#2", "in_use").await;
    story.digest_says_of_permission("90-roles.cedar#3", "never_used").await;
    let used = story.digest_finds(&writer, |found| !found["last_used"].is_null()).await;
    assert!(["in_use", "stale"].contains(&used["finding"].as_str().expect("a word")), "{used}");
    story.digest_finds(&writer, |found| found["finding"] == "stale").await;
    // Whoever has two roles and uses one uses both; this one comes after.
    ana.types("request shop shop-looker 720h to look").await;
    ana.is_told("You have shop-looker").await;
    let looker = story.grants("ana").await.into_iter().find(|grant| grant.role == "shop-looker").expect("a grant").id;
    story.digest_finds(looker.as_str(), |found| found["finding"] == "never_used").await;

    let output = story.tells(&["digest", "--now"]).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&writer) && said.contains("never used since"), "{said}");
    let digest = story.digest_says(&writer).await;
    let table = story.workspace.wait_for(PATIENCE, |workspace| {
        workspace.files().into_iter().find(|file| file.shared_in == Some((CHANNEL.into(), Some(digest.ts.clone()))))
    });
    let table = String::from_utf8(table.await.expect("a table").content.expect("its bytes")).expect("text");
    assert!(table.lines().any(|line| line.starts_with(&writer) && line.contains(",stale,")), "{table}");
    let asked = |line: &str| line.starts_with("90-roles.cedar#1") && line.ends_with("permission");
    assert!(table.lines().any(|line| asked(line) && line.contains("in_use")), "by which she asked for it: {table}");

    // Its holder never keeps it; another person does, and says why.
    let press = |who: &Colleague<'_>, action: &'static str, grant: String| {
        let mut payload = story.workspace.press_payload(who.user(), CHANNEL, &digest.ts, action).expect("a button");
        payload["actions"][0]["value"] = serde_json::json!(grant);
        payload["actions"][0]["block_id"] = serde_json::json!(format!("grant:{grant}"));
        payload
    };
    for (who, reason) in [(&ana, "mine"), (&olu, "the incident goes on")] {
        let payload = press(who, "keep", writer.clone());
        story.workspace.deliver(countersign_demo::slack::Kind::Interactive, &payload).await.expect("taken");
        let form = who.sees_form("reason").await;
        who.submits(&form, &[("reason", reason)]).await;
    }
    ana.is_told("You cannot keep a grant of your own").await;
    olu.is_told("It is kept until").await;
    story.digest_finds(&writer, |found| found["finding"] == "kept" && found["kept"]["by"] == "olu@acme.dev").await;
    let payload = press(&olu, "revoke", looker.to_string());
    // Slack delivers it three times.
    for _ in 0..3 {
        story.workspace.deliver(countersign_demo::slack::Kind::Interactive, &payload).await.expect("taken");
    }
    ana.is_written("shop-looker on shop was revoked by olu@acme.dev").await;
    let says_both = |workspace: &Workspace| {
        let digest = workspace.message(CHANNEL, &digest.ts)?;
        let shown = digest.shown();
        (shown.contains("It was revoked by olu") && shown.contains("the incident goes on")).then_some(digest)
    };
    let after = story.workspace.wait_for(PATIENCE, says_both).await.expect("the digest shows what became of both");
    assert!(after.buttons().is_empty(), "nothing is left to press: {:?}", after.buttons());
    let log = story.everything_written();
    let log: String = log
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl"))
        .map(|(_, bytes)| String::from_utf8_lossy(bytes))
        .collect();
    assert_eq!(log.matches("\"grant_kept\"").count(), 1, "in the log, once");
    assert_eq!(log.matches("\"grant_ended\"").count(), 1, "once, however often it came");
    story.ends_grant("priya", &writer).await.expect("she approved it");
    let digest = story.tells_json(&["digest", "--now", "--dry-run", "--json"]).await;
    let role = digest["roles"].as_array().and_then(|all| all.iter().find(|one| one["role"] == "shop-writer").cloned());
    let used = role.is_some_and(|role| role["finding"] == "in_use" && !role["last_used"].is_null());
    assert!(used, "that it was used is known when the grant has ended: {}", digest["roles"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_posted_once_a_day_whatever_bots_there_are() {
    let due = (Utc::now() - TimeDelta::minutes(1)).format("%H:%M");
    let settings = format!("digest = {{ at = \"{due}\", timezone = \"UTC\" }}\n");
    let mut story = Story::gateway_with(|config, _| format!("{config}{settings}")).await;
    story.starts("bot").await;
    story.digest_says("").await;
    let first = story.bot.take().expect("a bot");
    for _ in 0..2 {
        story.starts("bot").await;
    }
    first.kill().await;
    story.starts("bot").await;
    // Each of them has looked at the clock by now: what is asked for by hand comes after.
    story.tells(&["digest", "--now"]).await;
    let digests = |workspace: &Workspace| {
        let digests = workspace.messages(CHANNEL).iter().filter(|m| m.shown().contains("Access digest")).count();
        (digests >= 2).then_some(digests)
    };
    assert_eq!(story.workspace.wait_for(PATIENCE, digests).await.expect("both"), 2);
}

/// A second connection to the same database, with a channel of its own.
fn with_payroll(config: &str) -> String {
    let (_, shop) = config.split_once("[[connection]]").expect("a connection");
    let (shop, _) = shop.split_once("\n[").expect("what follows it");
    assert!(shop.contains("name     = \"shop\"") && shop.contains(CHANNEL), "{shop}");
    let payroll = shop.replace("name     = \"shop\"", "name     = \"payroll\"").replace(CHANNEL, OTHER_CHANNEL);
    let digest = "digest = { at = \"00:00\", timezone = \"UTC\", stale_after = \"1s\" }\n";
    format!("{config}{digest}{ROLES}\n[[connection]]{payroll}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_channel_has_the_digest_of_its_own_connections_and_of_no_other() {
    let story = Story::serves_with(|config, folder| {
        for (file, policy) in
            [("90-roles", POLICY.to_owned()), ("91-payroll", POLICY.replace("\"shop\"", "\"payroll\""))]
        {
            fs::write(folder.join(format!("policy/{file}.cedar")), policy).expect("a policy");
        }
        with_payroll(config)
    })
    .await;
    let (ana, priya) = (story.linked("ana").await, story.linked("priya").await);
    let mut grants = Vec::new();
    for connection in ["shop", "payroll"] {
        ana.types(&format!("request {connection} shop-looker 24h to look at {connection}")).await;
        ana.is_told(&format!("You have shop-looker on {connection}")).await;
        let all = story.grants("ana").await;
        grants.push(all.into_iter().find(|grant| grant.connection == connection).expect("a grant").id.to_string());
    }
    for grant in &grants {
        story.digest_finds(grant, |found| found["finding"] == "never_used").await;
    }
    story.is_watched_for(91).await;
    let output = story.tells(&["digest", "--now"]).await;
    assert!(output.status.success(), "{output:?}");
    let places = [(CHANNEL, 0, "shop", "payroll"), (OTHER_CHANNEL, 1, "payroll", "shop")];
    for (channel, own, name, other) in places {
        let digest = |workspace: &Workspace| {
            let digests = workspace.messages(channel).into_iter().filter(|m| m.shown().contains("Access digest"));
            let mut digests = digests.filter(|digest| digest.shown().contains(&grants[own]));
            digests.next().filter(|digest| {
                let shared = Some((channel.to_owned(), Some(digest.ts.clone())));
                workspace.files().iter().any(|file| file.shared_in == shared && file.content.is_some())
            })
        };
        let digest = story.workspace.wait_for(PATIENCE, digest).await.expect("a digest with a table");
        let shown = digest.shown();
        assert!(shown.contains(&format!("shop-looker on {name}")), "{shown}");
        assert!(!shown.contains(&grants[1 - own]) && !shown.contains(&format!("on {other}")), "{shown}");
        assert_eq!(shown.contains("nobody had or used"), channel == CHANNEL, "roles are about no connection: {shown}");
        assert_eq!(shown.contains("permissions that nobody used"), channel == CHANNEL, "{shown}");
        assert_eq!(shown.contains("Slack's bot_token, the same for at least 91 d"), channel == CHANNEL, "{shown}");
        let files = story.workspace.files();
        let shared = Some((channel.to_owned(), Some(digest.ts.clone())));
        let table = files.into_iter().find(|file| file.shared_in == shared).and_then(|file| file.content);
        let table = String::from_utf8(table.expect("its bytes")).expect("text");
        let rows: Vec<&str> = table.lines().filter(|line| line.ends_with(",grant")).collect();
        assert!(rows.len() == 1 && rows[0].starts_with(&grants[own]), "{table}");
        assert_eq!(table.contains(",permission\r\n"), channel == CHANNEL, "{table}");
        let pressed = story.workspace.press(priya.user(), channel, &digest.ts, "revoke").await;
        pressed.expect("a button");
        let gone = |workspace: &Workspace| {
            workspace.message(channel, &digest.ts).filter(|digest| digest.shown().contains("It was revoked by priya"))
        };
        story.workspace.wait_for(PATIENCE, gone).await.expect("that digest says so, where it is");
    }
    assert!(story.grants("ana").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_home_tab_shows_what_one_has_and_what_waits() {
    let story = story("").await;
    let (ana, priya) = (story.linked("ana").await, story.linked("priya").await);
    let home = async |who: &Colleague<'_>, text: &str| {
        story.workspace.open_home(who.user()).expect("a home tab");
        let shows = |workspace: &Workspace| workspace.home(who.user()).filter(|home| home.shown().contains(text));
        let shown = story.workspace.wait_for(PATIENCE, shows).await;
        shown.unwrap_or_else(|in_vain| panic!("no home tab shows {text:?}: {in_vain}"))
    };
    ana.types("request shop shop-writer 2h INC-42").await;
    let request = id_in(&ana.is_told("Request ").await, "Request ");
    ana.types("request shop shop-looker 1h to look").await;
    ana.is_told("You have shop-looker").await;
    assert!(home(&ana, &request).await.shown().contains("shop-looker on shop"));
    assert!(home(&priya, &request).await.shown().contains("waits for 1 approval"));
    let sam = story.colleague("sam");
    home(&sam, "not linked").await;
    let tab = home(&ana, "shop-looker on shop").await;
    story.workspace.press_in_view(ana.user(), &tab.id, "revoke").await.expect("a button");
    let gone =
        |workspace: &Workspace| workspace.home(ana.user()).filter(|home| home.shown().contains("No role for now"));
    story.workspace.wait_for(PATIENCE, gone).await.expect("the tab follows");
    assert!(story.grants("ana").await.is_empty());
}
