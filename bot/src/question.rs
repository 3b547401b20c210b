//! Questions about a request: from the button to the gateway, and from the gateway into the thread of the card.

use chrono::TimeDelta;
use countersign_shared::api::{CardRef, RequestView};

use crate::{
    Bot,
    cards::{answer, question},
    commands::asker::Asker,
    outbox::{self, Notice, To},
    press::Ear,
    slack::{decode_question::QuestionForm, decode_request::RequestPress},
};

/// How long a question is tried to be said in the thread of its card.
const WITHIN: TimeDelta = TimeDelta::minutes(30);

/// Opens the form. Whether whoever pressed may ask is the gateway's to say, when they have.
pub(crate) async fn pressed(bot: &Bot, press: RequestPress) {
    let RequestPress { request, person, channel, response_url, trigger } = press;
    let ear = Ear { user: person.user, channel: channel.clone(), response_url };
    let carried = question::Carried { request, channel };
    let Some(trigger) = &trigger else { return ear.tell(bot, answer::NO_QUESTION_FORM).await };
    if let Err(error) = bot.slack().open_form(trigger, &question::form(&carried)).await {
        tracing::warn!(%error, request = %carried.request, "the form for a question did not open");
        ear.tell(bot, answer::NO_QUESTION_FORM).await;
    }
}

/// Delivers what was typed.
pub(crate) async fn submitted(bot: &Bot, form: QuestionForm) {
    let mut ear = Ear { user: form.person.user.clone(), ..Ear::default() };
    let (Some(carried), Some(question)) = (form.carried, form.question) else {
        return ear.tell(bot, answer::NO_QUESTION_FORM).await;
    };
    ear.channel = carried.channel;
    let Some(asker) = Asker::of(bot, &form.person, ear, form.once).await else { return };
    let asked = asker.acts().question(&carried.request, &question).await;
    bot.touch(&carried.request);
    asker.tell(asked.map(|asked| answer::taken(&asked.message))).await;
}

/// Says in the thread of its card what was asked, each question once.
pub(crate) fn say(bot: &Bot, view: &RequestView, card: &CardRef) {
    let said = bot.board().questions_said(&view.id, view.questions.len());
    for (at, one) in view.questions.iter().enumerate().skip(said) {
        let message = if bot.is_redacted(view) {
            question::redacted(view, one, bot.page_url())
        } else {
            question::in_thread(view, one)
        };
        let (name, until) = (format!("question:{}:{}", view.id, at + 1), one.at + WITHIN);
        let notice = Notice { name, to: To::Thread(card.clone()), message, until };
        bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
    }
}
