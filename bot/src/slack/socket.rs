//! Socket Mode: slack-morphism opens, pings and reopens the connection; we read its frames.
//!
//! The library acknowledges after its callback and drops what its models don't know. Slack wants
//! an answer in three seconds, so here a frame is acknowledged at once and worked on in a task.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use countersign_shared::secret::Secret;
use serde_json::{Value, json};
use slack_morphism::{
    SlackClientSocketModeConfig, SlackSocketModeClientListener, SlackSocketModeWssClientId,
    clients_manager::{SlackSocketModeClientsManager, SlackSocketModeClientsManagerFactory},
    listener::SlackClientEventsListenerEnvironment,
};
use tokio_util::sync::CancellationToken;

use super::{connect, decode, decode_access};
use crate::Bot;

type Manager = dyn SlackSocketModeClientsManager + Send + Sync;

/// How long we wait for the library to be connected again before starting it afresh. It calls
/// `apps.connections.open` without a deadline, so it could wait for ever.
const STALLED: Duration = Duration::from_secs(60);

/// Since when there is no connection; `None` while there is one.
#[derive(Default)]
struct Down(Mutex<Option<Instant>>);

impl Down {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn too_long(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() > STALLED)
    }
}

struct Listener {
    manager: Weak<Manager>,
    bot: Bot,
    down: Arc<Down>,
}

impl Listener {
    async fn reopen(&self, id: &SlackSocketModeWssClientId) {
        self.down.set(Some(Instant::now()));
        if let Some(manager) = self.manager.upgrade() {
            manager.restart_client(id).await;
        }
    }
}

/// What to do with a frame.
#[derive(Debug, PartialEq)]
enum Frame {
    Hello,
    Disconnect,
    /// To be acknowledged, with what to work on.
    Envelope(String, Option<Box<decode::Incoming>>),
    Noise,
}

fn read(body: &str) -> Frame {
    let Ok(frame) = serde_json::from_str::<Value>(body) else { return Frame::Noise };
    let payload = frame.get("payload").unwrap_or(&Value::Null);
    let incoming = match frame.get("type").and_then(Value::as_str) {
        Some("hello") => return Frame::Hello,
        Some("disconnect") => return Frame::Disconnect,
        Some("interactive") => decode::interaction(payload),
        Some("slash_commands") => decode::command(payload),
        Some("events_api") => decode_access::event(payload),
        _ => None,
    };
    match frame.get("envelope_id").and_then(Value::as_str) {
        Some(envelope) => Frame::Envelope(envelope.to_owned(), incoming.map(Box::new)),
        None => Frame::Noise,
    }
}

#[async_trait]
impl SlackSocketModeClientListener for Listener {
    async fn on_message(&self, id: &SlackSocketModeWssClientId, body: String) -> Option<String> {
        match read(&body) {
            Frame::Hello => {
                self.down.set(None);
                tracing::info!("connected to Slack in Socket Mode");
                None
            }
            Frame::Disconnect => {
                self.reopen(id).await;
                None
            }
            Frame::Envelope(envelope, incoming) => {
                if let Some(incoming) = incoming {
                    self.bot.receive(*incoming);
                }
                Some(json!({ "envelope_id": envelope }).to_string())
            }
            Frame::Noise => None,
        }
    }

    async fn on_error(&self, error: Box<dyn std::error::Error + Send + Sync>) {
        tracing::warn!(%error, "Slack's socket failed; it will be reopened");
    }

    async fn on_disconnect(&self, id: &SlackSocketModeWssClientId) {
        self.reopen(id).await;
    }
}

/// Keeps one Socket Mode connection until `shutdown`.
pub(crate) async fn serve(bot: &Bot, app_token: &Secret<String>, shutdown: &CancellationToken) {
    let client = bot.slack().client.clone();
    let environment = Arc::new(SlackClientEventsListenerEnvironment::new(client.clone()));
    let config = SlackClientSocketModeConfig::new()
        .with_max_connections_count(1)
        .with_initial_backoff_in_seconds(0)
        .with_reconnect_timeout_in_seconds(2)
        .with_ping_interval_in_seconds(10)
        .with_ping_failure_threshold_times(3);
    while !shutdown.is_cancelled() {
        let manager: Arc<Manager> = client.http_api.connector.new_clients_manager(environment.clone());
        let down = Arc::new(Down::default());
        down.set(Some(Instant::now()));
        let listener = Listener { manager: Arc::downgrade(&manager), bot: bot.clone(), down: down.clone() };
        if let Err(error) = manager.register_new_token(&config, connect::token(app_token), Arc::new(listener)).await {
            tracing::warn!(%error, "Slack's Socket Mode could not be set up");
        }
        manager.start().await;
        until_stalled(&down, shutdown).await;
        manager.shutdown().await;
    }
}

async fn until_stalled(down: &Down, shutdown: &CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => {
                if down.too_long() {
                    tracing::warn!("no connection to Slack for a minute; starting Socket Mode afresh");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_envelope_is_acknowledged_even_one_that_is_not_ours() {
        let table = [
            (r#"{"type":"hello","num_connections":1}"#, Frame::Hello),
            (r#"{"type":"disconnect","reason":"warning"}"#, Frame::Disconnect),
            (r#"{"type":"events_api","envelope_id":"e","payload":{}}"#, Frame::Envelope("e".into(), None)),
            (r#"{"type":"news","envelope_id":"e"}"#, Frame::Envelope("e".into(), None)),
            (r#"{"type":"interactive","envelope_id":"e","payload":{}}"#, Frame::Envelope("e".into(), None)),
            ("not JSON", Frame::Noise),
        ];
        for (body, expected) in table {
            assert_eq!(read(body), expected, "{body}");
        }
    }
}
