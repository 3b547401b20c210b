//! `GET /v1/tokens/denied`, `POST /v1/tokens/denied`: tokens that count no more, though they are signed and their
//! time is not over. For one that leaked.

use axum::{extract::State, http::StatusCode, response::Json};
use chrono::Utc;
use countersign_shared::api::{DeniedToken, DenyTokenAnswer, DenyTokenBody};

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
    sight,
};
use crate::{
    access::{
        end::Why,
        tokens::{Ended, end_tokens},
    },
    store::tokens::{TokenEnd, Which},
};

/// The longest `jti` and the longest reason, in bytes.
const LONGEST: usize = 512;

fn administrator(app: &App, caller: &Caller) -> Result<String, Refused> {
    let (who, from) = caller.user()?;
    if !sight::administers_all(&app.gateway, who, from) {
        return Err(Refused::forbidden("Only who administers every connection denies tokens."));
    }
    Ok(who.human.principal.clone())
}

/// All of them, the newest first.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<DeniedToken>>, Refused> {
    administrator(&app, &caller)?;
    Ok(Json(app.gateway.store.denied_tokens().await?.iter().map(view).collect()))
}

/// Denies one, at once and in sessions that rest on it. Nothing takes that back.
pub(super) async fn deny(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<DenyTokenBody>,
) -> Result<(StatusCode, Json<DenyTokenAnswer>), Refused> {
    let by = administrator(&app, &caller)?;
    let known = app.gateway.issuers.all_names();
    let issuer = match (&body.issuer, known.as_slice()) {
        // A name that is spelled otherwise would deny nothing, and look as if it did.
        (Some(named), known) if known.contains(&named.as_str()) => named.clone(),
        (None, [only]) => (*only).to_owned(),
        _ => return Err(Refused::bad_request(format!("`issuer` is one of: {}.", known.join(", ")))),
    };
    let fits = |text: &str| !text.trim().is_empty() && text.len() <= LONGEST;
    if !fits(&body.reason) || body.jti.as_deref().is_some_and(|id| !fits(id)) {
        return Err(Refused::bad_request(format!("`reason` and `jti` are texts of 1 to {LONGEST} bytes.")));
    }
    let which = body.jti.clone().map(Which::Id).into_iter().chain(body.sha256.map(Which::Digest));
    let end = |which| {
        let (issuer, reason, by) = (issuer.clone(), body.reason.clone(), Some(by.clone()));
        TokenEnd { issuer, which, reason, by, at: Utc::now() }
    };
    let ends: Vec<TokenEnd> = which.map(end).collect();
    if ends.is_empty() {
        return Err(Refused::bad_request("Name the token by its `jti`, its `sha256`, or both."));
    }
    let sessions = match end_tokens(&app.gateway, &ends, None, &Why::TokenEnded).await? {
        Ended::Sessions(count) => count,
        Ended::Before => 0,
    };
    Ok((StatusCode::CREATED, Json(DenyTokenAnswer { denied: ends.iter().map(view).collect(), sessions })))
}

fn view(end: &TokenEnd) -> DeniedToken {
    let value = end.which.value();
    let (jti, sha256) = match &end.which {
        Which::Digest(digest) => (None, Some(*digest)),
        _ => (Some(value), None),
    };
    DeniedToken {
        issuer: end.issuer.clone(),
        jti,
        sha256,
        reason: end.reason.clone(),
        denied_by: end.by.clone(),
        denied_at: end.at,
    }
}
