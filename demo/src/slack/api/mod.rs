//! The Web API: finds the method, checks token and scope, applies the failures that a test ordered, and logs the call.

mod arguments;
mod chat;
mod content;
mod directory;
pub(super) mod files;
mod history;
mod sockets;
pub(super) mod views;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::any};
use serde_json::{Map, Value, json};

pub(super) use arguments::Arguments;
pub(super) use content::content;

use super::Shared;
use super::state::{Fault, State};

/// An answer with `ok: false`.
pub(super) struct Refused {
    pub word: String,
    /// Sentences that say where the arguments are wrong.
    pub details: Vec<String>,
    pub more: Map<String, Value>,
}

impl Refused {
    pub fn detailed(word: &str, details: Vec<String>) -> Self {
        Self { word: word.to_owned(), details, more: Map::new() }
    }

    pub fn missing(argument: &str) -> Self {
        Self::detailed("invalid_arguments", vec![format!("missing required field: {argument}")])
    }

    fn into_json(self) -> Value {
        let mut answer = json!({"ok": false, "error": self.word});
        if !self.details.is_empty() {
            let lines: Vec<_> = self.details.iter().map(|detail| format!("[ERROR] {detail}")).collect();
            answer["errors"] = json!(self.details);
            answer["response_metadata"] = json!({"messages": lines});
        }
        if let Some(answer) = answer.as_object_mut() {
            answer.extend(self.more);
        }
        answer
    }
}

impl From<&str> for Refused {
    fn from(word: &str) -> Self {
        Self::detailed(word, Vec::new())
    }
}

/// What a method answers, besides `ok: true`.
pub(super) type Answer = Result<Value, Refused>;

type Handler = fn(&mut State, &Arguments) -> Answer;

/// Every method: its name, the scope that it needs (nothing: any bot token; `connections:write`: the app token).
const METHODS: &[(&str, &str, Handler)] = &[
    ("api.test", "", |_, _| Ok(json!({}))),
    ("auth.test", "", directory::auth_test),
    ("apps.connections.open", CONNECTIONS, sockets::open),
    ("chat.postMessage", "chat:write", chat::post_message),
    ("chat.update", "chat:write", chat::update),
    ("chat.delete", "chat:write", chat::delete),
    ("chat.postEphemeral", "chat:write", chat::post_ephemeral),
    ("chat.getPermalink", "", chat::get_permalink),
    ("views.open", "", views::open),
    ("views.push", "", views::push),
    ("views.update", "", views::update),
    ("views.publish", "", views::publish),
    ("users.info", "users:read", directory::users_info),
    ("users.list", "users:read", directory::users_list),
    ("users.lookupByEmail", "users:read.email", directory::users_lookup_by_email),
    ("usergroups.list", "usergroups:read", directory::usergroups_list),
    ("usergroups.users.list", "usergroups:read", directory::usergroups_users_list),
    ("conversations.open", "im:write", directory::conversations_open),
    ("files.getUploadURLExternal", "files:write", files::get_upload_url),
    ("files.completeUploadExternal", "files:write", files::complete_upload),
    // The scope depends on the channel; the method looks.
    ("conversations.info", "", directory::conversations_info),
    ("conversations.members", "", directory::conversations_members),
    ("conversations.history", "", history::conversations_history),
    ("conversations.replies", "", history::conversations_replies),
];

const CONNECTIONS: &str = "connections:write";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/{*method}", any(call)).merge(files::routes())
}

async fn call(
    Extract(shared): Extract<Arc<Shared>>,
    Path(name): Path<String>,
    http_method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.read(|state| state.is_down) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let arguments = Arguments::read(&http_method, query.as_deref(), &headers, &body);
    let (arguments, problem) = match arguments {
        Ok(arguments) => (arguments, None),
        Err(refused) => (Arguments::default(), Some(refused)),
    };
    let token = bearer(&headers).or_else(|| arguments.token()).map(str::to_owned);
    let answer = shared.change(|state| answer(state, &name, token.as_deref(), &arguments, problem));
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

/// `None` where the answer gets lost.
fn answer(
    state: &mut State,
    name: &str,
    token: Option<&str>,
    arguments: &Arguments,
    problem: Option<Refused>,
) -> Option<Response> {
    let logged = arguments.without_token();
    let mut lost = false;
    match state.take_fault(name) {
        Some(Fault::Unanswered) => lost = true,
        Some(Fault::RateLimited { retry_after }) => {
            state.note_call(name, logged, "ratelimited");
            let wait = [(header::RETRY_AFTER, retry_after.to_string())];
            let limited = Json(json!({"ok": false, "error": "ratelimited"}));
            return Some((StatusCode::TOO_MANY_REQUESTS, wait, limited).into_response());
        }
        Some(Fault::Status(status)) => {
            state.note_call(name, logged, &format!("HTTP {status}"));
            return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response());
        }
        Some(Fault::Error(word)) => {
            state.note_call(name, logged, &word);
            return Some(Json(Refused::from(word.as_str()).into_json()).into_response());
        }
        None => {}
    }
    let result = match problem {
        Some(refused) => Err(refused),
        None => run(state, name, token, arguments),
    };
    let (outcome, answer) = match result {
        Ok(mut answer) => {
            answer["ok"] = json!(true);
            ("ok".to_owned(), answer)
        }
        Err(refused) => (refused.word.clone(), refused.into_json()),
    };
    state.note_call(name, logged, &outcome);
    let scopes = [("x-oauth-scopes", state.config.scopes.join(","))];
    (!lost).then(|| (scopes, Json(answer)).into_response())
}

fn run(state: &mut State, name: &str, token: Option<&str>, arguments: &Arguments) -> Answer {
    let Some((_, scope, handler)) = METHODS.iter().find(|(method, ..)| *method == name) else {
        let mut refused = Refused::from("unknown_method");
        refused.more.insert("req_method".to_owned(), json!(name));
        return Err(refused);
    };
    authorise(state, token, scope)?;
    handler(state, arguments)
}

/// Slack's order: is there a token, is it known, is it of the right kind, has it the scope.
fn authorise(state: &State, token: Option<&str>, scope: &str) -> Result<(), Refused> {
    let token = token.ok_or("not_authed")?;
    let is_app = token == state.config.app_token;
    if !is_app && token != state.config.bot_token {
        return Err("invalid_auth".into());
    }
    if is_app != (scope == CONNECTIONS) {
        return Err("not_allowed_token_type".into());
    }
    if scope.is_empty() || scope == CONNECTIONS { Ok(()) } else { granted(state, scope) }
}

/// Whether the bot token has a scope.
fn granted(state: &State, scope: &str) -> Result<(), Refused> {
    if state.config.scopes.iter().any(|have| have == scope) {
        return Ok(());
    }
    let mut refused = Refused::from("missing_scope");
    refused.more.insert("needed".to_owned(), json!(scope));
    refused.more.insert("provided".to_owned(), json!(state.config.scopes.join(",")));
    Err(refused)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
