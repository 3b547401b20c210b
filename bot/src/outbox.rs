//! Messages that are posted once, whichever bot posts them and however often it is started.
//!
//! Each has a name. A bot claims it at the gateway, posts, and says so. Where that was cut off, or Slack did
//! not answer, whoever has the claim next looks on Slack for the message first.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::api::{CardRef, Claim};
use serde_json::json;

use crate::{
    Bot,
    backoff::Backoff,
    cards::Message,
    control::ControlError,
    held::{Held, Step},
    slack::SlackError,
};

/// How long a message of before is looked for: claims are not older.
const LOOK_BACK: TimeDelta = TimeDelta::hours(26);
/// How long another bot's claim is left alone before it is asked about again.
const ANOTHER: Duration = Duration::from_secs(30);

/// Where a message goes.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// A channel.
    Channel(String),
    /// Somebody, directly.
    Person(String),
    /// The thread of a message.
    Thread(CardRef),
}

/// A message that is posted once.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    /// Its name, of letters, digits, `:` and `-`.
    pub(crate) name: String,
    /// Where it goes.
    pub(crate) to: To,
    /// The message, with at least one block.
    pub(crate) message: Message,
    /// After this nobody needs it.
    pub(crate) until: DateTime<Utc>,
}

/// The `block_id` by which a message is found again.
pub(crate) fn mark(name: &str) -> String {
    format!("notice:{name}")
}

/// What came of a try.
enum Tried {
    /// This bot posted it.
    Posted(CardRef),
    /// It was posted before, or never will be.
    Over,
    /// To be tried again, after so long if somebody says so.
    Again(Option<Duration>),
}

/// Posts it, however long that takes. The message, where this call posted it.
pub(crate) async fn post(bot: &Bot, mut notice: Notice) -> Option<CardRef> {
    if let Some(first) = notice.message.blocks.first_mut() {
        first["block_id"] = json!(mark(&notice.name));
    }
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
    // Whether somebody may have posted it, and nobody has looked.
    let (mut held, mut doubt) = (Held::default(), false);
    while Utc::now() < notice.until {
        match attempt(bot, &notice, &mut held, &mut doubt).await {
            Tried::Posted(card) => return Some(card),
            Tried::Over => return None,
            Tried::Again(wait) => {
                let wait = wait.unwrap_or_else(|| backoff.wait());
                tokio::select! {
                    () = bot.stopping() => return None,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
    tracing::warn!(name = notice.name, "a message was not posted in time, and nobody needs it any more");
    None
}

/// Does something else once, until it is done. What another bot began and did not end is done again: better
/// twice than never.
pub(crate) async fn once<F>(bot: &Bot, name: &str, until: DateTime<Utc>, act: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
    while Utc::now() < until {
        let wait = match bot.control().claim(name).await {
            Ok(Claim::Done) => return,
            Ok(Claim::Taken) => ANOTHER,
            Ok(Claim::Yours | Claim::InDoubt) => match act().await {
                Ok(()) => return done(bot, name).await,
                Err(error) => {
                    tracing::warn!(error, name, "something is not done yet");
                    backoff.wait()
                }
            },
            Err(error) => match unclaimed(name, &error) {
                Tried::Again(wait) => wait.unwrap_or_else(|| backoff.wait()),
                Tried::Over | Tried::Posted(_) => return,
            },
        };
        tokio::select! {
            () = bot.stopping() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn attempt(bot: &Bot, notice: &Notice, held: &mut Held, doubt: &mut bool) -> Tried {
    let (name, asked) = (&notice.name, Instant::now());
    match bot.control().claim(name).await.map(|claim| held.takes(claim, asked)) {
        Ok(Step::Over) => return Tried::Over,
        Ok(Step::Wait) => return Tried::Again(Some(ANOTHER)),
        Ok(Step::Post) => {}
        Ok(Step::LookFirst) => *doubt = true,
        Err(error) => return unclaimed(name, &error),
    }
    let channel = match &notice.to {
        To::Channel(channel) | To::Thread(CardRef { channel, .. }) => channel.clone(),
        To::Person(user) => match bot.slack().direct_channel(user).await {
            Ok(channel) => channel,
            Err(error) => return failed(bot, name, &error).await,
        },
    };
    let thread = if let To::Thread(card) = &notice.to { Some(card.ts.as_str()) } else { None };
    if *doubt {
        match find(bot, &channel, thread, name).await {
            Ok(true) => {
                done(bot, name).await;
                return Tried::Over;
            }
            Ok(false) => {}
            Err(error @ SlackError::Refused(_)) => {
                // An app that was installed with fewer scopes; better twice than never.
                tracing::warn!(%error, name, "a channel can't be searched for a message from before");
            }
            Err(error) => return failed(bot, name, &error).await,
        }
    }
    *doubt = false;
    match bot.slack().post_in(&channel, thread, &notice.message).await {
        Ok(card) => {
            done(bot, name).await;
            Tried::Posted(card)
        }
        Err(error) => {
            // Whoever does not answer may have posted it all the same.
            *doubt = matches!(error, SlackError::Away(_));
            failed(bot, name, &error).await
        }
    }
}

fn unclaimed(name: &str, error: &ControlError) -> Tried {
    tracing::warn!(%error, name, "a message could not be claimed at the gateway");
    if matches!(error, ControlError::Refused(_)) { Tried::Over } else { Tried::Again(None) }
}

async fn failed(bot: &Bot, name: &str, error: &SlackError) -> Tried {
    tracing::warn!(%error, name, "a message is not posted yet");
    match error {
        SlackError::Slower(wait) => Tried::Again(Some(*wait)),
        error if error.is_about_blocks() || error.is_about_the_person() || error.is_about_a_lost_thread() => {
            done(bot, name).await;
            Tried::Over
        }
        // A channel may be brought back, the bot invited, a scope added.
        _ => Tried::Again(None),
    }
}

/// Where the gateway does not hear of it, whoever claims it next finds it on Slack.
pub(crate) async fn done(bot: &Bot, name: &str) {
    if let Err(error) = bot.control().posted(name).await {
        tracing::warn!(%error, name, "the gateway could not be told that a message is posted");
    }
}

async fn find(bot: &Bot, channel: &str, thread: Option<&str>, name: &str) -> Result<bool, SlackError> {
    let (us, mark) = (&bot.identity().await?.user_id, mark(name));
    let ours = |message: &serde_json::Value| {
        let blocks = message["blocks"].as_array();
        message["user"] == us.as_str() && blocks.is_some_and(|blocks| blocks.iter().any(|b| b["block_id"] == mark))
    };
    let since = Utc::now() - LOOK_BACK;
    Ok(match thread {
        Some(ts) => bot.slack().find_reply(channel, ts, ours).await?,
        None => bot.slack().find_message(channel, since, ours).await?,
    }
    .is_some())
}
