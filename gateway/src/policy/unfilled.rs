//! What the schema has and this version never tells. A policy may read it, behind `has`; whoever
//! rests a forbid on it must hear that it forbids nothing.

use serde_json::Value;

use super::approvals::{children, node};

/// In `context.session`.
const NEVER: [(&str, &[&str]); 1] = [("session", &["mfa_age"])];

/// The paths that a policy reads in vain, each once, with its last name. Of a policy in Cedar's JSON form.
pub(super) fn read(policy: &Value) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for condition in policy["conditions"].as_array().into_iter().flatten() {
        walk(&condition["body"], &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn walk(expr: &Value, found: &mut Vec<(String, &'static str)>) {
    if let Some(("." | "has", body)) = node(expr) {
        // `has` may take a path in one.
        let attrs = match &body["attr"] {
            Value::Array(path) => path.iter().filter_map(Value::as_str).collect(),
            attr => attr.as_str().into_iter().collect::<Vec<_>>(),
        };
        let path: Option<Vec<&str>> = path(&body["left"]).map(|path| path.into_iter().chain(attrs).collect());
        for (within, names) in NEVER {
            let named = match path.as_deref() {
                Some([first, name, ..]) if *first == within => names.iter().find(|never| *never == name),
                _ => None,
            };
            found.extend(named.map(|name| (format!("context.{within}.{name}"), *name)));
        }
    }
    children(expr).into_iter().flatten().for_each(|child| walk(child, found));
}

/// The names from `context` to an expression; none where it is anything else.
fn path(expr: &Value) -> Option<Vec<&str>> {
    match node(expr)? {
        ("Var", name) => (name == "context").then(Vec::new),
        (".", body) => {
            let mut above = path(&body["left"])?;
            above.push(body["attr"].as_str()?);
            Some(above)
        }
        _ => None,
    }
}
