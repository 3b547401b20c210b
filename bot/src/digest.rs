//! The daily digest: who holds what they don't use, with buttons that take it back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{AccessDigest, DigestGrant},
    ids::{GrantId, RequestId},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    Bot,
    cards::{self, csv},
    control::ControlError,
    digest_parts,
    outbox::{self, Notice, To},
    schedule::Daily,
    slack::SlackError,
};

/// A bot that was away when it was due posts it until then.
const LATE: TimeDelta = TimeDelta::hours(3);
/// How long nobody looks at the clock, which may be set.
const LOOKS: Duration = Duration::from_secs(20);
/// How often the table is tried to be attached.
const TRIES: usize = 5;

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum NoDigest {
    /// The gateway does not say what there is.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Slack does not take it.
    #[error("Slack did not take the digest; the log says why")]
    NotPosted,
}

/// Posts the digest each day until `shutdown`.
pub(crate) async fn follow(bot: &Bot, daily: &Daily, shutdown: &CancellationToken) {
    let mut posted = None;
    loop {
        let now = Utc::now();
        if let Some((day, at)) = daily.last(now)
            && now - at < LATE
            && posted.as_ref() != Some(&day)
        {
            match post(bot, &day, at + LATE).await {
                Ok(()) => posted = Some(day),
                Err(error) => tracing::warn!(%error, day, "the digest is not posted yet"),
            }
        }
        let wait = daily.next(Utc::now()).and_then(|next| (next - Utc::now()).to_std().ok()).unwrap_or(LOOKS);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait.min(LOOKS)) => {}
        }
    }
}

/// Posts the digest of `day`, unless that is done: to the channel, and to each whose roles it speaks of.
async fn post(bot: &Bot, day: &str, until: DateTime<Utc>) -> Result<(), ControlError> {
    let digest = bot.control().digest().await?;
    to_channels(bot, day, &digest, until).await;
    for (user, theirs) in by_holder(&digest) {
        let message = cards::digest::own(&theirs, &digest);
        let notice = Notice { name: format!("digest:{day}:{user}"), to: To::Person(user), message, until };
        let _card = outbox::post(bot, notice).await;
    }
    Ok(())
}

/// Each channel gets what is about its own connections.
async fn to_channels(bot: &Bot, day: &str, digest: &AccessDigest, until: DateTime<Utc>) -> bool {
    let nowhere = digest_parts::nowhere(digest, bot.places());
    if nowhere > 0 {
        tracing::warn!(nowhere, "the digest leaves out what is about connections that this bot's config does not have");
    }
    let mut all = true;
    for (channel, part) in digest_parts::by_channel(digest, bot.places(), bot.redacted(), bot.channel()) {
        let name = if channel == bot.channel() { format!("digest:{day}") } else { format!("digest:{day}:{channel}") };
        all &= to_channel(bot, name, channel, &part, until).await;
    }
    all
}

async fn to_channel(bot: &Bot, name: String, channel: String, digest: &AccessDigest, until: DateTime<Utc>) -> bool {
    let message = cards::digest::message(digest);
    let Some(card) = outbox::post(bot, Notice { name, to: To::Channel(channel), message, until }).await else {
        return false;
    };
    if cards::digest::is_empty(digest) {
        return true;
    }
    let table = csv::table(digest);
    for _ in 0..TRIES {
        match bot.slack().attach(&card, &format!("access-{}.csv", digest.at.format("%Y-%m-%d")), &table).await {
            Ok(()) => return true,
            Err(SlackError::Slower(wait)) => tokio::time::sleep(wait).await,
            Err(error) => {
                tracing::warn!(%error, "the digest has no table");
                return true;
            }
        }
    }
    true
}

/// What matters, by the Slack account of whoever has it or answers for it.
fn by_holder(digest: &AccessDigest) -> Vec<(String, Vec<&DigestGrant>)> {
    let mut holders: Vec<(String, Vec<&DigestGrant>)> = Vec::new();
    for found in digest.grants.iter().filter(|found| found.finding.matters()) {
        let Some(slack) = &found.grant.slack else { continue };
        match holders.iter_mut().find(|(user, _)| *user == slack.user) {
            Some((_, theirs)) => theirs.push(found),
            None => holders.push((slack.user.clone(), vec![found])),
        }
    }
    holders
}

impl Bot {
    /// What the digest would say now.
    ///
    /// # Errors
    /// Where the gateway does not say.
    pub async fn digest(&self) -> Result<AccessDigest, NoDigest> {
        Ok(self.control().digest().await?)
    }

    /// Posts the digest now, to the channels alone and beside the daily one.
    ///
    /// # Errors
    /// Where the gateway or Slack is away.
    pub async fn post_digest(&self) -> Result<AccessDigest, NoDigest> {
        let digest = self.control().digest().await?;
        let name = format!("now:{}", RequestId::random());
        let until = Utc::now() + TimeDelta::seconds(60);
        if to_channels(self, &name, &digest, until).await { Ok(digest) } else { Err(NoDigest::NotPosted) }
    }
}

/// Makes a digest on Slack say what has become of its grants. One at a time: each reads what is there.
pub(crate) async fn refresh(bot: &Bot, channel: &str, ts: &str) {
    let _one = bot.refreshing().lock().await;
    if let Err(error) = refreshed(bot, channel, ts).await {
        tracing::warn!(error, channel, "a digest stays as it was");
    }
}

async fn refreshed(bot: &Bot, channel: &str, ts: &str) -> Result<(), String> {
    let us = bot.identity().await.map_err(|error| error.to_string())?.user_id.clone();
    let ours = |message: &Value| message["user"] == us.as_str() && message["ts"] == ts;
    let message = bot.slack().message_at(channel, ts, ours).await.map_err(|error| error.to_string())?;
    let Some(message) = message else { return Ok(()) };
    let mut blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    let digest = bot.control().digest().await.map_err(|error| error.to_string())?;
    let mut changed = false;
    for block in &mut blocks {
        let id = block["block_id"].as_str().and_then(|id| id.strip_prefix("grant:"));
        let Some(id) = id.filter(|_| block["type"] == "actions").and_then(|id| id.parse::<GrantId>().ok()) else {
            continue;
        };
        let now = match digest.grants.iter().find(|found| found.grant.id == id) {
            Some(found) => found.kept.clone().filter(|kept| kept.until > digest.at).map(|mut kept| {
                if bot.redacted().contains(&found.grant.connection) {
                    digest_parts::UNSHOWN.clone_into(&mut kept.reason);
                }
                cards::digest::kept(&kept)
            }),
            None => {
                let grant = bot.control().grant(&id).await.map_err(|error| error.to_string())?;
                grant.filter(|grant| grant.state != "active").map(|grant| cards::digest::gone(&grant))
            }
        };
        if let Some(now) = now {
            *block = now;
            changed = true;
        }
    }
    if !changed {
        return Ok(());
    }
    let text = message["text"].as_str().unwrap_or("Access digest").to_owned();
    let card = countersign_shared::api::CardRef { channel: channel.to_owned(), ts: ts.to_owned() };
    bot.slack().update(&card, &cards::Message { text, blocks }).await.map_err(|error| error.to_string())
}
