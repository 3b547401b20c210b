//! `views.*`

use serde_json::{Value, json};

use super::super::blocks::{complete_blocks, validate_view};
use super::super::message::View;
use super::super::state::{State, Trigger, fresh_hash, fresh_id, is_alive};
use super::{Answer, Arguments, Refused};

/// How many views can lie on each other.
const DEEPEST_STACK: usize = 3;

pub(super) fn open(state: &mut State, arguments: &Arguments) -> Answer {
    let content = modal(state, arguments)?;
    let user = use_trigger(state, arguments)?.user.clone();
    let view = state.show_view(&user, content, None);
    Ok(json!({"view": state.view_json(&view)}))
}

pub(super) fn push(state: &mut State, arguments: &Arguments) -> Answer {
    let content = modal(state, arguments)?;
    let trigger = use_trigger(state, arguments)?;
    let (user, below) = (trigger.user.clone(), trigger.view.clone());
    let below = below.and_then(|id| state.view(&id)).ok_or("not_found")?.clone();
    if stack_height(state, &below) >= DEEPEST_STACK {
        return Err("push_limit_reached".into());
    }
    let view = state.show_view(&user, content, Some(&below.id));
    Ok(json!({"view": state.view_json(&view)}))
}

pub(super) fn update(state: &mut State, arguments: &Arguments) -> Answer {
    let content = checked_view(arguments)?;
    let id = match (arguments.text("view_id"), arguments.text("external_id")) {
        (Some(id), _) => id.to_owned(),
        (None, Some(external)) => {
            let view = state.views.iter().find(|view| view.content["external_id"] == external);
            view.ok_or("not_found")?.id.clone()
        }
        (None, None) => return Err(Refused::missing("view_id")),
    };
    let view = state.view(&id).ok_or("not_found")?;
    if arguments.text("hash").is_some_and(|hash| hash != view.hash) {
        return Err("hash_conflict".into());
    }
    if view.content["type"] != content["type"] {
        return Err(Refused::detailed("invalid_arguments", vec!["a view keeps its type [json-pointer:/view]".into()]));
    }
    let view = state.change_view(&id, content).ok_or("not_found")?;
    Ok(json!({"view": state.view_json(&view)}))
}

pub(super) fn publish(state: &mut State, arguments: &Arguments) -> Answer {
    let content = checked_view(arguments)?;
    if content["type"] != "home" {
        return Err(Refused::detailed(
            "invalid_arguments",
            vec!["must be a home view [json-pointer:/view/type]".into()],
        ));
    }
    let user = arguments.text("user_id").ok_or_else(|| Refused::missing("user_id"))?.to_owned();
    state.person(&user).ok_or("user_not_found")?;
    if let (Some(hash), Some(home)) = (arguments.text("hash"), state.homes.get(&user))
        && home.hash != hash
    {
        return Err("hash_conflict".into());
    }
    let id = state.homes.get(&user).map_or_else(|| fresh_id('V'), |home| home.id.clone());
    let view = View {
        root_view_id: id.clone(),
        id,
        user: user.clone(),
        content,
        hash: fresh_hash(),
        previous_view_id: None,
        errors: serde_json::Map::new(),
    };
    state.homes.insert(user, view.clone());
    Ok(json!({"view": state.view_json(&view)}))
}

/// How many views there are up to and including this one.
pub(in super::super) fn stack_height(state: &State, view: &View) -> usize {
    state.views.iter().filter(|other| other.root_view_id == view.root_view_id).count()
}

fn modal(state: &State, arguments: &Arguments) -> Result<Value, Refused> {
    let content = checked_view(arguments)?;
    if content["type"] != "modal" {
        return Err(Refused::detailed("invalid_arguments", vec!["must be a modal [json-pointer:/view/type]".into()]));
    }
    let external = content["external_id"].as_str().unwrap_or_default();
    if !external.is_empty() && state.views.iter().any(|view| view.content["external_id"] == external) {
        return Err("duplicate_external_id".into());
    }
    Ok(content)
}

fn checked_view(arguments: &Arguments) -> Result<Value, Refused> {
    match arguments.structure("view") {
        Ok(Some(view)) => check_view(view),
        Ok(None) => Err(Refused::missing("view")),
        Err(()) => Err(Refused::detailed("invalid_arguments", vec!["must be JSON [json-pointer:/view]".into()])),
    }
}

/// A view that keeps the rules, with the ids that Slack adds.
pub(in super::super) fn check_view(mut view: Value) -> Result<Value, Refused> {
    let errors = validate_view(&view);
    if !errors.is_empty() {
        return Err(Refused::detailed("invalid_arguments", errors));
    }
    view["blocks"] = json!(complete_blocks(&view["blocks"]));
    Ok(view)
}

/// Spends the `trigger_id`: it works once, and for three seconds.
fn use_trigger<'s>(state: &'s mut State, arguments: &Arguments) -> Result<&'s Trigger, Refused> {
    let id = arguments.text("trigger_id").ok_or_else(|| Refused::missing("trigger_id"))?;
    let trigger = state.triggers.get_mut(id).ok_or("invalid_trigger_id")?;
    if trigger.used {
        return Err("exchanged_trigger_id".into());
    }
    if !is_alive(trigger.expires) {
        return Err("expired_trigger_id".into());
    }
    trigger.used = true;
    Ok(trigger)
}
