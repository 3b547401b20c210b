//! `POST /v1/requests/{id}/park`: the requester lets a held statement wait without its session.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Json,
};
use countersign_shared::{api::RequestParked, ids::RequestId};

use super::{App, answer::Refused, caller::Caller};
use crate::approval::park;

/// Parks it.
pub(super) async fn park(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RequestParked>, Refused> {
    let (who, _) = caller.acts(&[])?;
    let id: RequestId = id.parse().map_err(|_| Refused::not_found("request"))?;
    let (gateway, human) = (Arc::clone(&app.gateway), who.human.clone());
    // Goes on where the caller hangs up in the middle.
    let parked = tokio::spawn(async move { park::park(&gateway, &human, &id).await });
    Ok(Json(parked.await.map_err(|error| Refused::unavailable(&error))??))
}
