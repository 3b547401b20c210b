//! What Slack delivers of the buttons at a request that decide nothing. Pure.

use countersign_shared::ids::RequestId;
use serde_json::Value;

use super::decode::{Person, person, text};

/// A press of Ask or Details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPress {
    /// The button's value.
    pub request: RequestId,
    /// Who.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For a form, within three seconds.
    pub trigger: Option<String>,
}

/// Reads a press of the button `name`; `None` where it is another.
pub(super) fn press(payload: &Value, name: &str) -> Option<RequestPress> {
    let actions = payload.get("actions")?.as_array()?;
    let action = actions.iter().find(|action| action.get("action_id").and_then(Value::as_str) == Some(name))?;
    Some(RequestPress {
        request: text(action, "/value")?.parse().ok()?,
        person: person(payload)?,
        channel: text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id")),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cards::samples,
        slack::decode::{Incoming, interaction},
    };

    #[test]
    fn a_press_says_who_looks_at_which_request() {
        let mut pressed = json!({
            "type": "block_actions", "trigger_id": "t",
            "team": { "id": "T1" }, "user": { "id": "U1" }, "channel": { "id": "C1" },
        });
        let press = RequestPress {
            request: samples::id(),
            person: Person { user: "U1".into(), team: Some("T1".into()) },
            channel: Some("C1".into()),
            response_url: None,
            trigger: Some("t".into()),
        };
        for (name, expected) in [
            ("ask", Some(Incoming::Question(press.clone()))),
            ("details", Some(Incoming::Details(press.clone()))),
            ("end_allowance", Some(Incoming::End(press))),
            ("other", None),
        ] {
            pressed["actions"] = json!([{ "action_id": name, "value": samples::id() }]);
            assert_eq!(interaction(&pressed), expected, "{name}");
        }
    }
}
