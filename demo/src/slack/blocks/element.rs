//! Block elements: buttons, menus, inputs.

use serde_json::{Map, Value};

use super::Surface;
use super::checker::Checker;
use super::object::{Text, choices, confirm, initial_choices, options, text};

const CHOOSERS: &[&str] = &[
    "static_select",
    "external_select",
    "users_select",
    "conversations_select",
    "channels_select",
    "multi_static_select",
    "multi_external_select",
    "multi_users_select",
    "multi_conversations_select",
    "multi_channels_select",
];
const PICKERS: &[&str] = &["datepicker", "timepicker", "datetimepicker", "checkboxes", "radio_buttons"];
const WRITTEN: &[&str] =
    &["plain_text_input", "number_input", "email_text_input", "url_text_input", "rich_text_input", "file_input"];

/// What kind of block an element is in; each takes some only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Actions,
    Accessory,
    Input,
}

impl Within {
    fn takes(self, kind: &str) -> bool {
        match self {
            Self::Actions => {
                kind == "button"
                    || kind == "overflow"
                    || kind == "workflow_button"
                    || (CHOOSERS.contains(&kind) && !kind.starts_with("multi_"))
                    || PICKERS.contains(&kind)
            }
            Self::Accessory => {
                matches!(kind, "button" | "overflow" | "image" | "workflow_button")
                    || CHOOSERS.contains(&kind)
                    || (PICKERS.contains(&kind) && kind != "datetimepicker")
            }
            Self::Input => CHOOSERS.contains(&kind) || PICKERS.contains(&kind) || WRITTEN.contains(&kind),
        }
    }
}

/// Checks one element where it stands.
pub(super) fn check_element(checker: &mut Checker, value: &Value, within: Within, surface: Surface) {
    let Some(kind) = value["type"].as_str() else {
        return checker.refuse("missing required field: type");
    };
    if !within.takes(kind) || (kind == "file_input" && surface != Surface::Modal) {
        return checker.refuse(format!("unsupported type: {kind}"));
    }
    let Some(object) = checker.object(value, &allowed_keys(kind)) else { return };
    checker.string(object, "action_id", 255);
    checker.boolean(object, "focus_on_load");
    confirm(checker, object);
    text(checker, object, "placeholder", Text::Plain, 150);
    match kind {
        "button" => button(checker, object),
        "image" => image(checker, object),
        "overflow" => {
            if let Some(value) = checker.required(object, "options") {
                checker.inside("options", |checker| options(checker, value, 5, Text::Plain, true));
            }
        }
        "checkboxes" | "radio_buttons" => {
            if let Some(value) = checker.required(object, "options") {
                checker.inside("options", |checker| options(checker, value, 10, Text::Any, false));
            }
            initial_choices(checker, object);
        }
        "static_select" | "multi_static_select" => {
            choices(checker, object);
            checker.number(object, "max_selected_items", 1, 100);
        }
        "datepicker" => pattern(checker, object, "initial_date", "YYYY-MM-DD", is_date),
        "timepicker" => pattern(checker, object, "initial_time", "HH:mm", is_time),
        "number_input" => {
            checker.required(object, "is_decimal_allowed");
            checker.boolean(object, "is_decimal_allowed");
        }
        "plain_text_input" => plain_text_input(checker, object),
        "workflow_button" => {
            text(checker, object, "text", Text::Plain, 75);
            checker.required(object, "workflow");
        }
        _ => {}
    }
}

/// The image element, which also stands in context blocks.
pub(super) fn image(checker: &mut Checker, object: &Map<String, Value>) {
    checker.required(object, "alt_text");
    checker.string(object, "alt_text", 2000);
    checker.string(object, "image_url", 3000);
    if object.contains_key("image_url") == object.contains_key("slack_file") {
        checker.refuse("must provide exactly one of: image_url, slack_file");
    }
}

fn button(checker: &mut Checker, object: &Map<String, Value>) {
    checker.required(object, "text");
    text(checker, object, "text", Text::Plain, 75);
    checker.string(object, "url", 3000);
    if let Some(url) = object.get("url").and_then(Value::as_str)
        && url::Url::parse(url).is_err()
    {
        checker.inside("url", |checker| checker.refuse("must be a valid URL"));
    }
    checker.string_between(object, "value", 0, 2000);
    checker.word(object, "style", &["primary", "danger"]);
    checker.string(object, "accessibility_label", 75);
}

fn plain_text_input(checker: &mut Checker, object: &Map<String, Value>) {
    checker.string_between(object, "initial_value", 0, 3000);
    checker.boolean(object, "multiline");
    checker.number(object, "min_length", 0, 3000);
    checker.number(object, "max_length", 1, 3000);
    let bound = |key: &str| object.get(key).and_then(Value::as_i64);
    if let (Some(least), Some(most)) = (bound("min_length"), bound("max_length"))
        && least > most
    {
        checker.refuse("min_length must not be greater than max_length");
    }
}

fn pattern(checker: &mut Checker, object: &Map<String, Value>, key: &str, shape: &str, fits: fn(&str) -> bool) {
    let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return };
    if !value.as_str().is_some_and(fits) {
        checker.inside(key, |checker| checker.refuse(format!("must match the format {shape}")));
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn is_time(text: &str) -> bool {
    text.len() == 5 && chrono::NaiveTime::parse_from_str(text, "%H:%M").is_ok()
}

/// The keys that an element may have; Slack refuses every other.
fn allowed_keys(kind: &str) -> Vec<&'static str> {
    let mut keys = vec!["type", "action_id"];
    keys.extend_from_slice(match kind {
        "button" => &["text", "url", "value", "style", "confirm", "accessibility_label"],
        "workflow_button" => &["text", "workflow", "style", "accessibility_label"],
        "image" => &["image_url", "slack_file", "alt_text"],
        "overflow" => &["options", "confirm"],
        "checkboxes" => &["options", "initial_options", "confirm", "focus_on_load"],
        "radio_buttons" => &["options", "initial_option", "confirm", "focus_on_load"],
        "datepicker" => &["initial_date", "confirm", "focus_on_load", "placeholder"],
        "timepicker" => &["initial_time", "confirm", "focus_on_load", "placeholder", "timezone"],
        "datetimepicker" => &["initial_date_time", "confirm", "focus_on_load"],
        "plain_text_input" => PLAIN_TEXT_INPUT,
        "number_input" => NUMBER_INPUT,
        "email_text_input" | "url_text_input" => {
            &["initial_value", "dispatch_action_config", "focus_on_load", "placeholder"]
        }
        "rich_text_input" => &["initial_value", "dispatch_action_config", "focus_on_load", "placeholder"],
        "file_input" => &["filetypes", "max_files"],
        _ => CHOOSER,
    });
    keys
}

const PLAIN_TEXT_INPUT: &[&str] = &[
    "initial_value",
    "multiline",
    "min_length",
    "max_length",
    "dispatch_action_config",
    "focus_on_load",
    "placeholder",
];
const NUMBER_INPUT: &[&str] = &[
    "is_decimal_allowed",
    "initial_value",
    "min_value",
    "max_value",
    "dispatch_action_config",
    "focus_on_load",
    "placeholder",
];
const CHOOSER: &[&str] = &[
    "placeholder",
    "options",
    "option_groups",
    "initial_option",
    "initial_options",
    "initial_user",
    "initial_users",
    "initial_channel",
    "initial_channels",
    "initial_conversation",
    "initial_conversations",
    "default_to_current_conversation",
    "response_url_enabled",
    "filter",
    "min_query_length",
    "max_selected_items",
    "confirm",
    "focus_on_load",
];
