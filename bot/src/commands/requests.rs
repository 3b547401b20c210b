//! `/access requests`: what waits for approval.

use crate::{
    Bot,
    cards::answer,
    control::ControlError,
    press,
    press::Ear,
    slack::{SlackError, decode::Person},
};

/// Why there is no list.
enum NoList {
    Slack(SlackError),
    Control(ControlError),
    Said(&'static str),
}

/// Lists it, for people whose identity is known.
pub(super) async fn run(bot: &Bot, person: &Person, ear: &Ear) {
    let text = match list(bot, person).await {
        Ok(text) => text,
        Err(NoList::Said(text)) => text.into(),
        Err(NoList::Slack(error)) => {
            tracing::warn!(%error, user = person.user, "who typed /access requests could not be checked");
            answer::WHO_ARE_YOU.into()
        }
        Err(NoList::Control(error)) => {
            tracing::warn!(%error, user = person.user, "the pending requests could not be listed");
            answer::COMMAND_FAILED.into()
        }
    };
    ear.reply(bot, &text).await;
}

async fn list(bot: &Bot, person: &Person) -> Result<String, NoList> {
    let account = press::identify(bot, person).await.map_err(NoList::Slack)?;
    if !account.full_member {
        return Err(NoList::Said(answer::MEMBERS_ONLY));
    }
    match bot.control().link(&account).await.map_err(NoList::Control)? {
        None => Err(NoList::Said(answer::LINK_FIRST)),
        Some(link) if !link.confirmed => Err(NoList::Said(answer::NOT_CONFIRMED)),
        Some(_) => Ok(answer::pending(&bot.control().requests(true).await.map_err(NoList::Control)?)),
    }
}
