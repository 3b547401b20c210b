//! A call's arguments: from the query, a form, or JSON. In a form, structured ones are JSON in a string.

use axum::http::{HeaderMap, Method, header};
use serde_json::{Map, Value, json};

use super::Refused;

/// The arguments by name.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Arguments(Map<String, Value>);

impl Arguments {
    pub fn read(method: &Method, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refused> {
        let mut arguments = form(query.unwrap_or_default().as_bytes());
        if method != Method::POST || body.is_empty() {
            return Ok(Self(arguments));
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json" => match serde_json::from_slice(body) {
                // Slack does not take a token from a JSON body.
                Ok(Value::Object(json)) => arguments.extend(json.into_iter().filter(|(key, _)| key != "token")),
                Ok(_) => return Err("json_not_object".into()),
                Err(_) => return Err("invalid_json".into()),
            },
            "application/x-www-form-urlencoded" => arguments.extend(form(body)),
            _ => return Err("invalid_post_type".into()),
        }
        Ok(Self(arguments))
    }

    pub fn from_object(object: Map<String, Value>) -> Self {
        Self(object)
    }

    pub fn token(&self) -> Option<&str> {
        self.text("token")
    }

    pub fn without_token(&self) -> Value {
        let kept = self.0.iter().filter(|(key, _)| *key != "token");
        Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// A string that is there and not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    pub fn flag(&self, key: &str) -> bool {
        match self.0.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true" || text == "1",
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        }
    }

    /// A structured argument: a JSON value, or a string that holds one. `Err` when the string is not JSON.
    pub fn structure(&self, key: &str) -> Result<Option<Value>, ()> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(|_| ()),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// A list of ids: `U1,U2`, or a JSON array.
    pub fn list(&self, key: &str) -> Vec<String> {
        match self.0.get(key) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => {
                text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn form(bytes: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(bytes).map(|(key, value)| (key.into_owned(), json!(value))).collect()
}
