//! `POST /v1/requests/{id}/audience`: whether others read a channel than those who decide on a request.

use axum::{
    extract::{Path, State},
    response::Json,
};
use chrono::Utc;
use countersign_shared::{
    api::{AudienceBody, AudienceView},
    ids::RequestId,
};

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
};
use crate::approval::whom;

/// So many readers are looked at; a channel of more is wider in any case.
const MOST: usize = 1_000;

/// The bot names who reads.
pub(super) async fn look(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<AudienceBody>,
) -> Result<Json<AudienceView>, Refused> {
    caller.bot()?;
    let absent = || Refused::not_found("request");
    let id: RequestId = id.parse().map_err(|_| absent())?;
    let request = app.gateway.store.request(&id).await?.ok_or_else(absent)?;
    if body.readers.len() > MOST {
        return Ok(Json(AudienceView { wider: true }));
    }
    let wider = !whom::all_concerned(&app.gateway, &request, &body.readers, Utc::now()).await?;
    Ok(Json(AudienceView { wider }))
}
