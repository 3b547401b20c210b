//! "Approvals only help": a policy may read `context.approvals` only so that another approval can
//! never turn a yes into a no. The second question of a decision rests on it.
//!
//! Works on Cedar's JSON form of a policy, which keeps the syntax as it was written.

use serde_json::Value;

/// The most people that a policy may ask for.
pub(super) const MOST: i64 = 10;

const ONLY: &str = "approvals may be read only as `context.approvals.count >= n`, `.groups.contains(\"g\")`, \
                    `.groups.containsAll([\"g\", …])`, `.step_up` and `.at_commit`, joined by && and ||, \
                    in a permit's `when` or a forbid's `unless`";

/// What is wrong with how a policy reads approvals, in a sentence each.
pub(super) fn misread(policy: &Value) -> Vec<String> {
    let permit = policy["effect"] == "permit";
    let mut wrong = Vec::new();
    for condition in policy["conditions"].as_array().into_iter().flatten() {
        let kind = condition["kind"].as_str().unwrap_or_default();
        let body = &condition["body"];
        if (permit && kind == "when") || (!permit && kind == "unless") {
            wrong.extend(helps(body).err());
        } else if let Some(what) = mention(body) {
            let effect = if permit { "a permit's" } else { "a forbid's" };
            wrong.push(format!("{what} in {effect} `{kind}`, where an approval could make things worse; {ONLY}"));
        }
    }
    wrong
}

/// The group names that policies ask approvers to stand for.
pub(super) fn groups_asked_for(expr: &Value, found: &mut Vec<String>) {
    if let Some((op @ ("contains" | "containsAll"), body)) = node(expr)
        && is_approvals(&body["left"], "groups")
    {
        found.extend(if op == "contains" {
            text(&body["right"]).into_iter().collect()
        } else {
            texts(&body["right"]).unwrap_or_default()
        });
        return;
    }
    children(expr).into_iter().flatten().for_each(|child| groups_asked_for(child, found));
}

/// Whether `expr` can only go from false to true with another approval.
fn helps(expr: &Value) -> Result<(), String> {
    let Some(what) = mention(expr) else { return Ok(()) };
    match node(expr) {
        Some(("&&" | "||", body)) => helps(&body["left"]).and_then(|()| helps(&body["right"])),
        Some((">=", body)) if is_approvals(&body["left"], "count") => match body["right"]["Value"].as_i64() {
            Some(count) if (1..=MOST).contains(&count) => Ok(()),
            Some(count) => {
                Err(format!("`context.approvals.count >= {count}` asks for a number that is not 1 to {MOST}"))
            }
            None => Err(format!("`context.approvals.count` is compared with something that is not a number; {ONLY}")),
        },
        Some(("contains", body)) if is_approvals(&body["left"], "groups") && text(&body["right"]).is_some() => Ok(()),
        Some(("containsAll", body)) if is_approvals(&body["left"], "groups") && texts(&body["right"]).is_some() => {
            Ok(())
        }
        Some((".", _)) if is_approvals(expr, "step_up") || is_approvals(expr, "at_commit") => Ok(()),
        _ => Err(format!("{what} in another way than is safe; {ONLY}")),
    }
}

/// Whether an expression is `context.approvals.<attr>`.
fn is_approvals(expr: &Value, attr: &str) -> bool {
    matches!(node(expr), Some((".", body)) if body["attr"] == attr && is_approvals_record(&body["left"]))
}

fn is_approvals_record(expr: &Value) -> bool {
    matches!(node(expr), Some((".", body)) if body["attr"] == "approvals" && is_context(&body["left"]))
}

fn is_context(expr: &Value) -> bool {
    matches!(node(expr), Some(("Var", name)) if name == "context")
}

fn text(expr: &Value) -> Option<String> {
    expr["Value"].as_str().map(str::to_owned)
}

fn texts(expr: &Value) -> Option<Vec<String>> {
    let all = match node(expr)? {
        ("Set", set) => set.as_array()?.iter().map(text).collect::<Option<Vec<_>>>()?,
        ("Value", set) => set.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        _ => return None,
    };
    (!all.is_empty()).then_some(all)
}

/// An expression's operator and its body. Every node of the form has exactly one key.
pub(super) fn node(expr: &Value) -> Option<(&str, &Value)> {
    let object = expr.as_object()?;
    let (op, body) = object.iter().next()?;
    (object.len() == 1).then_some((op.as_str(), body))
}

/// The expressions right below one, or `None` where the form is not known.
pub(super) fn children(expr: &Value) -> Option<Vec<&Value>> {
    let (op, body) = node(expr)?;
    let fields = |names: &[&str]| names.iter().map(|name| body.get(name)).collect::<Option<Vec<_>>>();
    match op {
        "Value" | "Var" | "Slot" => Some(Vec::new()),
        "!" | "neg" | "isEmpty" => fields(&["arg"]),
        "." | "has" | "like" => fields(&["left"]),
        "is" => Some(fields(&["left"])?.into_iter().chain(body.get("in")).collect()),
        "if-then-else" => fields(&["if", "then", "else"]),
        "Set" => Some(body.as_array()?.iter().collect()),
        "Record" => Some(body.as_object()?.values().collect()),
        "==" | "!=" | "in" | "<" | "<=" | ">" | ">=" | "&&" | "||" | "+" | "-" | "*" | "contains" | "containsAll"
        | "containsAny" | "getTag" | "hasTag" => fields(&["left", "right"]),
        // Extension functions take a list of arguments; anything else is not known.
        _ => Some(body.as_array()?.iter().collect()),
    }
}

