//! `GET /v1/sessions`, `DELETE /v1/sessions/{id}`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Json,
};
use countersign_shared::{api::SessionView, ids::SessionId};

use crate::access::end::{Why, end_session};

use super::{App, answer::Refused, caller::Caller, sight};

/// One's own sessions; for whoever administers a connection, all on it.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<SessionView>>, Refused> {
    let mut sessions = app.gateway.sessions.list();
    if !matches!(caller, Caller::Bot) {
        let (who, from) = caller.acts(&[])?;
        sessions.retain(|session| sight::rules_session(&app.gateway, who, from, session));
    }
    Ok(Json(sessions))
}

/// Ends a session now. What the caller may not end is not there.
pub(super) async fn kill(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let (who, from) = caller.acts(&[])?;
    let absent = || Refused::not_found("session");
    let id: SessionId = id.parse().map_err(|_| absent())?;
    let session = app.gateway.sessions.list().into_iter().find(|session| session.id == id).ok_or_else(absent)?;
    if !sight::rules_session(&app.gateway, who, from, &session) {
        return Err(absent());
    }
    let why = Why::Killed { by: who.human.principal.clone() };
    if end_session(&app.gateway, &id, &why) { Ok(StatusCode::NO_CONTENT) } else { Err(absent()) }
}
