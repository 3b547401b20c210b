//! `/access review CONNECTION`: its grants, one by one, in a direct message.

use chrono::Utc;
use countersign_shared::api::{CardRef, ReviewAnswerBody, ReviewView};

use super::asker::{Asker, Said};
use crate::{
    Bot,
    cards::{answer, review},
    control::ControlError,
    press::Ear,
    slack::decode_review::{ReviewForm, ReviewPress},
};

/// Begins a review, or goes on where somebody stopped.
pub(super) async fn run(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [connection] = words.as_slice() else { return Ok(review::HOW_TO.into()) };
    let view = asker.acts().open_review(connection).await?;
    let bot = asker.bot;
    let posted = async {
        let channel = bot.slack().direct_channel(&asker.account.user).await?;
        bot.slack().post(&channel, &review::step(&view, Utc::now())).await
    };
    match posted.await {
        Ok(_) => Ok(review::begun(&view)),
        Err(error) => {
            tracing::warn!(%error, review = %view.id, "a review could not be shown");
            Ok(answer::COMMAND_FAILED.into())
        }
    }
}

/// Asks for the reason. At once, since a trigger is good for three seconds.
pub(crate) async fn pressed(bot: &Bot, press: ReviewPress) {
    let ReviewPress { person, carried, response_url, trigger } = press;
    let ear = Ear { user: person.user, channel: carried.channel.clone(), response_url };
    let Some(trigger) = trigger else { return ear.tell(bot, answer::NO_KEEP_FORM).await };
    if let Err(error) = bot.slack().open_form(&trigger, &review::form(&carried)).await {
        tracing::warn!(%error, review = %carried.review, "the form of a review did not open");
        ear.tell(bot, answer::NO_KEEP_FORM).await;
    }
}

/// Says it, and shows the next one.
pub(crate) async fn submitted(bot: &Bot, form: ReviewForm) {
    let mut ear = Ear { user: form.person.user.clone(), ..Ear::default() };
    let (Some(carried), Some(reason)) = (form.carried, form.reason) else {
        return ear.tell(bot, answer::NO_KEEP_FORM).await;
    };
    ear.channel.clone_from(&carried.channel);
    let Some(asker) = Asker::of(bot, &form.person, ear, form.once).await else { return };
    let body = ReviewAnswerBody { grant: carried.grant.clone(), choice: carried.choice, reason };
    let after = match asker.acts().answer_review(&carried.review, &body).await {
        Ok(after) => Ok(after),
        // Somebody else was faster, or it has ended: the walk goes on, and they learn why.
        Err(error @ ControlError::Refused(_)) => {
            asker.tell(Err(error)).await;
            asker.acts().review(&carried.review).await
        }
        Err(error) => Err(error),
    };
    match (after, carried.channel, carried.ts) {
        (Ok(after), Some(channel), Some(ts)) => show(bot, &after, CardRef { channel, ts }).await,
        (Ok(_), ..) => {}
        (Err(error), ..) => asker.tell(Err(error)).await,
    }
}

async fn show(bot: &Bot, view: &ReviewView, card: CardRef) {
    if let Err(error) = bot.slack().update(&card, &review::step(view, Utc::now())).await {
        tracing::warn!(%error, review = %view.id, "a review stays as it was; /access review shows it anew");
    }
}
