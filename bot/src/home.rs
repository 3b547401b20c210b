//! The App Home tab: what somebody has, what they have asked for, and what waits for them.

use chrono::Utc;

use crate::{
    Bot,
    acts::Acts,
    cards::{answer, home},
    commands::grants::own,
    control::ControlError,
    press,
    slack::decode::Person,
};

/// Shows `person` their tab as things are now.
pub(crate) async fn show(bot: &Bot, person: &Person) {
    let view = match content(bot, person).await {
        Ok(view) => view,
        Err(why) => home::closed(&why),
    };
    if let Err(error) = bot.slack().publish_home(&person.user, &view).await {
        tracing::warn!(%error, user = person.user, "somebody's home tab stays as it was");
    }
}

async fn content(bot: &Bot, person: &Person) -> Result<serde_json::Value, String> {
    let (account, _) = press::who(bot, person).await.map_err(|error| {
        tracing::warn!(%error, user = person.user, "who opened their home tab could not be checked");
        answer::WHO_ASKS.to_owned()
    })?;
    if !account.full_member {
        return Err(answer::MEMBERS_ONLY.into());
    }
    let why = |error: ControlError| match error {
        ControlError::Refused(problem) => answer::refusal(&problem),
        error => {
            tracing::warn!(%error, user = person.user, "somebody's home tab could not be filled");
            answer::COMMAND_FAILED.into()
        }
    };
    let link = match bot.control().link(&account).await.map_err(why)? {
        Some(link) if link.confirmed => link,
        Some(_) => return Err(answer::NOT_CONFIRMED.into()),
        None => return Err(answer::LINK_AT_HOME.into()),
    };
    let acts = Acts::of(bot.control(), &account, None);
    let grants = own(acts.grants().await.map_err(why)?, &link);
    let asked = acts.own_requests(&link.principal).await.map_err(why)?;
    let waits = acts.requests_to_decide().await.map_err(why)?;
    Ok(home::view(&link.principal, (&grants, &asked, &waits), bot.page_url(), Utc::now()))
}
