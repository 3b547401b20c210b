//! Keeps every card true: posted once, then updated in place until its request is over.
//!
//! One task at a time works on a request. It looks at the request as it is now and makes Slack
//! show that, so it does not matter how often, in what order or how late it is asked to.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use countersign_shared::{
    api::{CardRef, Claim, GrantView, RequestKind, RequestView, SlackRef},
    digest::Digest,
    ids::RequestId,
    request::State,
};

use crate::{
    Bot, audience,
    backoff::Backoff,
    cards::{Message, direct, request},
    control::ControlError,
    held::{Held, Step},
    outbox::{self, Notice, To},
    question,
    reaching::{self, Stop},
    slack::{SlackError, decode::Press},
};

/// How often the card of something that is over is tried to update.
const LAST_TRIES: usize = 20;
/// How long what came of a statement is tried to be said in the thread of its card.
const OUTCOME: TimeDelta = TimeDelta::minutes(30);
/// How long another bot's claim on a card is left alone before it is asked about again.
const ANOTHER: Duration = Duration::from_secs(5);
/// How many requests are remembered before those that are over are forgotten.
const REMEMBERED: usize = 2_000;

/// A message of ours, and what it shows.
#[derive(Clone, Debug)]
struct Shown {
    card: CardRef,
    /// `None` where the bot has not written it since it started.
    message: Option<Message>,
    digest: Option<Digest>,
}

/// Whether a request that waits gets a card now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It does.
    First,
    /// Enough of its session wait before it.
    Behind,
}

/// What is remembered of a request.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// A task works on it.
    working: bool,
    /// It has changed since that task looked.
    again: bool,
    card: Option<Shown>,
    /// Whether it may have one; `None` where nobody has said so yet.
    place: Option<Place>,
    /// A card may be on Slack that nobody wrote down.
    doubt: bool,
    /// This bot's claim on posting it.
    held: Held,
    /// Posting it was left to another bot.
    left: bool,
    /// The requester is to be told: this process was the first to see the request, or posted its card.
    tell: bool,
    direct: Option<Shown>,
    /// What came of it is in the thread of its card, or about to be.
    in_thread: bool,
    /// So many questions are there, or about to be.
    questions: usize,
    /// Over, and Slack shows so.
    told: bool,
}

/// Everything that is on Slack, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<HashMap<RequestId, Slot>>);

/// Why a look did not end well.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Slack(#[from] SlackError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("another bot is about to post the card")]
    Another,
}

/// What a look found.
enum Look {
    /// Slack shows what is.
    True,
    /// It doesn't; whether the request is over.
    Failed(Trouble, bool),
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: &RequestId, change: impl FnOnce(&mut Slot) -> T) -> T {
        change(self.lock().entry(id.clone()).or_default())
    }

    /// Whether the caller shall start a task for `id`; otherwise the one at work looks again.
    pub(crate) fn claim(&self, id: &RequestId) -> bool {
        let mut slots = self.lock();
        if slots.len() >= REMEMBERED {
            slots.retain(|_, slot| slot.working || !slot.told);
        }
        let slot = slots.entry(id.clone()).or_default();
        slot.again = slot.working;
        !std::mem::replace(&mut slot.working, true)
    }

    /// Ends a task, unless there is something new to look at.
    fn release(&self, id: &RequestId) -> bool {
        self.with(id, |slot| {
            slot.working = std::mem::take(&mut slot.again);
            !slot.working
        })
    }

    /// A card of this request may be posted. Whether that is news.
    pub(crate) fn let_post(&self, id: &RequestId) -> bool {
        self.with(id, |slot| slot.place.replace(Place::First) != Some(Place::First))
    }

    /// Enough of its session wait before this request. Whether that is news.
    pub(crate) fn keep_back(&self, id: &RequestId) -> bool {
        self.with(id, |slot| {
            // One from before this process began has been told of.
            slot.tell |= slot.place.is_none() && !slot.doubt;
            slot.place.replace(Place::Behind) != Some(Place::Behind)
        })
    }

    /// The requests of which nobody has said yet whether they get a card.
    pub(crate) fn unplaced(&self) -> Vec<RequestId> {
        let slots = self.lock();
        slots.iter().filter(|(_, slot)| slot.place.is_none() && !slot.told).map(|(id, _)| id.clone()).collect()
    }

    /// A card of this request may be on Slack although nobody knows of one: it is looked for first.
    pub(crate) fn doubt(&self, id: &RequestId) {
        self.with(id, |slot| slot.doubt = slot.card.is_none());
    }

    /// How many of `all` questions about a request were said before; the rest is the caller's to say.
    pub(crate) fn questions_said(&self, id: &RequestId, all: usize) -> usize {
        self.with(id, |slot| {
            let said = slot.questions;
            slot.questions = said.max(all);
            said
        })
    }

    /// Whether the request is over and its card says so.
    pub(crate) fn is_told(&self, id: &RequestId) -> bool {
        self.lock().get(id).is_some_and(|slot| slot.told)
    }

    /// The digest that the pressed message shows, where this process wrote that very message.
    pub(crate) fn digest_shown(&self, press: &Press) -> Option<Digest> {
        let slots = self.lock();
        let slot = slots.get(&press.request)?;
        let (channel, ts) = (press.channel.as_deref()?, press.ts.as_deref()?);
        let mut ours = [&slot.card, &slot.direct].into_iter().flatten();
        ours.find(|shown| shown.card.channel == channel && shown.card.ts == ts)?.digest
    }
}

