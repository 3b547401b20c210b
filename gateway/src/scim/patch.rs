//! Patches (RFC 7644, section 3.5.2): operations into a changed resource. Pure; all of a patch or nothing.
//!
//! Besides the RFC it takes what the common clients send: names in any case, `"True"`, values without a
//! path, dotted names in them, and a `remove` of members that names them in its `value`.

use serde_json::{Map, Value};

use super::{
    document::{is_primary, normal},
    filter::{Filter, parse_within},
    path::{Path, Unknown, without_schema},
    schema::{Attribute, Type, Writes},
    sorry::Sorry,
    tokens::closing,
};

/// The schema of a patch.
const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations in one.
const MOST: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Add,
    Replace,
    Remove,
}

/// Where an operation works.
struct Target {
    attribute: &'static Attribute,
    chosen: Option<Filter>,
    sub: Option<&'static Attribute>,
}

type Resource = Map<String, Value>;

/// The resource after a patch.
///
/// # Errors
/// `invalidSyntax`, `invalidPath`, `invalidFilter`, `invalidValue`, `noTarget`, `mutability`. The first one.
pub fn apply(kind: &'static Type, resource: &Resource, patch: &Value) -> Result<Resource, Sorry> {
    let schemas = patch.get("schemas").and_then(Value::as_array);
    let named = schemas.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(SCHEMA)));
    let operations = patch.as_object().and_then(|body| member(body, "Operations")).and_then(Value::as_array);
    let (true, Some(operations)) = (named, operations) else {
        return Err(Sorry::syntax(format!("A patch has `schemas` with {SCHEMA}, and a list of `Operations`.")));
    };
    if operations.is_empty() || operations.len() > MOST {
        return Err(Sorry::syntax(format!("A patch has one to {MOST} operations.")));
    }
    let mut after = resource.clone();
    for operation in operations {
        let operation = operation.as_object().ok_or_else(|| Sorry::syntax("An operation is no JSON object."))?;
        one(kind, &mut after, operation)?;
    }
    Ok(after)
}

fn member<'m>(object: &'m Resource, name: &str) -> Option<&'m Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn one(kind: &'static Type, resource: &mut Resource, operation: &Resource) -> Result<(), Sorry> {
    let what = match member(operation, "op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("add") => What::Add,
        Some("replace") => What::Replace,
        Some("remove") => What::Remove,
        _ => return Err(Sorry::syntax("`op` is add, replace or remove.")),
    };
    let value = member(operation, "value");
    match member(operation, "path") {
        None | Some(Value::Null) => without_path(kind, resource, what, value),
        Some(Value::String(path)) => with_path(kind, resource, what, path, value),
        Some(_) => Err(Sorry::path("`path` is a text.")),
    }
}

/// The value's own members say where.
fn without_path(kind: &'static Type, resource: &mut Resource, what: What, value: Option<&Value>) -> Result<(), Sorry> {
    if what == What::Remove {
        return Err(Sorry::no_target("A remove needs a `path`."));
    }
    let value = value.and_then(Value::as_object);
    let value = value.ok_or_else(|| Sorry::value("Without a `path`, the `value` is an object."))?;
    for (name, value) in value {
        // Clients send back what they read: what only we write is no wish there.
        let ours = kind.attribute(name).is_some_and(|attribute| attribute.writes == Writes::Server);
        if ours || name.eq_ignore_ascii_case("schemas") {
            continue;
        }
        // What belongs to a schema of its own is an object under that name.
        let own_schema = name.eq_ignore_ascii_case(kind.schema);
        match value.as_object() {
            Some(_) if own_schema => without_path(kind, resource, what, Some(value))?,
            _ => match with_path(kind, resource, what, name, Some(value)) {
                // As in a body: what is not known is not kept.
                Err(Sorry { word: Some("invalidPath"), .. }) => {}
                other => other?,
            },
        }
    }
    Ok(())
}

fn with_path(
    kind: &'static Type,
    resource: &mut Resource,
    what: What,
    path: &str,
    value: Option<&Value>,
) -> Result<(), Sorry> {
    let Some(target) = target(kind, path)? else { return Ok(()) };
    let last = target.sub.unwrap_or(target.attribute);
    let ours = |attribute: &Attribute| attribute.writes == Writes::Server;
    if ours(target.attribute) || ours(last) || target.attribute.name == "schemas" {
        return Err(Sorry::mutability(format!("{path} is not the client's to change.")));
    }
    match what {
        What::Remove => remove(resource, &target, value),
        What::Add | What::Replace => {
            let value = value.ok_or_else(|| Sorry::value("A `value` is missing."))?;
            set(resource, &target, what, value)
        }
    }
}