/// Says how an expression reads approvals, or takes `context` away whole so that it can't be told.
fn mention(expr: &Value) -> Option<&'static str> {
    let Some((op, body)) = node(expr) else { return Some("the policy has an expression that is not understood") };
    if matches!(op, "." | "has") && is_context(&body["left"]) {
        let attr = body["attr"].as_str().or_else(|| body["attr"][0].as_str());
        return match (op, attr) {
            (_, Some("approvals")) => Some("`context.approvals` is read"),
            (_, Some(_)) => None,
            (_, None) => Some("the policy has an expression that is not understood"),
        };
    }
    if is_context(expr) {
        return Some("`context` is used whole");
    }
    match children(expr) {
        None => Some("the policy has an expression that is not understood"),
        Some(below) => below.into_iter().find_map(mention),
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn judged(policy: &str) -> Vec<String> {
        let json = Policy::parse(None, policy).expect(policy).to_json().expect(policy);
        misread(&json)
    }

    fn with(effect: &str, kind: &str, condition: &str) -> Vec<String> {
        judged(&format!("{effect} (principal, action, resource) {kind} {{ {condition} }};"))
    }

    #[test]
    fn what_can_only_help_is_accepted() {
        let table = [
            ("a count", "context.approvals.count >= 1"),
            ("the largest count", "context.approvals.count >= 10"),
            ("in brackets and quotes", "(context[\"approvals\"].count) >= 2"),
            ("a group", "context.approvals.groups.contains(\"dba\")"),
            ("several groups", "context.approvals.groups.containsAll([\"dba\", \"sre\"])"),
            ("a fresh sign-in", "context.approvals.step_up"),
            ("review at commit", "context.approvals.at_commit || context.approvals.count >= 2"),
            (
                "beside what has no approvals",
                "context.sql.has_where && !(principal is Agent) && context.approvals.step_up",
            ),
            ("no approvals at all", "!context.sql.has_where || (if context.break_glass then 1 else 2) > 1"),
            ("another attribute of that name", "resource.connection.getTag(\"approvals\") == \"context.approvals\""),
            ("a reason", "context has reason && context.reason like \"*approvals*\""),
        ];
        for (case, condition) in table {
            assert_eq!(with("permit", "when", condition), [""; 0], "{case}, permit when");
            assert_eq!(with("forbid", "unless", condition), [""; 0], "{case}, forbid unless");
        }
    }

    #[test]
    fn what_could_harm_is_refused() {
        let table = [
            ("exactly so many", "context.approvals.count == 1"),
            ("fewer than", "context.approvals.count < 2"),
            ("more than, which is not one of the forms", "context.approvals.count > 1"),
            ("turned round", "1 <= context.approvals.count"),
            ("none is always enough", "context.approvals.count >= 0"),
            ("a negative count", "context.approvals.count >= -1"),
            ("more people than can be asked for", "context.approvals.count >= 11"),
            ("a count that depends", "context.approvals.count >= context.sql.statement_count"),
            ("computed with", "context.approvals.count + 1 >= 2"),
            ("not", "!context.approvals.step_up"),
            ("not, further out", "!(context.sql.has_where && context.approvals.count >= 1)"),
            ("compared with true", "context.approvals.step_up == true"),
            ("if", "if context.approvals.step_up then false else true"),
            ("inside if, unharmed", "if context.sql.has_where then context.approvals.count >= 1 else false"),
            ("has", "context.approvals has count"),
            ("has on the context", "context has approvals"),
            ("a long has", "context has approvals.count"),
            ("is empty", "context.approvals.groups.isEmpty()"),
            ("any of", "context.approvals.groups.containsAny([\"dba\"])"),
            ("all of nothing", "context.approvals.groups.containsAll([])"),
            ("a group that depends", "context.approvals.groups.contains(context.session.application)"),
            ("groups as an argument", "[\"dba\"].containsAll(context.approvals.groups)"),
            ("groups compared", "context.approvals.groups == [\"dba\"]"),
            ("the record compared", "context.approvals == {count: 1}"),
            ("the context compared", "context == context"),
            ("in a set", "[context.approvals.count].contains(0)"),
            ("in a record", "{a: context.approvals.step_up}.a"),
            ("the context in a record", "{a: context}.a.approvals.step_up"),
            ("a record whose key looks like a variable", "{Var: context.approvals.count}.Var == 0"),
            ("the context chosen", "(if true then context else context).approvals.count >= 1"),
        ];
        for (case, condition) in table {
            assert!(!with("permit", "when", condition).is_empty(), "{case}, permit when: {condition}");
            assert!(!with("forbid", "unless", condition).is_empty(), "{case}, forbid unless: {condition}");
        }
    }

    #[test]
    fn a_safe_form_is_refused_where_it_would_harm() {
        for condition in ["context.approvals.count >= 1", "context.approvals.step_up || context.sql.has_where"] {
            assert!(!with("permit", "unless", condition).is_empty(), "permit unless {condition}");
            assert!(!with("forbid", "when", condition).is_empty(), "forbid when {condition}");
        }
        let second = judged("permit (principal, action, resource) when { true } unless { context.approvals.step_up };");
        assert_eq!(second.len(), 1, "each clause is looked at");
    }

    #[test]
    fn the_groups_that_are_asked_for_are_found() {
        let policy = "permit (principal, action, resource) when { context.sql.tables.contains(\"t\") &&
            (context.approvals.groups.contains(\"dba\") || context.approvals.groups.containsAll([\"sre\", \"sec\"])) };";
        let json = Policy::parse(None, policy).expect("parses").to_json().expect("has a JSON form");
        let mut found = Vec::new();
        groups_asked_for(&json["conditions"][0]["body"], &mut found);
        assert_eq!(found, ["dba", "sre", "sec"]);
    }
}
