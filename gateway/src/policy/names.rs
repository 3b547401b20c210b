//! Ids in policies that could never be an entity's: a `forbid` on one would forbid nothing.

use crate::statement::effect::quote_ident;

/// What is wrong with an id, and what to write instead.
pub(super) fn misnamed(kind: &str, id: &str) -> Option<(String, String)> {
    let never = format!("{kind}::{id:?} can never match");
    let parts = match kind {
        "User" => {
            let lower = id.to_lowercase();
            return (lower != id).then(|| {
                (format!("{never}: user ids are the verified identity in lower case"), format!("write User::{lower:?}"))
            });
        }
        "Schema" => 1,
        "Table" | "Function" => 2,
        "Column" => 3,
        _ => return None,
    };
    let form = ["", "connection/schema", "connection/schema.name", "connection/schema.table.column"][parts];
    let hint = format!("write {kind}::\"{form}\"");
    let Some((connection, path)) = id.split_once('/') else {
        return Some((format!("{never}: it names no connection"), hint));
    };
    match split(path) {
        Some(names) if names.len() == parts && !connection.is_empty() => {
            let canonical = names.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(".");
            (canonical != path).then(|| {
                let right = format!("{connection}/{canonical}");
                (format!("{never}: its parts are not quoted as by quote_ident"), format!("write {kind}::{right:?}"))
            })
        }
        _ => Some((format!("{never}: its form is {form}"), hint)),
    }
}

/// The names in `a."B.c".d`, unquoted.
fn split(path: &str) -> Option<Vec<String>> {
    let (mut names, mut rest) = (Vec::new(), path);
    loop {
        let mut name = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (before, after) = quoted.split_once('"')?;
                name.push_str(before);
                match after.strip_prefix('"') {
                    Some(more) => {
                        name.push('"');
                        quoted = more;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (before, after) = rest.split_at(end);
            name.push_str(before);
            rest = after;
        }
        if name.is_empty() {
            return None;
        }
        names.push(name);
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_can_match_is_accepted() {
        let table = [
            ("User", "ana@acme.dev"),
            ("Agent", "Deploy"),
            ("Group", "Engineering Team"),
            ("Connection", "shop"),
            ("Schema", "shop/public"),
            ("Schema", "shop/\"my.Schema\""),
            ("Table", "shop/public.orders"),
            ("Table", "shop/public.\"Order \"\"x\"\"\""),
            ("Function", "shop/public.refund"),
            ("Column", "shop/public.customers.email"),
        ];
        for (kind, id) in table {
            assert_eq!(misnamed(kind, id), None, "{kind} {id}");
        }
    }

    #[test]
    fn an_id_that_can_never_match_is_refused_with_the_right_one() {
        let table = [
            ("User", "Ana@acme.dev", "write User::\"ana@acme.dev\""),
            ("Table", "public.orders", "write Table::\"connection/schema.name\""),
            ("Table", "shop/orders", "write Table::\"connection/schema.name\""),
            ("Table", "shop/public.orders.id", "write Table::\"connection/schema.name\""),
            ("Table", "shop/public.Orders", r#"write Table::"shop/public.\"Orders\"""#),
            ("Table", "shop/public.\"orders\"", "write Table::\"shop/public.orders\""),
            ("Table", "shop/public.\"orders", "write Table::\"connection/schema.name\""),
            ("Table", "/public.orders", "write Table::\"connection/schema.name\""),
            ("Schema", "shop/", "write Schema::\"connection/schema\""),
            ("Column", "shop/public.email", "write Column::\"connection/schema.table.column\""),
        ];
        for (kind, id, hint) in table {
            assert_eq!(misnamed(kind, id).map(|wrong| wrong.1).as_deref(), Some(hint), "{kind} {id}");
        }
    }
}
