//! What an auditor does with the records: searches, exports, plays back, reports.

use std::{fs, process::Output};

use serde_json::Value;

use crate::{
    evidence::{said, stops},
    harness::Story,
};

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).expect("text").lines().map(str::to_owned).collect()
}

fn objects(output: &Output) -> Vec<Value> {
    lines(output).iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Ana reads, is held and approved, and is denied; Ben looks in.
async fn a_morning() -> (Story, String) {
    let mut story = Story::begin().await;
    let priya = story.linked("priya").await;
    let ana = story.logs_in("ana").await;
    ana.runs("select count(*) from orders").ends().await.expect("a read");
    let update = ana.runs("update products set stock = 7 where id = 1");
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    update.ends().await.expect("it runs");
    ana.runs("drop table orders").gets_refused().await;
    drop(ana);
    story.logs_in("ben").await.runs("select 1").ends().await.expect("a read");
    stops(&mut story).await;
    (story, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_found_exported_and_played_back() {
    let (story, request) = a_morning().await;
    let all = objects(&story.tells(&["audit", "export", "--format", "jsonl"]).await);
    for entry in &all {
        for key in ["time", "kind", "session", "principal", "sql", "outcome"] {
            assert!(entry.get(key).is_some(), "{key}: {entry}");
        }
    }
    let statement = all.iter().find(|entry| entry["kind"] == "statement" && entry["request"] == request.as_str());
    let statement = statement.expect("the update's entry");
    assert_eq!(statement["principal"], "ana@acme.dev");
    assert_eq!(statement["sql"], "update products set stock = 7 where id = 1");
    let csv = lines(&story.tells(&["audit", "export", "--format", "csv", "--since", "1h"]).await);
    assert_eq!(csv[0], "seq,time,kind,session,principal,connection,request,sql,outcome,detail");
    let ocsf = objects(&story.tells(&["audit", "export", "--format", "ocsf", "--search", "kind:login"]).await);
    assert!(ocsf.len() == 2 && ocsf.iter().all(|event| event["class_uid"] == 3002), "{ocsf:?}");

    let found = lines(&story.tells(&["audit", "search", "table:products action:update by:ana since:7d"]).await);
    assert!(found.iter().any(|line| line.contains("statement") && line.contains("stock = 7")), "{found:?}");
    assert!(lines(&story.tells(&["audit", "search", "table:products by:ben"]).await).is_empty());
    assert_eq!(story.tells(&["audit", "search", "colour:red"]).await.status.code(), Some(2));

    let session = statement["session"].as_str().expect("a session");
    let ended = story.tells_json(&["sessions", "list", "--ended", "--json"]).await;
    let ended = ended.as_array().expect("sessions");
    assert_eq!(ended.len(), 2);
    let ana = ended.iter().find(|one| one["id"] == session).expect("hers");
    assert_eq!(
        (&ana["principal"], &ana["statements"], &ana["held"], &ana["denied"]),
        (&"ana@acme.dev".into(), &2.into(), &1.into(), &1.into())
    );
    let shown = lines(&story.tells(&["sessions", "show", session, "--ended"]).await);
    assert!(shown[0].contains("2 statements, 1 held, 1 denied"), "{shown:?}");

    let played = lines(&story.tells(&["replay", session, "--speed", "1000"]).await).join("\n");
    let order = [
        "ana@acme.dev logs in to shop",
        "shop=> select count(*) from orders",
        "SELECT 1",
        "held as",
        "priya@acme.dev: approve (slack)",
        "UPDATE 1",
        "shop=> drop table orders",
        "ERROR: 42501",
    ];
    let mut from = 0;
    for part in order {
        let at = played[from..].find(part).unwrap_or_else(|| panic!("{part} comes next in:\n{played}"));
        from += at;
    }
    let cast = objects(&story.tells(&["replay", session, "--cast"]).await);
    assert_eq!((&cast[0]["version"], &cast[1][1]), (&2.into(), &"o".into()));
    let times: Vec<f64> = cast[1..].iter().map(|event| event[0].as_f64().expect("a time")).collect();
    assert!(times.is_sorted() && times[0] == 0.0, "{times:?}");
    assert_eq!(story.tells(&["replay", "ZZZZ9999"]).await.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_go_by_an_index_that_anybody_may_delete_and_no_edit_passes_for_a_hit() {
    let (mut story, _) = a_morning().await;
    let sessions = story.tells_json(&["sessions", "list", "--ended", "--json"]).await;
    // What was written until then is over.
    story.starts("serve").await;
    let search = "table:products action:update sql:STOCK";
    let found = lines(&story.tells(&["audit", "search", search]).await);
    assert!(found.len() == 2 && found.iter().all(|line| line.contains("stock = 7")), "{found:?}");
    let index = story.folder().join("records/index");
    assert_eq!(fs::read_dir(&index).expect("an index").count(), 1, "the search has made it");
    assert_eq!(lines(&story.tells(&["audit", "search", search, "--no-index"]).await), found);
    assert_eq!(story.tells_json(&["sessions", "list", "--ended", "--json"]).await, sessions);
    fs::remove_dir_all(&index).expect("it goes");
    let made = story.tells_json(&["audit", "index", "--json"]).await;
    assert_eq!((&made["made"], &made["parts"]), (&1.into(), &1.into()), "{made}");
    let rebuilt = story.tells_json(&["audit", "index", "--rebuild", "--json"]).await;
    assert_eq!((&rebuilt["made"], &rebuilt["bytes"]), (&1.into(), &made["bytes"]), "{rebuilt}");
    assert_eq!(lines(&story.tells(&["audit", "search", search]).await), found);
    for (slip, says) in [("tabel:orders", "Did you mean table?"), ("action:remove", "There is: select")] {
        let refused = story.tells(&["audit", "search", slip]).await;
        assert!(refused.status.code() == Some(2) && said(&refused).contains(says), "{}", said(&refused));
    }

    let segment = story.folder().join("records/log/00000001.jsonl");
    let text = fs::read_to_string(&segment).expect("a segment").replace("stock = 7", "stock = 8");
    fs::write(&segment, text).expect("an edit");
    let refused = story.tells(&["audit", "search", search]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("is not the one whose hash is in `leaves`"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_rest_on_a_checkpoint_and_come_from_no_log_that_was_edited() {
    let (story, request) = a_morning().await;
    let approvals = story.tells_json(&["report", "approvals", "--json"]).await;
    let checkpoint = String::from_utf8(story.tells(&["audit", "checkpoint"]).await.stdout).expect("text");
    assert_eq!(approvals["checkpoint"].as_str().expect("a note").trim_end(), checkpoint.trim_end());
    let requests = approvals["report"]["requests"].as_array().expect("requests");
    let one = requests.iter().find(|one| one["id"] == request.as_str()).expect("the update's");
    assert_eq!(
        (&one["requester"], &one["end"], &one["outcome"]),
        (&"ana@acme.dev".into(), &"released".into(), &"UPDATE 1".into())
    );
    assert_eq!(
        (&one["choices"][0]["by"], &one["choices"][0]["assurance"]),
        (&"priya@acme.dev".into(), &"slack".into())
    );
    let markdown = lines(&story.tells(&["report", "approvals"]).await).join("\n");
    assert!(markdown.contains("1 requests: 1 released") && markdown.contains(checkpoint.trim_end()), "{markdown}");
    let csv = lines(&story.tells(&["report", "approvals", "--format", "csv"]).await);
    assert!(csv.len() == 2 && csv[0].ends_with(",checkpoint"), "{csv:?}");

    let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
    let access = story.tells_json(&["report", "access", "--as-of", &today, "--json"]).await;
    let rights = access["report"]["rights"].as_array().expect("rights");
    let ana = rights.iter().find(|right| right["principal"] == "ana@acme.dev").expect("hers");
    assert_eq!((&ana["by"], &ana["used"]["statements"]), (&"policy".into(), &2.into()), "{rights:?}");
    assert!(ana["basis"].as_str().expect("a policy").contains(".cedar#"), "{ana}");
    assert_eq!(access["report"]["people"], 2);
    let before = story.tells_json(&["report", "access", "--as-of", "2020-01-01", "--json"]).await;
    assert_eq!(before["report"]["people"], 0, "nobody, before there was a log");

    let segment = story.folder().join("records/log/00000001.jsonl");
    let text = fs::read_to_string(&segment).expect("a segment").replace("stock = 7", "stock = 8");
    fs::write(&segment, text).expect("an edit");
    let refused = story.tells(&["report", "approvals"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("was changed after it was signed"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_load_is_an_entry_with_what_has_changed() {
    let mut story = Story::begin().await;
    let loads = |all: Vec<Value>| all.into_iter().filter(|entry| entry["kind"] == "load").collect::<Vec<_>>();
    let first = loads(objects(&story.tells(&["audit", "export"]).await));
    assert_eq!(first.len(), 2, "the config's and the policies'");
    assert!(first[0]["detail"]["text"].as_str().expect("a text").contains("[[connection]]"));
    assert!(first[1]["detail"]["files"][0]["text"].as_str().expect("a text").contains("permit"));
    stops(&mut story).await;
    fs::write(story.folder().join("policy/95-story.cedar"), "// nothing new\npermit (principal == User::\"zoe@acme.dev\", action == Action::\"connect\", resource == Connection::\"shop\");\n").expect("a policy");
    story.starts("serve").await;
    let second = loads(objects(&story.tells(&["audit", "export"]).await));
    let diff = second[3]["detail"]["diff"].as_str().expect("a difference");
    assert!(diff.contains("+++ 95-story.cedar\n+1: // nothing new"), "{diff}");
    assert_eq!(second[2]["detail"]["diff"], "", "the config is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_digest_has_the_newest_checkpoint() {
    let story = Story::begin().await;
    story.logs_in("ana").await.runs("select 1").ends().await.expect("a read");
    let digest = story.tells(&["digest", "--now", "--dry-run", "--json"]).await;
    let digest: Value = serde_json::from_slice(&digest.stdout).expect("JSON");
    let note = digest["checkpoint"].as_str().expect("a checkpoint");
    fs::write(story.folder().join("kept"), note).expect("a file");
    let kept = story.folder().join("kept");
    let good = story.tells(&["audit", "verify", "--checkpoint", kept.to_str().expect("a path")]).await;
    assert!(good.status.success() && said(&good).contains("it goes on from the given checkpoint"), "{}", said(&good));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_log_through_the_gateway_asks_policy_and_is_an_entry() {
    let story = Story::begin_under(
        "permit (principal == User::\"priya@acme.dev\", action == Action::\"audit\", resource == Connection::\"shop\");",
    )
    .await;
    story.logs_in("ana").await.runs("select 'only hers'").ends().await.expect("a read");
    let asks = async |who: &str, search: &str| {
        let token = story.world.idp.token_for(who).expect("a token");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&story.world.facts.config).args([
            "audit",
            "export",
            "--gateway",
            "--search",
            search,
        ]);
        command.env("COUNTERSIGN_TOKEN", token).output().await.expect("the binary")
    };
    let hers = objects(&asks("priya", "by:ana kind:statement").await);
    assert!(hers.len() == 1 && hers[0]["sql"] == "select 'only hers'", "{hers:?}");
    let refused = asks("ana", "kind:statement").await;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("Only who may `audit`"), "{}", said(&refused));
    let audits = objects(&story.tells(&["audit", "export", "--search", "kind:audit"]).await);
    let [one] = audits.as_slice() else { panic!("{audits:?}") };
    assert_eq!(
        (&one["principal"], &one["detail"]["search"]),
        (&"priya@acme.dev".into(), &"by:ana kind:statement".into())
    );
}
