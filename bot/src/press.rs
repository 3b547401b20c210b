//! What a press becomes: a decision, signed and delivered. The gateway decides what it is worth.

use countersign_shared::{
    api::{DecisionBody, Problem},
    bot_token::SlackAccount,
    digest::Digest,
    ids::RequestId,
    request::{Choice, State},
};

use crate::{
    Bot,
    account::account,
    cards::{answer, deny},
    control::ControlError,
    slack::{
        SlackError,
        decode::{DenyForm, Person, Press},
    },
};

/// Where somebody can be answered privately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    pub(crate) user: String,
    pub(crate) channel: Option<String>,
    pub(crate) response_url: Option<String>,
}

impl Ear {
    /// Tells them.
    pub(crate) async fn tell(&self, bot: &Bot, text: &str) {
        bot.slack().tell(&self.user, self.channel.as_deref(), self.response_url.as_deref(), text).await;
    }
}

/// A decision that somebody made.
struct Decision {
    request: RequestId,
    digest: Digest,
    choice: Choice,
    reason: Option<String>,
    person: Person,
}

/// Does what a button says.
pub(crate) async fn press(bot: &Bot, press: Press) {
    let ear = Ear {
        user: press.person.user.clone(),
        channel: press.channel.clone(),
        response_url: press.response_url.clone(),
    };
    // Never the request's present digest: that would approve what the presser did not see.
    let shown = press.digest.or_else(|| bot.board().digest_shown(&press));
    let Some(digest) = shown else {
        tracing::warn!(request = %press.request, user = press.person.user, "a press without a digest was refused");
        return ear.tell(bot, answer::NO_DIGEST).await;
    };
    let choice = match press.action.as_str() {
        "approve" => Choice::Approve,
        "withdraw" => Choice::Withdraw,
        // Before anything slow: the trigger ends after three seconds.
        "deny" => return ask_why(bot, &press, digest, &ear).await,
        _ => return,
    };
    let decision = Decision { request: press.request, digest, choice, reason: None, person: press.person };
    deliver(bot, decision, &ear).await;
}

async fn ask_why(bot: &Bot, press: &Press, digest: Digest, ear: &Ear) {
    let carried = deny::Carried { request: press.request.clone(), digest, channel: press.channel.clone() };
    let Some(trigger) = &press.trigger else { return ear.tell(bot, answer::NO_FORM).await };
    if let Err(error) = bot.slack().open_form(trigger, &deny::form(&carried)).await {
        tracing::warn!(%error, request = %press.request, "the form for a denial did not open");
        ear.tell(bot, answer::NO_FORM).await;
    }
}

/// Does what a submitted form says.
pub(crate) async fn denied(bot: &Bot, form: DenyForm) {
    let mut ear = Ear { user: form.person.user.clone(), ..Ear::default() };
    let Some(carried) = form.carried else { return ear.tell(bot, answer::BAD_FORM).await };
    ear.channel = carried.channel;
    let decision = Decision {
        request: carried.request,
        digest: carried.digest,
        choice: Choice::Deny,
        reason: form.reason,
        person: form.person,
    };
    deliver(bot, decision, &ear).await;
}

/// Who somebody is, asked of Slack for this one act.
pub(crate) async fn identify(bot: &Bot, person: &Person) -> Result<SlackAccount, SlackError> {
    let identity = bot.identity().await?;
    let user = bot.slack().user(&person.user).await?;
    Ok(account(&user, person, &identity.team_id))
}

async fn deliver(bot: &Bot, decision: Decision, ear: &Ear) {
    let account = match identify(bot, &decision.person).await {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(%error, user = decision.person.user, "who pressed could not be checked; nothing was decided");
            return ear.tell(bot, answer::WHO_ARE_YOU).await;
        }
    };
    let Decision { request, digest, choice, reason, .. } = decision;
    let body = DecisionBody { choice, digest, reason };
    let answer = bot.control().decide(&request, &body, account.clone()).await;
    bot.touch(&request);
    match answer {
        // The card shows it to everybody, unless it shows the same as before.
        Ok(taken) if choice == Choice::Approve && taken.request.state == State::Pending => {
            ear.tell(bot, &answer::taken(&taken.message)).await;
        }
        Ok(_) => {}
        Err(error) => refused(bot, error, choice, &request, &account, ear).await,
    }
}

async fn refused(
    bot: &Bot,
    error: ControlError,
    choice: Choice,
    request: &RequestId,
    account: &SlackAccount,
    ear: &Ear,
) {
    tracing::info!(%error, %request, user = account.user, ?choice, "a decision was not taken");
    match error {
        ControlError::Refused(Problem { code, .. }) if code == "own_request" && choice == Choice::Approve => {
            ear.tell(bot, &answer::own_request(request)).await;
        }
        ControlError::Refused(problem) if problem.code == "not_linked" => {
            offer_link(bot, account, ear).await;
        }
        ControlError::Refused(problem) => ear.tell(bot, &answer::refused(&problem)).await,
        ControlError::Unreachable(_) => ear.tell(bot, answer::UNREACHABLE).await,
        ControlError::Unclear(_) => ear.tell(bot, answer::UNCLEAR).await,
    }
}

/// Answers with a link to sign in, for that account alone; unless one was used and waits.
async fn offer_link(bot: &Bot, account: &SlackAccount, ear: &Ear) {
    let waits = bot.control().link(account).await.is_ok_and(|link| link.is_some_and(|link| !link.confirmed));
    if waits {
        return ear.tell(bot, answer::NOT_CONFIRMED).await;
    }
    match bot.control().start_link(account).await {
        Ok(started) => ear.tell(bot, &answer::sign_in(answer::NOT_LINKED, &started)).await,
        Err(ControlError::Refused(problem)) => ear.tell(bot, &answer::refused(&problem)).await,
        Err(error) => {
            tracing::warn!(%error, user = account.user, "no link could be started");
            ear.tell(bot, answer::COMMAND_FAILED).await;
        }
    }
}
