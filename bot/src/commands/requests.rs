//! `/access requests`: what waits for them, and what of theirs waits for others.

use super::asker::{Asker, Said};
use crate::cards::answer;

/// Lists it.
pub(super) async fn run(asker: &Asker<'_>) -> Said {
    let link = asker.link().await?;
    let acts = asker.acts();
    let waits = answer::pending(&acts.requests_to_decide().await?, &acts.own_requests(&link.principal).await?);
    Ok(answer::with_allowed(waits, &acts.allowed().await?))
}
