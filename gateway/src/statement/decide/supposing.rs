//! The second question, and what tries to break it: it supposes everybody who may approve, and nobody
//! else; what it says agrees with trying all approvals that there could be.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{TimeZone, Utc};

use super::*;
use crate::{policy::testing::policies, statement::effect::Object};

fn person(principal: &str, owner: Option<&str>) -> Human {
    Human {
        principal: principal.into(),
        issuer: "https://idp".into(),
        subject: principal.to_lowercase(),
        owner: owner.map(str::to_owned),
    }
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn delete(statement_count: u32) -> Asked {
    let orders = Object::Table { schema: "public".into(), name: "orders".into() };
    Asked {
        asker: Asker { human: person("ana@acme.dev", None), groups: list(&["engineering"]), roles: vec![] },
        connection: "shop".into(),
        tags: BTreeMap::new(),
        effects: vec![Effect::new(Action::Delete, orders)],
        sql: SqlFacts { has_where: true, statement_count, ..SqlFacts::default() },
        session: SessionFacts { application: "psql".into(), address: "10.1.2.3".into() },
        reason: None,
        break_glass: false,
        wish: None,
        columns: Vec::new(),
        at_commit: false,
        parts: Vec::new(),
    }
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Hold(_) => "hold",
        Decision::Deny(_) => "deny",
    }
}

/// An overflow, and so an error, where a text has two statements.
const FAILS: &str = "context.sql.statement_count * 9223372036854775807 > 1";

#[test]
fn everybody_who_may_approve_is_supposed_and_nobody_else() {
    let dbas = r#"permit (principal in Group::"dba", action == Action::"approve", resource);"#;
    let anybody = r#"permit (principal, action == Action::"approve", resource);"#;
    let table: &[(&str, &str, &str, &str)] = &[
        ("as many as can be asked for", "context.approvals.count >= 10", dbas, "hold"),
        ("a fresh sign-in", "context.approvals.step_up", dbas, "hold"),
        ("at the commit", "context.approvals.at_commit", dbas, "hold"),
        ("both flags", "context.approvals.step_up && context.approvals.at_commit", dbas, "hold"),
        ("a group that may", "context.approvals.groups.contains(\"dba\")", dbas, "hold"),
        ("any group, where all may", "context.approvals.groups.containsAll([\"a\", \"b\", \"c\"])", anybody, "hold"),
        ("a group that may not", "context.approvals.groups.contains(\"security\")", dbas, "deny"),
        ("one that may and one that may not", "context.approvals.groups.containsAll([\"dba\", \"sec\"])", dbas, "deny"),
        (
            "either of them",
            "context.approvals.groups.contains(\"dba\") || context.approvals.groups.contains(\"sec\")",
            dbas,
            "hold",
        ),
        (
            "another condition that is not met",
            "context.approvals.count >= 1 && context.sql.in_transaction",
            dbas,
            "deny",
        ),
        ("a group of another spelling", "context.approvals.groups.contains(\"DBA\")", dbas, "deny"),
    ];
    for (case, condition, approve, expected) in table {
        let policies = policies(&format!(
            "permit (principal, action in Action::\"write\", resource) when {{ {condition} }};\n{approve}"
        ));
        assert_eq!(word(&decide(&policies, &delete(1), &[], &[], now())), *expected, "{case}");
    }
}

#[test]
fn an_error_in_any_question_is_no() {
    let write = r#"permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };"#;
    let dbas = r#"permit (principal in Group::"dba", action == Action::"approve", resource);"#;
    let table = [
        (
            "a forbid of the first",
            format!("{write} {dbas} forbid (principal, action in Action::\"write\", resource) when {{ {FAILS} }};"),
        ),
        (
            "a permit of the first",
            format!("{write} {dbas} permit (principal, action in Action::\"write\", resource) when {{ {FAILS} }};"),
        ),
        (
            "only once approved",
            format!(
                "{dbas} permit (principal, action in Action::\"write\", resource) when {{ context.approvals.count >= 1 && {FAILS} }};"
            ),
        ),
        (
            "a forbid once nobody has approved",
            format!(
                "{write} {dbas} forbid (principal, action in Action::\"write\", resource) unless {{ context.approvals.count >= 1 || {FAILS} }};"
            ),
        ),
        // Cedar skips a forbid that fails: whoever it keeps from approving would be let.
        (
            "a forbid of approving",
            format!(
                "{write} {dbas} forbid (principal, action == Action::\"approve\", resource) when {{ context has sql && {FAILS} }};"
            ),
        ),
        (
            "a permit of approving",
            format!(
                "{write} permit (principal in Group::\"dba\", action == Action::\"approve\", resource) when {{ context has sql && {FAILS} }};"
            ),
        ),
    ];
    let priya =
        || Countersigner { human: person("priya@acme.dev", None), groups: list(&["dba"]), assurance: Assurance::Slack };
    for (case, text) in table {
        let policies = policies(&text);
        for approvals in [vec![], vec![priya()]] {
            let decision = decide(&policies, &delete(2), &approvals, &[], now());
            assert_eq!(word(&decision), "deny", "{case}, with {} approvals", approvals.len());
        }
        assert!(approvable(&policies, &delete(2), &priya(), now()).is_empty() || !text.contains("has sql"), "{case}");
    }
}