/// Works on `id` until Slack shows what is. [`Board::claim`] said yes before.
pub(crate) async fn keep(bot: Bot, id: RequestId) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let mut last_tries = 0;
    loop {
        match look(&bot, &id).await {
            Look::True => {
                backoff.reset();
                last_tries = 0;
                if bot.board().release(&id) {
                    return;
                }
            }
            Look::Failed(error, over) => {
                last_tries += usize::from(over);
                if last_tries >= LAST_TRIES {
                    tracing::warn!(%error, request = %id, "the card of a request that is over stays as it was");
                    bot.board().with(&id, |slot| slot.told = true);
                    if bot.board().release(&id) {
                        return;
                    }
                }
                let wait = match &error {
                    Trouble::Slack(SlackError::Slower(wait)) => *wait,
                    Trouble::Another => ANOTHER,
                    _ => backoff.wait(),
                };
                if matches!(error, Trouble::Another) {
                    tracing::debug!(%error, request = %id, "leaving the card to it");
                } else {
                    tracing::warn!(%error, request = %id, ?wait, "the card is not up to date yet; trying again");
                }
                tokio::select! {
                    () = bot.stopping() => {
                        bot.board().with(&id, |slot| slot.working = false);
                        return;
                    }
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// Looks at the request once, and makes Slack show what it finds.
async fn look(bot: &Bot, id: &RequestId) -> Look {
    let view = match bot.control().request(id).await {
        Ok(Some(view)) => view,
        Ok(None) => return Look::True,
        Err(error) => return Look::Failed(error.into(), false),
    };
    match show(bot, &view).await {
        Ok(()) => Look::True,
        Err(trouble) => Look::Failed(trouble, view.state.is_final()),
    }
}

/// The grant that came of a request: its outcome names it.
async fn grant_of(bot: &Bot, view: &RequestView) -> Result<Option<GrantView>, ControlError> {
    let tag = view.outcome.as_ref().and_then(|outcome| outcome.tag.as_deref()).filter(|_| view.access.is_some());
    match tag.and_then(|tag| tag.strip_prefix("GRANT ")).and_then(|id| id.parse().ok()) {
        Some(id) => bot.control().grant(&id).await,
        None => Ok(None),
    }
}

fn view_way<'b>(bot: &'b Bot, view: &RequestView) -> &'b [Stop] {
    bot.routes().get(&view.connection).map(Vec::as_slice).unwrap_or_default()
}

/// The card, as its channel may see it.
fn full(bot: &Bot, view: &RequestView, grant: Option<&GrantView>) -> Message {
    if bot.is_redacted(view) {
        return request::redacted(view, bot.page_url());
    }
    request::card_of(view, grant, bot.page_url())
}

/// A card without anything that a requester wrote.
fn bare(bot: &Bot, view: &RequestView) -> Message {
    if bot.is_redacted(view) {
        request::redacted(view, bot.page_url())
    } else {
        request::bare_card(view, bot.page_url())
    }
}

/// Says in the thread of its card what came of a statement: its approvers follow that.
fn say_outcome(bot: &Bot, view: &RequestView, card: CardRef) {
    let ran = matches!(view.state, State::Done | State::Unknown) && view.kind == RequestKind::Statement;
    if !ran || bot.board().with(&view.id, |slot| std::mem::replace(&mut slot.in_thread, true)) {
        return;
    }
    let message = if bot.is_redacted(view) { request::redacted_outcome(view) } else { request::outcome(view) };
    let (name, until) = (format!("outcome:{}", view.id), Utc::now() + OUTCOME);
    let notice = Notice { name, to: To::Thread(card), message, until };
    bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
}

async fn show(bot: &Bot, view: &RequestView) -> Result<(), Trouble> {
    let mut view = view.clone();
    if reaching::is_silent(view_way(bot, &view), &view) {
        // Nobody is called in hours that the config keeps quiet for such.
        view.approvers.clear();
    }
    let view = &view;
    audience::look(bot, view).await;
    let mut slot = bot.board().with(&view.id, |slot| slot.clone());
    if view.card.is_none() && slot.card.is_none() {
        match (slot.place, view.state) {
            // Whoever counts says which it is, and has it looked at again.
            (None, State::Pending) => {
                bot.counting().ring();
                return Ok(());
            }
            // It waits for its turn; or it was decided elsewhere meanwhile, and the channel need not hear of it.
            (Some(Place::Behind), state) if !state.is_final() => {
                // Whoever asked is told, and can withdraw it, all the same.
                return tell_requester(bot, view).await;
            }
            _ => {}
        }
    }
    let unknown = |slot: &Slot| view.card.is_none() && slot.card.is_none();
    // Another bot may have posted it and ended there and then: its card would stay open.
    if unknown(&slot) && (slot.doubt || slot.left && view.state.is_final()) {
        slot = find(bot, view).await?;
    }
    if unknown(&slot) && !view.state.is_final() {
        slot = claim(bot, view).await?;
    }
    let known = view.card.clone().or_else(|| slot.card.as_ref().map(|shown| shown.card.clone()));
    match known {
        Some(card) => {
            if view.card.is_none() {
                // Posted by this process, and the gateway has not heard of it.
                bot.control().put_card(&view.id, &card).await?;
            }
            refresh(bot, view, card.clone(), slot.card).await?;
            question::say(bot, view, &card);
            say_outcome(bot, view, card);
        }
        // Over before anybody saw it.
        None if view.state.is_final() => {
            bot.board().with(&view.id, |slot| slot.told = true);
            return Ok(());
        }
        None => post(bot, view).await?,
    }
    tell_requester(bot, view).await?;
    if view.state.is_final() {
        bot.board().with(&view.id, |slot| slot.told = true);
    }
    Ok(())
}

fn greeting_of(view: &RequestView) -> String {
    format!("direct:{}", view.id)
}

fn claim_of(view: &RequestView) -> String {
    format!("card:{}", view.id)
}

/// Claims the posting of a card, so that of several bots one posts it. Where a bot ended before it could say whether it
/// did, the card is looked for.
async fn claim(bot: &Bot, view: &RequestView) -> Result<Slot, Trouble> {
    let asked = Instant::now();
    let claim = bot.control().claim(&claim_of(view)).await?;
    let (step, slot) = bot.board().with(&view.id, |slot| {
        let step = slot.held.takes(claim, asked);
        slot.left = matches!(step, Step::Wait | Step::Over);
        // Until somebody has looked: that may fail, and the next claim would be this bot's own.
        slot.doubt |= step == Step::LookFirst;
        (step, slot.clone())
    });
    match step {
        Step::Post => Ok(slot),
        Step::LookFirst => find(bot, view).await,
        Step::Wait | Step::Over => Err(Trouble::Another),
    }
}

/// Looks on Slack for a card that was posted and not written down.
async fn find(bot: &Bot, view: &RequestView) -> Result<Slot, Trouble> {
    let channel = view.channel.as_deref().unwrap_or(bot.channel());
    let us = &bot.identity().await?.user_id;
    let found = match bot.slack().find(channel, us, &view.id, view.created_at).await {
        Ok(found) => found,
        Err(error @ SlackError::Refused(_)) => {
            // An app that was installed with fewer scopes; better twice than never.
            tracing::warn!(%error, request = %view.id, "the channel can't be searched for a card from before");
            None
        }
        Err(error) => return Err(error.into()),
    };
    Ok(bot.board().with(&view.id, |slot| {
        (slot.doubt, slot.left) = (false, false);
        if let Some(card) = found {
            tracing::info!(request = %view.id, channel = card.channel, "found a card that was not written down");
            slot.card = Some(Shown { card, message: None, digest: None });
            slot.tell = true;
        }
        slot.clone()
    }))
}

/// Posts the card and says where. Once: what is posted is remembered before anything else can fail.
async fn post(bot: &Bot, view: &RequestView) -> Result<(), Trouble> {
    let channel = view.channel.as_deref().unwrap_or(bot.channel());
    let mut message = full(bot, view, None);
    let card = match bot.slack().post(channel, &message).await {
        Err(error) if error.is_about_blocks() => {
            tracing::warn!(%error, request = %view.id, "Slack refuses the card; posting one without the statement");
            message = bare(bot, view);
            bot.slack().post(channel, &message).await?
        }
        Err(error) => {
            // Whoever does not answer may have posted it all the same.
            bot.board().with(&view.id, |slot| slot.doubt = matches!(error, SlackError::Away(_)));
            return Err(error.into());
        }
        Ok(card) => card,
    };
    tracing::info!(request = %view.id, channel = card.channel, "posted a card");
    bot.board().with(&view.id, |slot| {
        let (message, digest) = (Some(message), Some(view.digest));
        slot.card = Some(Shown { card: card.clone(), message, digest });
        slot.tell = true;
    });
    if !bot.control().put_card(&view.id, &card).await? {
        tracing::warn!(request = %view.id, "the gateway knows another card of this request; delete one of them");
    }
    outbox::done(bot, &claim_of(view)).await;
    Ok(())
}

/// Updates the card in place, if it shows something else.
async fn refresh(bot: &Bot, view: &RequestView, card: CardRef, shown: Option<Shown>) -> Result<(), Trouble> {
    let grant = grant_of(bot, view).await?;
    let mut message = full(bot, view, grant.as_ref());
    let now = shown.filter(|shown| shown.card == card).and_then(|shown| shown.message);
    let bare = bare(bot, view);
    if now.as_ref() == Some(&message) || now.as_ref() == Some(&bare) {
        return Ok(());
    }
    match bot.slack().update(&card, &message).await {
        Err(error) if error.is_about_blocks() => {
            message = bare;
            bot.slack().update(&card, &message).await?;
        }
        Err(error) if error.is_about_a_lost_message() => {
            tracing::warn!(%error, request = %view.id, "the card is gone; decide on the request's page or by command line");
            // A thread of nothing would be a message of its own.
            bot.board().with(&view.id, |slot| (slot.in_thread, slot.questions) = (true, usize::MAX));
        }
        answer => answer?,
    }
    let digest = Some(view.digest);
    bot.board().with(&view.id, |slot| slot.card = Some(Shown { card, message: Some(message), digest }));
    Ok(())
}

/// Sends the requester a direct message when the card is new, and keeps that true too.
async fn tell_requester(bot: &Bot, view: &RequestView) -> Result<(), Trouble> {
    let slot = bot.board().with(&view.id, |slot| slot.clone());
    let message = direct::direct(view, bot.page_url());
    let sent = match (&slot.direct, &view.requester_slack) {
        (Some(shown), _) if shown.message.as_ref() == Some(&message) => return Ok(()),
        (Some(shown), _) => bot.slack().update(&shown.card, &message).await.map(|()| shown.card.clone()),
        (None, Some(who)) if slot.tell && view.state == State::Pending => {
            // Whoever posted a card and whoever found it both come here.
            if matches!(bot.control().claim(&greeting_of(view)).await?, Claim::Taken | Claim::Done) {
                bot.board().with(&view.id, |slot| slot.tell = false);
                return Ok(());
            }
            greet(bot, who, &message).await
        }
        _ => return Ok(()),
    };
    match sent {
        Ok(card) => {
            if slot.direct.is_none() {
                outbox::done(bot, &greeting_of(view)).await;
            }
            let shown = Shown { card, message: Some(message), digest: Some(view.digest) };
            bot.board().with(&view.id, |slot| slot.direct = Some(shown));
            Ok(())
        }
        // A courtesy: where Slack says no, the card is what counts.
        Err(error @ SlackError::Refused(_)) => {
            tracing::warn!(%error, request = %view.id, "the requester could not be told by direct message");
            bot.board().with(&view.id, |slot| (slot.tell, slot.direct) = (false, None));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn greet(bot: &Bot, who: &SlackRef, message: &Message) -> Result<CardRef, SlackError> {
    let channel = bot.slack().direct_channel(&who.user).await?;
    bot.slack().post(&channel, message).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn one_task_works_on_a_request_and_looks_again_when_asked_meanwhile() {
        let board = Board::default();
        let id = samples::id();
        assert!(board.claim(&id), "the first starts a task");
        assert!(!board.claim(&id), "the second leaves it to that task");
        assert!(!board.release(&id), "which must look again");
        assert!(board.release(&id), "and is then done");
        assert!(board.claim(&id), "so that a later change starts another");
    }
}
