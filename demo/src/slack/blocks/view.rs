//! Views: modals and home tabs.

use serde_json::Value;

use super::Surface;
use super::block::check_blocks;
use super::checker::Checker;
use super::object::{Text, text};

/// Checks a view, <https://docs.slack.dev/reference/views>.
pub(super) fn check_view(checker: &mut Checker, view: &Value) {
    let (surface, allowed): (_, &[&str]) = match view["type"].as_str() {
        Some("modal") => (Surface::Modal, MODAL),
        Some("home") => (Surface::Home, HOME),
        Some(other) => return checker.refuse(format!("unsupported type: {other}")),
        None => return checker.refuse("missing required field: type"),
    };
    let Some(object) = checker.object(view, allowed) else { return };
    checker.string_between(object, "private_metadata", 0, 3000);
    checker.string_between(object, "callback_id", 0, 255);
    checker.string_between(object, "external_id", 0, 255);
    checker.boolean(object, "clear_on_close");
    checker.boolean(object, "notify_on_close");
    checker.boolean(object, "submit_disabled");
    if surface == Surface::Modal {
        checker.required(object, "title");
    }
    text(checker, object, "title", Text::Plain, 24);
    text(checker, object, "close", Text::Plain, 24);
    text(checker, object, "submit", Text::Plain, 24);
    let Some(blocks) = checker.required(object, "blocks") else { return };
    checker.inside("blocks", |checker| check_blocks(checker, blocks, surface));
    let asks = blocks.as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "input"));
    if surface == Surface::Modal && asks && !object.contains_key("submit") {
        checker.refuse("missing required field: submit (a view with input blocks needs it)");
    }
}

const MODAL: &[&str] = &[
    "type",
    "title",
    "blocks",
    "close",
    "submit",
    "private_metadata",
    "callback_id",
    "clear_on_close",
    "notify_on_close",
    "external_id",
    "submit_disabled",
];
const HOME: &[&str] = &["type", "blocks", "private_metadata", "callback_id", "external_id"];
