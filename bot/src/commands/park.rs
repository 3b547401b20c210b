//! `/access park ID`: a held statement of one's own waits without its session.

use countersign_shared::ids::RequestId;

use super::asker::{Asker, Said};
use crate::cards::answer;

/// Parks it.
pub(super) async fn run(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let mut words = rest.split_whitespace();
    match (words.next().map(str::parse::<RequestId>), words.next()) {
        (Some(Ok(id)), None) => Ok(answer::taken(&asker.acts().park(&id).await?.message)),
        _ => Ok(answer::HOW_TO_PARK.into()),
    }
}
