//! The JSON that Slack sends about what a user did,
//! <https://docs.slack.dev/reference/interaction-payloads>.

use serde_json::{Value, json};

use super::config::Person;
use super::message::{Message, View};
use super::state::{State, fresh_id};

/// What was acted on: where it is, and what was done to it.
pub(super) struct Acted<'a> {
    pub user: &'a str,
    pub block_id: &'a str,
    pub element: &'a Value,
    /// What was chosen, for elements that are not buttons.
    pub chosen: Option<&'a Value>,
}

fn user(state: &State, person: &Person) -> Value {
    json!({
        "id": person.id, "username": person.name, "name": person.name,
        "team_id": person.team_id.as_deref().unwrap_or(&state.team().id),
    })
}

fn user_by_id(state: &State, id: &str) -> Value {
    state.person(id).map_or_else(|| json!({"id": id}), |person| user(state, person))
}

fn team(state: &State) -> Value {
    json!({"id": state.team().id, "domain": state.team().domain})
}

/// A `block_actions` payload for an element of a message.
pub(super) fn block_actions(state: &mut State, acted: &Acted<'_>, message: &Message) -> Value {
    let is_ephemeral = message.visible_to.is_some();
    let trigger = state.grant_trigger(acted.user, None);
    let response_url = state.grant_response_url("actions", acted.user, &message.channel, Some(&message.ts));
    let mut container = json!({
        "type": "message", "message_ts": message.ts, "channel_id": message.channel, "is_ephemeral": is_ephemeral,
    });
    if let Some(thread) = &message.thread_ts {
        container["thread_ts"] = json!(thread);
    }
    let mut payload = frame(state, acted, trigger, container);
    payload["channel"] = json!({
        "id": message.channel,
        "name": state.channel(&message.channel).map(|channel| channel.name.clone()),
    });
    payload["state"] = json!({"values": initial_values(&message.blocks)});
    payload["response_url"] = json!(response_url);
    // Slack leaves the content of ephemeral messages out.
    if !is_ephemeral {
        payload["message"] = state.message_json(message);
    }
    payload
}

/// A `block_actions` payload for an element of a view.
pub(super) fn block_actions_in_view(state: &mut State, acted: &Acted<'_>, view: &View) -> Value {
    let trigger = state.grant_trigger(acted.user, Some(&view.id));
    let mut payload = frame(state, acted, trigger, json!({"type": "view", "view_id": view.id}));
    payload["view"] = view.to_json(state.team(), state.app(), json!(initial_values(view.blocks())));
    payload
}

fn frame(state: &mut State, acted: &Acted<'_>, trigger: String, container: Value) -> Value {
    let action_ts = state.fresh_ts();
    json!({
        "type": "block_actions", "user": user_by_id(state, acted.user), "api_app_id": state.app().id,
        "token": VERIFICATION_TOKEN, "container": container, "trigger_id": trigger, "team": team(state),
        "enterprise": null, "is_enterprise_install": false, "actions": [action(acted, &action_ts)],
    })
}

/// Deprecated by Slack in favour of signatures, but still sent.
const VERIFICATION_TOKEN: &str = "stand-in-verification-token";

fn action(acted: &Acted<'_>, action_ts: &str) -> Value {
    let kept = ["type", "action_id", "text", "value", "style", "url", "confirm", "placeholder"];
    let mut action = json!({"block_id": acted.block_id, "action_ts": action_ts});
    for key in kept {
        if let Some(value) = acted.element.get(key) {
            action[key] = value.clone();
        }
    }
    if let (Some(action), Some(Value::Object(chosen))) = (action.as_object_mut(), acted.chosen) {
        action.extend(chosen.clone());
    }
    action
}

/// A `view_submission` payload.
pub(super) fn view_submission(state: &mut State, view: &View, values: Value) -> Value {
    let trigger = state.grant_trigger(&view.user, Some(&view.id));
    json!({
        "type": "view_submission", "team": team(state), "user": user_by_id(state, &view.user),
        "api_app_id": state.app().id, "token": VERIFICATION_TOKEN, "trigger_id": trigger,
        "view": view.to_json(state.team(), state.app(), values), "response_urls": [],
        "is_enterprise_install": false, "enterprise": null,
    })
}

