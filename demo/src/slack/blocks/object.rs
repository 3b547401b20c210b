//! Composition objects: text, options, confirmation dialogs.

use serde_json::{Map, Value};

use super::checker::Checker;

/// Which text objects a place accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// `plain_text` only.
    Plain,
    /// `plain_text` or `mrkdwn`.
    Any,
}

/// A text field of 1 to `most` characters, if it is there.
pub(super) fn text(checker: &mut Checker, object: &Map<String, Value>, key: &str, kind: Text, most: usize) {
    if let Some(value) = object.get(key).filter(|value| !value.is_null()) {
        checker.inside(key, |checker| text_object(checker, value, kind, most));
    }
}

/// A text object of 1 to `most` characters.
pub(super) fn text_object(checker: &mut Checker, value: &Value, kind: Text, most: usize) {
    let allowed: &[&str] = match value["type"].as_str() {
        Some("plain_text") => &["type", "text", "emoji"],
        Some("mrkdwn") if kind == Text::Any => &["type", "text", "verbatim"],
        Some("mrkdwn") => return checker.refuse("must be a plain_text object"),
        Some(other) => return checker.refuse(format!("unsupported type: {other}")),
        None if value.is_object() => return checker.refuse("missing required field: type"),
        None => return checker.refuse("must provide an object"),
    };
    let Some(object) = checker.object(value, allowed) else { return };
    checker.boolean(object, "emoji");
    checker.boolean(object, "verbatim");
    if checker.required(object, "text").is_some() {
        checker.string(object, "text", most);
    }
}

/// A confirmation dialog, <https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object>.
pub(super) fn confirm(checker: &mut Checker, object: &Map<String, Value>) {
    let Some(value) = object.get("confirm").filter(|value| !value.is_null()) else { return };
    checker.inside("confirm", |checker| {
        let Some(dialog) = checker.object(value, &["title", "text", "confirm", "deny", "style"]) else { return };
        for key in ["title", "text", "confirm", "deny"] {
            checker.required(dialog, key);
        }
        text(checker, dialog, "title", Text::Plain, 100);
        text(checker, dialog, "text", Text::Any, 300);
        text(checker, dialog, "confirm", Text::Plain, 30);
        text(checker, dialog, "deny", Text::Plain, 30);
        checker.word(dialog, "style", &["primary", "danger"]);
    });
}

/// A list of options. `url` belongs to overflow menus only, `mrkdwn` to radio buttons and checkboxes.
pub(super) fn options(checker: &mut Checker, value: &Value, most: usize, kind: Text, with_url: bool) {
    checker.array(value, 1, most, |checker, value| option(checker, value, kind, with_url));
}

fn option(checker: &mut Checker, value: &Value, kind: Text, with_url: bool) {
    let allowed: &[&str] =
        if with_url { &["text", "value", "description", "url"] } else { &["text", "value", "description"] };
    let Some(object) = checker.object(value, allowed) else { return };
    checker.required(object, "text");
    text(checker, object, "text", kind, 75);
    text(checker, object, "description", kind, 75);
    checker.required(object, "value");
    checker.string(object, "value", 150);
    checker.string(object, "url", 3000);
}

/// `options`, or `option_groups`, but not both; and the initial choices are among them.
pub(super) fn choices(checker: &mut Checker, object: &Map<String, Value>) {
    match (object.get("options"), object.get("option_groups")) {
        (Some(value), None) => checker.inside("options", |checker| options(checker, value, 100, Text::Plain, false)),
        (None, Some(value)) => checker.inside("option_groups", |checker| {
            checker.array(value, 1, 100, |checker, group| {
                let Some(group) = checker.object(group, &["label", "options"]) else { return };
                checker.required(group, "label");
                text(checker, group, "label", Text::Plain, 75);
                if let Some(value) = checker.required(group, "options") {
                    checker.inside("options", |checker| options(checker, value, 100, Text::Plain, false));
                }
            });
        }),
        _ => checker.refuse("must provide exactly one of: options, option_groups"),
    }
    initial_choices(checker, object);
}

/// What is chosen at first has to be one of the options, exactly.
pub(super) fn initial_choices(checker: &mut Checker, object: &Map<String, Value>) {
    let offered: Vec<&Value> = all_options(object).collect();
    let initial = object.get("initial_option").into_iter();
    let more = object.get("initial_options").and_then(Value::as_array).into_iter().flatten();
    for chosen in initial.chain(more) {
        if !offered.contains(&chosen) {
            checker.refuse("initial option must exactly match one of the options");
        }
    }
}

/// Every option of a menu, grouped or not.
pub(in super::super) fn all_options(element: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let plain = element.get("options").and_then(Value::as_array).into_iter().flatten();
    let groups = element.get("option_groups").and_then(Value::as_array).into_iter().flatten();
    plain.chain(groups.flat_map(|group| group["options"].as_array().into_iter().flatten()))
}
