//! `/access sessions`, `/access kill ID`: who is connected, and ending it.

use chrono::Utc;
use countersign_shared::ids::SessionId;

use super::asker::{Asker, Said};
use crate::cards::{access, answer};

/// The sessions that they may end.
pub(super) async fn list(asker: &Asker<'_>) -> Said {
    asker.link().await?;
    Ok(access::sessions(&asker.acts().sessions().await?, Utc::now()))
}

/// Ends one.
pub(super) async fn kill(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let mut words = rest.split_whitespace();
    match (words.next().map(str::parse::<SessionId>), words.next()) {
        (Some(Ok(id)), None) => {
            asker.acts().kill(&id).await?;
            Ok(access::killed(&id))
        }
        (None, _) => Ok(answer::HOW_TO_KILL.into()),
        _ => Ok(answer::NO_SUCH_SESSION.into()),
    }
}
