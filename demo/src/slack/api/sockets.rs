//! `apps.connections.open`

use serde_json::json;
use uuid::Uuid;

use super::super::config::Mode;
use super::super::state::State;
use super::{Answer, Arguments};

pub(super) fn open(state: &mut State, _: &Arguments) -> Answer {
    if *state.mode() != Mode::Socket {
        return Err("socket_mode_not_enabled".into());
    }
    let ticket = Uuid::new_v4().to_string();
    state.tickets.push(ticket.clone());
    let host = state.base.trim_start_matches("http://");
    Ok(json!({"url": format!("ws://{host}/link/?ticket={ticket}&app_id={}", state.app().id)}))
}
