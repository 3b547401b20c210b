//! What Slack delivers of a link that waits for an administrator. Pure.

use countersign_shared::api::SlackRef;
use serde_json::Value;

use super::decode::{Person, person, text};
use crate::cards::linking::read_value;

/// An administrator's press.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPress {
    /// Whether it is to count.
    pub confirm: bool,
    /// The account that is to be linked.
    pub account: SlackRef,
    /// And to whom.
    pub principal: String,
    /// Who presses.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// The pressed message.
    pub ts: Option<String>,
    /// For a private answer.
    pub response_url: Option<String>,
    /// The press's own number.
    pub trigger: Option<String>,
}

/// Reads a press; `None` where it is another button.
pub(super) fn press(payload: &Value) -> Option<LinkPress> {
    let actions = payload.get("actions")?.as_array()?;
    let word = |action: &Value| match action.get("action_id").and_then(Value::as_str) {
        Some("confirm_link") => Some(true),
        Some("refuse_link") => Some(false),
        _ => None,
    };
    let (action, confirm) = actions.iter().find_map(|action| Some((action, word(action)?)))?;
    let (account, principal) = read_value(&text(action, "/value")?)?;
    Some(LinkPress {
        confirm,
        account,
        principal,
        person: person(payload)?,
        channel: text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id")),
        ts: text(payload, "/container/message_ts").or_else(|| text(payload, "/message/ts")),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_press_says_which_link_and_whether_it_counts() {
        let pressed = |action: &str, value: &str| {
            press(&json!({
                "team": { "id": "T1" }, "user": { "id": "U1" }, "channel": { "id": "D1" }, "trigger_id": "t",
                "container": { "message_ts": "1.2" },
                "actions": [{ "action_id": action, "value": value }],
            }))
        };
        let expected = LinkPress {
            confirm: true,
            account: SlackRef { team: "T1".into(), user: "U9".into() },
            principal: "a@b".into(),
            person: Person { user: "U1".into(), team: Some("T1".into()) },
            channel: Some("D1".into()),
            ts: Some("1.2".into()),
            response_url: None,
            trigger: Some("t".into()),
        };
        assert_eq!(pressed("refuse_link", "T1/U9/a@b"), Some(LinkPress { confirm: false, ..expected.clone() }));
        assert_eq!(pressed("confirm_link", "T1/U9/a@b"), Some(expected));
        assert_eq!(pressed("confirm_link", "T1/U9"), None);
        assert_eq!(pressed("approve", "T1/U9/a@b"), None);
    }
}