/// Reads `attribute[filter].sub`. `None` where the attribute is one that is known and not kept.
fn target(kind: &'static Type, text: &str) -> Result<Option<Target>, Sorry> {
    let wrong = || Sorry::path(format!("There is no attribute {text:?}."));
    let unknown = |unknown: Unknown| match unknown {
        Unknown::Unkept => Ok(None),
        Unknown::Nothing => Err(wrong()),
    };
    let Some((name, rest)) = text.split_once('[') else {
        return match Path::parse(kind, text) {
            Ok(Path { attribute, sub }) => Ok(Some(Target { attribute, chosen: None, sub })),
            Err(why) => unknown(why),
        };
    };
    let name = match without_schema(kind, name) {
        Ok(name) => name,
        Err(why) => return unknown(why),
    };
    let Some(attribute) = kind.attribute(name) else {
        return unknown(if kind.is_unkept(name) { Unknown::Unkept } else { Unknown::Nothing });
    };
    let end = closing(rest).ok_or_else(|| Sorry::path("A bracket of the `path` does not close."))?;
    if !attribute.many || attribute.below().is_empty() {
        return Err(Sorry::path(format!("{name} has no values to choose from.")));
    }
    let chosen = Some(parse_within(kind, attribute, &rest[..end])?);
    let sub = match &rest[end + 1..] {
        "" => None,
        rest => Some(rest.strip_prefix('.').and_then(|sub| attribute.sub(sub)).ok_or_else(wrong)?),
    };
    Ok(Some(Target { attribute, chosen, sub }))
}

fn list<'r>(resource: &'r mut Resource, attribute: &Attribute) -> &'r mut Vec<Value> {
    let slot = resource.entry(attribute.name).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(all) => all,
        _ => unreachable!("made a list above"),
    }
}

fn fits(filter: &Filter, value: &Value) -> bool {
    value.as_object().is_some_and(|value| filter.fits(value))
}

/// Add and replace (sections 3.5.2.1 and 3.5.2.3).
fn set(resource: &mut Resource, target: &Target, what: What, value: &Value) -> Result<(), Sorry> {
    let Target { attribute, chosen, sub } = target;
    match (chosen, sub) {
        (None, None) if attribute.many && what == What::Add => {
            let Some(Value::Array(more)) = normal(attribute, value)? else { return Ok(()) };
            add(list(resource, attribute), more);
        }
        (None, None) => match normal(attribute, value)? {
            // What has attributes of its own keeps those that are not named.
            Some(Value::Object(more)) => match resource.entry(attribute.name).or_insert_with(|| Map::new().into()) {
                Value::Object(before) => before.extend(more),
                other => *other = more.into(),
            },
            Some(value) => drop(resource.insert(attribute.name.to_owned(), value)),
            None => drop(resource.remove(attribute.name)),
        },
        (None, Some(sub)) if attribute.many => {
            let value = normal(sub, value)?;
            let all = list(resource, attribute);
            if all.is_empty() && what == What::Add {
                all.push(Map::new().into());
            }
            all.iter_mut().for_each(|one| put(one, sub, value.clone()));
        }
        (None, Some(sub)) => {
            let value = normal(sub, value)?;
            put(resource.entry(attribute.name).or_insert_with(|| Map::new().into()), sub, value);
        }
        (Some(filter), sub) => choose(resource, attribute, filter, *sub, what, value)?,
    }
    tidy(resource, attribute);
    Ok(())
}

