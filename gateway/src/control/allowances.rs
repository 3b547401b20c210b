//! `DELETE /v1/requests/{id}/allowance`: what was allowed of a request beyond one run ends now.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Json,
};
use countersign_shared::{api::DecisionTaken, ids::RequestId};

use super::{App, answer::Refused, caller::Caller, sight};
use crate::{approval::take::end_allowance, identity::Identity, statement::decide::SessionFacts};

/// Ends it.
pub(super) async fn end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<DecisionTaken>, Refused> {
    let (who, from) = caller.acts(&[])?;
    let id: RequestId = id.parse().map_err(|_| Refused::not_found("request"))?;
    end_for(&app, who, from, id).await.map(Json)
}

/// The same, from a page too.
pub(super) async fn end_for(
    app: &App,
    who: &Identity,
    from: &SessionFacts,
    id: RequestId,
) -> Result<DecisionTaken, Refused> {
    let absent = || Refused::not_found("request");
    let request = app.gateway.store.request(&id).await?.ok_or_else(absent)?;
    let administers = sight::administers(&app.gateway, who, from, &request.new.asked.connection);
    if !administers && !sight::sees_request(&app.gateway, who, from, &request) {
        return Err(absent());
    }
    let (gateway, human, groups) = (Arc::clone(&app.gateway), who.human.clone(), who.groups.clone());
    // Goes on where the caller hangs up in the middle.
    let ended = tokio::spawn(async move { end_allowance(&gateway, &human, &groups, administers, &id).await });
    Ok(ended.await.map_err(|error| Refused::unavailable(&error))??)
}
