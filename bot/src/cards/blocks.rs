//! Slack's Block Kit, as far as the cards use it.
//!
//! Text that somebody else wrote goes into `rich_text` and `plain_text` only. Slack parses neither
//! for mentions, links or formatting, so nothing has to be escaped and nothing can break out.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Characters of one text that are surely within Slack's limit of 3,000.
pub const TEXT_LIMIT: usize = 2_900;

/// A message: blocks, and a text for notifications and screen readers.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Already escaped, since Slack parses it as mrkdwn.
    pub text: String,
    /// Block Kit.
    pub blocks: Vec<Value>,
}

/// A heading, cut to Slack's 150 characters.
#[must_use]
pub fn header(text: &str) -> Value {
    let text = super::visible::short(text, 140);
    json!({ "type": "header", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

/// A `rich_text` block.
#[must_use]
pub fn rich(elements: Vec<Value>) -> Value {
    json!({ "type": "rich_text", "elements": elements })
}

/// A line of a `rich_text` block.
#[must_use]
pub fn line(parts: Vec<Value>) -> Value {
    json!({ "type": "rich_text_section", "elements": parts })
}

/// Bullets of a `rich_text` block; must not be empty.
#[must_use]
pub fn bullets(lines: Vec<Value>) -> Value {
    json!({ "type": "rich_text_list", "style": "bullet", "elements": lines })
}

/// A block of code. Backticks in it are just backticks.
#[must_use]
pub fn code(text: &str) -> Value {
    json!({ "type": "rich_text_preformatted", "elements": [plain(text)] })
}

/// Plain words. Slack refuses an empty text.
#[must_use]
pub fn plain(text: &str) -> Value {
    json!({ "type": "text", "text": if text.is_empty() { " " } else { text } })
}

/// A moment, in the reader's own time zone.
#[must_use]
pub fn date(at: DateTime<Utc>) -> Value {
    let fallback = at.format("%Y-%m-%d %H:%M UTC").to_string();
    json!({ "type": "date", "timestamp": at.timestamp(), "format": "{date_short_pretty} {time}", "fallback": fallback })
}

/// Bold words.
#[must_use]
pub fn bold(text: &str) -> Value {
    json!({ "type": "text", "text": if text.is_empty() { " " } else { text }, "style": { "bold": true } })
}

/// A link with words of our own.
#[must_use]
pub fn link(url: &str, text: &str) -> Value {
    json!({ "type": "link", "url": url, "text": text })
}

/// Somebody, mentioned by an id that the gateway knows; never by anybody's words.
#[must_use]
pub fn user(id: &str) -> Value {
    json!({ "type": "user", "user_id": id })
}

/// A button.
#[must_use]
pub fn button(action: &str, label: &str, style: Option<&str>, value: &str) -> Value {
    let mut button = json!({
        "type": "button",
        "action_id": action,
        "text": { "type": "plain_text", "text": label, "emoji": false },
        "value": value,
    });
    if let Some(style) = style {
        button["style"] = json!(style);
    }
    button
}

/// A button that opens a page.
#[must_use]
pub fn link_button(action: &str, label: &str, url: &str) -> Value {
    json!({
        "type": "button",
        "action_id": action,
        "text": { "type": "plain_text", "text": label, "emoji": false },
        "url": url,
    })
}

/// A row of buttons under a name of its own.
#[must_use]
pub fn actions(block_id: &str, elements: Vec<Value>) -> Value {
    json!({ "type": "actions", "block_id": block_id, "elements": elements })
}
