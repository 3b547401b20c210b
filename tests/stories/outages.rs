//! Bad days: power cuts, restarts, an orderly stop.

use crate::harness::{CHANNEL, Story};

const DELETE: &str = "delete from orders where status = 'cancelled'";
const CANCELLED: &str = "select count(*) from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_runs_nothing_that_it_held_and_says_so_when_it_is_back() {
    let mut story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    story.linked("priya").await;
    let cancelled = story.number(CANCELLED).await;
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    story.card_is_known(&id).await;
    story.kills_the_gateway().await;
    assert_eq!(delete.gets_refused().await.code, "closed", "the client notices");
    story.starts("serve").await;
    let void = story.card_says(&id, "Void").await;
    assert_eq!((void.ts.as_str(), story.cards(&id)), (card.ts.as_str(), 1), "the same card, and no other");
    assert!(void.buttons().is_empty(), "nothing is left to press");
    assert_eq!(story.request("ana", &id).await.state.to_string(), "void");
    assert_eq!(story.number(CANCELLED).await, cancelled);
    assert!(!story.database_ran("delete from orders"));
    let ana = story.logs_in("ana").await;
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    story.colleague("priya").presses("approve", &id).await;
    delete.ends().await.expect("everything works again, links included");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_was_away_posts_what_it_missed_once() {
    let mut story = Story::prepare().await;
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    let update = ana.runs("update products set stock = 0 where id = 1");
    let id = ana.is_held().await;
    assert!(story.workspace.messages(CHANNEL).is_empty(), "nobody is there to post");
    story.starts("bot").await;
    let card = story.card(&id).await;
    story.card_is_known(&id).await;
    story.linked("priya").await;

    // It goes away again with the card posted, and comes back.
    story.bot.take().expect("a bot").kill().await;
    let second = story.logs_in("ben").await;
    let other = second.runs("update products set stock = 0 where id = 2");
    let other_id = second.is_held().await;
    story.starts("bot").await;
    story.card(&other_id).await;
    story.colleague("priya").presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    assert_eq!(story.card_says(&id, "UPDATE 1").await.ts, card.ts, "the same card");
    assert!(other.waits());
    assert_eq!((story.cards(&id), story.cards(&other_id)), (1, 1), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_killed_between_posting_and_writing_that_down_posts_nothing_twice() {
    let mut story = Story::prepare().await;
    story.starts("gateway").await;
    story.starts("bot").await;
    story.linked("priya").await;
    let (ana, ben) = (story.logs_in("ana").await, story.logs_in("ben").await);
    story.workspace.lose_answers("chat.postMessage", 2);
    let update = ana.runs("update products set stock = 0 where id = 1");
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    let withdrawn = ben.runs("update products set stock = 0 where id = 2");
    let withdrawn_id = ben.is_held().await;
    let stale = story.card(&withdrawn_id).await;
    story.bot.take().expect("a bot").kill().await;
    ben.presses_ctrl_c().await;
    withdrawn.gets_refused().await;
    story.starts("bot").await;
    assert_eq!(story.card_says(&withdrawn_id, "Withdrawn").await.ts, stale.ts, "it does not stay open");
    story.card_is_known(&id).await;
    story.colleague("priya").presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    assert_eq!(story.card_says(&id, "UPDATE 1").await.ts, card.ts, "the same card");
    assert_eq!((story.cards(&id), story.cards(&withdrawn_id)), (1, 1), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_slack_is_away_a_statement_waits_and_is_posted_when_it_is_back() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    story.workspace.go_down();
    let update = ana.runs("update products set stock = 0 where id = 1");
    let id = ana.is_held().await;
    assert!(update.waits());
    story.workspace.come_back();
    story.card(&id).await;
    story.bot_is_there().await;
    priya.presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    assert_eq!(story.cards(&id), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_ends_what_is_held_with_a_reason() {
    let mut story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    story.card(&id).await;
    story.card_is_known(&id).await;
    let mut gateway = story.gateway.take().expect("a gateway");
    gateway.is_told_to_stop().await;
    let refused = delete.gets_refused().await;
    assert!(matches!(refused.code.as_str(), "57P01" | "57014"), "{refused:?}");
    assert!(format!("{} {}", refused.message, refused.detail).contains("stopping"), "{refused:?}");
    assert!(gateway.ends().await.success(), "{}", gateway.said());
    assert!(!story.database_ran("delete from orders"));
    story.card_says(&id, "Void").await;
    story.starts("serve").await;
    story.card_says(&id, "Void").await;
    assert_eq!(story.cards(&id), 1);
}
