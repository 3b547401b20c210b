//! A question about a request: the form that asks for it, and what the thread of its card says.

use countersign_shared::{
    api::{QuestionView, RequestView},
    ids::RequestId,
    question::LONGEST,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    blocks::{self, Message},
    request::page,
    visible::{escaped, short, visible},
};

/// The form's `callback_id`.
pub const CALLBACK: &str = "question";
/// The block and the action that hold the question.
pub const QUESTION: &str = "question";

/// What the form carries from the press to its submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The request on the card.
    pub request: RequestId,
    /// The card's channel, where whoever asks is told if it fails.
    pub channel: Option<String>,
}

/// The modal.
#[must_use]
pub fn form(carried: &Carried) -> Value {
    // A title has room for 24 characters.
    let id: String = carried.request.as_str().chars().take(14).collect();
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": json!(carried).to_string(),
        "title": { "type": "plain_text", "text": format!("Ask about {id}") },
        "submit": { "type": "plain_text", "text": "Ask" },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": [{
            "type": "input",
            "block_id": QUESTION,
            "label": { "type": "plain_text", "text": "The requester reads it at once. It decides nothing." },
            "element": {
                "type": "plain_text_input",
                "action_id": QUESTION,
                "multiline": true,
                "max_length": LONGEST,
            },
        }],
    })
}

/// For the thread of the card: the requester, who asks, and their words, of which Slack interprets none.
#[must_use]
pub fn in_thread(view: &RequestView, question: &QuestionView) -> Message {
    let head = blocks::line(head(view, question, ":"));
    message(view, question, vec![head, blocks::code(&visible(&question.text))])
}

/// The same where others read the channel than those who decide: without the question.
#[must_use]
pub fn redacted(view: &RequestView, question: &QuestionView, base: &Url) -> Message {
    let mut line = head(view, question, ". What stays out of this channel: ");
    line.push(blocks::link(&page(base, &view.id), "read it on the request's page"));
    message(view, question, vec![blocks::line(line)])
}

fn head(view: &RequestView, question: &QuestionView, end: &str) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(slack) = &view.requester_slack {
        parts.extend([blocks::user(&slack.user), blocks::plain(" ")]);
    }
    let by = short(&question.by, 200);
    parts.extend([blocks::bold(&by), blocks::plain(&format!(" asks about request {}{end}", view.id))]);
    parts
}

fn message(view: &RequestView, question: &QuestionView, lines: Vec<Value>) -> Message {
    let text = escaped(&format!("{} asks about request {}.", short(&question.by, 200), view.id));
    Message { text, blocks: vec![blocks::rich(lines)] }
}
