//! The life of grants, told to their holders: begun, about to end, ended.
//!
//! What there is to tell is looked up, not remembered, so that a bot that was away misses nothing; and each
//! message is a [`Notice`], so that nothing is told twice.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::api::GrantView;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    Bot,
    cards::{Message, life},
    control::ControlError,
    outbox::{self, Notice, To},
};

/// How old something may be that is still told.
const RECENT: TimeDelta = TimeDelta::hours(24);
/// The longest time before an end that it is warned of.
const WARNING: TimeDelta = TimeDelta::minutes(15);
/// How long nothing is looked at where nothing rings.
const LONGEST: Duration = Duration::from_secs(60);
/// How soon it is looked at again where something is about to count.
const SOON: Duration = Duration::from_millis(500);
/// How many names are remembered.
const REMEMBERED: usize = 20_000;

/// What this process has told, or is about to.
#[derive(Default)]
pub(crate) struct Life {
    told: Mutex<HashSet<String>>,
    bell: Notify,
}

impl Life {
    /// Something about a grant has changed.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    fn is_new(&self, name: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            // The gateway remembers all of them.
            told.clear();
        }
        told.insert(name.to_owned())
    }
}

/// When the holder of a grant is warned: not in the first three quarters of its time.
fn warned_at(grant: &GrantView) -> DateTime<Utc> {
    let length = TimeDelta::seconds(i64::try_from(grant.seconds).unwrap_or(i64::MAX / 1_000));
    grant.expires_at - WARNING.min(length / 4)
}

/// What is to be told of a grant now: a name, a message, and until when.
fn due(grant: &GrantView, now: DateTime<Utc>) -> Vec<(String, Message, DateTime<Utc>)> {
    let mut due = Vec::new();
    let id = &grant.id;
    if let Some(ended) = grant.ended_at {
        if now - ended < RECENT {
            due.push((format!("grant:{id}:ended"), life::ended(grant), ended + RECENT));
        }
        return due;
    }
    if grant.state != "active" || grant.expires_at <= now {
        return due;
    }
    if now - grant.created_at < RECENT {
        due.push((format!("grant:{id}:begun"), life::begun(grant), grant.expires_at));
    }
    if now >= warned_at(grant) {
        let name = format!("grant:{id}:ends:{}", grant.expires_at.timestamp());
        due.push((name, life::ends(grant, now), grant.expires_at));
    }
    due
}

/// Tells until `shutdown`.
pub(crate) async fn follow(bot: &Bot, shutdown: &CancellationToken) {
    loop {
        let wait = match look(bot).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the gateway does not say which grants there are; trying again");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = bot.life().bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Looks at all grants once; how long until there is something to tell again.
async fn look(bot: &Bot) -> Result<Duration, ControlError> {
    let active = bot.control().grants(false).await?;
    let all = bot.control().grants(true).await?;
    let now = Utc::now();
    let unsettled = all.iter().any(|grant| is_unsettled(grant, now));
    let warnings = active.iter().chain(&all).filter(|grant| grant.ended_at.is_none());
    let warnings = warnings.map(|grant| warned_at(grant) - now).filter(|left| *left > TimeDelta::zero());
    let next = warnings.min().and_then(|left| left.to_std().ok()).unwrap_or(LONGEST);
    // Of the two answers the later one may alone say that a grant counts; what both say is told once.
    for grant in active.into_iter().chain(all) {
        // The card of the request says how it stands.
        if let Some(request) = grant.request.as_ref().filter(|_| grant.ended_at.is_some_and(|at| now - at < RECENT))
            && bot.life().is_new(&format!("card:{}", grant.id))
        {
            bot.touch(request);
        }
        let Some(slack) = grant.slack.clone() else { continue };
        for (name, message, until) in due(&grant, now) {
            if bot.life().is_new(&name) {
                let notice = Notice { name, to: To::Person(slack.user.clone()), message, until };
                bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
            }
        }
    }
    Ok(next.min(if unsettled { SOON } else { LONGEST }))
}

/// A grant that was written down just now may count only a moment later, and nothing rings then.
fn is_unsettled(grant: &GrantView, now: DateTime<Utc>) -> bool {
    let new = now - grant.created_at < TimeDelta::seconds(60);
    new && grant.ended_at.is_none() && grant.state != "active" && grant.expires_at > now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn what_is_about_to_count_is_looked_at_again_soon() {
        let grant = samples::grant();
        let now = grant.created_at;
        let pending = GrantView { state: "waiting".into(), ended_at: None, ..grant.clone() };
        let ended = GrantView { ended_at: Some(now), ..pending.clone() };
        let table = [
            ("it counts", &grant, 0, false),
            ("not yet", &pending, 1, true),
            ("never", &pending, 60, false),
            ("over", &ended, 1, false),
        ];
        for (case, grant, seconds, soon) in table {
            assert_eq!(is_unsettled(grant, now + TimeDelta::seconds(seconds)), soon, "{case}");
        }
    }

    #[test]
    fn what_is_told_when() {
        let grant = samples::grant();
        let begin = grant.created_at;
        let ended = GrantView { state: "revoked".into(), ended_at: Some(begin), ..grant.clone() };
        let short = GrantView { seconds: 8, expires_at: begin + TimeDelta::seconds(8), ..grant.clone() };
        let names = |grant: &GrantView, seconds: i64| -> Vec<String> {
            let due = due(grant, begin + TimeDelta::seconds(seconds));
            due.into_iter().map(|(name, ..)| name.split(':').nth(2).unwrap_or_default().to_owned()).collect()
        };
        let four_hours = 4 * 3_600;
        let table: [(&str, &GrantView, i64, &[&str]); 8] = [
            ("just given", &grant, 1, &["begun"]),
            ("long before its end", &grant, four_hours - 901, &["begun"]),
            ("fifteen minutes before it", &grant, four_hours - 900, &["begun", "ends"]),
            ("past its end", &grant, four_hours, &[]),
            ("a short one", &short, 5, &["begun"]),
            ("in its last quarter", &short, 6, &["begun", "ends"]),
            ("ended", &ended, 5, &["ended"]),
            ("ended the day before", &ended, 90_000, &[]),
        ];
        for (case, grant, seconds, expected) in table {
            assert_eq!(names(grant, seconds), expected, "{case}");
        }
    }
}
