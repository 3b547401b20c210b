//! Walks a JSON value and remembers what is wrong where.

use serde_json::{Map, Value};

/// The errors so far, and the JSON pointer of the value being looked at.
pub(super) struct Checker {
    path: String,
    errors: Vec<String>,
}

impl Checker {
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), errors: Vec::new() }
    }

    pub fn into_errors(self) -> Vec<String> {
        self.errors
    }

    pub fn refuse(&mut self, what: impl AsRef<str>) {
        self.errors.push(format!("{} [json-pointer:{}]", what.as_ref(), self.path));
    }

    /// Checks something one level down.
    pub fn inside(&mut self, key: impl std::fmt::Display, check: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(&format!("/{key}"));
        check(self);
        self.path.truncate(length);
    }

    /// The value as an object that has no key outside `allowed`.
    pub fn object<'v>(&mut self, value: &'v Value, allowed: &[&str]) -> Option<&'v Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.refuse("must provide an object");
            return None;
        };
        for key in object.keys().filter(|key| !allowed.contains(&key.as_str())) {
            self.refuse(format!("invalid additional property: {key}"));
        }
        Some(object)
    }

    /// A field that must be there; says so if it is not.
    pub fn required<'v>(&mut self, object: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
        let value = object.get(key).filter(|value| !value.is_null());
        if value.is_none() {
            self.refuse(format!("missing required field: {key}"));
        }
        value
    }

    /// A string field of 1 to `most` characters, if it is there.
    pub fn string(&mut self, object: &Map<String, Value>, key: &str, most: usize) {
        self.string_between(object, key, 1, most);
    }

    /// A string field of `least` to `most` characters, if it is there.
    pub fn string_between(&mut self, object: &Map<String, Value>, key: &str, least: usize, most: usize) {
        let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return };
        self.inside(key, |checker| match value.as_str() {
            Some(text) => checker.length(text, least, most),
            None => checker.refuse("must provide a string"),
        });
    }

    /// Slack counts characters, not bytes.
    pub fn length(&mut self, text: &str, least: usize, most: usize) {
        let count = text.chars().count();
        if count < least {
            self.refuse(format!("must be more than {} characters", least.saturating_sub(1)));
        }
        if count > most {
            self.refuse(format!("must be less than {} characters", most + 1));
        }
    }

    /// A boolean field, if it is there.
    pub fn boolean(&mut self, object: &Map<String, Value>, key: &str) {
        if object.get(key).is_some_and(|value| !value.is_boolean() && !value.is_null()) {
            self.inside(key, |checker| checker.refuse("must provide a boolean"));
        }
    }

    /// A whole number between two bounds, if it is there.
    pub fn number(&mut self, object: &Map<String, Value>, key: &str, least: i64, most: i64) {
        let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return };
        self.inside(key, |checker| match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => {}
            Some(_) => checker.refuse(format!("must be between {least} and {most}")),
            None => checker.refuse("must provide a number"),
        });
    }

    /// One of a few words, if it is there.
    pub fn word(&mut self, object: &Map<String, Value>, key: &str, words: &[&str]) {
        let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return };
        if !value.as_str().is_some_and(|word| words.contains(&word)) {
            self.inside(key, |checker| {
                checker.refuse(format!("value must be one of: {}", words.join(", ")));
            });
        }
    }

    /// An array of `least` to `most` items, each checked.
    pub fn array(&mut self, value: &Value, least: usize, most: usize, mut check: impl FnMut(&mut Self, &Value)) {
        let Some(items) = value.as_array() else {
            self.refuse("must provide an array");
            return;
        };
        if items.len() < least {
            self.refuse(format!("no less than {least} items allowed"));
        }
        if items.len() > most {
            self.refuse(format!("no more than {most} items allowed"));
        }
        for (index, item) in items.iter().enumerate() {
            self.inside(index, |checker| check(checker, item));
        }
    }
}
