//! What a press becomes: a decision, signed and delivered. The gateway decides what it is worth.

use countersign_shared::{
    allow::Terms,
    api::{DecisionBody, Problem},
    bot_token::SlackAccount,
    digest::Digest,
    ids::RequestId,
    request::{Choice, State},
};

use crate::{
    Bot,
    account::account,
    cards::{allow, answer, deny, keep},
    commands::{asker::Asker, grants},
    control::ControlError,
    digest, home,
    slack::{
        SlackError,
        decode::{DenyForm, Person, Press},
        decode_access::{GrantAction, GrantPress, KeepForm},
        decode_allow::AllowForm,
        decode_request::RequestPress,
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
    allow: Option<Terms>,
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
        "allow" => return ask_how_long(bot, &press, digest, &ear).await,
        _ => return,
    };
    let (request, person) = (press.request, press.person);
    let decision = Decision { request, digest, choice, reason: None, allow: None, person };
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

/// Opens the form that approves for a time. What is in it, policy says of the request as it is now; what is approved is
/// what the presser saw.
async fn ask_how_long(bot: &Bot, press: &Press, digest: Digest, ear: &Ear) {
    let view = match bot.control().request(&press.request).await {
        Ok(Some(view)) if view.state == State::Pending => view,
        Ok(_) => return ear.tell(bot, answer::NOT_OPEN).await,
        Err(error) => {
            tracing::warn!(%error, request = %press.request, "a request could not be looked up");
            return ear.tell(bot, answer::NO_ALLOW_FORM).await;
        }
    };
    let Some(most) = view.allowable else { return ear.tell(bot, answer::NOT_ALLOWABLE).await };
    let carried = allow::Carried { request: press.request.clone(), digest, channel: press.channel.clone() };
    let Some(trigger) = &press.trigger else { return ear.tell(bot, answer::NO_ALLOW_FORM).await };
    if let Err(error) = bot.slack().open_form(trigger, &allow::form(&view, &most, &carried)).await {
        tracing::warn!(%error, request = %press.request, "the form to approve for a time did not open");
        ear.tell(bot, answer::NO_ALLOW_FORM).await;
    }
}

/// Does what the form says that approves for a time.
pub(crate) async fn allowed(bot: &Bot, form: AllowForm) {
    let mut ear = Ear { user: form.person.user.clone(), ..Ear::default() };
    let (Some(carried), Some(terms)) = (form.carried, form.terms) else {
        return ear.tell(bot, answer::NO_ALLOW_FORM).await;
    };
    ear.channel = carried.channel;
    let decision = Decision {
        request: carried.request,
        digest: carried.digest,
        choice: Choice::Approve,
        reason: None,
        allow: Some(terms),
        person: form.person,
    };
    deliver(bot, decision, &ear).await;
}

/// Ends what was allowed for a time.
pub(crate) async fn ends(bot: &Bot, press: RequestPress) {
    let RequestPress { request, person, channel, response_url, trigger } = press;
    let ear = Ear { user: person.user.clone(), channel, response_url };
    let Some(asker) = Asker::of(bot, &person, ear, trigger).await else { return };
    let ended = asker.acts().end_allowance(&request).await;
    bot.touch(&request);
    asker.tell(ended.map(|ended| answer::taken(&ended.message))).await;
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
        allow: None,
        person: form.person,
    };
    deliver(bot, decision, &ear).await;
}

/// Does what a button at a grant says.
pub(crate) async fn at_grant(bot: &Bot, press: GrantPress) {
    let GrantPress { action, grant, person, channel, ts, at_home, response_url, trigger } = press;
    let ear = Ear { user: person.user.clone(), channel: channel.clone(), response_url };
    if action == GrantAction::Keep {
        // Before anything slow: the trigger ends after three seconds.
        let carried = keep::Carried { grant, channel, ts };
        let Some(trigger) = &trigger else { return ear.tell(bot, answer::NO_KEEP_FORM).await };
        if let Err(error) = bot.slack().open_form(trigger, &keep::form(&carried)).await {
            tracing::warn!(%error, grant = %carried.grant, "the form to keep a grant did not open");
            ear.tell(bot, answer::NO_KEEP_FORM).await;
        }
        return;
    }
    let Some(asker) = Asker::of(bot, &person, ear, trigger).await else { return };
    let said = match action {
        GrantAction::Extend => grants::longer(&asker, &grant, None, "").await,
        GrantAction::Revoke | GrantAction::Keep => grants::ended(&asker, &grant).await,
    };
    asker.tell(said).await;
    if at_home {
        home::show(bot, &person).await;
    }
    if let (GrantAction::Revoke, Some(channel), Some(ts)) = (action, channel, ts) {
        digest::refresh(bot, &channel, &ts).await;
    }
}

