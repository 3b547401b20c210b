//! `/healthz` and `/metrics`, for machines on the control address.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use serde_json::json;

use super::App;

/// 200 where statements can pass, else 503 and what is wrong.
pub(super) async fn healthz(State(app): State<App>) -> Response {
    let log = app.gateway.log.down().map(|down| down.to_string());
    let state = app.gateway.store.ping().await.err().map(|error| error.to_string());
    let fine = log.is_none() && state.is_none();
    let say = |wrong: Option<String>| wrong.unwrap_or_else(|| "ok".to_owned());
    let body = json!({
        "status": if fine { "ok" } else { "failing" },
        "log": say(log),
        "state": say(state),
        "policy": app.gateway.policies().version().to_string(),
        // Problems of a newer version, which is therefore not in force.
        "policy_problems": app.gateway.policies_refused.borrow().len(),
        "sessions": app.gateway.sessions.list().len(),
    });
    (if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body)).into_response()
}

/// Prometheus' text form.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let kind = [(header::CONTENT_TYPE, crate::metrics::Metrics::CONTENT_TYPE)];
    (kind, app.gateway.metrics.render()).into_response()
}
