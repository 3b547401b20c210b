//! What Slack delivers of a review: its buttons, and the form that asks why. Pure.

use countersign_shared::api::ReviewChoice;
use serde_json::Value;

use super::decode::{Person, person, text};
use crate::cards::review::{self, Carried};

/// A press of Keep or Revoke in a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewPress {
    /// Who.
    pub person: Person,
    /// What the form is about.
    pub carried: Carried,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For the form, within three seconds.
    pub trigger: Option<String>,
}

/// The submitted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewForm {
    /// What the press gave it.
    pub carried: Option<Carried>,
    /// As typed.
    pub reason: Option<String>,
    /// Who.
    pub person: Person,
    /// The submission's own number.
    pub once: Option<String>,
}

/// Reads a press; `None` where it is none of these.
pub(super) fn press(payload: &Value) -> Option<ReviewPress> {
    let actions = payload.get("actions")?.as_array()?;
    let (choice, element) = actions.iter().find_map(|element| match element.get("action_id")?.as_str()? {
        "review_keep" => Some((ReviewChoice::Keep, element)),
        "review_revoke" => Some((ReviewChoice::Revoke, element)),
        _ => None,
    })?;
    let (review, grant) = review::read_value(&text(element, "/value")?)?;
    let channel = text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id"));
    let ts = text(payload, "/container/message_ts").or_else(|| text(payload, "/message/ts"));
    Some(ReviewPress {
        person: person(payload)?,
        carried: Carried { review, grant, choice, channel, ts },
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

/// Reads a submission; `None` where it is another form's.
pub(super) fn form(payload: &Value) -> Option<ReviewForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != review::CALLBACK {
        return None;
    }
    let reason = text(view, &format!("/state/values/{0}/{0}/value", review::REASON));
    let reason = reason.map(|reason| reason.trim().chars().take(review::REASON_LIMIT).collect::<String>());
    Some(ReviewForm {
        carried: text(view, "/private_metadata").and_then(|carried| serde_json::from_str(&carried).ok()),
        reason: reason.filter(|reason| !reason.is_empty()),
        person: person(payload)?,
        once: text(view, "/id"),
    })
}
