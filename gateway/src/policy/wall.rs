//! The second wall for readers: who could do more than read, whatever conditions say.
//!
//! Works on the scopes of permits alone. Conditions are taken as true and forbids are left out, so
//! that a no here is a no for every statement, approval, hour and setting.

use cedar_policy::{ActionConstraint, Effect as Verdict, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::Policies;
use crate::statement::{decide::Asker, effect::Action};

/// The groups of actions that change something.
const CHANGING: [&str; 3] = ["write", "ddl", "admin"];

impl Policies {
    /// Whether some permit's scope could match a statement of `asker` that does more than read, on
    /// anything behind `connection`.
    #[must_use]
    pub fn could_write(&self, asker: &Asker, connection: &str) -> bool {
        self.set
            .policies()
            .filter(|policy| policy.effect() == Verdict::Permit)
            .any(|policy| could_be(policy, asker) && could_change(policy) && could_be_behind(policy, connection))
    }
}

fn could_be(policy: &Policy, asker: &Asker) -> bool {
    let kind = if asker.human.is_agent() { "Agent" } else { "User" };
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Is(of) => of.to_string() == kind,
        PrincipalConstraint::Eq(uid) => is_asker(&uid, kind, asker),
        PrincipalConstraint::In(uid) => is_member(&uid, kind, asker),
        PrincipalConstraint::IsIn(of, uid) => of.to_string() == kind && is_member(&uid, kind, asker),
    }
}

fn is_asker(uid: &EntityUid, kind: &str, asker: &Asker) -> bool {
    uid.type_name().to_string() == kind && uid.id().unescaped().eq_ignore_ascii_case(&asker.human.principal)
}

/// Everything is in itself. A role is in the connection that it is granted on.
fn is_member(uid: &EntityUid, kind: &str, asker: &Asker) -> bool {
    let id = uid.id().unescaped();
    match uid.type_name().to_string().as_str() {
        "Group" => asker.groups.iter().any(|group| group == id),
        "Role" => asker.roles.iter().any(|role| role == id),
        "Connection" => !asker.roles.is_empty(),
        _ => is_asker(uid, kind, asker),
    }
}

fn could_change(policy: &Policy) -> bool {
    let changes = |uid: &EntityUid| {
        let id = uid.id().unescaped();
        let group = Action::ALL.iter().find(|action| action.as_str() == id).and_then(|action| action.group());
        CHANGING.contains(&id) || group.is_some_and(|group| CHANGING.contains(&group))
    };
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => changes(&uid),
        ActionConstraint::In(uids) => uids.iter().any(changes),
    }
}

fn could_be_behind(policy: &Policy, connection: &str) -> bool {
    let behind = |uid: &EntityUid| {
        let id = uid.id().unescaped();
        match uid.type_name().to_string().as_str() {
            "Connection" => id == connection,
            "Schema" | "Table" | "Column" | "Function" => {
                id.strip_prefix(connection).is_some_and(|rest| rest.starts_with('/'))
            }
            // Statements have no other objects.
            _ => false,
        }
    };
    let of_statement = |of: &str| matches!(of, "Connection" | "Schema" | "Table" | "Column" | "Function");
    match policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Is(of) => of_statement(&of.to_string()),
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => behind(&uid),
        ResourceConstraint::IsIn(of, uid) => of_statement(&of.to_string()) && behind(&uid),
    }
}

#[cfg(test)]
mod tests {
    use countersign_shared::duties::Human;

    use super::*;
    use crate::policy::testing::policies;

    fn asker(principal: &str, owner: Option<&str>, groups: &[&str], roles: &[&str]) -> Asker {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (issuer, subject, owner) = ("https://idp".to_owned(), principal.to_owned(), owner.map(str::to_owned));
        let human = Human { principal: principal.to_owned(), issuer, subject, owner };
        Asker { human, groups: list(groups), roles: list(roles) }
    }

