//! `/access link`: ties a Slack account to an identity, by signing in once.

use crate::{Bot, cards::answer, control::ControlError, press, press::Ear, slack::decode::Person};

/// Answers with the link, visible to that person alone.
pub(super) async fn run(bot: &Bot, person: &Person, ear: &Ear) {
    let account = match press::identify(bot, person).await {
        Ok(account) => account,
        Err(error) => {
            tracing::warn!(%error, user = person.user, "who typed /access link could not be checked");
            return ear.reply(bot, answer::WHO_ARE_YOU).await;
        }
    };
    if !account.full_member {
        return ear.reply(bot, answer::MEMBERS_ONLY).await;
    }
    let text = match bot.control().start_link(&account).await {
        Ok(started) => answer::sign_in(answer::LINKING, &started),
        Err(ControlError::Refused(problem)) => answer::refused(&problem),
        Err(error) => {
            tracing::warn!(%error, user = person.user, "no link could be started");
            answer::COMMAND_FAILED.into()
        }
    };
    ear.reply(bot, &text).await;
}
