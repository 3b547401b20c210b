//! Parking: the requester lets a held statement wait without its session.
//!
//! The session does it, between two looks at its request: it alone releases, so it can't do both.

use std::time::Duration;

use chrono::Utc;
use countersign_shared::{
    api::{Problem, RequestKind, RequestParked},
    duties::{self, Human},
    ids::RequestId,
    request::State,
};
use serde_json::json;

use super::{release::entry, say, view::view};
use crate::{
    log::Kind,
    runtime::Gateway,
    store::{Request, StoreError},
};

/// How long a session may take to answer.
const WITHIN: Duration = Duration::from_secs(30);

/// As the log says it of a wish that came to nothing, after the wish itself.
const NOT_TAKEN: &str = "park, not taken";

/// Parks the hold `id` of `who`.
///
/// # Errors
/// Why it goes on as it was, or how it ended.
pub async fn park(gateway: &Gateway, who: &Human, id: &RequestId) -> Result<RequestParked, Problem> {
    let failed = |error: StoreError| say::store(&error, id);
    if let Some(how) = gateway.store.gone(who).await.map_err(failed)? {
        return Err(say::store(&StoreError::Gone { principal: who.principal.clone(), how }, id));
    }
    let request = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    if !duties::acts_for(who, &request.new.asked.asker.human) {
        return Err(say::not_the_requester_parks());
    }
    if request.new.kind != RequestKind::Statement || request.new.session.is_none() {
        return Err(say::nothing_to_park());
    }
    if request.state != State::Pending || Utc::now() >= request.new.expires_at {
        return Err(say::over(&request));
    }
    record(gateway, &request, who, "park").await?;
    // What it is now, where the session did not park it; `waits` is said where it still waits.
    let over = async |waits: Problem| match gateway.store.request(id).await {
        Ok(Some(request)) if request.state == State::Pending => waits,
        Ok(Some(request)) => say::over(&request),
        Ok(None) => say::not_found(id),
        Err(error) => say::store(&error, id),
    };
    let answer = match gateway.holds.park(id, &who.principal) {
        Some(answer) => tokio::time::timeout(WITHIN, answer).await,
        None => {
            record(gateway, &request, who, NOT_TAKEN).await?;
            return Err(over(say::not_parked("no session of this gateway waits with it")).await);
        }
    };
    if matches!(answer, Ok(Ok(Err(_)) | Err(_))) {
        record(gateway, &request, who, NOT_TAKEN).await?;
    }
    match answer {
        Ok(Ok(Ok(parked))) => {
            let parked =
                gateway.store.request(&parked).await.map_err(failed)?.ok_or_else(|| say::not_found(&parked))?;
            let message = say::parked(&parked.new);
            Ok(RequestParked { request: view(gateway, &parked).await.map_err(failed)?, message })
        }
        Ok(Ok(Err(why))) => Err(say::not_parked(&why)),
        // The session ended with it, or another wish took the place of this one.
        Ok(Err(_)) => Err(over(say::park_unanswered()).await),
        Err(_) => Err(say::park_unanswered()),
    }
}

async fn record(gateway: &Gateway, request: &Request, who: &Human, outcome: &str) -> Result<(), Problem> {
    let mut entry = entry(Kind::Decision, request);
    entry.principal = Some(who.principal.clone());
    entry.outcome = Some(outcome.to_owned());
    entry.detail = json!({
        "requester": request.new.asked.asker.human.principal, "digest": request.new.digest.to_string(),
    });
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, request = %request.new.id, "a wish to park is not in the log");
        say::unavailable()
    })
}
