//! Who is on the database and did not come through.

use reqwest::Method;
use serde_json::Value;

use crate::{evidence::said, harness::Story};

/// Ana may read the log.
const AUDITS: &str = r#"permit (principal == User::"ana@acme.dev", action == Action::"audit", resource);"#;

async fn looks(story: &Story, who: &str, arguments: &[&str]) -> std::process::Output {
    story.tells_as(who, &[&["audit", "bypass"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_came_by_another_way_is_told_apart_from_sessions_and_it_is_in_the_log() {
    let story = Story::begin_under(AUDITS).await;
    let ana = story.logs_in("ana").await;
    ana.runs("select count(*) from orders").ends().await.expect("a read");
    let nobody = looks(&story, "ana", &["shop"]).await;
    assert!(nobody.status.success(), "{}", said(&nobody));
    assert!(said(&nobody).contains("0 by another way"), "{}", said(&nobody));
    assert!(said(&nobody).contains("what this can't see"), "{}", said(&nobody));

    // Somebody who has the password, and says that they are a session.
    let direct = story.world.upstream.connect().await.expect("a way in");
    direct.batch_execute("set application_name = 'ana@acme.dev|psql'").await.expect("it is set");
    let pid: i32 = direct.query_one("select pg_backend_pid()", &[]).await.expect("a number").get(0);
    let found = looks(&story, "ana", &["--json"]).await;
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    let views: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let backends = views[0]["backends"].as_array().expect("backends");
    assert_eq!(backends.len(), 1, "{views}");
    assert_eq!(backends[0]["pid"], pid);
    assert_eq!(backends[0]["application"], "ana@acme.dev|psql", "a name is no proof");
    assert!(views[0]["ours"].as_u64().expect("a number") >= 2, "a session, and what asks: {views}");
    let roles = views[0]["roles"].as_array().expect("roles");
    assert!(roles.iter().any(|role| role["gateway"] == true), "{views}");
    drop(direct);

    // A session that is over is nobody's any more.
    drop(ana);
    let entries = said(&story.tells(&["audit", "search", "kind:bypass", "--json"]).await);
    let entries: Vec<Value> = entries.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["principal"], "ana@acme.dev");
    assert_eq!(entries[1]["detail"]["backends"][0]["pid"], pid);

    let ben = looks(&story, "ben", &["shop"]).await;
    assert!(!ben.status.success() && said(&ben).contains("Only who may `audit`"), "{}", said(&ben));
    let refused = story.calls("ben", Method::POST, "/v1/connections/nowhere/bypass", None).await;
    assert!(refused.is_err(), "{refused:?}");
}
