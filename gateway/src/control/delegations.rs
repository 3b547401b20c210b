//! `/v1/delegation`: who is told in one's place while one is away.

use axum::{extract::State, http::StatusCode, response::Json};
use countersign_shared::api::{DelegateBody, StandIn};

use super::{
    App,
    answer::{Exact, Refused},
    caller::Caller,
};
use crate::access::delegate;

/// One's own, and those for whom one stands in.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<StandIn>>, Refused> {
    let (who, _) = caller.acts(&[])?;
    Ok(Json(delegate::of(&app.gateway, &who.human.principal).await?))
}

/// Names somebody.
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Exact(body, bytes): Exact<DelegateBody>,
) -> Result<Json<StandIn>, Refused> {
    let (who, _) = caller.acts(&bytes)?;
    Ok(Json(delegate::delegate(&app.gateway, &who.human, &who.groups, &body).await?))
}

/// Ends it.
pub(super) async fn end(State(app): State<App>, caller: Caller) -> Result<StatusCode, Refused> {
    let (who, _) = caller.acts(&[])?;
    if delegate::end(&app.gateway, &who.human).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found("delegation"))
    }
}
