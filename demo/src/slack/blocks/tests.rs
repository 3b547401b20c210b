use serde_json::{Value, json};

use super::*;

fn text(kind: &str, length: usize) -> Value {
    json!({"type": kind, "text": "ä".repeat(length)})
}

fn section(length: usize) -> Value {
    json!({"type": "section", "text": text("mrkdwn", length)})
}

fn button(more: Value) -> Value {
    let mut button = json!({"type": "button", "action_id": "a", "text": text("plain_text", 3)});
    for (key, value) in more.as_object().unwrap() {
        button[key] = value.clone();
    }
    json!({"type": "actions", "elements": [button]})
}

#[test]
fn each_limit_holds_at_its_edge() {
    let option = |length: usize| json!({"text": text("plain_text", 5), "value": "v".repeat(length)});
    let menu = |options: Vec<Value>| json!({"type": "actions", "elements": [{"type": "static_select", "action_id": "m", "options": options}]});
    let confirm = |length: usize| {
        button(json!({"confirm": {"title": text("plain_text", 5), "text": text("mrkdwn", length),
            "confirm": text("plain_text", 5), "deny": text("plain_text", 5)}}))
    };
    let elements = |count: usize, one: &Value| vec![one.clone(); count];
    for (name, fits, too_much) in [
        ("section text", section(3000), section(3001)),
        ("section text has a character", section(1), section(0)),
        (
            "fields",
            json!({"type": "section", "fields": elements(10, &text("mrkdwn", 2000))}),
            json!({"type": "section", "fields": elements(11, &text("mrkdwn", 20))}),
        ),
        (
            "field text",
            json!({"type": "section", "fields": [text("mrkdwn", 2000)]}),
            json!({"type": "section", "fields": [text("mrkdwn", 2001)]}),
        ),
        (
            "header",
            json!({"type": "header", "text": text("plain_text", 150)}),
            json!({"type": "header", "text": text("plain_text", 151)}),
        ),
        (
            "context elements",
            json!({"type": "context", "elements": elements(10, &text("mrkdwn", 5))}),
            json!({"type": "context", "elements": elements(11, &text("mrkdwn", 5))}),
        ),
        (
            "button text",
            button(json!({"text": text("plain_text", 75)})),
            button(json!({"text": text("plain_text", 76)})),
        ),
        ("button value", button(json!({"value": "v".repeat(2000)})), button(json!({"value": "v".repeat(2001)}))),
        ("action_id", button(json!({"action_id": "a".repeat(255)})), button(json!({"action_id": "a".repeat(256)}))),
        ("button url", button(json!({"url": "https://acme.dev"})), button(json!({"url": "not a url"}))),
        ("button style", button(json!({"style": "danger"})), button(json!({"style": "loud"}))),
        ("confirmation text", confirm(300), confirm(301)),
        ("option value", menu(vec![option(150)]), menu(vec![option(151)])),
        ("options", menu(elements(100, &option(3))), menu(elements(101, &option(3)))),
        (
            "block_id",
            json!({"type": "divider", "block_id": "b".repeat(255)}),
            json!({"type": "divider", "block_id": "b".repeat(256)}),
        ),
    ] {
        assert_eq!(validate_blocks(&json!([fits]), Surface::Message), Vec::<String>::new(), "{name} at its limit");
        assert!(!validate_blocks(&json!([too_much]), Surface::Message).is_empty(), "{name} beyond its limit");
    }
}

#[test]
fn a_refusal_names_the_block_and_says_why() {
    for (block, says) in [
        (json!({"type": "marquee"}), "unsupported type: marquee [json-pointer:/blocks/1]"),
        (json!({"text": "x"}), "missing required field: type [json-pointer:/blocks/1]"),
        (json!({"type": "section"}), "must provide at least one of: text, fields [json-pointer:/blocks/1]"),
        (json!({"type": "divider", "colour": "red"}), "invalid additional property: colour [json-pointer:/blocks/1]"),
        (
            json!({"type": "header", "text": text("mrkdwn", 3)}),
            "must be a plain_text object [json-pointer:/blocks/1/text]",
        ),
        (section(3001), "must be less than 3001 characters [json-pointer:/blocks/1/text/text]"),
        (
            json!({"type": "actions", "elements": [{"type": "plain_text_input", "action_id": "a"}]}),
            "unsupported type: plain_text_input [json-pointer:/blocks/1/elements/0]",
        ),
        (
            json!({"type": "actions", "elements": [{"type": "button", "action_id": "a"}]}),
            "missing required field: text [json-pointer:/blocks/1/elements/0]",
        ),
        (json!("text"), "missing required field: type [json-pointer:/blocks/1]"),
    ] {
        let errors = validate_blocks(&json!([{"type": "divider"}, block]), Surface::Message);
        assert!(errors.iter().any(|error| error == says), "{says} is not among {errors:?}");
    }
}

