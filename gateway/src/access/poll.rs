//! Asks providers that don't call whether the tokens that sessions rest on still count (RFC 7662).

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::{end::Why, tokens::end_tokens};
use crate::{
    runtime::Gateway,
    store::tokens::{TokenEnd, Which},
};

/// Asks until it is dropped.
pub async fn poll(gateway: Arc<Gateway>) {
    let polled: Vec<(String, Duration)> =
        gateway.issuers.polled().map(|(issuer, every)| (issuer.to_owned(), every)).collect();
    join_all(polled.into_iter().map(|(issuer, every)| poll_one(&gateway, issuer, every))).await;
}

async fn poll_one(gateway: &Gateway, issuer: String, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        ask(gateway, &issuer).await;
    }
}

/// One round.
pub async fn ask(gateway: &Gateway, issuer: &str) {
    let live = gateway.sessions.all(|live| !live.is_ended());
    let tokens = live.iter().filter_map(|live| live.token()).filter(|token| token.issuer == issuer);
    let resting: HashSet<_> = tokens.map(|token| token.digest).collect();
    let inactive = gateway.issuers.inactive(issuer, &resting).await;
    let end = |digest| TokenEnd {
        issuer: issuer.to_owned(),
        which: Which::Digest(digest),
        reason: "its provider calls it inactive".to_owned(),
        by: None,
        at: Utc::now(),
    };
    let ends: Vec<TokenEnd> = inactive.into_iter().map(end).collect();
    if ends.is_empty() {
        return;
    }
    if let Err(error) = end_tokens(gateway, &ends, None, &Why::TokenEnded).await {
        tracing::error!(%error, "that tokens are inactive could not be written down; their sessions have ended");
    }
}