    #[test]
    fn the_wall_stands_where_no_scope_reaches_beyond_reading() {
        let ana = || asker("ana@acme.dev", None, &["eng"], &[]);
        let deploy = || asker("deploy", Some("ana@acme.dev"), &["ci"], &[]);
        let granted = || asker("ana@acme.dev", None, &["eng"], &["shop-writer"]);
        let table = [
            ("reading alone", ana(), r#"permit (principal, action in Action::"read", resource);"#, false),
            ("one action of reading", ana(), r#"permit (principal, action == Action::"set", resource);"#, false),
            (
                "not a statement's",
                ana(),
                r#"permit (principal, action in [Action::"approve", Action::"connect"], resource);"#,
                false,
            ),
            ("any action", ana(), "permit (principal, action, resource);", true),
            ("a forbid gives nothing", ana(), "forbid (principal, action, resource);", false),
            ("a group of actions", ana(), r#"permit (principal, action in Action::"ddl", resource);"#, true),
            (
                "one of several",
                ana(),
                r#"permit (principal, action in [Action::"read", Action::"notify"], resource);"#,
                true,
            ),
            (
                "opaque, which may be anything",
                ana(),
                r#"permit (principal, action == Action::"opaque", resource);"#,
                true,
            ),
            (
                "a condition that is never true counts as true",
                ana(),
                r#"permit (principal, action in Action::"write", resource) when { context.time < datetime("2000-01-01") };"#,
                true,
            ),
            (
                "what only approvals allow may be allowed",
                ana(),
                r#"permit (principal, action in Action::"write", resource) when { context.approvals.count >= 9 };"#,
                true,
            ),
            (
                "a group of hers",
                ana(),
                r#"permit (principal in Group::"eng", action in Action::"write", resource);"#,
                true,
            ),
            (
                "another group",
                ana(),
                r#"permit (principal in Group::"dba", action in Action::"write", resource);"#,
                false,
            ),
            (
                "herself",
                ana(),
                r#"permit (principal == User::"ana@acme.dev", action in Action::"write", resource);"#,
                true,
            ),
            (
                "herself, as a group",
                ana(),
                r#"permit (principal in User::"ana@acme.dev", action in Action::"write", resource);"#,
                true,
            ),
            (
                "somebody else",
                ana(),
                r#"permit (principal == User::"ben@acme.dev", action in Action::"write", resource);"#,
                false,
            ),
            ("users", ana(), "permit (principal is User, action, resource);", true),
            ("agents", ana(), "permit (principal is Agent, action, resource);", false),
            ("agents, and she owns one", deploy(), "permit (principal is Agent, action, resource);", true),
            (
                "its owner is not the agent",
                deploy(),
                r#"permit (principal == User::"ana@acme.dev", action, resource);"#,
                false,
            ),
            (
                "users of a group",
                ana(),
                r#"permit (principal is User in Group::"eng", action in Action::"write", resource);"#,
                true,
            ),
            ("a role without a grant", ana(), r#"permit (principal in Role::"shop-writer", action, resource);"#, false),
            ("a role with a grant", granted(), r#"permit (principal in Role::"shop-writer", action, resource);"#, true),
            ("another role", granted(), r#"permit (principal in Role::"admin", action, resource);"#, false),
            ("this connection", ana(), r#"permit (principal, action, resource in Connection::"shop");"#, true),
            ("another connection", ana(), r#"permit (principal, action, resource in Connection::"crm");"#, false),
            ("a table here", ana(), r#"permit (principal, action, resource == Table::"shop/public.orders");"#, true),
            (
                "a table elsewhere",
                ana(),
                r#"permit (principal, action, resource == Table::"shop2/public.orders");"#,
                false,
            ),
            (
                "tables of a schema here",
                ana(),
                r#"permit (principal, action, resource is Table in Schema::"shop/public");"#,
                true,
            ),
            (
                "tables of another",
                ana(),
                r#"permit (principal, action, resource is Table in Schema::"crm/public");"#,
                false,
            ),
            ("roles, which no statement is about", ana(), "permit (principal, action, resource is Role);", false),
        ];
        for (case, who, text, expected) in table {
            let read = r#"permit (principal, action in Action::"read", resource in Connection::"shop");"#;
            assert_eq!(policies(&format!("{read}\n{text}")).could_write(&who, "shop"), expected, "{case}: {text}");
        }
    }
}
