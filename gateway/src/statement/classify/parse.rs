//! A text into trees, as values that can be walked whole: no field of any node is out of sight.

use serde_json::Value;

use super::Doubt;

/// One statement of a text.
pub struct Parsed {
    /// Its bytes within the text.
    pub range: std::ops::Range<usize>,
    /// The node's type, `SelectStmt`.
    pub kind: String,
    /// The node's fields.
    pub fields: Value,
}

/// Parses a text into its statements.
///
/// # Errors
/// Why it is not SQL, or not one that the tree can hold.
pub fn statements(sql: &str) -> Result<Vec<Parsed>, Doubt> {
    let syntax = |message: String| Doubt::Syntax { message, position: None };
    let tree = pg_query::parse(sql, pg_query::ParserOptions::DEFAULT).map_err(|error| {
        let message = error.to_string();
        syntax(message.strip_prefix("Invalid statement: ").unwrap_or(&message).to_owned())
    })?;
    let mut statements = Vec::new();
    for raw in &tree.protobuf.stmts {
        let start = usize::try_from(raw.stmt_location).unwrap_or(0);
        let end = match usize::try_from(raw.stmt_len) {
            Ok(0) | Err(_) => sql.len(),
            Ok(length) => start + length,
        };
        let node = raw.stmt.as_ref().ok_or_else(|| syntax("a statement is empty".to_owned()))?;
        let value = serde_json::to_value(node).map_err(|error| syntax(error.to_string()))?;
        let (kind, fields) = tagged(&value).ok_or_else(|| syntax("a statement has no type".to_owned()))?;
        statements.push(Parsed { range: start..end, kind: kind.to_owned(), fields: fields.clone() });
    }
    Ok(statements)
}

/// A node's type and fields.
pub fn tagged(value: &Value) -> Option<(&str, &Value)> {
    let node = value.as_object()?.get("node")?.as_object()?;
    let (kind, fields) = node.iter().next()?;
    Some((kind, fields))
}

/// A text field; empty where there is none.
pub fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number field (enumerations are numbers); -1 where there is none.
pub fn number(fields: &Value, name: &str) -> i64 {
    fields.get(name).and_then(Value::as_i64).unwrap_or(-1)
}

/// Whether a flag is set.
pub fn flag(fields: &Value, name: &str) -> bool {
    fields.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether a field is there and not empty.
pub fn has(fields: &Value, name: &str) -> bool {
    fields.get(name).is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
}

/// The strings of a list of String nodes.
pub fn strings(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let string = |item| tagged(item).filter(|(kind, _)| *kind == "String").map(|(_, s)| text(s, "sval").to_owned());
    items.iter().filter_map(string).collect()
}

/// The constants of a list of nodes, as text; `None` where one is something else.
pub fn constants(list: Option<&Value>) -> Option<Vec<String>> {
    list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter().map(constant).collect()
}

fn constant(item: &Value) -> Option<String> {
    let (kind, fields) = tagged(item)?;
    match kind {
        "AConst" => {
            let (kind, value) = fields.get("val")?.as_object()?.iter().next()?;
            Some(match kind.as_str() {
                "Sval" => text(value, "sval").to_owned(),
                "Ival" => number(value, "ival").to_string(),
                "Fval" => text(value, "fval").to_owned(),
                "Boolval" => flag(value, "boolval").to_string(),
                _ => return None,
            })
        }
        "String" => Some(text(fields, "sval").to_owned()),
        "TypeCast" => constant(fields.get("arg")?),
        _ => None,
    }
}
