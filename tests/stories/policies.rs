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

/// Signs the policies of a folder with `ssh-keygen`, as the docs say.
fn signs(folder: &std::path::Path, who: &str) {
    let script = "cd policy && LC_ALL=C sha256sum *.cedar > MANIFEST && rm -f MANIFEST.sig \
                  && ssh-keygen -q -Y sign -n countersign-policy -f ../$0 MANIFEST && mv MANIFEST.sig $0.sig";
    let done =
        std::process::Command::new("sh").args(["-c", script, who]).current_dir(folder).output().expect("a shell");
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_people_must_sign_policies_nobody_changes_them_alone() {
    let mut story = Story::prepare().await;
    let folder = story.folder();
    let mut signers = String::new();
    for who in ["ana", "ben"] {
        let script = "ssh-keygen -q -t ed25519 -N '' -f $0 && cat $0.pub";
        let made = std::process::Command::new("sh").args(["-c", script, who]).current_dir(&folder).output();
        signers += &format!("{who}@acme.dev {}", String::from_utf8(made.expect("a key").stdout).expect("text"));
    }
    std::fs::write(folder.join("signers"), signers).expect("a file");
    let config = std::fs::read_to_string(&story.world.facts.config).expect("the config");
    let config = config.replace("[gateway]", "[gateway]\npolicy_signers = 2\npolicy_keys = \"signers\"");
    std::fs::write(&story.world.facts.config, config).expect("a config");
    signs(&folder, "ana");
    let Err(crate::harness::process::NotStarted(said)) = story.try_start("gateway").await else {
        panic!("one is not enough")
    };
    assert!(said.contains("must be signed by 2 people, and ana@acme.dev has signed them"), "{said}");
    let checked = story.tells(&["check"]).await;
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    signs(&folder, "ben");
    story.starts("gateway").await;

    let session = story.logs_in("ben").await;
    let everybody = "permit (principal, action == Action::\"update\", resource in Connection::\"shop\");";
    std::fs::write(folder.join("policy/90-everybody.cedar"), everybody).expect("a policy");
    signs(&folder, "ben");
    story.policy_is_stale(true).await;
    let update = session.runs("update orders set status = 'paid' where id = 5");
    session.is_held().await;
    session.presses_ctrl_c().await;
    update.gets_refused().await;
    signs(&folder, "ana");
    story.policy_is_stale(false).await;
    session
        .runs("update orders set status = 'paid' where id = 5")
        .ends()
        .await
        .expect("two people said that this is permitted");
    let log = std::fs::read_to_string(folder.join("records/log/00000001.jsonl")).expect("the log");
    let loads: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let loads = loads.iter().filter(|entry| entry["kind"] == "load" && entry["detail"]["what"] == "policy");
    let signed: Vec<&Value> = loads.map(|entry| &entry["detail"]["signed_by"]).collect();
    assert!(
        signed.len() == 2 && signed.iter().all(|by| **by == serde_json::json!(["ana@acme.dev", "ben@acme.dev"])),
        "{signed:?}"
    );
}

impl Story {
    /// Waits until the gateway says whether the policy folder is in force.
    async fn policy_is_stale(&self, stale: bool) {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
        let says = format!("countersign_policy_stale {}", u8::from(stale));
        let url = self.world.facts.control.join("metrics").expect("an address");
        let looked = async {
            loop {
                looks.tick().await;
                let metrics = reqwest::get(url.clone()).await.expect("metrics").text().await.expect("text");
                // The help of a metric names it too.
                if metrics.lines().any(|line| line == says) {
                    return;
                }
            }
        };
        timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("metrics never say {says}"));
    }
}
