//! Whoever keeps the identities says that somebody is gone, or in another group: it counts at once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout};

use crate::harness::{
    PATIENCE, Story,
    client::{Client, Refused},
};

/// Access is over within this (DESIGN §12).
const AT_ONCE: Duration = Duration::from_secs(1);

fn active(active: bool) -> Value {
    json!({ "op": "replace", "value": { "active": active } })
}

impl Story {
    async fn is_refused(&self, token: &str) -> Refused {
        match Client::log_in(self.world.facts.listen, "shop", token).await {
            Ok(_) => panic!("somebody was let in"),
            Err(refused) => refused,
        }
    }

    /// Until the database has nobody any more who runs `what`.
    async fn nobody_runs(&self, what: &str) {
        let count = format!(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%{what}%' \
             and pid <> pg_backend_pid()"
        );
        let mut looks = interval(Duration::from_millis(20));
        while self.number(&count).await > 0 {
            looks.tick().await;
        }
    }

    async fn somebody_runs(&self, what: &str) {
        let count = format!(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%{what}%' and pid <> pg_backend_pid()"
        );
        let mut looks = interval(Duration::from_millis(20));
        let runs = async {
            while self.number(&count).await == 0 {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, runs).await.expect("it runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_is_out_within_a_second_also_where_something_runs() {
    let story = Story::with_a_directory().await;
    let (ana, ben) = (story.logs_in("ana").await, story.logs_in("ben").await);
    let deploy = story.world.idp.token_for("deploy").expect("a token");
    let agent = Client::log_in(story.world.facts.listen, "shop", &deploy).await.expect("her agent is let in");
    let at = format!("/Users/{}", story.directory_has("ana").await);
    ana.runs("select 1").ends().await.expect("known, and active");
    let sleeps = ana.runs("select pg_sleep(61.5)");
    let hers = agent.runs("select pg_sleep(62.5)");
    for what in ["pg_sleep(61.5)", "pg_sleep(62.5)"] {
        story.somebody_runs(what).await;
    }
    let began = Instant::now();
    story.directory_patches(&at, json!({ "op": "Replace", "path": "active", "value": "False" })).await;
    let refused = sleeps.gets_refused().await;
    let agents = hers.gets_refused().await;
    timeout(AT_ONCE.saturating_sub(began.elapsed()), story.nobody_runs("pg_sleep(6")).await.expect("gone in a second");
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("57P01", "ana@acme.dev was deactivated"));
    assert_eq!(agents.message, "ana@acme.dev, who answers for deploy, was deactivated");
    ben.runs("select 1").ends().await.expect("others go on");

    let token = story.world.idp.token_for("ana").expect("a token");
    let refused = story.is_refused(&token).await;
    let zoe = story.is_refused(&story.world.idp.token_for("zoe").expect("a token")).await;
    assert_eq!(refused, Refused { message: zoe.message.replace("zoe@", "ana@"), ..zoe }, "no stranger reads why");
    assert_eq!(story.is_refused(&deploy).await.code, "28000");
    let log = story.everything_written().into_iter().map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned());
    assert!(log.collect::<String>().contains("ana@acme.dev was deactivated in the directory"), "the log says why");

    story.directory_patches(&at, active(true)).await;
    let ana = story.logs_in("ana").await;
    ana.runs("select 1").ends().await.expect("in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_does_not_come_back_with_an_old_token() {
    let story = Story::with_a_directory().await;
    let id = story.directory_has("ana").await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let ana = story.logs_in("ana").await;
    let held = ana.runs("update products set stock = 0");
    ana.is_held().await;
    story.directory("DELETE", &format!("/Users/{id}"), Value::Null).await;
    let refused = held.gets_refused().await;
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("57P01", "ana@acme.dev was deleted"));
    assert_eq!(story.is_refused(&token).await.code, "28000");
    assert!(!story.database_ran("update products set stock = 0"));
    story.directory_has("ana").await;
    Client::log_in(story.world.facts.listen, "shop", &token).await.expect("created anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_the_directory_lets_in_and_its_loss_ends() {
    let story = Story::with_a_directory().await;
    let token = story.world.idp.token_for("zoe").expect("a token");
    assert_eq!(story.is_refused(&token).await.code, "28000", "her token has no groups");
    let (zoe, ben) = (story.directory_has("zoe").await, story.directory_has("ben").await);
    let group = story.directory_groups("engineering", &[&zoe, &ben]).await;
    let (client, other) = (story.logs_in("zoe").await, story.logs_in("ben").await);
    let sleeps = client.runs("select pg_sleep(63.5)");
    story.somebody_runs("pg_sleep(63.5)").await;
    let began = Instant::now();
    let at = format!("/Groups/{group}");
    story.directory_patches(&at, json!({ "op": "remove", "path": format!("members[value eq \"{zoe}\"]") })).await;
    let refused = sleeps.gets_refused().await;
    timeout(AT_ONCE.saturating_sub(began.elapsed()), story.nobody_runs("pg_sleep(63.5)")).await.expect("in a second");
    assert_eq!(refused.code, "57P01");
    assert_eq!(refused.message, "zoe@acme.dev lost a group that this session needs");
    assert_eq!(story.is_refused(&token).await.code, "28000");
    story.directory("DELETE", &at, Value::Null).await;
    other.runs("select 1").ends().await.expect("ben's token has the group too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_group_is_lost_to_statements_that_come() {
    let story = Story::with_a_directory_under(
        "permit (principal in Group::\"stock\", action == Action::\"update\", resource in Connection::\"shop\");",
    )
    .await;
    let priya = story.directory_has("priya").await;
    let group = story.directory_groups("stock", &[&priya]).await;
    let client = story.logs_in("priya").await;
    let sql = "update products set stock = stock + 1 where id = 3";
    assert_eq!(client.runs(sql).ends().await.expect("the group may").affected, [1]);
    story.directory_patches(&format!("/Groups/{group}"), json!({ "op": "remove", "path": "members" })).await;
    let held = client.runs(sql);
    client.is_held().await;
    assert!(held.waits(), "DBAs need an approval for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_there_is_is_told_to_who_runs_the_place() {
    let story = Story::with_a_directory().await;
    let _ana = story.logs_in("ana").await;
    let ben = story.directory_has("ben").await;
    story.directory_groups("stock", &[&ben]).await;
    story.directory_patches(&format!("/Users/{ben}"), active(false)).await;
    let tells = async |who: &str, arguments: &[&str]| {
        let token = story.world.idp.token_for(who).expect("a token");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&story.world.facts.config).args(arguments).env("COUNTERSIGN_TOKEN", token);
        timeout(PATIENCE, command.output()).await.expect("it ends").expect("the binary")
    };
    let listed = tells("olu", &["users", "list", "--json"]).await;
    let users: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("JSON");
    let one = |name: &str| users.iter().find(|user| user["principal"] == name).expect("somebody known");
    let (hers, his) = (one("ana@acme.dev"), one("ben@acme.dev"));
    assert_eq!(
        (&hers["state"], &hers["directory"], &hers["groups"]),
        (&json!("active"), &Value::Null, &json!(["engineering"]))
    );
    assert_eq!(
        (&his["state"], &his["directory"], &his["last_seen"]),
        (&json!("deactivated"), &json!(ben), &Value::Null)
    );
    let shown = tells("sam", &["users", "show", "BEN@acme.dev"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("deactivated") && shown.contains(&ben), "{shown}");
    let refused = tells("ana", &["users", "list"]).await;
    assert_eq!(refused.status.code(), Some(1), "who may do neither is told nobody's name");
    assert!(refused.stdout.is_empty());
}
