//! What Slack delivers about access: buttons at a grant, and the forms that ask. Pure.

use countersign_shared::ids::GrantId;
use serde_json::Value;

use super::decode::{Incoming, Person, person, text};
use crate::cards::{ask, keep};

/// A button at a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantAction {
    /// Asks for more time.
    Extend,
    /// Ends it.
    Revoke,
    /// Leaves it although it is not used.
    Keep,
}

/// A press of a button at a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantPress {
    /// Which button.
    pub action: GrantAction,
    /// The button's value.
    pub grant: GrantId,
    /// Who.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// The pressed message.
    pub ts: Option<String>,
    /// Whether it was in the home tab.
    pub at_home: bool,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For a form, within three seconds; the press's own number, too.
    pub trigger: Option<String>,
}

/// The submitted form that says why a grant shall stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepForm {
    /// What the press gave it.
    pub carried: Option<keep::Carried>,
    /// As typed.
    pub reason: Option<String>,
    /// Who.
    pub person: Person,
    /// The submission's own number.
    pub once: Option<String>,
}

/// Events that the app subscribes to; `manifest.yaml` says the same.
pub const EVENTS: [&str; 1] = ["app_home_opened"];

/// Somebody has opened the home tab: who, and the event's own number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeOpened {
    /// Who.
    pub person: Person,
    /// Slack's number of the event.
    pub once: Option<String>,
}

/// Reads an event; `None` where it is nothing of ours.
#[must_use]
pub fn event(payload: &Value) -> Option<Incoming> {
    let event = payload.get("event")?;
    if event.get("type")?.as_str()? != "app_home_opened" || event.get("tab").is_some_and(|tab| tab != "home") {
        return None;
    }
    let person = Person { user: text(event, "/user")?, team: text(payload, "/team_id") };
    Some(Incoming::Home(HomeOpened { person, once: text(payload, "/event_id") }))
}

/// The submitted form that asks for access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskForm {
    /// Connection and role.
    pub what: Option<(String, String)>,
    /// As typed.
    pub duration: String,
    /// As typed.
    pub reason: Option<String>,
    /// Who.
    pub person: Person,
    /// Where they are told.
    pub channel: Option<String>,
    /// The submission's own number.
    pub once: Option<String>,
}

/// Reads a press; `None` where it is none of these.
pub(super) fn press(payload: &Value) -> Option<GrantPress> {
    let actions = payload.get("actions")?.as_array()?;
    let (action, element) = actions.iter().find_map(|element| {
        let action = match element.get("action_id")?.as_str()? {
            "extend" => GrantAction::Extend,
            "revoke" => GrantAction::Revoke,
            "keep" => GrantAction::Keep,
            _ => return None,
        };
        Some((action, element))
    })?;
    Some(GrantPress {
        action,
        grant: text(element, "/value")?.parse().ok()?,
        person: person(payload)?,
        channel: text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id")),
        ts: text(payload, "/container/message_ts").or_else(|| text(payload, "/message/ts")),
        at_home: payload.pointer("/view/type").is_some_and(|kind| kind == "home"),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

/// Reads a submission; `None` where it is another form's.
pub(super) fn keep_form(payload: &Value) -> Option<KeepForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != keep::CALLBACK {
        return None;
    }
    let reason = text(view, &format!("/state/values/{0}/{0}/value", keep::REASON));
    let reason = reason.map(|reason| reason.trim().chars().take(keep::REASON_LIMIT).collect::<String>());
    Some(KeepForm {
        carried: text(view, "/private_metadata").and_then(|carried| serde_json::from_str(&carried).ok()),
        reason: reason.filter(|reason| !reason.is_empty()),
        person: person(payload)?,
        once: text(view, "/id"),
    })
}

/// Reads a submission; `None` where it is another form's.
pub(super) fn ask_form(payload: &Value) -> Option<AskForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != ask::CALLBACK {
        return None;
    }
    let typed = |id: &str| text(view, &format!("/state/values/{id}/{id}/value")).map(|text| text.trim().to_owned());
    let carried =
        text(view, "/private_metadata").and_then(|carried| serde_json::from_str::<ask::Carried>(&carried).ok());
    let what = text(view, &format!("/state/values/{0}/{0}/selected_option/value", ask::WHAT));
    Some(AskForm {
        what: what.and_then(|what| ask::read_value(&what)),
        duration: typed(ask::DURATION).unwrap_or_default(),
        reason: typed(ask::REASON).filter(|reason| !reason.is_empty()),
        person: person(payload)?,
        channel: carried.and_then(|carried| carried.channel),
        once: text(view, "/id"),
    })
}