#[test]
fn an_error_about_an_action_alone_is_no() {
    let fails = "context.time.toDate().offset(duration(\"9223372036854775807ms\")) > context.time";
    let policies = policies(&format!(
        "permit (principal, action, resource is Connection);
         forbid (principal, action == Action::\"connect\", resource) when {{ {fails} }};"
    ));
    let asker = delete(1).asker;
    let may = |action| {
        let session = SessionFacts { application: String::new(), address: "10.1.2.3".into() };
        permits(&policies, &asker, ("shop", &BTreeMap::new()), &Effect::on_connection(action), &session, now())
    };
    assert!(may(Action::Audit), "where nothing fails");
    assert!(!may(Action::Connect));
}

/// Numbers that look random and are the same each time (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn of(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.of(of.len() as u64)).unwrap()]
    }

    /// A condition that may only help.
    fn condition(&mut self, depth: u32) -> String {
        let leaf = [
            "context.approvals.count >= 1",
            "context.approvals.count >= 2",
            "context.approvals.count >= 3",
            "context.approvals.groups.contains(\"a\")",
            "context.approvals.groups.contains(\"b\")",
            "context.approvals.groups.containsAll([\"a\", \"b\"])",
            "context.approvals.groups.containsAll([\"b\", \"c\"])",
            "context.approvals.step_up",
            "context.sql.has_where",
            "context.sql.in_transaction",
        ];
        if depth == 0 || self.of(3) == 0 {
            return self.one(&leaf).to_owned();
        }
        format!("({} {} {})", self.condition(depth - 1), self.one(&["&&", "||"]), self.condition(depth - 1))
    }

    fn policies(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.of(2) {
            let condition = self.condition(2);
            writeln!(text, "permit (principal, action in Action::\"write\", resource) when {{ {condition} }};")
                .unwrap();
        }
        if self.of(3) == 0 {
            let condition = self.condition(1);
            writeln!(text, "forbid (principal, action == Action::\"delete\", resource) unless {{ {condition} }};")
                .unwrap();
        }
        for group in ["a", "b", "c"] {
            if self.of(2) == 0 {
                writeln!(text, "permit (principal in Group::\"{group}\", action == Action::\"approve\", resource);")
                    .unwrap();
            }
        }
        text
    }
}

/// As many of each group as these worlds can ask for, and the one who asks, who is in all.
fn crowd() -> Vec<Countersigner> {
    let one = |principal: &str, groups: &[&str]| Countersigner {
        human: person(principal, None),
        groups: list(groups),
        assurance: Assurance::StepUp,
    };
    let mut crowd = vec![one("ana@acme.dev", &["a", "b", "c"])];
    for group in ["a", "b", "c"] {
        crowd.extend((0..3).map(|number| one(&format!("{group}{number}@acme.dev"), &[group])));
    }
    crowd
}

#[test]
fn what_is_supposed_agrees_with_all_approvals_that_there_could_be() {
    let (mut dice, crowd) = (Dice(20_261_124), crowd());
    let known: Vec<Known> =
        crowd.iter().map(|one| Known { human: one.human.clone(), groups: one.groups.clone() }).collect();
    let asked = delete(1);
    let mut seen = BTreeMap::new();
    for _ in 0..40 {
        let text = dice.policies();
        let policies = policies(&text);
        let at_first = word(&decide(&policies, &asked, &[], &known, now()));
        *seen.entry(at_first).or_insert(0) += 1;

        // Whoever comes next, in some order, never makes it worse; and all together reach what was supposed.
        let mut left: Vec<usize> = (0..crowd.len()).collect();
        let (mut approvals, mut before) = (Vec::new(), at_first);
        while !left.is_empty() {
            let next = left.remove(usize::try_from(dice.of(left.len() as u64)).unwrap());
            approvals.push(crowd[next].clone());
            let after = word(&decide(&policies, &asked, &approvals, &known, now()));
            assert!(after == before || (before, after) == ("hold", "allow"), "{before} to {after} under\n{text}");
            before = after;
        }
        let reached = if at_first == "hold" { "allow" } else { at_first };
        assert_eq!(before, reached, "everybody has approved under\n{text}");
        let own = decide(&policies, &asked, &crowd[..1], &known, now());
        assert_eq!(word(&own), at_first, "one's own changes nothing under\n{text}");
    }
    assert!(["allow", "hold", "deny"].iter().all(|word| seen.get(word) > Some(&3)), "each is tried: {seen:?}");
}
