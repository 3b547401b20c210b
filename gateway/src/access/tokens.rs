//! Tokens that count no more: their provider signed somebody out, an administrator denied them, or their
//! provider called them inactive.
//!
//! The state refuses whoever brings one ([`Store::seen`](crate::store::Store::seen)), so no way in can forget
//! to ask. Here is the rest: the sessions that rest on one end.

use std::sync::Arc;

use serde_json::json;

use super::end::{Why, end};
use crate::{
    log::{Entry, Kind},
    runtime::Gateway,
    sessions::Live,
    store::{StoreError, tokens::TokenEnd},
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// So many sessions ended.
    Sessions(usize),
    /// The logout token came before; nothing changed.
    Before,
}

/// Tokens count no more: ends the sessions that rest on them, and remembers it. `once` is the `jti` of the
/// logout token that says so.
///
/// # Errors
/// Where the state can't remember it. What lives has ended all the same.
pub async fn end_tokens(
    gateway: &Gateway,
    ends: &[TokenEnd],
    once: Option<&str>,
    why: &Why,
) -> Result<Ended, StoreError> {
    let resting = |live: &Live| ends.iter().any(|end| live.rests_on_token(&end.issuer, &end.which));
    let mut count = end(gateway, &gateway.sessions.all(resting), why);
    let first = gateway.store.end_tokens(ends, once).await?;
    // Whoever logged in between the first look and the state's memory.
    count += end(gateway, &gateway.sessions.all(resting), why);
    if !first {
        return Ok(Ended::Before);
    }
    for end in ends {
        let entry = Entry {
            outcome: Some(end.reason.clone()),
            detail: json!({
                "issuer": end.issuer, "which": end.which.kind(), "value": end.which.value(), "by": end.by,
                "until": end.which.until(), "sessions": count,
            }),
            ..Entry::new(Kind::TokensEnded)
        };
        if let Err(down) = gateway.log.append_durably(&entry).await {
            tracing::error!(%down, "that a token counts no more is not in the log");
        }
    }
    // What is held is asked about again, and streams of events look again.
    gateway.holds.ring_all();
    Ok(Ended::Sessions(count))
}

/// Its token may have been ended between a login and the moment from which its session can be found.
pub async fn look_again(gateway: &Gateway, live: &Arc<Live>) {
    let Some(token) = live.token() else { return };
    let why = match gateway.store.token_ended(&token).await {
        Ok(None) => return,
        Ok(Some(_)) => Why::TokenEnded,
        Err(error) => {
            tracing::error!(%error, session = %live.id(), "the state can't say whether a token still counts");
            Why::Gone { reason: "the gateway can't check any more whether this token counts".to_owned() }
        }
    };
    end(gateway, std::slice::from_ref(live), &why);
}
