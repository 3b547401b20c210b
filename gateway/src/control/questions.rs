//! `POST /v1/requests/{id}/questions`: somebody who may decide asks first.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Json,
};
use countersign_shared::{
    api::{QuestionAsked, QuestionBody},
    ids::RequestId,
};

use super::{
    App,
    answer::{Exact, Refused},
    caller::Caller,
};
use crate::approval::ask;

/// Passes it on.
pub(super) async fn ask(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Exact(body, bytes): Exact<QuestionBody>,
) -> Result<Json<QuestionAsked>, Refused> {
    let (who, _) = caller.acts(&bytes)?;
    let id: RequestId = id.parse().map_err(|_| Refused::not_found("request"))?;
    let (gateway, human, groups) = (Arc::clone(&app.gateway), who.human.clone(), who.groups.clone());
    // Goes on where the caller hangs up in the middle.
    let asked = tokio::spawn(async move { ask::ask(&gateway, &human, &groups, &id, &body.question).await });
    Ok(Json(asked.await.map_err(|error| Refused::unavailable(&error))??))
}
