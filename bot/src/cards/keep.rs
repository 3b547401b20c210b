//! The form that asks why an unused grant should stay.

use countersign_shared::ids::GrantId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The form's `callback_id`.
pub const CALLBACK: &str = "keep";
/// The block and the action that hold the reason.
pub const REASON: &str = "reason";
/// The longest reason, in characters.
pub const REASON_LIMIT: usize = 500;

/// What the form carries from the press to its submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The grant.
    pub grant: GrantId,
    /// Where the digest is.
    pub channel: Option<String>,
    /// Its timestamp there.
    pub ts: Option<String>,
}

/// The modal.
#[must_use]
pub fn form(carried: &Carried) -> Value {
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": json!(carried).to_string(),
        "title": { "type": "plain_text", "text": "Keep for 30 days" },
        "submit": { "type": "plain_text", "text": "Keep" },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": [{
            "type": "input",
            "block_id": REASON,
            "label": { "type": "plain_text", "text": "Why should it stay? This is kept in the log." },
            "element": {
                "type": "plain_text_input",
                "action_id": REASON,
                "multiline": true,
                "max_length": REASON_LIMIT,
            },
        }],
    })
}
