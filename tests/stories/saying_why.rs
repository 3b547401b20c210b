//! Why somebody runs something: said in the statement or before it, asked for by policy, and on the card.

use std::time::Duration;

use countersign_shared::request::Choice;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Story};

const WITH_REASON: &str = r#"
permit (principal, action, resource) unless { action == Action::"delete" };
permit (principal, action == Action::"delete", resource)
when { context has reason && context.reason like "INC-*" && context.approvals.count >= 2 };
permit (principal, action == Action::"update", resource);
forbid (principal, action == Action::"update", resource) unless { context has reason };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn policy_asks_why_and_the_comment_before_a_statement_says_it() {
    let story = Story::under(WITH_REASON).await;
    let ana = story.logs_in("ana").await;
    let update = "update products set stock = 1 where id = 1";
    let refused = ana.runs(update).gets_refused().await;
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("42501", "policy asks for a reason"));
    assert!(refused.hint.contains("/* reason: why */"), "{refused:?}");
    for said in [format!("/* reason: tidying */ {update}"), format!("\n/* Reason: tidying */{update} returning id")] {
        ana.runs(&said).ends().await.expect("a reason is all that it takes");
        ana.executes(&said, vec![]).ends().await.expect("in either protocol");
    }
    let refused = ana.runs(update).gets_refused().await;
    assert_eq!(refused.message, "policy asks for a reason", "of one statement, and not of the next");
    ana.runs("set countersign.reason = 'tidying'").ends().await.expect("it is kept for the session");
    ana.runs(update).ends().await.expect("a reason");
    let refused = ana.runs("/* reason: boredom */ delete from refunds where id = 1").gets_refused().await;
    assert_eq!(refused.code, "42501", "not this one: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_reads_of_each_approval() {
    let story = Story::under(WITH_REASON).await;
    let ana = story.logs_in("ana").await;
    let delete = ana.runs("/* reason: INC-42, a wrong refund */ delete from refunds where id = 1");
    let id = ana.is_held().await;
    assert_eq!(story.request("priya", &id).await.reason.as_deref(), Some("INC-42, a wrong refund"));
    let held = story.tells(&["audit", "search", &format!("request:{id} kind:held"), "--json"]).await;
    let held: serde_json::Value = serde_json::from_slice(&held.stdout).expect("one entry");
    assert_eq!(held["detail"]["reason"], "INC-42, a wrong refund", "what they read is in the log: {held}");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let told = timeout(PATIENCE, ana.is_told("was approved by priya@acme.dev; one more is needed")).await;
    assert!(told.expect("a notice").contains(&id));
    assert!(delete.waits());
    story.decides("olu", &id, Choice::Approve).await.expect("and another");
    timeout(Duration::from_secs(30), delete.ends()).await.expect("it goes on").expect("approved by two");
}
