//! `response_url`: an app's answer to one interaction, five times within half an hour, without a token.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Shared;
use super::api::{Arguments, content};
use super::state::{Content, Fault, State, is_alive};

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/actions/{team}/{time}/{secret}", post(respond))
        .route("/commands/{team}/{time}/{secret}", post(respond))
}

async fn respond(
    Extract(shared): Extract<Arc<Shared>>,
    Path((_, time, secret)): Path<(String, String, String)>,
    body: Bytes,
) -> Response {
    if shared.read(|state| state.is_down) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "invalid_payload");
    };
    shared.change(|state| {
        let logged = Value::Object(body.clone());
        let result = ordered_fault(state)
            .unwrap_or_else(|| answer(state, &format!("{time}/{secret}"), &Arguments::from_object(body)));
        state.note_call("response_url", logged, result.err().map_or("ok", |(_, word)| word));
        match result {
            Ok(()) => "ok".into_response(),
            Err((status, word)) => refusal(status, word),
        }
    })
}

type Refusal = (StatusCode, &'static str);

fn refusal(status: StatusCode, word: &str) -> Response {
    (status, Json(json!({"ok": false, "error": word}))).into_response()
}

fn ordered_fault(state: &mut State) -> Option<Result<(), Refusal>> {
    Some(Err(match state.take_fault("response_url")? {
        Fault::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "ratelimited"),
        Fault::Error(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        Fault::Unanswered => (StatusCode::GATEWAY_TIMEOUT, "internal_error"),
        Fault::Status(status) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "internal_error")
        }
    }))
}

fn answer(state: &mut State, key: &str, arguments: &Arguments) -> Result<(), Refusal> {
    let url = state.response_urls.get_mut(key).ok_or((StatusCode::NOT_FOUND, "expired_url"))?;
    if !is_alive(url.expires) {
        return Err((StatusCode::NOT_FOUND, "expired_url"));
    }
    if url.uses_left == 0 {
        return Err((StatusCode::NOT_FOUND, "used_url"));
    }
    url.uses_left -= 1;
    let (channel, user, original) = (url.channel.clone(), url.user.clone(), url.original.clone());
    if arguments.flag("delete_original") {
        if let Some(ts) = &original {
            delete(state, &channel, ts);
        }
        return Ok(());
    }
    let content = content(arguments).map_err(|refused| match refused.word.as_str() {
        "no_text" => (StatusCode::INTERNAL_SERVER_ERROR, "no_text"),
        "invalid_blocks" => (StatusCode::BAD_REQUEST, "invalid_blocks"),
        _ => (StatusCode::BAD_REQUEST, "invalid_payload"),
    })?;
    match original {
        Some(ts) if arguments.flag("replace_original") => replace(state, &channel, &ts, content),
        _ => post_as_answer(state, &channel, &user, arguments.text("response_type"), content),
    }
    Ok(())
}

/// Posts what answers an interaction: for its user alone, unless it says `in_channel`.
pub(super) fn post_as_answer(
    state: &mut State,
    channel: &str,
    user: &str,
    response_type: Option<&str>,
    content: Content,
) {
    if response_type == Some("in_channel") {
        state.post(channel, None, content);
    } else {
        state.post_ephemeral(channel, user, content);
    }
}

fn delete(state: &mut State, channel: &str, ts: &str) {
    state.messages.retain(|message| message.channel != channel || message.ts != ts);
    state.ephemerals.retain(|message| message.channel != channel || message.ts != ts);
}

fn replace(state: &mut State, channel: &str, ts: &str, content: Content) {
    let edited = state.fresh_ts();
    let message = state
        .messages
        .iter_mut()
        .chain(&mut state.ephemerals)
        .find(|message| message.channel == channel && message.ts == ts);
    if let Some(message) = message {
        message.text = content.text;
        message.blocks = content.blocks;
        message.edited = Some(edited);
        message.edits += 1;
    }
}