#[test]
fn ids_are_unique_where_slack_wants_them_to_be() {
    let twice = json!([{"type": "divider", "block_id": "b"}, {"type": "divider", "block_id": "b"}]);
    assert_eq!(validate_blocks(&twice, Surface::Message).len(), 1);
    let one = json!({"type": "button", "action_id": "a", "text": text("plain_text", 3)});
    let in_a_block = json!([{"type": "actions", "elements": [one, one]}]);
    assert_eq!(validate_blocks(&in_a_block, Surface::Message).len(), 1);
    let across_blocks = json!([{"type": "actions", "elements": [one]}, {"type": "actions", "elements": [one]}]);
    assert_eq!(validate_blocks(&across_blocks, Surface::Message), Vec::<String>::new());
}

#[test]
fn a_message_takes_fifty_blocks_and_a_view_a_hundred() {
    let blocks = |count: usize| json!(vec![json!({"type": "divider"}); count]);
    for (count, surface, fits) in [
        (50, Surface::Message, true),
        (51, Surface::Message, false),
        (100, Surface::Modal, true),
        (101, Surface::Modal, false),
    ] {
        assert_eq!(validate_blocks(&blocks(count), surface).is_empty(), fits, "{count} in a {surface:?}");
    }
}

#[test]
fn a_modal_has_its_own_limits() {
    let input = json!({"type": "input", "label": text("plain_text", 5),
        "element": {"type": "plain_text_input", "action_id": "reason"}});
    let modal = |more: Value| {
        let mut modal = json!({"type": "modal", "title": text("plain_text", 24), "submit": text("plain_text", 24),
            "blocks": [input.clone()]});
        for (key, value) in more.as_object().unwrap() {
            modal[key] = value.clone();
        }
        modal
    };
    for (view, fits, why) in [
        (modal(json!({})), true, "a title of 24 characters"),
        (modal(json!({"title": text("plain_text", 25)})), false, "a title of 25"),
        (modal(json!({"title": text("mrkdwn", 5)})), false, "a title in mrkdwn"),
        (modal(json!({"submit": text("plain_text", 25)})), false, "a submit of 25"),
        (modal(json!({"close": text("plain_text", 25)})), false, "a close of 25"),
        (modal(json!({"private_metadata": "m".repeat(3000)})), true, "metadata of 3000"),
        (modal(json!({"private_metadata": "m".repeat(3001)})), false, "metadata of 3001"),
        (modal(json!({"callback_id": "c".repeat(256)})), false, "a callback_id of 256"),
        (json!({"type": "modal", "title": text("plain_text", 5), "blocks": [input]}), false, "an input, no submit"),
        (json!({"type": "modal", "blocks": []}), false, "no title"),
        (json!({"type": "home", "blocks": []}), true, "a home view"),
        (json!({"type": "home", "title": text("plain_text", 5), "blocks": []}), false, "a home view with a title"),
        (json!({"blocks": []}), false, "no type"),
    ] {
        assert_eq!(validate_view(&view).is_empty(), fits, "{why}: {:?}", validate_view(&view));
    }
}

#[test]
fn slack_adds_ids_and_defaults_and_keeps_what_is_given() {
    let blocks = complete_blocks(&json!([
        {"type": "section", "text": {"type": "mrkdwn", "text": "x"}},
        {"type": "actions", "block_id": "mine", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x"}}]},
        {"type": "input", "label": {"type": "plain_text", "text": "x", "emoji": false},
            "element": {"type": "plain_text_input"}},
    ]));
    assert_eq!(blocks[0]["block_id"].as_str().unwrap().len(), 5);
    assert_eq!(blocks[0]["text"]["verbatim"], false);
    assert_eq!(blocks[1]["block_id"], "mine");
    assert!(blocks[1]["elements"][0]["action_id"].is_string());
    assert_eq!(blocks[1]["elements"][0]["text"]["emoji"], true);
    assert_eq!(blocks[2]["label"]["emoji"], false);
    assert_eq!(blocks[2]["optional"], false);
    assert!(blocks[2]["element"]["action_id"].is_string());
}
