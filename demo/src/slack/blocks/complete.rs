//! What Slack adds to blocks that it accepted: ids, and the defaults of text objects and inputs.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The blocks as Slack gives them back.
pub(in super::super) fn complete_blocks(blocks: &Value) -> Vec<Value> {
    let mut blocks = blocks.as_array().cloned().unwrap_or_default();
    for block in &mut blocks {
        complete_texts(block);
        let Some(block) = block.as_object_mut() else { continue };
        if !block.get("block_id").is_some_and(Value::is_string) {
            block.insert("block_id".to_owned(), json!(short_id()));
        }
        if block.get("type").is_some_and(|kind| kind == "input") {
            block.entry("optional").or_insert(json!(false));
            block.entry("dispatch_action").or_insert(json!(false));
        }
        for key in ["element", "accessory"] {
            if let Some(element) = block.get_mut(key) {
                complete_element(element);
            }
        }
        if block.get("type").is_some_and(|kind| kind == "actions") {
            let elements = block.get_mut("elements").and_then(Value::as_array_mut);
            elements.into_iter().flatten().for_each(complete_element);
        }
    }
    blocks
}

fn complete_element(element: &mut Value) {
    let Some(element) = element.as_object_mut() else { return };
    let is_image = element.get("type").is_some_and(|kind| kind == "image");
    if !is_image && !element.get("action_id").is_some_and(Value::is_string) {
        element.insert("action_id".to_owned(), json!(short_id()));
    }
}

/// `emoji: true` on plain text and `verbatim: false` on mrkdwn, wherever a text object is.
fn complete_texts(value: &mut Value) {
    match value {
        Value::Object(object) => {
            complete_text(object);
            object.values_mut().for_each(complete_texts);
        }
        Value::Array(items) => items.iter_mut().for_each(complete_texts),
        _ => {}
    }
}

fn complete_text(object: &mut Map<String, Value>) {
    match object.get("type").and_then(Value::as_str) {
        Some("plain_text") => object.entry("emoji").or_insert(json!(true)),
        Some("mrkdwn") => object.entry("verbatim").or_insert(json!(false)),
        _ => return,
    };
}

fn short_id() -> String {
    Uuid::new_v4().simple().to_string().chars().take(5).collect()
}
