//! `/access delegate WHO until WHEN`, `/access delegate off`: who is told in one's place.

use chrono::{TimeDelta, Utc};
use countersign_shared::{api::DelegateBody, bot_token::SlackAccount};

use super::{
    asker::{Asker, Said},
    time,
};
use crate::{
    cards::{access, answer},
    control::ControlError,
};

/// Names somebody, or ends it.
pub(super) async fn run(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (to, when) = match words.as_slice() {
        [word] if word.eq_ignore_ascii_case("off") => {
            asker.acts().end_delegation().await?;
            return Ok(answer::DELEGATION_OFF.into());
        }
        [to, when @ ..] if !when.is_empty() => (*to, when),
        _ => return Ok(answer::HOW_TO_DELEGATE.into()),
    };
    let now = Utc::now();
    let until = match time::read(when, asker.zone.as_deref(), now) {
        Ok((seconds, used)) if used == when.len() => {
            now + TimeDelta::seconds(i64::try_from(seconds).unwrap_or_default())
        }
        Ok(_) => return Ok(answer::HOW_TO_DELEGATE.into()),
        Err(why) => return Ok(why),
    };
    let to = match account_in(to) {
        Some(user) => principal_of(asker, user).await?,
        None => Some(to.to_owned()),
    };
    let Some(to) = to else { return Ok(answer::DELEGATE_NOT_LINKED.into()) };
    Ok(access::delegated(&asker.acts().delegate(&DelegateBody { to, until }).await?))
}

/// The account in Slack's own writing of a mention: `<@U0DARIO|dario>`.
fn account_in(word: &str) -> Option<&str> {
    word.strip_prefix("<@")?.strip_suffix('>')?.split('|').next()
}

async fn principal_of(asker: &Asker<'_>, user: &str) -> Result<Option<String>, ControlError> {
    let account = SlackAccount { user: user.to_owned(), ..asker.account.clone() };
    let link = asker.bot.control().link(&account).await?;
    Ok(link.filter(|link| link.confirmed).map(|link| link.principal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_names_an_account_and_nothing_else_does() {
        let table =
            [("<@U0DARIO|dario>", Some("U0DARIO")), ("<@U0DARIO>", Some("U0DARIO")), ("@dario", None), ("<@U1", None)];
        for (word, expected) in table {
            assert_eq!(account_in(word), expected, "{word}");
        }
    }
}
