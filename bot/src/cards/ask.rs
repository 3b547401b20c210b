//! The form that asks for access: only what its reader may ask for.

use countersign_shared::api::AccessOption;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{access::span, blocks, visible::short};

/// The form's `callback_id`.
pub const CALLBACK: &str = "request";
/// Block and action of the choice of connection and role.
pub const WHAT: &str = "what";
/// Block and action of the duration.
pub const DURATION: &str = "duration";
/// Block and action of the reason.
pub const REASON: &str = "reason";
/// The longest reason, in characters.
pub const REASON_LIMIT: usize = 1_000;
/// How many choices Slack takes.
const CHOICES: usize = 100;

/// What the form carries from its opening to its submission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Where its opener is told what came of it.
    pub channel: Option<String>,
}

/// The value of a choice.
#[must_use]
pub fn value(connection: &str, role: &str) -> String {
    format!("{connection} {role}")
}

/// Reads [`value`] back.
#[must_use]
pub fn read_value(value: &str) -> Option<(String, String)> {
    let (connection, role) = value.split_once(' ')?;
    Some((connection.to_owned(), role.to_owned()))
}

fn frame(rows: Vec<Value>) -> Value {
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "title": { "type": "plain_text", "text": "Ask for access" },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": rows,
    })
}

/// The form while the gateway is asked what there is.
#[must_use]
pub fn moment() -> Value {
    closed("Looking up what you may ask for …", None)
}

/// The form where there is nothing to fill in, with an address to go to where there is one.
#[must_use]
pub fn closed(why: &str, link: Option<(&str, &str)>) -> Value {
    let link = link.map(|(url, text)| blocks::link(url, text));
    let space = link.is_some().then(|| blocks::plain(" "));
    let parts = [Some(blocks::plain(why)), space, link].into_iter().flatten().collect();
    frame(vec![blocks::rich(vec![blocks::line(parts)])])
}

/// The form.
#[must_use]
pub fn form(options: &[AccessOption], carried: &Carried) -> Value {
    let choice = |option: &AccessOption| {
        let longest = span(chrono::TimeDelta::seconds(i64::try_from(option.longest).unwrap_or(i64::MAX / 1_000)));
        let how = if option.at_once { "at once" } else { "after approval" };
        let name = short(&format!("{} on {}", option.role, option.connection), 40);
        let text = short(&format!("{name}, {how}, up to {longest}"), 75);
        json!({ "text": { "type": "plain_text", "text": text, "emoji": false }, "value": value(&option.connection, &option.role) })
    };
    let fits = |option: &&AccessOption| option.connection.len() + option.role.len() < 140;
    let choices: Vec<Value> = options.iter().filter(fits).take(CHOICES).map(choice).collect();
    let mut select = json!({
        "type": "static_select",
        "action_id": WHAT,
        "placeholder": { "type": "plain_text", "text": "Role and connection" },
        "options": choices,
    });
    if let [only] = choices.as_slice() {
        select["initial_option"] = only.clone();
    }
    let input = |id: &str, label: &str, element: Value| {
        json!({
            "type": "input", "block_id": id, "label": { "type": "plain_text", "text": label }, "element": element,
        })
    };
    let mut rows = vec![
        input(WHAT, "What", select),
        input(
            DURATION,
            "For how long",
            json!({
                "type": "plain_text_input", "action_id": DURATION, "initial_value": "1h", "max_length": 40,
                "placeholder": { "type": "plain_text", "text": "2h, 90m, until 17:00" },
            }),
        ),
        input(
            REASON,
            "Why? Whoever approves reads this.",
            json!({
                "type": "plain_text_input", "action_id": REASON, "multiline": true, "max_length": REASON_LIMIT,
            }),
        ),
    ];
    if options.len() > CHOICES {
        let more = "There is more than fits here: type /access request CONNECTION ROLE DURATION REASON for the rest.";
        rows.push(blocks::rich(vec![blocks::line(vec![blocks::plain(more)])]));
    }
    let mut view = frame(rows);
    view["submit"] = json!({ "type": "plain_text", "text": "Ask" });
    view["private_metadata"] = json!(json!(carried).to_string());
    view
}
