//! `/access status`, `extend ID`, `done [ID]`, `revoke ID`: what somebody has, and for how long.

use chrono::Utc;
use countersign_shared::{
    api::{ExtendBody, GrantView, LinkView},
    ids::GrantId,
};

use super::{
    asker::{Asker, Said},
    time,
};
use crate::cards::{access, answer};

/// The longest reason that an extension repeats.
const REASON_LIMIT: usize = 500;

/// Those that are `link`'s own, or an agent's that they answer for.
pub(crate) fn own(mut grants: Vec<GrantView>, link: &LinkView) -> Vec<GrantView> {
    let mine = |name: &str| name.eq_ignore_ascii_case(&link.principal);
    grants.retain(|grant| mine(&grant.principal) || grant.owner.as_deref().is_some_and(mine));
    grants
}

/// What they have, and what they have asked for.
pub(super) async fn status(asker: &Asker<'_>) -> Said {
    let link = asker.link().await?;
    let acts = asker.acts();
    let grants = own(acts.grants().await?, &link);
    let waiting = acts.own_requests(&link.principal).await?;
    let stand_ins = acts.stand_ins().await?;
    let status = access::status(&grants, &waiting, Utc::now());
    Ok(access::with_stand_ins(status, &stand_ins, &link.principal))
}

/// Asks for more time: as long as at first and for the same reason, unless they say otherwise.
pub(super) async fn extend(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let Some((id, more)) = words.split_first() else { return Ok(answer::HOW_TO_EXTEND.into()) };
    let Ok(id) = id.parse::<GrantId>() else { return Ok(answer::NO_SUCH_GRANT.into()) };
    let typed = match more {
        [] => None,
        more => match time::read(more, asker.zone.as_deref(), Utc::now()) {
            Ok((seconds, used)) => Some((seconds, more.get(used..).unwrap_or_default().join(" "))),
            Err(why) => return Ok(why),
        },
    };
    let (seconds, reason) = typed.map_or((None, String::new()), |(seconds, reason)| (Some(seconds), reason));
    longer(asker, &id, seconds, &reason).await
}

/// Asks for `seconds` more, or as long as at first.
pub(crate) async fn longer(asker: &Asker<'_>, id: &GrantId, seconds: Option<u64>, reason: &str) -> Said {
    let grant = asker.acts().grant(id).await?;
    let seconds = seconds.unwrap_or(grant.seconds);
    let before: String = grant.reason.chars().take(REASON_LIMIT).collect();
    let reason = if reason.is_empty() { format!("more time for: {before}") } else { reason.to_owned() };
    let body = ExtendBody { duration: format!("{seconds}s"), reason };
    Ok(access::asked(&asker.acts().extend(id, &body).await?))
}

/// Gives a grant back: the one that they have, or the one that they name.
pub(super) async fn done(asker: &Asker<'_>, rest: &str) -> Said {
    let link = asker.link().await?;
    if !rest.trim().is_empty() {
        return end(asker, rest).await;
    }
    let mut grants = asker.acts().grants().await?;
    grants.retain(|grant| grant.principal.eq_ignore_ascii_case(&link.principal));
    match grants.as_slice() {
        [] => Ok(answer::NO_GRANTS.into()),
        [only] => ended(asker, &only.id).await,
        several => Ok(access::which(several, Utc::now())),
    }
}

/// Ends the grant that they name.
pub(super) async fn end(asker: &Asker<'_>, rest: &str) -> Said {
    asker.link().await?;
    let mut words = rest.split_whitespace();
    match (words.next().map(str::parse::<GrantId>), words.next()) {
        (Some(Ok(id)), None) => ended(asker, &id).await,
        (None, _) => Ok(answer::HOW_TO_REVOKE.into()),
        _ => Ok(answer::NO_SUCH_GRANT.into()),
    }
}

/// Ends a grant now.
pub(crate) async fn ended(asker: &Asker<'_>, id: &GrantId) -> Said {
    Ok(access::ended(&asker.acts().end_grant(id).await?))
}
