//! `POST /v1/notices/claim`, `POST /v1/notices/posted`: what a bot posts, it posts once.

use axum::{extract::State, http::StatusCode, response::Json};
use chrono::{TimeDelta, Utc};
use countersign_shared::api::{CLAIM_HOLDS, Claim, NoticeBody};

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
};

/// After so long another bot may take over.
const LEASE: TimeDelta = TimeDelta::seconds(CLAIM_HOLDS as i64);

fn checked(caller: &Caller, body: &NoticeBody) -> Result<(), Refused> {
    caller.bot()?;
    if body.name.is_empty() || body.name.len() > 200 || body.by.is_empty() || body.by.len() > 100 {
        return Err(Refused::bad_request("`name` and `by` are short texts."));
    }
    Ok(())
}

/// A bot means to post something.
pub(super) async fn claim(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NoticeBody>,
) -> Result<Json<Claim>, Refused> {
    checked(&caller, &body)?;
    Ok(Json(app.gateway.store.claim(&body.name, &body.by, Utc::now(), LEASE).await?))
}

/// It did.
pub(super) async fn posted(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NoticeBody>,
) -> Result<StatusCode, Refused> {
    checked(&caller, &body)?;
    app.gateway.store.posted(&body.name, &body.by, Utc::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
