//! Who reads the channel of a card, where that decides what the card shows.
//!
//! A card shows all of it only where everybody in its channel asked or may decide; the gateway says who does. Where
//! Slack or the gateway can't say, it is redacted.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use countersign_shared::{
    api::{RequestView, SlackRef},
    ids::RequestId,
};

use crate::{Bot, slack::SlackError};

/// How long what was found for a request counts; a card that is posted is looked at in any case.
const FRESH: Duration = Duration::from_secs(30);
/// How many requests are remembered.
const REMEMBERED: usize = 5_000;

/// Since when it is known of a request whether everybody in its channel may read it.
#[derive(Default)]
pub(crate) struct Audience(Mutex<HashMap<RequestId, (Instant, bool)>>);

impl Audience {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, (Instant, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everybody in the channel of `id` may read it, as far as was looked at.
    pub(crate) fn is_narrow(&self, id: &RequestId) -> bool {
        self.lock().get(id).is_some_and(|(_, narrow)| *narrow)
    }

    fn is_fresh(&self, id: &RequestId) -> bool {
        self.lock().get(id).is_some_and(|(since, _)| since.elapsed() < FRESH)
    }

    fn note(&self, id: &RequestId, narrow: bool) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            // Their cards are looked at again before they change.
            known.clear();
        }
        known.insert(id.clone(), (Instant::now(), narrow));
    }
}

/// Looks who reads the channel of `view`, where it matters.
pub(crate) async fn look(bot: &Bot, view: &RequestView) {
    if !bot.looks_at(view) || bot.audience().is_fresh(&view.id) {
        return;
    }
    let narrow = is_narrow(bot, view).await.unwrap_or_else(|error| {
        tracing::warn!(%error, request = %view.id, "who reads its channel is not known; the card is redacted");
        false
    });
    bot.audience().note(&view.id, narrow);
}

async fn is_narrow(bot: &Bot, view: &RequestView) -> Result<bool, String> {
    // Where the card stands, if it stands already.
    let place = view.card.as_ref().map(|card| card.channel.as_str()).or(view.channel.as_deref());
    let channel = place.unwrap_or(bot.channel());
    let members = bot.slack().members(channel).await.map_err(|error: SlackError| error.to_string())?;
    let Some(members) = members else { return Ok(false) };
    let us = bot.identity().await.map_err(|error| error.to_string())?;
    let others = members.into_iter().filter(|user| *user != us.user_id);
    let readers = others.map(|user| SlackRef { team: us.team_id.clone(), user }).collect();
    let audience = bot.control().audience(&view.id, readers).await.map_err(|error| error.to_string())?;
    Ok(!audience.wider)
}
