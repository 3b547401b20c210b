//! Break-glass: where policy permits it, one statement runs at once, loudly, and somebody else must look at it.

use countersign_shared::{
    api::RequestKind,
    request::{Choice, State},
};

use crate::harness::Story;

/// Deletes wait for somebody, unless the glass is broken; updates are nobody's, unless it is; nothing is truncated.
const GLASS: &str = r#"
permit (principal, action, resource)
unless { [Action::"delete", Action::"update", Action::"truncate"].contains(action) };
permit (principal, action == Action::"delete", resource) when { context.approvals.count >= 1 };
permit (principal, action in [Action::"delete", Action::"update"], resource) when { context.break_glass };
"#;
const DELETE: &str = "delete from refunds where id = 1";

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_passes_at_once_and_its_review_is_somebody_elses() {
    let story = Story::under(GLASS).await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.break_glass = 'INC-7: refunds go out twice'").ends().await.expect("it is set");
    ana.runs("select count(*) from orders").ends().await.expect("what is permitted anyhow does not use it up");
    assert_eq!(ana.runs(DELETE).ends().await.expect("at once").affected, [1]);
    let told = ana.is_told("asks another person to review it").await;
    let id = told.split("request ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id").to_owned();
    let review = story.request("priya", &id).await;
    assert_eq!((review.kind, review.state, review.sql.as_str()), (RequestKind::Review, State::Pending, DELETE));
    assert_eq!(review.reason.as_deref(), Some("INC-7: refunds go out twice"));

    // The next one is held again.
    let next = ana.runs("delete from refunds where id = 2");
    ana.is_held().await;
    ana.presses_ctrl_c().await;
    assert_eq!(next.gets_refused().await.code, "57014");

    // It is in the digest until it is closed, and not by her.
    let digest = story.tells_json(&["digest", "--now", "--dry-run", "--json"]).await;
    assert_eq!(digest["reviews"][0]["request"], id.as_str(), "{digest}");
    for choice in [Choice::Approve, Choice::Withdraw] {
        story.decides("ana", &id, choice).await.expect_err("it is hers");
    }
    let taken = story.decides("priya", &id, Choice::Approve).await.expect("she looked");
    assert_eq!((taken.request.state, taken.message.as_str()), (State::Done, "Reviewed; it is closed."));
    let digest = story.tells_json(&["digest", "--now", "--dry-run", "--json"]).await;
    assert_eq!(digest["reviews"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_opens_what_policy_says_and_nothing_else() {
    let story = Story::under(GLASS).await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.break_glass = 'INC-8'").ends().await.expect("it is set");
    assert_eq!(ana.runs("truncate refunds").gets_refused().await.code, "42501", "not even so");
    ana.is_told("policy does not let this statement pass by break-glass").await;
    let refused = ana.runs("update products set stock = 0").gets_refused().await;
    assert_eq!(refused.code, "42501", "it was used up");
    for reason in ["  ", ".", "\u{200b}\u{200b}"] {
        ana.runs(&format!("set countersign.break_glass = '{reason}'")).ends().await.expect("it is set");
        let refused = ana.runs("update products set stock = 0").gets_refused().await;
        assert_eq!(refused.code, "42501", "no reason, no glass: {reason:?}");
    }
    ana.runs("set countersign.break_glass = 'INC-8'").ends().await.expect("it is set");
    let several = "update products set stock = 0 where id = 1; update products set stock = 0 where id = 2";
    assert_eq!(ana.runs(several).gets_refused().await.code, "42501", "one statement");
    ana.is_told("this text has several").await;
    ana.runs("set countersign.break_glass = 'INC-8'").ends().await.expect("it is set");
    let both = "update products set stock = 0; truncate refunds";
    assert_eq!(ana.runs(both).gets_refused().await.code, "42501", "the strictest of a text counts");
    ana.runs("set countersign.break_glass = 'INC-8'").ends().await.expect("it is set");
    ana.executes("update products set stock = 7 where id = $1", vec![Box::new(1_i64)]).ends().await.expect("it runs");
    assert_eq!(story.number("select count(*) from products where stock = 7 and id = 1").await, 1);
}

/// What policy wants approved by a group that may approve nothing is refused at once, and nobody is asked.
const NOBODY: &str = r#"
permit (principal, action, resource) unless { [Action::"delete", Action::"update"].contains(action) };
permit (principal, action in [Action::"delete", Action::"update"], resource)
when { context.approvals.groups.contains("security") };
permit (principal in Group::"dba", action == Action::"approve", resource);
forbid (principal in Group::"security", action == Action::"approve", resource);
permit (principal, action == Action::"delete", resource) when { context.break_glass };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_may_approve_it_is_refused_at_once_with_the_group_and_a_way_out() {
    let story = Story::under(NOBODY).await;
    let ana = story.logs_in("ana").await;
    for (statement, hint) in [
        (DELETE, "SET countersign.break_glass = 'why' and run it again"),
        ("update products set stock = 0", "Ask whoever keeps the policy."),
    ] {
        let refused = ana.runs(statement).gets_refused().await;
        assert_eq!(refused.code, "42501", "{statement}");
        assert!(refused.message.contains("approval by security, whose members may not"), "{}", refused.message);
        let said = &refused.hint;
        assert!(said.contains(hint), "{statement}: {said}");
    }
    let asked = story.calls("ana", reqwest::Method::GET, "v1/requests", None).await.expect("a list");
    assert_eq!(asked, serde_json::json!([]), "nobody was asked");
    ana.runs("set countersign.break_glass = 'INC-9'").ends().await.expect("it is set");
    assert_eq!(ana.runs(DELETE).ends().await.expect("as the hint says").affected, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_is_loud_and_says_what_was_found() {
    let story = Story::begin_under(
        r#"permit (principal, action in Action::"write", resource in Connection::"shop") when { context.break_glass };"#,
    )
    .await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    ana.runs("set countersign.break_glass = 'the shop is down'").ends().await.expect("it is set");
    ana.runs("delete from orders where status = 'cancelled'").ends().await.expect("at once");
    let told = ana.is_told("asks another person to review it").await;
    let id = told.split("request ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id").to_owned();
    let card = story.card_says(&id, "BREAK-GLASS").await;
    for said in ["the shop is down", "It has run already, unasked", "broke the glass", "Reviewed", "Found wrong"] {
        assert!(card.shown().contains(said), "{said}: {}", card.shown());
    }
    priya.presses("approve", &id).await;
    let card = story.card_says(&id, "Break-glass, reviewed").await;
    assert!(card.shown().contains("was reviewed by priya@acme.dev"), "{}", card.shown());
    assert!(card.buttons().is_empty(), "it is closed");
}
