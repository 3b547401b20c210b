//! `/access link`: ties a Slack account to an identity, by signing in once. `/access unlink` unties it.

use super::asker::{Asker, Said};
use crate::cards::answer;

/// Answers with the link, visible to that person alone.
pub(super) async fn run(asker: &Asker<'_>) -> Said {
    Ok(answer::sign_in(answer::LINKING, &asker.bot.control().start_link(&asker.account).await?))
}

/// Ends the link of their account.
pub(super) async fn unlink(asker: &Asker<'_>) -> Said {
    if asker.bot.control().link(&asker.account).await?.is_none() {
        return Ok(answer::NOT_LINKED_ANYWAY.into());
    }
    asker.acts().unlink().await?;
    Ok(answer::UNLINKED.into())
}
