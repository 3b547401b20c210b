//! HTTP mode: Slack posts to us. Verified on the raw body, answered at once, worked on in a task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use chrono::Utc;
use countersign_shared::secret::Secret;
use serde_json::{Map, Value, json};

use super::{
    decode, decode_access,
    verify::{self, Unverified},
};
use crate::Bot;

/// The largest body that is read.
const BODY_LIMIT: usize = 1 << 20;

/// The signatures of the last minutes, so that a captured request does nothing a second time.
#[derive(Default)]
struct Seen(Mutex<HashMap<String, i64>>);

impl Seen {
    /// Whether `signature` is new; it is not from now on.
    fn is_new(&self, signature: &str, now: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond twice the window a signature is stale whatever the clocks say.
        seen.retain(|_, at| now.abs_diff(*at) <= 2 * verify::WINDOW);
        seen.insert(signature.to_ascii_lowercase(), now).is_none()
    }
}

struct Inbox {
    bot: Bot,
    secret: Secret<String>,
    seen: Seen,
}

impl Inbox {
    /// Whether the request is Slack's: `Some(true)` for a new one, `Some(false)` for one seen before.
    fn check(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<bool, Unverified> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signature = header("x-slack-signature");
        let secret = self.secret.reveal().as_bytes();
        verify::verify(secret, header("x-slack-request-timestamp"), signature, body, now)?;
        Ok(self.seen.is_new(signature, now))
    }

    /// Verifies and hands over what `read` makes of the body.
    fn take(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        read: impl FnOnce(&[u8]) -> Option<decode::Incoming>,
    ) -> StatusCode {
        match self.check(headers, body, Utc::now().timestamp()) {
            Err(error) => {
                tracing::warn!(%error, "a request to a Slack address was refused");
                StatusCode::UNAUTHORIZED
            }
            Ok(false) => StatusCode::OK,
            Ok(true) => {
                if let Some(incoming) = read(body) {
                    self.bot.receive(incoming);
                }
                StatusCode::OK
            }
        }
    }
}

/// `POST /slack/events`, `/slack/interactive` and `/slack/commands`, for the public listener.
pub(crate) fn routes(bot: Bot, secret: Secret<String>) -> Router {
    Router::new()
        .route("/slack/events", post(events))
        .route("/slack/interactive", post(interactive))
        .route("/slack/commands", post(commands))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::new(Inbox { bot, secret, seen: Seen::default() }))
}

/// Events; and Slack checks the address.
async fn events(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> Response {
    let status = inbox.take(&headers, &body, |body| decode_access::event(&serde_json::from_slice(body).ok()?));
    let challenge = || serde_json::from_slice::<Value>(&body).ok()?.get("challenge").cloned();
    match (status, challenge()) {
        (StatusCode::OK, Some(challenge)) => Json(json!({ "challenge": challenge })).into_response(),
        _ => status.into_response(),
    }
}

async fn interactive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    inbox.take(&headers, &body, |body| {
        let payload = form(body).remove("payload")?;
        decode::interaction(&serde_json::from_str(payload.as_str()?).ok()?)
    })
}

async fn commands(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    inbox.take(&headers, &body, |body| decode::command(&Value::Object(form(body))))
}

fn form(body: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_once() {
        let seen = Seen::default();
        assert!(seen.is_new("v0=ab", 1_000));
        assert!(!seen.is_new("v0=AB", 1_001), "hexadecimal digits in capitals are the same signature");
        assert!(seen.is_new("v0=cd", 1_002));
        assert!(seen.is_new("v0=ab", 1_700), "stale by then, so it can be forgotten");
    }
}
