//! "Templates only help": whether a statement is a template is looked at once policy does not let it pass as any other. So a
//! policy may read `context.sql.template` only so that a statement is never worse off for being one.
//!
//! Works on Cedar's JSON form of a policy, as `approvals` does.

use serde_json::Value;

use crate::policy::approvals::{children, node};

const ONLY: &str = "templates may be read only as `context.sql has template` and `context.sql.template == \"name\"` or \
                    `[\"name\", …].contains(context.sql.template)`, joined by \
                    && and ||, in a permit's `when` or a forbid's `unless`";

/// What is wrong with how a policy reads templates, in a sentence each.
pub(in crate::policy) fn misread(policy: &Value) -> Vec<String> {
    let permit = policy["effect"] == "permit";
    let mut wrong = Vec::new();
    for condition in policy["conditions"].as_array().into_iter().flatten() {
        let kind = condition["kind"].as_str().unwrap_or_default();
        let body = &condition["body"];
        let may_help = (permit && kind == "when") || (!permit && kind == "unless");
        if mentions(body) && !(may_help && helps(body)) {
            let effect = if permit { "a permit's" } else { "a forbid's" };
            wrong.push(format!(
                "`template` in {effect} `{kind}`, in a way that could make a template worse off; {ONLY}"
            ));
        }
    }
    wrong
}

/// Whether `expr` can only go from false to true where a statement is a template.
fn helps(expr: &Value) -> bool {
    if !mentions(expr) {
        return true;
    }
    match node(expr) {
        Some(("&&" | "||", body)) => helps(&body["left"]) && helps(&body["right"]),
        Some(("has", body)) => is_sql(&body["left"]) || is_context(&body["left"]),
        Some(("contains", body)) if is_template(&body["right"]) => !mentions(&body["left"]),
        Some(("==", body)) => {
            let sides = [(&body["left"], &body["right"]), (&body["right"], &body["left"])];
            sides.iter().any(|(one, other)| is_template(one) && other["Value"].is_string())
        }
        _ => false,
    }
}

fn is_template(expr: &Value) -> bool {
    matches!(node(expr), Some((".", of)) if of["attr"] == "template")
}

/// Whether an expression reads the attribute, or takes the record whole that has it.
fn mentions(expr: &Value) -> bool {
    let Some((op, body)) = node(expr) else { return true };
    if is_sql(expr) || is_context(expr) {
        return true;
    }
    if matches!(op, "." | "has") {
        let attr = &body["attr"];
        let names = || attr.as_array().into_iter().flatten().chain([attr]).filter_map(Value::as_str);
        if names().any(|name| name == "template") {
            return true;
        }
        // `context.sql.other`, `context has sql`: neither is the record.
        let left = &body["left"];
        return !is_sql(left) && !is_context(left) && mentions(left);
    }
    children(expr).is_none_or(|below| below.into_iter().any(mentions))
}

fn is_sql(expr: &Value) -> bool {
    matches!(node(expr), Some((".", body)) if body["attr"] == "sql" && is_context(&body["left"]))
}

fn is_context(expr: &Value) -> bool {
    matches!(node(expr), Some(("Var", name)) if name == "context")
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn good(effect: &str, kind: &str, condition: &str) -> bool {
        let policy = format!("{effect} (principal, action, resource) {kind} {{ {condition} }};");
        misread(&Policy::parse(None, &policy).expect(&policy).to_json().expect(&policy)).is_empty()
    }

    #[test]
    fn a_statement_is_never_worse_off_for_being_a_template() {
        let helps = [
            "context.sql has template && context.sql.template == \"one\"",
            "context.sql has template && (\"one\" == context.sql.template || context.sql.template == \"two\")",
            "context has sql.template && context.sql.template == \"one\" && context.approvals.count >= 1",
            "context.sql.rows <= 1 && context.reason like \"*template*\"",
            "context.sql has template && [\"one\", \"two\"].contains(context.sql.template)",
            "!(context.sql has rows) && context.sql.has_where",
        ];
        let harms = [
            "!(context.sql has template)",
            "context.sql has template && context.sql.template != \"one\"",
            "context.sql has template && !(context.sql.template == \"one\")",
            "if context.sql has template then false else true",
            "context.sql has template && context.sql.template like \"o*\"",
            "(context.sql has template) == false",
            "[context.sql].isEmpty()",
            "context.sql has template && context.sql.template == context.reason",
        ];
        for condition in helps {
            assert!(good("permit", "when", condition), "{condition}");
            assert!(good("forbid", "unless", condition), "{condition}");
        }
        for condition in harms {
            assert!(!good("permit", "when", condition), "{condition}");
            assert!(!good("forbid", "unless", condition), "{condition}");
        }
        for (effect, kind) in [("forbid", "when"), ("permit", "unless")] {
            assert!(!good(effect, kind, helps[0]), "{effect} {kind}");
            assert!(good(effect, kind, helps[3]), "{effect} {kind} of something else");
        }
    }
}