/// Add and replace of those values of an attribute that a filter chooses.
fn choose(
    resource: &mut Resource,
    attribute: &'static Attribute,
    filter: &Filter,
    sub: Option<&'static Attribute>,
    what: What,
    value: &Value,
) -> Result<(), Sorry> {
    let value = match sub {
        Some(sub) => normal(sub, value)?,
        None => match normal(attribute, value)? {
            Some(Value::Array(all)) if all.len() == 1 => all.into_iter().next(),
            _ => return Err(Sorry::value(format!("One value of {} is an object.", attribute.name))),
        },
    };
    let all = list(resource, attribute);
    if !all.iter().any(|one| fits(filter, one)) {
        // A value that is not there yet is made as the filter describes it (Entra ID counts on that).
        let Some(fixed) = filter.fixed().filter(|_| what == What::Add) else {
            return Err(Sorry::no_target(format!("None of {} is like that.", attribute.name)));
        };
        let made = fixed.into_iter().map(|(sub, value)| (sub.name.to_owned(), value)).collect::<Map<_, _>>();
        all.push(made.into());
        if let Some(last) = all.last_mut() {
            change(last, sub, value.as_ref());
        }
        return Ok(());
    }
    let becomes_primary = value.as_ref().is_some_and(is_primary)
        || sub.is_some_and(|sub| sub.name == "primary") && value == Some(Value::Bool(true));
    for one in all.iter_mut() {
        if fits(filter, one) {
            change(one, sub, value.as_ref());
        } else if becomes_primary && is_primary(one) {
            one["primary"] = false.into();
        }
    }
    Ok(())
}

fn change(one: &mut Value, sub: Option<&Attribute>, value: Option<&Value>) {
    match (sub, value) {
        (Some(sub), value) => put(one, sub, value.cloned()),
        (None, Some(Value::Object(more))) => {
            for (name, value) in more {
                one[name.as_str()] = value.clone();
            }
        }
        (None, _) => {}
    }
}

fn put(one: &mut Value, sub: &Attribute, value: Option<Value>) {
    if let Value::Object(one) = one {
        match value {
            Some(value) => drop(one.insert(sub.name.to_owned(), value)),
            None => drop(one.remove(sub.name)),
        }
    }
}

/// Adds values that are not there yet; a new primary one takes that from the others.
fn add(all: &mut Vec<Value>, more: Vec<Value>) {
    if more.iter().any(is_primary) {
        all.iter_mut().filter(|one| is_primary(one)).for_each(|one| one["primary"] = false.into());
    }
    let new: std::collections::HashSet<String> = more.iter().map(key).collect();
    all.retain(|one| !new.contains(&key(one)));
    all.extend(more);
}

/// What makes a value the same as another: its `value` and `type`, or all of it.
fn key(one: &Value) -> String {
    match one.get("value") {
        Some(value) => {
            format!("{value} {}", one.get("type").filter(|_| one.get("$ref").is_none()).unwrap_or(&Value::Null))
        }
        None => one.to_string(),
    }
}

/// Remove (section 3.5.2.2).
fn remove(resource: &mut Resource, target: &Target, value: Option<&Value>) -> Result<(), Sorry> {
    let Target { attribute, chosen, sub } = target;
    if attribute.required && sub.is_none() {
        return Err(Sorry::mutability(format!("{} must be there.", attribute.name)));
    }
    match (chosen, sub) {
        (None, None) => {
            // Which ones, in the value: `remove` of members as Entra ID says it.
            let named = value.filter(|_| attribute.many).map(|value| normal(attribute, value)).transpose()?.flatten();
            match named {
                Some(Value::Array(named)) => {
                    let id = |one: &Value| one.get("value").cloned();
                    list(resource, attribute).retain(|one| !named.iter().any(|named| id(named) == id(one)));
                }
                _ => drop(resource.remove(attribute.name)),
            }
        }
        (None, Some(sub)) => match resource.get_mut(attribute.name) {
            Some(Value::Array(all)) => all.iter_mut().for_each(|one| put(one, sub, None)),
            Some(one) => put(one, sub, None),
            None => {}
        },
        (Some(filter), sub) => {
            let all = list(resource, attribute);
            if !all.iter().any(|one| fits(filter, one)) {
                // Gone already is as good as removed now.
                tidy(resource, attribute);
                return Ok(());
            }
            match sub {
                Some(sub) => all.iter_mut().filter(|one| fits(filter, one)).for_each(|one| put(one, sub, None)),
                None => all.retain(|one| !fits(filter, one)),
            }
        }
    }
    tidy(resource, attribute);
    Ok(())
}

/// What is empty is not there.
fn tidy(resource: &mut Resource, attribute: &Attribute) {
    let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    if let Some(Value::Array(all)) = resource.get_mut(attribute.name) {
        all.retain(|one| !empty(one));
    }
    let gone = |value: &Value| empty(value) || value.as_array().is_some_and(Vec::is_empty);
    if resource.get(attribute.name).is_some_and(gone) {
        resource.remove(attribute.name);
    }
}
