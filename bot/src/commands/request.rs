//! `/access request CONNECTION ROLE DURATION REASON`, or nothing behind it: a form.

use chrono::Utc;
use countersign_shared::{api::AccessBody, bot_token::SlackAccount};
use serde_json::Value;

use super::{
    asker::{Asker, Said},
    time,
};
use crate::{
    Bot,
    acts::Acts,
    cards::{access, answer, ask},
    control::ControlError,
    press::{self, Ear},
    slack::{
        decode::{Command, Person},
        decode_access::AskForm,
    },
};

/// What was typed, as the gateway is asked.
fn typed(rest: &str, zone: Option<&str>) -> Result<AccessBody, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [connection, role, when @ ..] = words.as_slice() else { return Err(answer::HOW_TO_REQUEST.into()) };
    let (seconds, used) = time::read(when, zone, Utc::now())?;
    let reason = when.get(used..).unwrap_or_default().join(" ");
    if reason.is_empty() {
        return Err(format!("Say why; whoever approves reads it. {}", answer::HOW_TO_REQUEST));
    }
    let (connection, role) = ((*connection).to_owned(), (*role).to_owned());
    Ok(AccessBody { connection, role, duration: format!("{seconds}s"), reason })
}

/// Asks for what was typed.
pub(super) async fn run(asker: &Asker<'_>, rest: &str) {
    asker.tell(asked(asker, typed(rest, asker.zone.as_deref())).await).await;
}

async fn asked(asker: &Asker<'_>, body: Result<AccessBody, String>) -> Said {
    // Whoever is not linked learns that first.
    asker.link().await?;
    match body {
        Ok(body) => Ok(access::asked(&asker.acts().ask(&body).await?)),
        Err(why) => Ok(why),
    }
}

/// Opens the form. At once, since a trigger is good for three seconds; what there is to ask for comes then.
pub(super) async fn form(bot: &Bot, command: &Command, ear: Ear) {
    let Some(trigger) = &command.trigger else { return ear.reply(bot, answer::HOW_TO_REQUEST).await };
    let view = match bot.slack().open_form(trigger, &ask::moment()).await {
        Ok(view) => view,
        Err(error) => {
            tracing::warn!(%error, user = command.person.user, "the form to ask for access did not open");
            return ear.reply(bot, answer::NO_ASK_FORM).await;
        }
    };
    let content = content(bot, &command.person, command.channel.clone()).await;
    if let Err(error) = bot.slack().update_form(&view, &content).await {
        tracing::warn!(%error, user = command.person.user, "the form to ask for access stays empty");
        ear.reply(bot, answer::NO_ASK_FORM).await;
    }
}

/// The form for `person`, or one that says why there is none.
async fn content(bot: &Bot, person: &Person, channel: Option<String>) -> Value {
    let (account, _) = match press::who(bot, person).await {
        Ok(who) => who,
        Err(error) => {
            tracing::warn!(%error, user = person.user, "who asks could not be checked");
            return ask::closed(answer::WHO_ASKS, None);
        }
    };
    if !account.full_member {
        return ask::closed(answer::MEMBERS_ONLY, None);
    }
    match Acts::of(bot.control(), &account, None).options().await {
        Ok(options) if options.is_empty() => ask::closed(answer::NOTHING_TO_ASK, None),
        Ok(options) => ask::form(&options, &ask::Carried { channel }),
        Err(ControlError::Refused(problem)) if problem.code == "not_linked" => link_first(bot, &account).await,
        Err(ControlError::Refused(problem)) => ask::closed(&answer::refusal(&problem), None),
        Err(error) => {
            tracing::warn!(%error, user = person.user, "what there is to ask for could not be listed");
            ask::closed(answer::COMMAND_FAILED, None)
        }
    }
}

async fn link_first(bot: &Bot, account: &SlackAccount) -> Value {
    if press::link_waits(bot, account).await {
        return ask::closed(answer::NOT_CONFIRMED, None);
    }
    match bot.control().start_link(account).await {
        Ok(started) => ask::closed(answer::LINK_TO_ASK, Some((&started.url, "Sign in once to link your account"))),
        Err(error) => {
            tracing::warn!(%error, user = account.user, "no link could be started");
            ask::closed(answer::COMMAND_FAILED, None)
        }
    }
}

/// Asks for what a submitted form says.
pub(crate) async fn submitted(bot: &Bot, form: AskForm) {
    let ear = Ear { user: form.person.user.clone(), channel: form.channel, response_url: None };
    let Some(asker) = Asker::of(bot, &form.person, ear, form.once).await else { return };
    let body = match (form.what, form.reason) {
        (Some((connection, role)), Some(reason)) => {
            let words: Vec<&str> = form.duration.split_whitespace().collect();
            match time::read(&words, asker.zone.as_deref(), Utc::now()) {
                Ok((seconds, used)) if used == words.len() => {
                    Ok(AccessBody { connection, role, duration: format!("{seconds}s"), reason })
                }
                Ok(_) => Err(format!("Nothing was asked: the duration has words behind it. {}", time::LIKE)),
                Err(why) => Err(format!("Nothing was asked: {why}")),
            }
        }
        _ => Err(answer::NO_ASK_FORM.into()),
    };
    asker.tell(asked(&asker, body).await).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_becomes_a_wish() {
        let wish = typed("shop shop-writer 2h fixing  #123 <!channel>", None).unwrap();
        assert_eq!(
            (wish.connection.as_str(), wish.role.as_str(), wish.duration.as_str()),
            ("shop", "shop-writer", "7200s")
        );
        assert_eq!(wish.reason, "fixing #123 <!channel>");
        for (text, part) in [
            ("shop", "request CONNECTION"),
            ("shop shop-writer", "no duration"),
            ("shop shop-writer soon fixing", "is none"),
            ("shop shop-writer 2h", "Say why"),
        ] {
            assert!(typed(text, None).unwrap_err().contains(part), "{text}");
        }
    }
}
