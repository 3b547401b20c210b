//! What an app may put into a message; the same rules for methods, acknowledgements and `response_url`.

use serde_json::Value;

use super::super::blocks::{Surface, complete_blocks, validate_blocks};
use super::super::state::Content;
use super::{Arguments, Refused};

/// The longest `text` of a new message.
const LONGEST_TEXT: usize = 40_000;

/// Reads and checks text, blocks and metadata. At least one of text and blocks has to be there.
pub(in super::super) fn content(arguments: &Arguments) -> Result<Content, Refused> {
    let text = arguments.text("text").unwrap_or_default().to_owned();
    if text.chars().count() > LONGEST_TEXT {
        return Err("msg_too_long".into());
    }
    let blocks = blocks(arguments)?.unwrap_or_default();
    if text.is_empty() && blocks.is_empty() && !has_attachments(arguments) {
        return Err("no_text".into());
    }
    let metadata = match arguments.structure("metadata") {
        Ok(Some(metadata)) if metadata["event_type"].is_string() => Some(metadata),
        Ok(None) => None,
        _ => return Err("invalid_metadata_format".into()),
    };
    Ok(Content { text, blocks, metadata })
}

/// The blocks, checked and completed, if the argument is there.
pub(super) fn blocks(arguments: &Arguments) -> Result<Option<Vec<Value>>, Refused> {
    match arguments.structure("blocks") {
        Ok(None) => Ok(None),
        Ok(Some(blocks)) if blocks.is_array() => {
            let errors = validate_blocks(&blocks, Surface::Message);
            if errors.is_empty() {
                Ok(Some(complete_blocks(&blocks)))
            } else {
                Err(Refused::detailed("invalid_blocks", errors))
            }
        }
        _ => Err("invalid_blocks_format".into()),
    }
}

fn has_attachments(arguments: &Arguments) -> bool {
    matches!(arguments.structure("attachments"), Ok(Some(Value::Array(items))) if !items.is_empty())
}
