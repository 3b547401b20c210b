//! A request shown whole to one person, in a form of their own: to those who may read it, the gateway says who.

use countersign_shared::{api::RequestView, bot_token::SlackAccount, ids::RequestId};
use serde_json::Value;

use crate::{
    Bot,
    acts::Acts,
    cards::{answer, details},
    control::ControlError,
    press::{self, Ear},
    slack::{decode::Person, decode_request::RequestPress},
};

/// Opens the form at once, since a trigger is good for three seconds; what it shows comes then.
pub(crate) async fn pressed(bot: &Bot, press: RequestPress) {
    let RequestPress { request, person, channel, response_url, trigger } = press;
    let ear = Ear { user: person.user.clone(), channel, response_url };
    let Some(trigger) = &trigger else { return ear.tell(bot, answer::NO_DETAILS).await };
    let view = match bot.slack().open_form(trigger, &details::moment(request.as_str())).await {
        Ok(view) => view,
        Err(error) => {
            tracing::warn!(%error, %request, "the form with a request's details did not open");
            return ear.tell(bot, answer::NO_DETAILS).await;
        }
    };
    let content = content(bot, &request, &person).await;
    if let Err(error) = bot.slack().update_form(&view, &content).await {
        tracing::warn!(%error, %request, "the form with a request's details stays empty");
        ear.tell(bot, answer::NO_DETAILS).await;
    }
}

/// The request for `person`, or why they don't read it.
async fn content(bot: &Bot, request: &RequestId, person: &Person) -> Value {
    let id = request.as_str();
    let account = match press::identify(bot, person).await {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(%error, user = person.user, "who looks could not be checked");
            return details::closed(id, answer::WHO_ASKS);
        }
    };
    if !account.full_member {
        return details::closed(id, answer::MEMBERS_ONLY);
    }
    match Acts::of(bot.control(), &account, None).request(request).await {
        Ok(view) => details::details(&view, decides(&account, &view), bot.page_url()),
        Err(ControlError::Refused(problem)) if problem.code == "not_linked" => link_first(bot, id, &account).await,
        Err(ControlError::Refused(problem)) if problem.code == "not_found" => details::closed(id, answer::NOT_FOR_YOU),
        Err(ControlError::Refused(problem)) => details::closed(id, &answer::refusal(&problem)),
        Err(error) => {
            tracing::warn!(%error, user = person.user, "a request could not be looked up");
            details::closed(id, answer::COMMAND_FAILED)
        }
    }
}

/// Whether there is anything for them to press; whether it counts is the gateway's to say.
fn decides(account: &SlackAccount, view: &RequestView) -> bool {
    view.requester_slack.as_ref().is_none_or(|own| own.user != account.user)
}

async fn link_first(bot: &Bot, id: &str, account: &SlackAccount) -> Value {
    if press::link_waits(bot, account).await {
        return details::closed(id, answer::NOT_CONFIRMED);
    }
    match bot.control().start_link(account).await {
        Ok(started) => details::sign_in(id, answer::LINK_TO_READ, &started.url),
        Err(error) => {
            tracing::warn!(%error, user = account.user, "no link could be started");
            details::closed(id, answer::COMMAND_FAILED)
        }
    }
}
