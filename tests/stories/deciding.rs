//! Who decides, when, and how often.

use countersign_shared::request::Choice;

use crate::harness::{CHANNEL, Story};

const UPDATE: &str = "update products set stock = 0 where id = 1";
const STOCK: &str = "select stock::bigint from products where id = 1";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_linked_their_account_gets_a_link_and_decides_nothing() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let priya = story.colleague("priya");
    let update = ana.runs(UPDATE);
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    let told = priya.is_told("Nothing was decided").await;
    assert!(update.waits());
    assert!(story.request("ana", &id).await.approvals.is_empty(), "nothing is approved");
    priya.follows(&told).await;
    assert!(update.waits(), "signing in alone decides nothing");
    priya.presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_names_the_channel_as_people_do() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let update = ana.runs(UPDATE);
    let notice = ana.is_told_that_it_is_held().await;
    assert!(notice.ends_with(" by dba in #db-approvals; press Ctrl-C to withdraw"), "{notice}");
    ana.presses_ctrl_c().await;
    update.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_counts_once_and_runs_once() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let before = story.number(STOCK).await;
    let update = ana.runs("update products set stock = stock + 1 where id = 1");
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    let user = &priya.person.slack_id;
    let (first, second) = tokio::join!(
        story.workspace.press(user, CHANNEL, &card.ts, "approve"),
        story.workspace.press(user, CHANNEL, &card.ts, "approve"),
    );
    first.expect("the first click is taken");
    // The second may come when the button is gone.
    drop(second);
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    story.card_says(&id, "UPDATE 1").await;
    assert_eq!(story.request("priya", &id).await.approvals.len(), 1);
    assert_eq!(story.number(STOCK).await, before + 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_takes_no_approval() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let before = story.number(STOCK).await;

    let denied = ana.runs(UPDATE);
    let id = ana.is_held().await;
    let seen = story.request("priya", &id).await;
    let card = story.card(&id).await;
    let late = story.workspace.press_payload(&priya.person.slack_id, CHANNEL, &card.ts, "approve").expect("a press");
    priya.denies(&id, "not today").await;
    denied.gets_refused().await;
    let problem = story.decides_on("dario", &seen, Choice::Approve).await.expect_err("it is over");
    assert_eq!(problem.code, "over", "{problem:?}");
    // The click that was on its way when it ended.
    story.workspace.deliver(countersign_demo::slack::Kind::Interactive, &late).await.expect("it is taken");
    priya.is_told("no decision any more").await;

    let withdrawn = ana.runs(UPDATE);
    let id = ana.is_held().await;
    let seen = story.request("priya", &id).await;
    ana.presses_ctrl_c().await;
    withdrawn.gets_refused().await;
    let problem = story.decides_on("dario", &seen, Choice::Approve).await.expect_err("it is over");
    assert_eq!(problem.code, "over", "{problem:?}");
    assert_eq!(story.number(STOCK).await, before);
    assert!(!story.database_ran("update products"));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_guest_nor_somebody_of_another_group_approves() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let (gus, ben) = (story.colleague("gus"), story.linked("ben").await);
    let update = ana.runs(UPDATE);
    let id = ana.is_held().await;
    gus.presses("approve", &id).await;
    let told = gus.is_told("uest").await;
    assert!(!told.contains("/link/"), "a guest is not even asked to link: {told}");
    ben.presses("approve", &id).await;
    ben.is_told("You may not decide on this request").await;
    assert!(update.waits());
    assert!(story.request("ana", &id).await.approvals.is_empty());
    ana.presses_ctrl_c().await;
    update.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_decides_by_the_control_api_too_but_only_on_what_they_saw() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let first = ana.runs("update products set stock = 1 where id = 1");
    let id = ana.is_held().await;
    let other = story.request("priya", &id).await;
    ana.presses_ctrl_c().await;
    first.gets_refused().await;
    let second = ana.runs(UPDATE);
    let id = ana.is_held().await;
    let mut confused = story.request("priya", &id).await;
    let right = confused.digest;
    confused.digest = other.digest;
    let problem = story.decides_on("priya", &confused, Choice::Approve).await.expect_err("another digest");
    assert_eq!(problem.code, "digest_mismatch");
    assert!(second.waits());
    confused.digest = right;
    story.decides_on("priya", &confused, Choice::Approve).await.expect("approved");
    assert_eq!(second.ends().await.expect("it runs").affected, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_on_in_time_is_refused_and_takes_no_approval_after_that() {
    let story = Story::begin_with(&[("hold_timeout = \"15m\"", "hold_timeout = \"3s\"")]).await;
    let ana = story.logs_in("ana").await;
    let update = ana.runs(UPDATE);
    let id = ana.is_held().await;
    let seen = story.request("priya", &id).await;
    let refused = update.gets_refused().await;
    assert_eq!(refused.code, "57014");
    assert!(refused.message.contains("in time"), "{refused:?}");
    let problem = story.decides_on("priya", &seen, Choice::Approve).await.expect_err("it has expired");
    assert_eq!(problem.code, "over", "{problem:?}");
    assert!(!story.database_ran("update products"));
    ana.runs("select 1").ends().await.expect("the session lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_have_to_approve_one_is_not_enough_however_often() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let alter = ana.runs("alter table orders add column parcel text");
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    priya.is_told("1 more needed").await;
    priya.presses("approve", &id).await;
    priya.is_told("already").await;
    assert!(alter.waits());
    assert!(!story.database_ran("alter table"));
    let dario = story.linked("dario").await;
    dario.presses("approve", &id).await;
    alter.ends().await.expect("it runs");
    let card = story.card_says(&id, "ALTER TABLE").await;
    for who in ["priya@acme.dev", "dario@acme.dev"] {
        assert!(card.shown().contains(who), "{who}: {}", card.shown());
    }
}