/// A `view_closed` payload.
pub(super) fn view_closed(state: &State, view: &View, is_cleared: bool) -> Value {
    json!({
        "type": "view_closed", "team": team(state), "user": user_by_id(state, &view.user),
        "api_app_id": state.app().id, "token": VERIFICATION_TOKEN,
        "view": view.to_json(state.team(), state.app(), json!({})), "is_cleared": is_cleared,
        "is_enterprise_install": false, "enterprise": null,
    })
}

/// The fields of a slash command.
pub(super) fn slash_command(state: &mut State, user: &str, channel: &str, command: &str, text: &str) -> Value {
    let trigger = state.grant_trigger(user, None);
    let response_url = state.grant_response_url("commands", user, channel, None);
    let name = state.person(user).map(|person| person.name.clone());
    json!({
        "token": VERIFICATION_TOKEN, "team_id": state.team().id, "team_domain": state.team().domain,
        "channel_id": channel, "channel_name": state.channel(channel).map(|channel| channel.name.clone()),
        "user_id": user, "user_name": name, "command": command, "text": text, "api_app_id": state.app().id,
        "is_enterprise_install": "false", "response_url": response_url, "trigger_id": trigger,
    })
}

/// The wrapper of the Events API.
pub(super) fn event_callback(state: &State, event: Value) -> Value {
    json!({
        "token": VERIFICATION_TOKEN, "team_id": state.team().id, "api_app_id": state.app().id, "event": event,
        "type": "event_callback", "event_id": fresh_id('E'), "event_time": chrono::Utc::now().timestamp(),
        "authorizations": [{
            "enterprise_id": null, "team_id": state.team().id, "user_id": state.app().bot_user_id, "is_bot": true,
            "is_enterprise_install": false,
        }],
        "is_ext_shared_channel": false, "context_team_id": state.team().id, "context_enterprise_id": null,
    })
}

/// The state of inputs that nobody has touched yet.
pub(super) fn initial_values(blocks: &[Value]) -> Value {
    let mut values = json!({});
    for (block_id, element) in super::message::elements(blocks) {
        if let (Some(action), Some(value)) = (element["action_id"].as_str(), initial_value(element)) {
            values[block_id][action] = value;
        }
    }
    values
}

/// The state of one element as it was given; nothing for buttons and overflow menus, which have none.
pub(super) fn initial_value(element: &Value) -> Option<Value> {
    let kind = element["type"].as_str()?;
    let (slot, initial) = slot_of(kind)?;
    let nothing = if slot.ends_with('s') { json!([]) } else { Value::Null };
    let value = element.get(initial).cloned().unwrap_or(nothing);
    Some(json!({"type": kind, slot: value}))
}

/// Where a kind of element keeps its value in the state, and which key gives it at first.
pub(super) fn slot_of(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "plain_text_input" | "number_input" | "email_text_input" | "url_text_input" => ("value", "initial_value"),
        "rich_text_input" => ("rich_text_value", "initial_value"),
        "static_select" | "external_select" | "radio_buttons" => ("selected_option", "initial_option"),
        "multi_static_select" | "multi_external_select" | "checkboxes" => ("selected_options", "initial_options"),
        "users_select" => ("selected_user", "initial_user"),
        "multi_users_select" => ("selected_users", "initial_users"),
        "conversations_select" => ("selected_conversation", "initial_conversation"),
        "multi_conversations_select" => ("selected_conversations", "initial_conversations"),
        "channels_select" => ("selected_channel", "initial_channel"),
        "multi_channels_select" => ("selected_channels", "initial_channels"),
        "datepicker" => ("selected_date", "initial_date"),
        "timepicker" => ("selected_time", "initial_time"),
        "datetimepicker" => ("selected_date_time", "initial_date_time"),
        _ => return None,
    })
}