/// Does what the form says that asks why a grant shall stay.
pub(crate) async fn kept(bot: &Bot, form: KeepForm) {
    let mut ear = Ear { user: form.person.user.clone(), ..Ear::default() };
    let (Some(carried), Some(reason)) = (form.carried, form.reason) else {
        return ear.tell(bot, answer::NO_KEEP_FORM).await;
    };
    ear.channel.clone_from(&carried.channel);
    let Some(asker) = Asker::of(bot, &form.person, ear, form.once).await else { return };
    let said = asker.acts().keep(&carried.grant, &reason).await;
    asker.tell(said.map(|kept| answer::kept(&kept))).await;
    if let (Some(channel), Some(ts)) = (&carried.channel, &carried.ts) {
        digest::refresh(bot, channel, ts).await;
    }
}

/// Who somebody is, asked of Slack for this one act.
pub(crate) async fn identify(bot: &Bot, person: &Person) -> Result<SlackAccount, SlackError> {
    who(bot, person).await.map(|(account, _)| account)
}

/// As [`identify`], with their time zone.
pub(crate) async fn who(bot: &Bot, person: &Person) -> Result<(SlackAccount, Option<String>), SlackError> {
    let identity = bot.identity().await?;
    let user = bot.slack().user(&person.user).await?;
    Ok((account(&user, person, &identity.team_id), user.tz))
}

async fn deliver(bot: &Bot, decision: Decision, ear: &Ear) {
    let account = match identify(bot, &decision.person).await {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(%error, user = decision.person.user, "who pressed could not be checked; nothing was decided");
            return ear.tell(bot, answer::WHO_ARE_YOU).await;
        }
    };
    let Decision { request, digest, choice, reason, allow, .. } = decision;
    let body = DecisionBody { choice, digest, reason, allow };
    let answer = bot.control().decide(&request, &body, account.clone()).await;
    bot.touch(&request);
    match answer {
        // The card shows it to everybody, unless it shows the same as before.
        Ok(taken) if taken.request.state == State::Pending || allow.is_some() => {
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
            ear.tell(bot, &link_text(bot, account, answer::NOT_LINKED).await).await;
        }
        ControlError::Refused(problem) => ear.tell(bot, &answer::refused(&problem)).await,
        ControlError::Unreachable(_) => ear.tell(bot, answer::UNREACHABLE).await,
        ControlError::Unclear(_) => ear.tell(bot, answer::UNCLEAR).await,
    }
}

/// Answers with a link to sign in, for that account alone; unless one was used and waits.
pub(crate) async fn offer_link(bot: &Bot, account: &SlackAccount, ear: &Ear, why: &str) {
    ear.reply(bot, &link_text(bot, account, why).await).await;
}

/// Whether a link was used and waits for an administrator.
pub(crate) async fn link_waits(bot: &Bot, account: &SlackAccount) -> bool {
    bot.control().link(account).await.is_ok_and(|link| link.is_some_and(|link| !link.confirmed))
}

/// What [`offer_link`] says.
pub(crate) async fn link_text(bot: &Bot, account: &SlackAccount, why: &str) -> String {
    if link_waits(bot, account).await {
        return answer::NOT_CONFIRMED.into();
    }
    match bot.control().start_link(account).await {
        Ok(started) => answer::sign_in(why, &started),
        Err(ControlError::Refused(problem)) => answer::refused(&problem),
        Err(error) => {
            tracing::warn!(%error, user = account.user, "no link could be started");
            answer::COMMAND_FAILED.into()
        }
    }
}
