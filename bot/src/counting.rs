//! Which requests get a card of their own, and the message that counts the rest of a session's.
//!
//! One task looks at all that waits, at once, and lets [`board`](crate::board) post the cards that come first: it asks the
//! gateway and nobody else, so that no slow channel holds up another's cards. A second one keeps one message for each
//! asker who has more. A message is found again by its `block_id`, which it loses when it is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::api::{CardRef, RequestView};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Bot,
    cap::{Queue, queues},
    cards::more,
    control::{ControlError, MOST_REQUESTS},
    outbox::{self, Notice, To},
    slack::SlackError,
};

/// How long nothing is looked at where nothing rings.
const LONGEST: Duration = Duration::from_secs(60);
/// How soon what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How far back a message of before is looked for: a wish for access waits for a day.
const LOOK_BACK: TimeDelta = TimeDelta::hours(26);
/// How long one try to post a message may take.
const POSTING: TimeDelta = TimeDelta::seconds(30);
/// What the names of these messages begin with.
const NAME: &str = "more:";

/// Rung when a request has come or changed.
#[derive(Default)]
pub(crate) struct Counting(Notify);

impl Counting {
    /// Something has changed.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}

/// A message that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter {
    /// Its name; its `block_id` while it counts.
    name: String,
    /// Where it stands. `None` where somebody deleted it: then nobody counts until the next time.
    card: Option<CardRef>,
    /// What it says; `None` where that is not known.
    says: Option<usize>,
}

/// What this process knows of them.
#[derive(Default)]
struct Known {
    counters: BTreeMap<String, Counter>,
    /// Channels that were searched for messages of before.
    searched: BTreeSet<String>,
}

/// Places and counts until `shutdown`, once somebody has rung: before that nobody knows of which requests a card may be
/// on Slack.
pub(crate) async fn follow(bot: &Bot, shutdown: &CancellationToken) {
    let (found, waits) = watch::channel(None);
    let work = async { tokio::join!(places(bot, &found), counts(bot, waits)) };
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = work => {}
    }
}

