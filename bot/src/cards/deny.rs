//! The form that asks a denier why.

use countersign_shared::{digest::Digest, ids::RequestId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The form's `callback_id`.
pub const CALLBACK: &str = "deny";
/// The block and the action that hold the reason.
pub const REASON: &str = "reason";
/// The longest reason, in characters.
pub const REASON_LIMIT: usize = 500;

/// What the form carries from the press to its submission: what the denier saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The request on the card.
    pub request: RequestId,
    /// The digest that the card showed.
    pub digest: Digest,
    /// The card's channel, where the denier is told if it fails.
    pub channel: Option<String>,
}

/// The modal.
#[must_use]
pub fn form(carried: &Carried) -> Value {
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": json!(carried).to_string(),
        "title": { "type": "plain_text", "text": format!("Deny {}", short_id(&carried.request)) },
        "submit": { "type": "plain_text", "text": "Deny" },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": [{
            "type": "input",
            "block_id": REASON,
            "label": { "type": "plain_text", "text": "Why? The requester sees this in the error." },
            "element": {
                "type": "plain_text_input",
                "action_id": REASON,
                "multiline": true,
                "max_length": REASON_LIMIT,
            },
        }],
    })
}

/// A title has room for 24 characters.
fn short_id(id: &RequestId) -> String {
    id.as_str().chars().take(19).collect()
}
