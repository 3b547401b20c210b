//! Socket Mode: the websocket that `apps.connections.open` led to.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Shared;
use super::state::{Connection, Outgoing, State};

/// Slack pings; an app that hears nothing for half a minute reconnects.
const PING_EVERY: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Link {
    ticket: Option<String>,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/link/", get(link)).route("/link", get(link))
}

async fn link(
    Extract(shared): Extract<Arc<Shared>>,
    Query(Link { ticket }): Query<Link>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let is_good = shared.change(|state| !state.is_down && spend_ticket(state, ticket.as_deref()));
    if !is_good {
        return (StatusCode::FORBIDDEN, "the ticket is unknown or used").into_response();
    }
    upgrade.on_upgrade(move |socket| run(shared, socket))
}

/// A ticket opens one connection.
fn spend_ticket(state: &mut State, ticket: Option<&str>) -> bool {
    let found = state.tickets.iter().position(|known| Some(known.as_str()) == ticket);
    found.map(|index| state.tickets.swap_remove(index)).is_some()
}

async fn run(shared: Arc<Shared>, mut socket: WebSocket) {
    let id = Uuid::new_v4();
    let (out, mut outgoing) = mpsc::unbounded_channel();
    let hello = shared.change(|state| {
        state.connections.push(Connection { id, out, retiring: false });
        hello(state)
    });
    let mut alive = socket.send(Frame::Text(hello.to_string().into())).await.is_ok();
    let mut ping = tokio::time::interval(PING_EVERY);
    while alive {
        alive = tokio::select! {
            () = shared.stop.cancelled() => false,
            _ = ping.tick() => socket.send(Frame::Ping("stand-in".into())).await.is_ok(),
            next = outgoing.recv() => match next {
                Some(Outgoing::Text(text)) => socket.send(Frame::Text(text.to_string().into())).await.is_ok(),
                Some(Outgoing::Close) | None => false,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    receive(&shared, text.as_str());
                    true
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => false,
                Some(Ok(_)) => true,
            },
        };
    }
    shared.change(|state| {
        state.connections.retain(|connection| connection.id != id);
        // Dropping the senders tells those who wait that nothing will come.
        state.awaited.retain(|_, awaited| awaited.connection != id);
    });
    // The other side may be gone already; there is nobody to tell.
    drop(socket.send(Frame::Close(None)).await);
}

fn hello(state: &State) -> Value {
    json!({
        "type": "hello", "num_connections": state.connections.len(),
        "debug_info": debug_info(), "connection_info": {"app_id": state.app().id},
    })
}

fn debug_info() -> Value {
    json!({"host": "applink-stand-in", "build_number": 1, "approximate_connection_time": 18_060})
}

/// An acknowledgement: `{"envelope_id": …, "payload": …}`.
fn receive(shared: &Shared, text: &str) {
    let Ok(ack) = serde_json::from_str::<Value>(text) else {
        tracing::warn!("an app sent something over Socket Mode that is not JSON");
        return;
    };
    shared.change(|state| {
        state.acks.push(ack.clone());
        let awaited = ack["envelope_id"].as_str().and_then(|id| state.awaited.remove(id));
        if let Some(awaited) = awaited {
            // Whoever waited may have given up: the acknowledgement came too late.
            drop(awaited.answer.send(ack));
        }
    });
}

/// Asks every connection to reconnect, as Slack does every few hours.
pub(super) fn refresh(state: &mut State) {
    let text = json!({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "applink-stand-in"}});
    for connection in &mut state.connections {
        connection.retiring = true;
        // A connection that is closing on its own needs no telling.
        drop(connection.out.send(Outgoing::Text(text.clone())));
    }
}

/// Closes every connection without a word.
pub(super) fn drop_all(state: &mut State) {
    for connection in state.connections.drain(..) {
        // A connection that is closing on its own needs no telling.
        drop(connection.out.send(Outgoing::Close));
    }
    state.awaited.clear();
}
