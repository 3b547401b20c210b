//! What one person sees, as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State as Extract};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::config::{Channel, Mode};
use super::super::state::State;

#[derive(Deserialize)]
pub(super) struct Seen {
    user: Option<String>,
    channel: Option<String>,
}

pub(super) async fn screen(Extract(shared): Extract<Arc<Shared>>, Query(seen): Query<Seen>) -> Json<Value> {
    Json(shared.read(|state| look(state, &seen)))
}

fn look(state: &State, seen: &Seen) -> Value {
    let people = || state.config.people.iter();
    let user = seen.user.clone().filter(|id| state.person(id).is_some());
    let user = user.or_else(|| people().find(|person| !person.is_bot).map(|person| person.id.clone()));
    let user = user.unwrap_or_default();
    let visible = |channel: &&Channel| {
        channel.has(&user) && (channel.direct_with.is_none() || channel.direct_with.as_deref() == Some(user.as_str()))
    };
    let channels: Vec<&Channel> = state.config.channels.iter().filter(visible).collect();
    let wanted = channels.iter().find(|channel| Some(&channel.id) == seen.channel.as_ref());
    let channel = wanted.or_else(|| channels.first()).map(|channel| channel.id.clone()).unwrap_or_default();
    let here = |place: &str| place == channel;
    let mut items: Vec<Value> = state
        .messages
        .iter()
        .chain(state.ephemerals.iter().filter(|message| message.visible_to.as_deref() == Some(&user)))
        .filter(|message| here(&message.channel))
        .map(|message| json!(message))
        .collect();
    let notices = state.notices.iter().filter(|notice| notice.user == user);
    let notices = notices.filter(|notice| notice.channel.as_deref().is_none_or(here));
    items.extend(notices.map(|notice| json!({"notice": notice.text, "ts": notice.ts})));
    items.sort_by(|one, other| one["ts"].as_str().cmp(&other["ts"].as_str()));
    let latest = |channel: &Channel| {
        let messages = state.messages.iter().filter(|message| message.channel == channel.id);
        messages.map(|message| message.ts.as_str()).max().map(str::to_owned)
    };
    json!({
        "team": state.team(), "app": state.app(), "user": user, "channel": channel,
        "people": people().map(|person| json!({
            "id": person.id, "name": person.name, "real_name": person.real_name, "is_bot": person.is_bot,
            "deleted": person.deleted, "guest": person.is_restricted || person.is_ultra_restricted,
            "stranger": person.is_stranger, "admin": person.is_admin,
        })).collect::<Vec<_>>(),
        "usergroups": state.config.usergroups.iter().map(|group| json!({"id": group.id, "handle": group.handle}))
            .collect::<Vec<_>>(),
        "channels": channels.iter().map(|channel| json!({
            "id": channel.id, "name": channel.name, "direct": channel.direct_with.is_some(),
            "private": channel.is_private, "latest": latest(channel),
        })).collect::<Vec<_>>(),
        "items": items,
        "views": state.views.iter().filter(|view| view.user == user).collect::<Vec<_>>(),
        "home": state.homes.get(&user),
        "commands": state.config.commands,
        "connected": matches!(state.mode(), Mode::Http { .. }) || !state.connections.is_empty(),
    })
}
