//! Review at commit: what policy permits for that alone, and what it does not.

use chrono::TimeZone;

use super::*;
use crate::{policy::testing::policies, statement::effect::Object};

const DBAS: &str = r#"permit (principal in Group::"dba", action == Action::"approve", resource);"#;

fn human(principal: &str) -> Human {
    Human { principal: principal.into(), issuer: "https://idp".into(), subject: principal.into(), owner: None }
}

fn ana(actions: &[Action], at_commit: bool) -> Asked {
    let orders = Object::Table { schema: "public".into(), name: "orders".into() };
    Asked {
        asker: Asker { human: human("ana@acme.dev"), groups: vec!["engineering".into()], roles: vec![] },
        connection: "shop".into(),
        tags: std::collections::BTreeMap::new(),
        effects: actions.iter().map(|action| Effect::new(*action, orders.clone())).collect(),
        sql: SqlFacts { has_where: true, statement_count: 1, ..SqlFacts::default() },
        session: SessionFacts { application: "psql".into(), address: "10.1.2.3".into() },
        reason: None,
        break_glass: false,
        wish: None,
        columns: Vec::new(),
        at_commit,
        parts: Vec::new(),
    }
}

fn dba(name: &str) -> Countersigner {
    let groups = vec!["dba".to_owned()];
    Countersigner { human: human(name), groups, assurance: Assurance::Slack }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

/// `hold 2`, `hold 1 at commit`, `allow`, `deny`.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::Hold(needed) => format!("hold {}{}", needed.count, if needed.at_commit { " at commit" } else { "" }),
        Decision::Deny(_) => "deny".to_owned(),
    }
}

#[test]
fn what_runs_first_is_what_policy_lets_run_first() {
    use Action::{Delete, Insert, Update};
    let writes = |condition: &str| {
        format!("permit (principal, action in Action::\"write\", resource) when {{ {condition} }};\n{DBAS}")
    };
    let mixed = format!(
        "permit (principal, action == Action::\"delete\", resource) when {{ context.approvals.count >= 1 }};
         permit (principal, action == Action::\"insert\", resource) when {{ context.approvals.at_commit }};
         permit (principal, action == Action::\"update\", resource);\n{DBAS}"
    );
    let forbids = format!(
        "{}\nforbid (principal, action in Action::\"write\", resource) when {{ context.sql.has_where }} unless {{ context.approvals.at_commit }};",
        writes("context.approvals.count >= 1")
    );
    let both = "context.approvals.count >= 2 || context.approvals.at_commit";
    // The policy, the actions, whether a review is what is asked for, and the answer to no and to one approval.
    type Case<'a> = (&'a str, String, &'a [Action], bool, &'a str, &'a str);
    let table: Vec<Case<'_>> = vec![
        (
            "required",
            writes("context.approvals.count >= 1 && context.approvals.at_commit"),
            &[Delete],
            false,
            "hold 1 at commit",
            "hold 1 at commit",
        ),
        (
            "required, reviewed",
            writes("context.approvals.count >= 1 && context.approvals.at_commit"),
            &[Delete],
            true,
            "hold 1 at commit",
            "allow",
        ),
        ("alone", writes("context.approvals.at_commit"), &[Delete], true, "hold 1 at commit", "allow"),
        (
            "two, reviewed",
            writes("context.approvals.count >= 2 && context.approvals.at_commit"),
            &[Delete],
            true,
            "hold 2 at commit",
            "hold 2 at commit",
        ),
        ("either, before", writes(both), &[Delete], false, "hold 2", "hold 2"),
        ("either, reviewed", writes(both), &[Delete], true, "hold 1 at commit", "allow"),
        ("no word of it", writes("context.approvals.count >= 1"), &[Delete], false, "hold 1", "allow"),
        ("no word of it, reviewed", writes("context.approvals.count >= 1"), &[Delete], true, "deny", "allow"),
        ("one of two effects", mixed.clone(), &[Delete, Insert], false, "deny", "deny"),
        ("one of two effects, reviewed", mixed.clone(), &[Delete, Insert], true, "deny", "allow"),
        ("beside what is free", mixed, &[Insert, Update], false, "hold 1 at commit", "hold 1 at commit"),
        ("a forbid", forbids, &[Delete], false, "hold 1 at commit", "hold 1 at commit"),
    ];
    for (case, policy, actions, at_commit, none, one) in table {
        let policies = policies(&policy);
        let asked = ana(actions, at_commit);
        assert_eq!(told(&decide(&policies, &asked, &[], &[], now())), none, "{case}: nobody");
        assert_eq!(told(&decide(&policies, &asked, &[dba("priya@acme.dev")], &[], now())), one, "{case}: one");
    }
}

#[test]
fn what_has_no_commit_is_not_reviewed_at_one() {
    let policies = policies(&format!(
        "permit (principal, action == Action::\"request\", resource) when {{ context.approvals.at_commit }};\n{DBAS}"
    ));
    let role = Effect::new(Action::Request, Object::Role { name: "shop-writer".into() });
    let asked =
        Asked { effects: vec![role], wish: Some(Wish { seconds: 60, extends: None }), ..ana(&[Action::Delete], false) };
    let decision = decide(&policies, &asked, &[], &[], now());
    assert!(
        matches!(&decision, Decision::Deny(why) if why.message.as_deref().is_some_and(|m| m.contains("has none"))),
        "{decision:?}"
    );
}

#[test]
fn a_commit_needs_what_each_of_its_statements_needs() {
    let policies = policies(&format!(
        "permit (principal, action == Action::\"delete\", resource)
           when {{ context.approvals.at_commit && context.approvals.count >= 2 }};
         permit (principal, action == Action::\"insert\", resource)
           when {{ context.approvals.at_commit && context.approvals.groups.contains(\"dba\") && context.sql.has_where }};
         {DBAS}"
    ));
    let (delete, insert) = (ana(&[Action::Delete], true), ana(&[Action::Insert], true));
    let mut nowhere = insert.clone();
    nowhere.sql.has_where = false;
    let commit = |parts: &[&Asked]| {
        let parts: Vec<Asked> = parts.iter().map(|part| (*part).clone()).collect();
        Asked { parts, ..ana(&[Action::Delete, Action::Insert], true) }
    };
    let (priya, dario) = (dba("priya@acme.dev"), dba("dario@acme.dev"));
    let requester = dba("ana@acme.dev");
    let table: Vec<(&str, Asked, Vec<Countersigner>, &str)> = vec![
        ("nobody", commit(&[&delete, &insert]), vec![], "hold 2 at commit"),
        ("one", commit(&[&delete, &insert]), vec![priya.clone()], "hold 2 at commit"),
        ("two", commit(&[&insert, &delete]), vec![priya.clone(), dario], "allow"),
        ("one and the requester", commit(&[&insert, &delete]), vec![priya.clone(), requester], "hold 2 at commit"),
        ("the lesser alone", commit(&[&insert]), vec![priya.clone()], "allow"),
        ("one that may not", commit(&[&insert, &nowhere]), vec![priya], "deny"),
    ];
    for (case, asked, approvals, expected) in table {
        assert_eq!(told(&decide(&policies, &asked, &approvals, &[], now())), expected, "{case}");
    }
}
