//! Asking policy, and what it cost, beside a gateway that runs.

use std::process::Output;

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::harness::{PATIENCE, Story};

impl Story {
    /// Runs a verb of the binary with this story's config to its end.
    pub(crate) async fn tells(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&self.world.facts.config).args(arguments);
        timeout(PATIENCE, command.output()).await.expect("it ends").expect("the binary")
    }

    pub(crate) async fn tells_json(&self, arguments: &[&str]) -> Value {
        let output = self.tells(arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_explained_as_it_would_decide_and_nothing_runs() {
    let story = Story::begin().await;
    let _seen = (story.logs_in("ana").await, story.logs_in("priya").await);
    let (ana, delete) = ("ana@acme.dev", "delete from orders where id = 5");
    let held = story.tells_json(&["explain-policy", "shop", delete, "--as", ana, "--json"]).await;
    assert_eq!(held["outcome"], "hold", "{held}");
    let effects = held["effects"].as_array().expect("effects");
    let delete_effect = effects
        .iter()
        .find(|effect| effect["object"] == "Table::\"shop/public.orders\"" && effect["action"] == "delete");
    assert_eq!(delete_effect.expect("the delete")["policies"][0], "20-write.cedar#1");
    assert_eq!(held["approvers"]["groups"][0], "dba");
    assert_eq!(held["approvers"]["people"][0], "priya@acme.dev", "whom the gateway has seen: {held}");
    let stranger = story
        .tells_json(&["explain-policy", "shop", "select 1", "--as", "zoe@acme.dev", "--group", "sales", "--json"])
        .await;
    assert_eq!((&stranger["outcome"], &stranger["read_only_session"]), (&"deny".into(), &true.into()));
    let text = story.tells(&["explain-policy", "shop", "drop table orders", "--as", ana]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("deny: Tables are dropped by the release pipeline only."), "{text}");
    let nowhere = story.tells(&["explain-policy", "nowhere", "select 1", "--as", ana]).await;
    assert_eq!(nowhere.status.code(), Some(2), "a connection that there is not is a slip of the command");
    assert_eq!((&held["connect"]["outcome"], &held["observe"]), (&"allow".into(), &false.into()));
    assert_eq!(held["login"], story.world.upstream.user.as_str());
    assert_eq!(
        (&stranger["connect"]["outcome"], &stranger["message"]),
        (&"deny".into(), &"zoe@acme.dev may not connect to shop".into())
    );
    let columns = held["columns"].as_array().expect("columns");
    let id = columns.iter().find(|line| line["column"] == "Column::\"shop/public.orders.id\"").expect("the WHERE's");
    assert_eq!(id["uses"][0], "predicate");
    assert!(!story.database_ran("delete from orders") && !story.database_ran("drop table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_are_run_against_what_the_database_has_now() {
    let story = Story::begin_with(&[("name     = \"shop\"", "name     = \"shop\"\nmode = \"observe\"")]).await;
    let cases = story.folder().join("policy/tests");
    std::fs::create_dir(&cases).expect("a folder");
    // `products` is declared nowhere but in the database.
    let file = |connection: &str| {
        format!(
            "connection = \"{connection}\"\n[[case]]\nname = \"a read\"\nuser = \"ana@acme.dev\"\n\
             groups = [\"engineering\"]\nsql = \"select name from products\"\nexpect = \"allow\"\n"
        )
    };
    std::fs::write(cases.join("shop.toml"), file("shop")).expect("a file");
    assert_eq!(story.tells(&["policy", "test"]).await.status.code(), Some(1), "no such table in the file");
    let live = story.tells(&["policy", "test", "--live"]).await;
    assert!(
        live.status.success(),
        "{}{}",
        String::from_utf8_lossy(&live.stdout),
        String::from_utf8_lossy(&live.stderr)
    );
    std::fs::write(cases.join("shop.toml"), file("shep")).expect("a file");
    assert_eq!(story.tells(&["policy", "test", "--live"]).await.status.code(), Some(2), "no such connection");
    let drop = ["explain-policy", "shop", "drop table orders", "--as", "ana@acme.dev", "--group", "engineering"];
    let text = story.tells(&drop).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("passes, since shop only observes; otherwise deny: Tables are dropped"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_observing_let_pass_is_counted_with_the_rule_that_would_have_stopped_it() {
    let observe = ("name     = \"shop\"", "name     = \"shop\"\nmode = \"observe\"");
    let story = Story::begin_with(&[observe]).await;
    let ana = story.logs_in("ana").await;
    for id in [1, 2] {
        let update = format!("update products set stock = 0 where id = {id}");
        ana.runs(&update).ends().await.expect("it is only observed");
    }
    ana.runs("drop table refunds").ends().await.expect("it is only observed");
    ana.runs("select 1").ends().await.expect("it passes");
    let report = story.tells_json(&["report", "friction", "--since", "1h", "--json"]).await;
    let total = &report["total"];
    assert_eq!(
        (&total["holds"], &total["false_holds"], &total["denials"]),
        (&2.into(), &2.into(), &1.into()),
        "{report}"
    );
    let names =
        |part: &str| report[part].as_array().expect(part).iter().map(|line| line["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("policies"), ["20-write.cedar#1", "30-schema.cedar#2"]);
    assert_eq!(names("principals"), ["ana@acme.dev"]);
    assert_eq!(names("applications"), ["stories"]);
    assert_eq!(names("shapes")[0], "update products set stock = ? where id = ?");
    let rule = r#"permit (principal == User::"ana@acme.dev", action == Action::"update", resource == Table::"shop/public.products");"#;
    assert_eq!(report["suggestion"]["policy"], rule);
    assert_eq!(story.tells(&["report", "friction", "--since", "yesterday"]).await.status.code(), Some(2));
}
