//! The page at `/`: the workspace in a browser, and the driving interface over HTTP that it uses (`/stand-in/…`).
//!
//! It needs no sign-in: whoever reaches it is anybody. So it answers on loopback names only, and to itself only.

mod guard;
mod screen;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, Request, State as Extract};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::wrappers::WatchStream;

use super::act::ActError;
use super::config::Person;
use super::{Shared, Submission, Workspace};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page.html"))))
        .route("/stand-in/page.css", get(|| file("text/css; charset=utf-8", include_str!("page.css"))))
        .route("/stand-in/page.js", get(|| file("text/javascript; charset=utf-8", include_str!("page.js"))))
        .route("/stand-in/blocks.js", get(|| file("text/javascript; charset=utf-8", include_str!("blocks.js"))))
        .route("/stand-in/mrkdwn.js", get(|| file("text/javascript; charset=utf-8", include_str!("mrkdwn.js"))))
        .route("/stand-in/screen", get(screen::screen))
        .route("/stand-in/updates", get(updates))
        .route("/stand-in/calls", get(calls))
        .route("/stand-in/act", post(act))
        .layer(from_fn(guarded))
}

async fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// Refuses other sites' pages, and forbids the page itself to load anything from elsewhere.
async fn guarded(request: Request, next: Next) -> Response {
    if let Err(why) = guard::check(request.method(), request.headers()) {
        return (StatusCode::FORBIDDEN, format!("Refused: {why}\n")).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// One event for each change of the workspace; the page then asks for the screen again.
async fn updates(Extract(shared): Extract<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let versions = WatchStream::new(shared.changed.subscribe());
    let stop = shared.stop.clone();
    let events = versions.map(|version| Ok(Event::default().data(version.to_string())));
    Sse::new(events.take_until(async move { stop.cancelled().await })).keep_alive(KeepAlive::default())
}

#[derive(Deserialize)]
struct CallsOf {
    method: Option<String>,
}

/// The calls that the app made.
async fn calls(Extract(shared): Extract<Arc<Shared>>, Query(CallsOf { method }): Query<CallsOf>) -> Json<Value> {
    let calls = shared.read(|state| {
        let wanted = state.calls.iter().filter(|call| method.as_ref().is_none_or(|method| *method == call.method));
        json!(wanted.collect::<Vec<_>>())
    });
    Json(json!({"calls": calls}))
}

/// Something that a person, or a test from outside, does to the workspace.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Act {
    Press { user: String, channel: String, ts: String, action_id: String },
    Choose { user: String, channel: String, ts: String, action_id: String, value: String },
    PressInView { user: String, view: String, action_id: String },
    Say { user: String, channel: String, text: String },
    Command { user: String, channel: String, command: String, text: String },
    Submit { user: String, view: String, values: Vec<(String, String)> },
    Close { user: String, view: String },
    OpenHome { user: String },
    RateLimit { method: String, times: usize, retry_after: u64 },
    Fail { method: String, times: usize, error: String },
    BreakDown { method: String, times: usize, status: u16 },
    DropConnections,
    RefreshConnections,
    GoDown,
    ComeBack,
    ExpireEverything,
    SetUser { person: Person },
}

async fn act(Extract(shared): Extract<Arc<Shared>>, Json(wanted): Json<Act>) -> Json<Value> {
    let workspace = Workspace::borrowed(&shared);
    Json(match perform(&workspace, wanted).await {
        Ok(outcome) => json!({"ok": true, "outcome": outcome}),
        Err(error) => json!({"ok": false, "error": error.to_string()}),
    })
}

async fn perform(workspace: &Workspace, wanted: Act) -> Result<Value, ActError> {
    match wanted {
        Act::Press { user, channel, ts, action_id } => workspace.press(&user, &channel, &ts, &action_id).await?,
        Act::Choose { user, channel, ts, action_id, value } => {
            workspace.choose(&user, &channel, &ts, &action_id, &value).await?;
        }
        Act::PressInView { user, view, action_id } => workspace.press_in_view(&user, &view, &action_id).await?,
        Act::Say { user, channel, text } => {
            workspace.say(&user, &channel, &text)?;
        }
        Act::Command { user, channel, command, text } => {
            workspace.command(&user, &channel, &command, &text).await?;
        }
        Act::Submit { user, view, values } => {
            let values: Vec<(&str, &str)> = values.iter().map(|(id, value)| (id.as_str(), value.as_str())).collect();
            return Ok(outcome(workspace.submit_view(&user, &view, &values).await?));
        }
        Act::Close { user, view } => workspace.close_view(&user, &view).await?,
        Act::OpenHome { user } => workspace.open_home(&user)?,
        Act::RateLimit { method, times, retry_after } => workspace.rate_limit(&method, times, retry_after),
        Act::Fail { method, times, error } => workspace.fail(&method, times, &error),
        Act::BreakDown { method, times, status } => workspace.break_down(&method, times, status),
        Act::DropConnections => workspace.drop_connections(),
        Act::RefreshConnections => workspace.refresh_connections(),
        Act::GoDown => workspace.go_down(),
        Act::ComeBack => workspace.come_back(),
        Act::ExpireEverything => workspace.expire_everything(),
        Act::SetUser { person } => workspace.set_user(person),
    }
    Ok(Value::Null)
}

fn outcome(submission: Submission) -> Value {
    match submission {
        Submission::Closed => json!("closed"),
        Submission::Cleared => json!("cleared"),
        Submission::Errors(errors) => json!({"errors": errors}),
        Submission::Updated(view) => json!({"updated": view.id}),
        Submission::Pushed(view) => json!({"pushed": view.id}),
    }
}
