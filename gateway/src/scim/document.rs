//! Bodies of clients into resources: only what is known, each of its kind (RFC 7643, section 2).

use chrono::DateTime;
use serde_json::{Map, Value};

use super::{
    schema::{Attribute, Kind, Type, Writes},
    sorry::Sorry,
};

/// The longest text, in characters.
const LONGEST: usize = 1024;
/// The most values of one attribute.
const MOST: usize = 20_000;

/// A body as the resource that it is to be: names in their own case, nothing that the gateway does not
/// keep, nothing that only the gateway writes.
///
/// # Errors
/// `invalidSyntax`, `invalidValue`.
pub fn read(kind: &Type, body: &Value) -> Result<Map<String, Value>, Sorry> {
    let body = body.as_object().ok_or_else(|| Sorry::syntax("The body is no JSON object."))?;
    let mut found = Map::new();
    for (name, value) in body {
        let Some(attribute) = kind.attribute(name) else { continue };
        if attribute.writes == Writes::Server {
            continue;
        }
        let Some(value) = normal(attribute, value)? else { continue };
        if found.insert(attribute.name.to_owned(), value).is_some() {
            return Err(Sorry::syntax(format!("{} is there twice.", attribute.name)));
        }
    }
    says_its_schema(kind, &found)?;
    Ok(found)
}

fn says_its_schema(kind: &Type, found: &Map<String, Value>) -> Result<(), Sorry> {
    let schemas = found.get("schemas").and_then(Value::as_array);
    let own = |schema: &Value| schema.as_str().is_some_and(|schema| schema.eq_ignore_ascii_case(kind.schema));
    if schemas.is_some_and(|schemas| schemas.iter().any(own)) {
        return Ok(());
    }
    Err(Sorry::syntax(format!("`schemas` must name {}.", kind.schema)))
}

/// Whether everything is there that must be.
///
/// # Errors
/// `invalidValue`.
pub fn is_whole(kind: &Type, resource: &Map<String, Value>) -> Result<(), Sorry> {
    match kind.attributes.iter().find(|attribute| attribute.required && !resource.contains_key(attribute.name)) {
        Some(missing) => Err(Sorry::value(format!("{} is missing.", missing.name))),
        None => Ok(()),
    }
}

/// A value as its attribute has it; `None` where it is none.
///
/// # Errors
/// `invalidValue`.
pub fn normal(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Sorry> {
    if value.is_null() {
        return Ok(None);
    }
    if !attribute.many {
        // Some clients send a list of one.
        let value = match value.as_array().map(Vec::as_slice) {
            Some([one]) => one.get("value").filter(|_| attribute.below().is_empty()).unwrap_or(one),
            Some(_) => return Err(Sorry::value(format!("{} is no list.", attribute.name))),
            None => value,
        };
        return one(attribute, value);
    }
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    if all.len() > MOST {
        return Err(Sorry::value(format!("{} has more than {MOST} values.", attribute.name)));
    }
    let mut found: Vec<Value> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for value in all {
        if let Some(value) = one(attribute, value)?
            && seen.insert(value.to_string())
        {
            found.push(value);
        }
    }
    if found.iter().filter(|value| is_primary(value)).count() > 1 {
        return Err(Sorry::value(format!("Only one of {} can be primary.", attribute.name)));
    }
    Ok((!found.is_empty()).then_some(Value::Array(found)))
}

/// Whether a value is the one to use.
#[must_use]
pub fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// One value of an attribute.
fn one(attribute: &Attribute, value: &Value) -> Result<Option<Value>, Sorry> {
    let wrong = |what: &str| Err(Sorry::value(format!("{} must be {what}.", attribute.name)));
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(None),
        (Kind::Text | Kind::Reference(_), Value::String(text)) => {
            if text.chars().count() > LONGEST || text.chars().any(char::is_control) {
                return wrong(&format!("a text of at most {LONGEST} characters, without control characters"));
            }
            // An empty text says nothing (RFC 7643, section 2.5).
            Ok((!text.is_empty()).then(|| value.clone()))
        }
        (Kind::Text | Kind::Reference(_), _) => wrong("a text"),
        (Kind::Flag, Value::Bool(_)) => Ok(Some(value.clone())),
        // Entra ID says "True".
        (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
        (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
        (Kind::Flag, _) => wrong("true or false"),
        (Kind::Time, Value::String(text)) if DateTime::parse_from_rfc3339(text).is_ok() => Ok(Some(value.clone())),
        (Kind::Time, _) => wrong("a time"),
        (Kind::Complex(_), Value::Object(given)) => {
            let mut found = Map::new();
            for (name, value) in given {
                let Some(below) = attribute.sub(name) else { continue };
                if let Some(value) = normal(below, value)? {
                    found.insert(below.name.to_owned(), value);
                }
            }
            Ok((!found.is_empty()).then_some(Value::Object(found)))
        }
        // A bare text where there is a `value`, as in a list of addresses.
        (Kind::Complex(_), Value::String(_)) if attribute.many => {
            let below = attribute.sub("value").map(|below| one(below, value)).transpose()?.flatten();
            Ok(below.map(|below| Value::Object(Map::from_iter([("value".to_owned(), below)]))))
        }
        (Kind::Complex(_), _) => wrong("an object"),
    }
}
