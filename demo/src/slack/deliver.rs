//! Hands something to the app, in Socket Mode or over HTTP, and waits for the acknowledgement.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use chrono::Utc;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::Shared;
use super::config::Mode;
use super::state::{Awaited, Outgoing, State};

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody typed a command.
    SlashCommand,
    /// Somebody pressed, chose, submitted or closed.
    Interactive,
    /// Something happened that the app subscribed to.
    Event,
}

/// Why the app did not get it, or did not say so in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Socket Mode, and no websocket is open.
    #[error("no Socket Mode connection is open")]
    NobodyConnected,
    /// The websocket closed before an acknowledgement came.
    #[error("the connection closed before the app acknowledged")]
    ConnectionLost,
    /// Nothing came within the time that Slack gives.
    #[error("the app did not acknowledge within {0:?}")]
    NotAcknowledged(Duration),
    /// The app's address did not take the request.
    #[error("the app's request URL can't be reached: {0}")]
    Unreachable(String),
    /// The app answered with something else than 200.
    #[error("the app answered with HTTP status {0}")]
    Status(u16),
}

impl Undelivered {
    /// Slack's word for it, as people see it after a failed command.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotAcknowledged(_) => "operation_timeout",
            Self::Status(_) => "dispatch_unknown_error",
            Self::NobodyConnected | Self::ConnectionLost | Self::Unreachable(_) => "dispatch_failed",
        }
    }
}

/// The how-manieth delivery of an event this is, and why it is repeated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempt {
    pub number: usize,
    pub reason: &'static str,
}

impl Shared {
    /// Delivers and waits. `Ok` holds what the app sent along with its acknowledgement, `null` if nothing.
    pub async fn deliver(&self, kind: Kind, payload: &Value, attempt: Attempt) -> Result<Value, Undelivered> {
        let (mode, within, is_down) = self.read(|state| (state.mode().clone(), state.config.ack_within, state.is_down));
        if is_down {
            return Err(Undelivered::NobodyConnected);
        }
        match mode {
            Mode::Socket => self.over_socket(kind, payload, attempt, within).await,
            Mode::Http { request_url } => self.over_http(&request_url, kind, payload, attempt, within).await,
        }
    }

    async fn over_socket(
        &self,
        kind: Kind,
        payload: &Value,
        attempt: Attempt,
        within: Duration,
    ) -> Result<Value, Undelivered> {
        let (id, answer) = {
            let mut state = self.lock();
            send_envelope(&mut state, kind, payload, attempt)?
        };
        let answer = timeout(within, answer).await;
        self.change(|state| state.awaited.remove(&id));
        match answer {
            Ok(Ok(ack)) => Ok(ack["payload"].clone()),
            Ok(Err(_)) => Err(Undelivered::ConnectionLost),
            Err(_) => Err(Undelivered::NotAcknowledged(within)),
        }
    }

    async fn over_http(
        &self,
        base: &str,
        kind: Kind,
        payload: &Value,
        attempt: Attempt,
        within: Duration,
    ) -> Result<Value, Undelivered> {
        let (path, content_type, body) = match kind {
            Kind::SlashCommand => ("/slack/commands", FORM, form_of(payload)),
            Kind::Interactive => ("/slack/interactive", FORM, form_of(&json!({"payload": payload.to_string()}))),
            Kind::Event => ("/slack/events", "application/json", payload.to_string()),
        };
        let timestamp = Utc::now().timestamp().to_string();
        let signature = self.read(|state| sign(&state.config.signing_secret, &timestamp, &body));
        let mut request = self
            .client
            .post(format!("{}{path}", base.trim_end_matches('/')))
            .header("content-type", content_type)
            .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
            .header("x-slack-request-timestamp", &timestamp)
            .header("x-slack-signature", signature);
        if attempt.number > 0 {
            request = request
                .header("x-slack-retry-num", attempt.number.to_string())
                .header("x-slack-retry-reason", attempt.reason);
        }
        let exchange = async {
            let response = request.body(body).send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        };
        match timeout(within, exchange).await {
            Err(_) => Err(Undelivered::NotAcknowledged(within)),
            Ok(Err(error)) => Err(Undelivered::Unreachable(error.to_string())),
            Ok(Ok((status, _))) if status.as_u16() != 200 => Err(Undelivered::Status(status.as_u16())),
            Ok(Ok((_, text))) => {
                let answer = answer_of(&text);
                self.change(|state| state.acks.push(json!({"payload": answer.clone()})));
                Ok(answer)
            }
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Puts an envelope on one of the open connections, each in its turn.
fn send_envelope(
    state: &mut State,
    kind: Kind,
    payload: &Value,
    attempt: Attempt,
) -> Result<(String, oneshot::Receiver<Value>), Undelivered> {
    let open: Vec<usize> =
        state.connections.iter().enumerate().filter(|(_, one)| !one.retiring).map(|(index, _)| index).collect();
    let turn = state.next_connection.checked_rem(open.len()).ok_or(Undelivered::NobodyConnected)?;
    state.next_connection = state.next_connection.wrapping_add(1);
    let id = Uuid::new_v4().to_string();
    let mut envelope = json!({
        "envelope_id": id, "payload": payload, "type": envelope_type(kind),
        "accepts_response_payload": accepts_response(kind, payload),
    });
    if kind == Kind::Event {
        envelope["retry_attempt"] = json!(attempt.number);
        envelope["retry_reason"] = json!(attempt.reason);
    }
    let Some(connection) = open.get(turn).and_then(|index| state.connections.get(*index)) else {
        return Err(Undelivered::NobodyConnected);
    };
    let connection_id = connection.id;
    connection.out.send(Outgoing::Text(envelope)).map_err(|_| Undelivered::ConnectionLost)?;
    let (answer, receiver) = oneshot::channel();
    state.awaited.insert(id.clone(), Awaited { connection: connection_id, answer });
    Ok((id, receiver))
}

fn envelope_type(kind: Kind) -> &'static str {
    match kind {
        Kind::SlashCommand => "slash_commands",
        Kind::Interactive => "interactive",
        Kind::Event => "events_api",
    }
}

/// Button presses and events take a bare acknowledgement only.
fn accepts_response(kind: Kind, payload: &Value) -> bool {
    match kind {
        Kind::SlashCommand => true,
        Kind::Interactive => matches!(payload["type"].as_str(), Some("view_submission" | "block_suggestion")),
        Kind::Event => false,
    }
}

fn form_of(fields: &Value) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in fields.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => form.append_pair(key, text),
            other => form.append_pair(key, &other.to_string()),
        };
    }
    form.finish()
}

/// An empty body, JSON, or plain text that stands for a message.
fn answer_of(text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| json!({"text": text}))
}

/// `v0=` and the HMAC-SHA-256 of `v0:{timestamp}:{body}`,
/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>.
pub(super) fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("v0:{timestamp}:{body}").as_bytes());
    tag.as_ref().iter().fold(String::from("v0="), |mut text, byte| {
        // Writing to a String can't fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
