//! What a statement does, in words.

use countersign_shared::api::EffectView;

use super::visible::short;

/// What each action of DESIGN §3 does to its object.
const WORDS: [(&str, &str); 31] = [
    ("select", "reads"),
    ("copy_out", "copies rows out of"),
    ("transaction", "controls a transaction on"),
    ("set", "changes a setting on"),
    ("listen", "listens on"),
    ("temp", "uses temporary tables on"),
    ("insert", "inserts rows into"),
    ("update", "updates rows of"),
    ("delete", "deletes rows from"),
    ("merge", "merges rows into"),
    ("copy_in", "copies rows into"),
    ("lock", "locks"),
    ("notify", "notifies listeners of"),
    ("create", "creates"),
    ("alter", "alters"),
    ("truncate", "truncates (empties)"),
    ("drop", "drops"),
    ("privilege", "changes privileges on"),
    ("maintain", "maintains"),
    ("server", "reaches the server itself:"),
    ("opaque", "does something that cannot be analysed (opaque) on"),
    ("connect", "connects to"),
    ("call", "calls"),
    ("reveal", "reveals"),
    ("approve", "approves on"),
    ("request", "requests"),
    ("audit", "reads the records of"),
    ("administer", "administers"),
    ("read", "reads"),
    ("write", "writes to"),
    ("ddl", "changes the schema of"),
];

/// `delete` on `Table::"shop/public.orders"` as `deletes rows from table public.orders`.
#[must_use]
pub fn effect(effect: &EffectView, connection: &str) -> String {
    let words = WORDS.iter().find(|(action, _)| *action == effect.action).map(|(_, words)| *words);
    let words = words.map_or_else(|| format!("{} on", short(&effect.action, 60)), str::to_owned);
    format!("{words} {}", object(&effect.object, connection))
}

/// `Table::"shop/public.orders"` as `table public.orders`; what has another form stays as it is.
fn object(id: &str, connection: &str) -> String {
    let Some((kind, quoted)) = id.split_once("::") else { return short(id, 300) };
    let Some(name) = quoted.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else { return short(id, 300) };
    let inner = name.strip_prefix(connection).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    // Cedar escapes quotes and backslashes in an id.
    let inner = inner.replace("\\\"", "\"").replace("\\\\", "\\");
    short(&format!("{} {inner}", kind.to_lowercase()), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_said_in_words() {
        let table = [
            ("delete", "Table::\"shop/public.orders\"", "deletes rows from table public.orders"),
            ("select", "Connection::\"shop\"", "reads connection shop"),
            ("drop", "Table::\"shop/public.\\\"Odd Name\\\"\"", "drops table public.\"Odd Name\""),
            ("frobnicate", "Table::\"other/x.y\"", "frobnicate on table other/x.y"),
            ("opaque", "weird", "does something that cannot be analysed (opaque) on weird"),
        ];
        for (action, object, expected) in table {
            let view = EffectView { action: action.into(), object: object.into() };
            assert_eq!(effect(&view, "shop"), expected);
        }
    }
}
