//! `GET /v1/sessions`, `DELETE /v1/sessions/{id}`.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Json,
};
use countersign_shared::{api::SessionView, ids::SessionId};

use super::{App, answer::Refused, caller::Caller, sight};

/// One's own sessions; for whoever administers a connection, all on it.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<SessionView>>, Refused> {
    let mut sessions = app.gateway.sessions.list();
    if !matches!(caller, Caller::Bot) {
        let (who, from) = caller.known()?;
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
    let (who, from) = caller.known()?;
    let absent = || Refused::not_found("session");
    let id: SessionId = id.parse().map_err(|_| absent())?;
    let session = app.gateway.sessions.list().into_iter().find(|session| session.id == id).ok_or_else(absent)?;
    if !sight::rules_session(&app.gateway, who, from, &session) {
        return Err(absent());
    }
    let reason = format!("the session was ended by {}", who.human.principal);
    tracing::info!(session = %id, by = who.human.principal, "a session is ended by request");
    if app.gateway.sessions.kill(&id, &reason) { Ok(StatusCode::NO_CONTENT) } else { Err(absent()) }
}
