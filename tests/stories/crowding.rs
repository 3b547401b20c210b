//! Whoever asks for much at once has five cards, and a message that counts the rest.

use countersign_demo::slack::{Message, Workspace};
use countersign_shared::request::{Choice, State};

use crate::harness::{CHANNEL, PATIENCE, Story, client::Client};

/// Asks for something of its own; the request's id.
async fn asks(session: &Client, number: usize) -> String {
    let refused = session.runs(&format!("delete from orders where id = {number}")).gets_refused().await;
    let rest = refused.message.strip_prefix("request ").expect("an id");
    rest.strip_suffix(" waits for approval").expect("what it waits for").to_owned()
}

/// The requests that a card in the channel lets somebody approve.
fn open_cards(workspace: &Workspace) -> Vec<String> {
    let messages = workspace.messages(CHANNEL);
    let buttons = messages.iter().flat_map(Message::buttons);
    buttons.filter(|button| button.action_id == "approve").map(|button| button.value).collect()
}

/// The messages that count, or did.
fn counts(workspace: &Workspace) -> Vec<Message> {
    let counts = |message: &Message| message.shown().contains("more by") || message.shown().contains("No more wait");
    workspace.messages(CHANNEL).into_iter().filter(counts).collect()
}

impl Story {
    /// Waits until just these have cards, and the one message that counts says `text`.
    async fn crowd_is(&self, cards: &[String], text: &str) -> Message {
        let is = |workspace: &Workspace| {
            let (mut open, mut wanted, counts) = (open_cards(workspace), cards.to_vec(), counts(workspace));
            open.sort_unstable();
            wanted.sort_unstable();
            (open == wanted && counts.len() == 1 && counts[0].shown().contains(text)).then(|| counts[0].clone())
        };
        let found = self.workspace.wait_for(PATIENCE, is).await;
        found.unwrap_or_else(|in_vain| {
            let said: Vec<String> = counts(&self.workspace).iter().map(Message::shown).collect();
            panic!("{text}: {in_vain}; of {cards:?} there are {:?} and {said:?}", open_cards(&self.workspace))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_cards_wait_at_a_time_and_one_message_counts_the_rest() {
    let retry =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\non_hold = \"retry\"");
    let mut story = Story::gateway_with(retry).await;
    let ana = story.logs_in("ana").await;
    let mut asked = Vec::new();
    for number in 1..=7 {
        asked.push(asks(&ana, number).await);
    }
    story.starts("bot").await;
    let counter = story.crowd_is(&asked[..5], "2 more by ana@acme.dev on shop wait").await;
    assert!(!counter.shown().contains("delete from"), "what it is stays on its page: {}", counter.shown());
    story.bot_is_there().await;
    let hers = story.linked("ana").await;
    asked.push(asks(&ana, 8).await);
    hers.is_written(&asked[7]).await;
    story.crowd_is(&asked[..5], "3 more by ana@acme.dev on shop wait").await;
    // Somebody else is not kept waiting by that.
    let ben = story.logs_in("ben").await;
    let other = asks(&ben, 9).await;
    let with = |all: &[String]| [all, std::slice::from_ref(&other)].concat();
    story.crowd_is(&with(&asked[..5]), "3 more by ana@acme.dev on shop wait").await;

    // A bot that was started anew posts none of it again.
    story.bot.take().expect("a bot").kill().await;
    story.starts("bot").await;
    let priya = story.linked("priya").await;
    priya.presses("approve", &asked[0]).await;
    let counted = story.crowd_is(&with(&asked[1..6]), "2 more by ana@acme.dev on shop wait").await;
    assert_eq!(counted.ts, counter.ts, "the same message");

    // What has no card is decided all the same, and gets none then.
    story.decides("priya", &asked[7], Choice::Approve).await.expect("she may");
    story.crowd_is(&with(&asked[1..6]), "1 more by ana@acme.dev on shop waits").await;
    assert_eq!(story.request("priya", &asked[7]).await.state, State::Approved);
    priya.denies(&asked[1], "not today").await;
    let over = story.crowd_is(&with(&asked[2..7]), "No more wait here").await;
    assert_eq!(over.ts, counter.ts, "the same message to the end");
    assert_eq!(story.cards(&asked[7]), 0, "nobody needs its card any more");

    // The next time is another message, where it is read.
    let ninth = asks(&ana, 10).await;
    let again = |workspace: &Workspace| {
        counts(workspace).into_iter().find(|message| message.shown().contains("1 more by ana@acme.dev"))
    };
    let again = story.workspace.wait_for(PATIENCE, again).await.expect("a message");
    assert_ne!(again.ts, counter.ts);
    story.decides("priya", &ninth, Choice::Deny).await.expect("she may");
    let both = |workspace: &Workspace| {
        counts(workspace).iter().all(|message| message.shown().contains("No more wait")).then_some(())
    };
    story.workspace.wait_for(PATIENCE, both).await.expect("both are over");
    assert_eq!(counts(&story.workspace).len(), 2);
}
