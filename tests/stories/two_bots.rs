//! Two bots at one gateway: what either would post is posted once, and one that ends in the middle loses nothing.

use std::time::Duration;

use countersign_demo::slack::Workspace;
use countersign_shared::request::Choice;
use sqlx::Connection as _;
use tokio::time::{interval, timeout};

use crate::harness::{CHANNEL, PATIENCE, Story, process::Process};

/// A claim lasts so long, in milliseconds.
const CLAIM: i64 = 90_000;

/// Waits until one of these has said so; which.
async fn says(bots: &[&Process], text: &str) -> usize {
    let mut looks = interval(Duration::from_millis(25));
    let said = async {
        loop {
            looks.tick().await;
            if let Some(which) = bots.iter().position(|bot| bot.said().contains(text)) {
                return which;
            }
        }
    };
    timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("nobody says {text:?}"))
}

impl Story {
    /// One more bot, which follows the gateway when this returns.
    async fn one_more_bot(&mut self) -> Process {
        let bot = self.try_start("bot").await.unwrap_or_else(|no| panic!("{}", no.0));
        says(&[&bot], "following the gateway's events").await;
        bot
    }

    /// Who has the claim on a request's card.
    async fn claimer(&self, id: &str) -> Option<String> {
        let query = sqlx::query_scalar("SELECT claimed_by FROM notices WHERE name = ? AND done_at IS NULL");
        let mut state = self.state().await;
        let by = query.bind(format!("card:{id}")).fetch_optional(&mut state).await.expect("notices");
        state.close().await.expect("closed");
        by
    }

    /// As if the claim on a request's card were as old as one becomes.
    async fn claim_ages_out(&self, id: &str) {
        let mut state = self.state().await;
        let query = sqlx::query("UPDATE notices SET claimed_at = claimed_at - ? WHERE name = ?");
        let done = query.bind(CLAIM).bind(format!("card:{id}")).execute(&mut state).await.expect("notices");
        assert_eq!(done.rows_affected(), 1, "somebody had claimed it");
        state.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_bots_one_posts_each_card_and_tells_its_requester() {
    let retry =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\non_hold = \"retry\"");
    let mut story = Story::gateway_with(retry).await;
    let _bots = (story.one_more_bot().await, story.one_more_bot().await);
    story.linked("ana").await;
    let priya = story.linked("priya").await;
    let mut asked = Vec::new();
    for who in ["ana", "ben", "dario"] {
        let session = story.logs_in(who).await;
        for number in 1..=4 {
            let refused = session.runs(&format!("delete from orders where id = {number}")).gets_refused().await;
            let rest = refused.message.strip_prefix("request ").expect("an id");
            asked.push((who, rest.strip_suffix(" waits for approval").expect("what it waits for").to_owned()));
        }
    }
    for (_, id) in &asked {
        story.card(id).await;
        story.card_is_known(id).await;
    }
    for (who, id) in &asked {
        priya.denies(id, "not today").await;
        story.card_says(id, "Denied").await;
        assert_eq!(story.cards(id), 1, "{who}'s {id}");
    }
    let posts = story.workspace.calls_of("chat.postMessage");
    for (who, id) in &asked {
        let posts = |channel: &str| {
            posts.iter().filter(|c| c.arguments["channel"] == channel && c.arguments.to_string().contains(id)).count()
        };
        assert_eq!(posts(CHANNEL), 1, "{who}'s {id} was posted once");
        if *who == "ana" {
            let direct = story.workspace.direct_channel(story.colleague("ana").user()).expect("she is told");
            assert_eq!(posts(&direct), 1, "and she was told of {id} once");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_ends_between_its_claim_and_its_card_leaves_it_to_the_next() {
    let mut story = Story::prepare().await;
    story.starts("gateway").await;
    let first = story.one_more_bot().await;
    story.linked("priya").await;
    let ana = story.logs_in("ana").await;
    // Slack has it wait, with nothing posted.
    story.workspace.rate_limit("chat.postMessage", 1, 600);
    let update = ana.runs("update products set stock = 0 where id = 1");
    let id = ana.is_held().await;
    let refused = |workspace: &Workspace| {
        let calls = workspace.calls_of("chat.postMessage");
        calls.iter().any(|call| call.arguments.to_string().contains(&id)).then_some(())
    };
    story.workspace.wait_for(PATIENCE, refused).await.expect("a try");
    let dead = story.claimer(&id).await.expect("it was claimed");
    first.kill().await;
    // It tells that it leaves the card alone.
    story.traces = true;
    let second = story.one_more_bot().await;
    says(&[&second], "leaving the card to it").await;
    assert_eq!((story.cards(&id), story.claimer(&id).await), (0, Some(dead.clone())));
    story.claim_ages_out(&id).await;
    story.card(&id).await;
    story.card_is_known(&id).await;
    story.colleague("priya").presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    story.card_says(&id, "UPDATE 1").await;
    assert_eq!(story.cards(&id), 1);
    assert_ne!(story.claimer(&id).await, Some(dead), "who posted it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_a_dying_bot_posted_is_found_by_the_other_when_the_claim_is_over() {
    let mut story = Story::prepare().await;
    story.starts("gateway").await;
    let mut bots = vec![story.one_more_bot().await, story.one_more_bot().await];
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let looks = |workspace: &Workspace, outcome: &str| {
        workspace.calls_of("conversations.history").iter().filter(|call| call.outcome == outcome).count()
    };
    // Both have looked for what is from before.
    story.workspace.wait_for(PATIENCE, |w| (looks(w, "ok") >= 2).then_some(())).await.expect("two looks");
    // It is posted, and whoever posted it never hears so; nor can it look.
    story.workspace.lose_answers("chat.postMessage", 1);
    story.workspace.rate_limit("conversations.history", 1, 600);
    let update = ana.runs("update products set stock = 0 where id = 1");
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    let limited = |w: &Workspace| (looks(w, "ratelimited") == 1).then_some(());
    story.workspace.wait_for(PATIENCE, limited).await.expect("it must wait");
    let poster = says(&bots.iter().collect::<Vec<_>>(), "the card is not up to date yet").await;
    bots.remove(poster).kill().await;
    assert_eq!(story.cards(&id), 1);
    // The first look of the other fails, and that is no reason to post.
    story.workspace.break_down("conversations.history", 1, 500);
    story.claim_ages_out(&id).await;
    story.card_is_known(&id).await;
    assert_eq!(story.card(&id).await.ts, card.ts, "the same card");
    priya.presses("approve", &id).await;
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    assert_eq!((story.card_says(&id, "UPDATE 1").await.ts, story.cards(&id)), (card.ts, 1));
    drop(story.decides("priya", &id, Choice::Deny).await.expect_err("it is over"));
}