/// Says of each request whether it gets a card, whenever somebody rings.
async fn places(bot: &Bot, found: &watch::Sender<Option<Vec<RequestView>>>) {
    bot.counting().0.notified().await;
    loop {
        let wait = match place(bot).await {
            Ok(pending) => {
                found.send_replace(Some(pending));
                LONGEST
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway does not say what waits; trying again");
                // Better a card too many than none.
                bot.board().unplaced().iter().for_each(|id| bot.let_post(id));
                AGAIN
            }
        };
        tokio::select! {
            () = bot.counting().0.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Keeps the messages that count true to what was found.
async fn counts(bot: &Bot, mut waits: watch::Receiver<Option<Vec<RequestView>>>) {
    let mut known = Known::default();
    loop {
        let pending = waits.borrow_and_update().clone();
        let shown = match pending {
            Some(pending) => look(bot, &mut known, &pending).await,
            None => true,
        };
        let news = tokio::select! {
            news = waits.changed() => news,
            () = tokio::time::sleep(AGAIN), if !shown => Ok(()),
        };
        if news.is_err() {
            return;
        }
    }
}

/// Looks at all that waits once, and says which of it gets a card.
async fn place(bot: &Bot) -> Result<Vec<RequestView>, ControlError> {
    let pending = bot.control().requests(true).await?;
    for queue in &queues(&pending) {
        for view in &queue.first {
            bot.let_post(&view.id);
        }
        for view in &queue.behind {
            bot.keep_back(&view.id);
        }
    }
    if pending.len() >= MOST_REQUESTS {
        // The list may have been cut: better a card too many than none.
        for id in bot.board().unplaced() {
            bot.let_post(&id);
        }
    }
    Ok(pending)
}

/// Makes the messages say what waits. Whether Slack shows what is.
async fn look(bot: &Bot, known: &mut Known, pending: &[RequestView]) -> bool {
    let mut queues = queues(pending);
    queues.retain(|queue| !queue.behind.is_empty());
    let mut all = true;
    for channel in bot.channels() {
        if !known.searched.contains(channel) {
            match search(bot, channel).await {
                Ok(found) => {
                    known.counters.extend(found);
                    known.searched.insert(channel.to_owned());
                }
                Err(error) => {
                    tracing::warn!(%error, channel, "a channel could not be searched for a message that counts");
                    all = false;
                }
            }
        }
    }
    let over: Vec<String> =
        known.counters.keys().filter(|asker| !queues.iter().any(|queue| queue.asker == **asker)).cloned().collect();
    for asker in over {
        if end(bot, &known.counters[&asker]).await {
            known.counters.remove(&asker);
        } else {
            all = false;
        }
    }
    for queue in &queues {
        all &= count(bot, known, queue).await;
    }
    all
}

fn channel_of<'a>(bot: &'a Bot, view: &'a RequestView) -> &'a str {
    view.channel.as_deref().unwrap_or(bot.channel())
}

/// Makes the message of one asker say how many wait behind. Whether it does.
async fn count(bot: &Bot, known: &mut Known, queue: &Queue<'_>) -> bool {
    let [oldest, ..] = queue.behind[..] else { return true };
    let (count, channel) = (queue.behind.len(), channel_of(bot, oldest));
    match known.counters.get_mut(&queue.asker) {
        Some(counter) => {
            let Some(card) = counter.card.as_ref().filter(|_| counter.says != Some(count)) else { return true };
            let message = more::waiting(oldest, count, &outbox::mark(&counter.name));
            match bot.slack().update(card, &message).await {
                Ok(()) => counter.says = Some(count),
                Err(error) if error.is_about_a_lost_message() => counter.card = None,
                Err(error) => {
                    tracing::warn!(%error, name = counter.name, "a message counts wrongly for now");
                    return false;
                }
            }
            true
        }
        // Nobody knows whether there is one.
        None if !known.searched.contains(channel) => false,
        None => {
            // The one that was the first to wait names this message, so that two bots agree on it.
            let name = format!("{NAME}{}:{}", queue.asker, oldest.id);
            let message = more::waiting(oldest, count, &outbox::mark(&name));
            let until = Utc::now() + POSTING;
            let notice = Notice { name: name.clone(), to: To::Channel(channel.to_owned()), message, until };
            let card = outbox::post(bot, notice).await;
            let posted = card.is_some();
            if !posted && Utc::now() >= until {
                known.searched.remove(channel);
                return false;
            }
            let found = match card {
                Some(card) => Some(Counter { name: name.clone(), card: Some(card), says: Some(count) }),
                // Another bot has posted it.
                None => search(bot, channel).await.unwrap_or_default().remove(&queue.asker),
            };
            let counter = found.unwrap_or(Counter { name, card: None, says: None });
            known.counters.insert(queue.asker.clone(), counter);
            posted
        }
    }
}

/// Makes a message say that it is over. Whether it does, or nobody can make it.
async fn end(bot: &Bot, counter: &Counter) -> bool {
    let Some(card) = &counter.card else { return true };
    match bot.slack().update(card, &more::over(&format!("over:{}", counter.name))).await {
        Ok(()) => true,
        Err(error) if error.is_about_a_lost_message() => true,
        Err(error) => {
            tracing::warn!(%error, name = counter.name, "a message counts what waits no more, for now");
            false
        }
    }
}

/// The messages of ours in a channel that count, by asker.
async fn search(bot: &Bot, channel: &str) -> Result<BTreeMap<String, Counter>, SlackError> {
    let us = &bot.identity().await?.user_id;
    let since: DateTime<Utc> = Utc::now() - LOOK_BACK;
    let ours = |message: &Value| message["user"] == us.as_str() && name_of(message).is_some();
    let found = match bot.slack().find_messages(channel, since, ours).await {
        Ok(found) => found,
        Err(error @ SlackError::Refused(_)) => {
            // An app that was installed with fewer scopes, or a channel that the bot is not in.
            tracing::warn!(%error, channel, "a channel can't be searched for a message from before");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let mut counters = BTreeMap::new();
    for message in found {
        let (Some((asker, name)), Some(ts)) = (name_of(&message), message["ts"].as_str()) else { continue };
        let card = Some(CardRef { channel: channel.to_owned(), ts: ts.to_owned() });
        counters.insert(asker, Counter { name, card, says: None });
    }
    Ok(counters)
}

/// Whose message it is that counts, and its name.
fn name_of(message: &Value) -> Option<(String, String)> {
    let id = message["blocks"].as_array()?.iter().find_map(|block| block["block_id"].as_str())?;
    let name = id.strip_prefix(&outbox::mark(NAME))?;
    let (asker, _) = name.split_once(':')?;
    Some((asker.to_owned(), format!("{NAME}{name}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_known_by_its_name_while_it_counts() {
        let with = |id: &str| name_of(&json!({ "blocks": [{ "type": "rich_text", "block_id": id }] }));
        let counts = outbox::mark("more:0123456789abcdef:K7Q2AB9X");
        assert_eq!(with(&counts), Some(("0123456789abcdef".into(), "more:0123456789abcdef:K7Q2AB9X".into())));
        for other in ["over:more:0123456789abcdef:K7Q2AB9X", "notice:digest:2026-11-24", "request:K7Q2AB9X:00", ""] {
            assert_eq!(with(other), None, "{other}");
        }
        assert_eq!(name_of(&json!({ "text": "x" })), None);
    }
}
