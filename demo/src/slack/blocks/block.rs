//! Layout blocks.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Surface;
use super::checker::Checker;
use super::element::{Within, check_element, image};
use super::object::{Text, text, text_object};

/// Checks the blocks of a message (50 at most) or of a view (100 at most).
pub(super) fn check_blocks(checker: &mut Checker, blocks: &Value, surface: Surface) {
    let most = if surface == Surface::Message { 50 } else { 100 };
    let mut ids = HashSet::new();
    checker.array(blocks, 0, most, |checker, block| {
        check_block(checker, block, surface);
        if let Some(id) = block["block_id"].as_str()
            && !ids.insert(id.to_owned())
        {
            checker.refuse(format!("`block_id` \"{id}\" already exists"));
        }
    });
}

fn check_block(checker: &mut Checker, value: &Value, surface: Surface) {
    let Some(kind) = value["type"].as_str() else {
        return checker.refuse("missing required field: type");
    };
    let Some(keys) = allowed_keys(kind, surface) else {
        return checker.refuse(format!("unsupported type: {kind}"));
    };
    let mut allowed = vec!["type", "block_id"];
    allowed.extend_from_slice(keys);
    let Some(block) = checker.object(value, &allowed) else { return };
    checker.string(block, "block_id", 255);
    match kind {
        "section" => section(checker, block, surface),
        "header" => {
            checker.required(block, "text");
            text(checker, block, "text", Text::Plain, 150);
        }
        "context" => context(checker, block),
        "actions" => actions(checker, block, surface),
        "input" => input(checker, block, surface),
        "image" => {
            image(checker, block);
            text(checker, block, "title", Text::Plain, 2000);
        }
        "markdown" => {
            checker.required(block, "text");
            checker.string(block, "text", 12_000);
        }
        "rich_text" => {
            if let Some(elements) = checker.required(block, "elements") {
                checker.inside("elements", |checker| rich_text(checker, elements));
            }
        }
        "video" => {
            for key in ["alt_text", "title", "thumbnail_url", "video_url"] {
                checker.required(block, key);
            }
            text(checker, block, "title", Text::Plain, 199);
        }
        _ => {}
    }
}

/// The keys of a block besides `type` and `block_id`; `None` for a block that this surface does not take.
fn allowed_keys(kind: &str, surface: Surface) -> Option<&'static [&'static str]> {
    Some(match kind {
        "section" => &["text", "fields", "accessory", "expand"],
        "header" => &["text", "level"],
        "divider" => &[],
        "context" | "actions" | "rich_text" => &["elements"],
        "input" => &["label", "element", "hint", "optional", "dispatch_action"],
        "image" => &["image_url", "slack_file", "alt_text", "title"],
        "markdown" if surface == Surface::Message => &["text"],
        "video" => &[
            "alt_text",
            "author_name",
            "description",
            "provider_icon_url",
            "provider_name",
            "title",
            "title_url",
            "thumbnail_url",
            "video_url",
        ],
        _ => return None,
    })
}

fn section(checker: &mut Checker, block: &Map<String, Value>, surface: Surface) {
    if !block.contains_key("text") && !block.contains_key("fields") {
        checker.refuse("must provide at least one of: text, fields");
    }
    text(checker, block, "text", Text::Any, 3000);
    checker.boolean(block, "expand");
    if let Some(fields) = block.get("fields") {
        checker.inside("fields", |checker| {
            checker.array(fields, 1, 10, |checker, field| text_object(checker, field, Text::Any, 2000));
        });
    }
    if let Some(accessory) = block.get("accessory") {
        checker.inside("accessory", |checker| check_element(checker, accessory, Within::Accessory, surface));
    }
}

fn context(checker: &mut Checker, block: &Map<String, Value>) {
    let Some(elements) = checker.required(block, "elements") else { return };
    checker.inside("elements", |checker| {
        checker.array(elements, 1, 10, |checker, element| {
            if element["type"] == "image" {
                if let Some(object) = checker.object(element, &["type", "image_url", "slack_file", "alt_text"]) {
                    image(checker, object);
                }
            } else {
                text_object(checker, element, Text::Any, 3000);
            }
        });
    });
}

fn actions(checker: &mut Checker, block: &Map<String, Value>, surface: Surface) {
    let Some(elements) = checker.required(block, "elements") else { return };
    let mut ids = HashSet::new();
    checker.inside("elements", |checker| {
        checker.array(elements, 1, 25, |checker, element| {
            check_element(checker, element, Within::Actions, surface);
            if let Some(id) = element["action_id"].as_str()
                && !ids.insert(id.to_owned())
            {
                checker.refuse(format!("`action_id` \"{id}\" already exists in the block"));
            }
        });
    });
}

fn input(checker: &mut Checker, block: &Map<String, Value>, surface: Surface) {
    checker.required(block, "label");
    text(checker, block, "label", Text::Plain, 2000);
    text(checker, block, "hint", Text::Plain, 2000);
    checker.boolean(block, "optional");
    checker.boolean(block, "dispatch_action");
    if let Some(element) = checker.required(block, "element") {
        checker.inside("element", |checker| check_element(checker, element, Within::Input, surface));
    }
}

fn rich_text(checker: &mut Checker, elements: &Value) {
    const KINDS: &[&str] = &["rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"];
    checker.array(elements, 1, 1000, |checker, element| {
        match element["type"].as_str() {
            Some(kind) if KINDS.contains(&kind) => {}
            Some(kind) => return checker.refuse(format!("unsupported type: {kind}")),
            None => return checker.refuse("missing required field: type"),
        }
        if !element["elements"].is_array() {
            checker.refuse("missing required field: elements");
        }
    });
}
