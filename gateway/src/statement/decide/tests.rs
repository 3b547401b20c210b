use std::collections::BTreeMap;

use chrono::TimeZone;

use super::*;
use crate::{policy::Policies, statement::effect::Object};

/// DESIGN §3's example, word for word.
const SAMPLE: &str = r#"
// Engineers may log in and read. Everybody else needs a grant first.
permit (principal in Group::"engineering", action == Action::"connect", resource in Connection::"shop");
permit (principal in Group::"engineering", action in Action::"read", resource in Connection::"shop");

// They write once one other person has countersigned ...
permit (principal in Group::"engineering", action in Action::"write", resource in Connection::"shop")
when { context.approvals.count >= 1 };

// ... and change the schema once two have, one of them a DBA.
permit (principal in Group::"engineering", action in Action::"ddl", resource in Connection::"shop")
when { context.approvals.count >= 2 && context.approvals.groups.contains("dba") };

// DBAs approve.
permit (principal in Group::"dba", action == Action::"approve", resource in Connection::"shop");

// Nobody drops a table, approved or not.
@error("Tables are dropped by the release pipeline only. Ask #data-platform.")
forbid (principal, action == Action::"drop", resource in Connection::"shop");

// Classified columns leave masked, except for support. (`reveal` is asked for classified columns only; no means masked.)
permit (principal in Group::"support", action == Action::"reveal", resource in Connection::"shop")
when { resource.classification == "pii" };
"#;

fn policies(text: &str) -> Policies {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10-base.cedar"), text).unwrap();
    Policies::load(folder.path()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn human(principal: &str) -> Human {
    let subject = format!("sub of {}", principal.to_lowercase());
    Human { principal: principal.into(), issuer: "https://idp".into(), subject, owner: None }
}

fn agent(name: &str, owner: &str) -> Human {
    Human { owner: Some(owner.into()), ..human(name) }
}

fn orders() -> Object {
    Object::Table { schema: "public".into(), name: "orders".into() }
}

fn asked(who: Human, groups: &[&str], actions: &[Action]) -> Asked {
    Asked {
        asker: Asker { human: who, groups: list(groups), roles: vec![] },
        connection: "shop".into(),
        tags: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        effects: actions.iter().map(|action| Effect::new(*action, orders())).collect(),
        sql: SqlFacts { has_where: true, tables: list(&["public.orders"]), statement_count: 1, ..SqlFacts::default() },
        session: SessionFacts { application: "psql".into(), address: "10.1.2.3".into() },
        reason: None,
        break_glass: false,
        wish: None,
        columns: Vec::new(),
        at_commit: false,
        parts: Vec::new(),
    }
}

fn ana(actions: &[Action]) -> Asked {
    asked(human("ana@acme.dev"), &["engineering"], actions)
}

fn yes(principal: &str, groups: &[&str]) -> Countersigner {
    Countersigner { human: human(principal), groups: list(groups), assurance: Assurance::Slack }
}

fn afresh(principal: &str, groups: &[&str]) -> Countersigner {
    Countersigner { assurance: Assurance::StepUp, ..yes(principal, groups) }
}

/// What a decision comes to, in a word; the message and rules of a denial are looked at elsewhere.
fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Hold(_) => "hold",
        Decision::Deny(_) => "deny",
    }
}

fn needed(decision: Decision) -> Needed {
    match decision {
        Decision::Hold(needed) => needed,
        other => panic!("not a hold: {other:?}"),
    }
}

fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("not a denial: {other:?}"),
    }
}

#[test]
fn the_sample_policy_decides_as_it_reads() {
    use Action::{Alter, Connect, CopyIn, Create, Delete, Drop, Opaque, Reveal, Select, Server, Truncate, Update};
    let policies = policies(SAMPLE);
    let priya = || yes("priya@acme.dev", &["dba"]);
    let dario = || yes("dario@acme.dev", &["dba"]);
    let stranger = || asked(human("zoe@acme.dev"), &["sales"], &[Select]);
    let table: Vec<(&str, Asked, Vec<Countersigner>, &str)> = vec![
        ("an engineer reads", ana(&[Select]), vec![], "allow"),
        ("somebody else reads", stranger(), vec![], "deny"),
        ("somebody else reads, approved", stranger(), vec![priya()], "deny"),
        ("a write waits", ana(&[Delete]), vec![], "hold"),
        ("a write with an approval", ana(&[Delete]), vec![priya()], "allow"),
        ("a load waits", ana(&[CopyIn]), vec![], "hold"),
        ("approved by somebody who may not", ana(&[Delete]), vec![yes("ben@acme.dev", &["engineering"])], "hold"),
        (
            "approved by the requester, a DBA too",
            asked(human("ana@acme.dev"), &["engineering", "dba"], &[Update]),
            vec![yes("ana@acme.dev", &["engineering", "dba"])],
            "hold",
        ),
        ("approved by the requester in capitals", ana(&[Delete]), vec![yes("Ana@Acme.dev", &["dba"])], "hold"),
        (
            "approved by an agent",
            ana(&[Delete]),
            vec![Countersigner { human: agent("deploy", "priya@acme.dev"), ..priya() }],
            "hold",
        ),
        ("a schema change waits", ana(&[Alter]), vec![], "hold"),
        ("a schema change, one of two", ana(&[Alter]), vec![priya()], "hold"),
        ("a schema change, two of two", ana(&[Alter]), vec![priya(), dario()], "allow"),
        ("a schema change, twice the same", ana(&[Alter]), vec![priya(), priya()], "hold"),
        (
            "a schema change, one DBA and one who may not approve",
            ana(&[Create]),
            vec![priya(), yes("ben@acme.dev", &["engineering"])],
            "hold",
        ),
        ("a write and a schema change, enough for one", ana(&[Delete, Truncate]), vec![priya()], "hold"),
        ("a drop", ana(&[Drop]), vec![], "deny"),
        ("a drop, approved by all", ana(&[Drop]), vec![priya(), dario()], "deny"),
        ("the strictest effect wins", ana(&[Select, Delete, Drop]), vec![priya(), dario()], "deny"),
        ("what nobody may", ana(&[Opaque]), vec![priya()], "deny"),
        ("the server", ana(&[Server]), vec![priya()], "deny"),
        ("nothing to ask about", ana(&[]), vec![priya()], "deny"),
        ("an agent in no group", asked(agent("deploy", "ana@acme.dev"), &[], &[Select]), vec![], "deny"),
        (
            "an agent writes, its owner approves",
            asked(agent("deploy", "priya@acme.dev"), &["engineering"], &[Delete]),
            vec![priya()],
            "hold",
        ),
        (
            "an agent writes, another approves",
            asked(agent("deploy", "priya@acme.dev"), &["engineering"], &[Delete]),
            vec![dario()],
            "allow",
        ),
        ("an action on an object that it does not have", ana(&[Connect]), vec![], "deny"),
        ("a reveal of a table", ana(&[Reveal]), vec![], "deny"),
    ];
    for (case, asked, approvals, expected) in table {
        let decision = decide(&policies, &asked, &approvals, &[], now());
        assert_eq!(word(&decision), expected, "{case}: {decision:?}");
    }
}

#[test]
fn another_connection_is_another_matter() {
    let mut elsewhere = ana(&[Action::Select]);
    elsewhere.connection = "ledger".into();
    assert_eq!(word(&decide(&policies(SAMPLE), &elsewhere, &[], &[], now())), "deny");
}

#[test]
fn a_denial_says_which_rule_and_what_its_author_wrote() {
    let denied = denial(decide(&policies(SAMPLE), &ana(&[Action::Select, Action::Drop]), &[], &[], now()));
    assert_eq!(denied.effect, Some(Effect::new(Action::Drop, orders())));
    assert_eq!(denied.message.as_deref(), Some("Tables are dropped by the release pipeline only. Ask #data-platform."));
    assert_eq!(denied.rules, ["10-base.cedar#6"]);
    let unmatched = denial(decide(&policies(SAMPLE), &ana(&[Action::Opaque]), &[], &[], now()));
    assert_eq!((unmatched.message, unmatched.rules), (None, vec![]));
}

#[test]
fn a_hold_says_what_it_needs() {
    let policies = policies(SAMPLE);
    let hold = |actions: &[Action]| needed(decide(&policies, &ana(actions), &[], &[], now()));
    let one = Needed { count: 1, groups: vec![], from: list(&["dba"]), step_up: false, at_commit: false };
    let two = Needed { count: 2, groups: list(&["dba"]), ..one.clone() };
    assert_eq!(hold(&[Action::Select, Action::Delete]), one);
    assert_eq!(hold(&[Action::Alter]), two);
    assert_eq!(hold(&[Action::Delete, Action::Alter]), two, "the strictest");
}

const TWO_GROUPS: &str = r#"
permit (principal in Group::"engineering", action in Action::"write", resource)
when { context.approvals.groups.containsAll(["dba", "security"]) };
permit (principal, action == Action::"approve", resource)
when { principal in Group::"dba" || principal in Group::"security" };
"#;

#[test]
fn one_person_stands_for_one_group() {
    let policies = policies(TWO_GROUPS);
    let both = |who| yes(who, &["dba", "security", "engineering"]);
    let table = [
        ("one person in both", vec![both("priya@acme.dev")], "hold"),
        ("one in each", vec![yes("priya@acme.dev", &["dba"]), yes("sam@acme.dev", &["security"])], "allow"),
        ("both in the same", vec![yes("priya@acme.dev", &["dba"]), yes("dario@acme.dev", &["dba"])], "hold"),
        ("one in both makes room", vec![yes("sam@acme.dev", &["dba"]), both("priya@acme.dev")], "allow"),
        ("in the other order", vec![both("priya@acme.dev"), yes("sam@acme.dev", &["dba"])], "allow"),
        ("two in both", vec![both("priya@acme.dev"), both("dario@acme.dev")], "allow"),
    ];
    for (case, approvals, expected) in table {
        assert_eq!(word(&decide(&policies, &ana(&[Action::Delete]), &approvals, &[], now())), expected, "{case}");
    }
    let held = needed(decide(&policies, &ana(&[Action::Delete]), &[], &[], now()));
    assert_eq!(
        held,
        Needed {
            count: 2,
            groups: list(&["dba", "security"]),
            from: list(&["dba", "security"]),
            step_up: false,
            at_commit: false
        }
    );
}

#[test]
fn a_person_stands_for_the_same_group_for_every_effect() {
    let policies = policies(
        r#"
        permit (principal, action == Action::"delete", resource) when { context.approvals.groups.contains("dba") };
        permit (principal, action == Action::"insert", resource) when { context.approvals.groups.contains("security") };
        permit (principal in Group::"staff", action == Action::"approve", resource);
        "#,
    );
    let priya = yes("priya@acme.dev", &["staff", "dba", "security"]);
    let alone = |action| word(&decide(&policies, &ana(&[action]), std::slice::from_ref(&priya), &[], now()));
    assert_eq!((alone(Action::Delete), alone(Action::Insert)), ("allow", "allow"));
    let known = [Known { human: priya.human.clone(), groups: priya.groups.clone() }];
    let both = decide(&policies, &ana(&[Action::Delete, Action::Insert]), std::slice::from_ref(&priya), &known, now());
    assert_eq!(needed(both).count, 2, "one person, two groups");
}

#[test]
fn accounts_that_are_one_human_are_one_approval() {
    let policies = policies(SAMPLE);
    let priya = yes("priya@acme.dev", &["dba"]);
    let renamed =
        Countersigner { human: Human { principal: "p.rao@acme.dev".into(), ..priya.human.clone() }, ..priya.clone() };
    let two = decide(&policies, &ana(&[Action::Alter]), &[priya.clone(), renamed], &[], now());
    assert_eq!(word(&two), "hold", "the same issuer and subject");
    // ana's second account is linked to ana by its subject, and to a third by its name.
    let second = Countersigner { human: Human { principal: "alt@acme.dev".into(), ..human("ana@acme.dev") }, ..priya };
    let third = yes("Alt@acme.dev", &["dba"]);
    for approvals in [[second.clone(), third.clone()], [third, second]] {
        let decision = decide(&policies, &ana(&[Action::Delete]), &approvals, &[], now());
        assert_eq!(word(&decision), "hold", "a chain that leads to the requester");
    }
}

#[test]
fn an_approval_counts_only_for_what_its_giver_may_approve() {
    let policies = policies(
        r#"
        permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };
        permit (principal in Group::"dba", action == Action::"approve", resource == Table::"shop/public.orders");
        permit (principal in Group::"leads", action == Action::"approve", resource);
        "#,
    );
    let mut two = ana(&[Action::Delete]);
    two.effects.push(Effect::new(Action::Delete, Object::Table { schema: "public".into(), name: "payments".into() }));
    let dba = yes("priya@acme.dev", &["dba"]);
    assert_eq!(word(&decide(&policies, &ana(&[Action::Delete]), std::slice::from_ref(&dba), &[], now())), "allow");
    let held = needed(decide(&policies, &two, std::slice::from_ref(&dba), &[], now()));
    assert_eq!(held.from, ["leads"], "only they may approve both");
    assert_eq!(approvable(&policies, &two, &dba, now()), two.effects[..1]);
    assert_eq!(word(&decide(&policies, &two, &[yes("lee@acme.dev", &["leads"])], &[], now())), "allow");
}

#[test]
fn what_nobody_may_approve_is_denied_and_not_held() {
    let write = r#"permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };"#;
    let by_groups = |known: &[Known], more: &str| {
        word(&decide(&policies(&format!("{write}\n{more}")), &ana(&[Action::Delete]), &[], known, now()))
    };
    let known = |who: Human, groups: &[&str]| vec![Known { human: who, groups: list(groups) }];
    let two = r#"permit (principal, action == Action::"approve", resource)
                 when { principal in Group::"dba" && principal in Group::"senior" };"#;
    let named = |who: &str| format!("permit (principal == User::\"{who}\", action == Action::\"approve\", resource);");
    let table = [
        ("no policy permits it", vec![], String::new(), "deny"),
        (
            "a group may",
            vec![],
            r#"permit (principal in Group::"dba", action == Action::"approve", resource);"#.into(),
            "hold",
        ),
        ("members of two groups at once, nobody known", vec![], two.into(), "deny"),
        ("somebody known is in both", known(human("priya@acme.dev"), &["dba", "senior"]), two.into(), "hold"),
        ("only the requester is in both", known(human("ana@acme.dev"), &["dba", "senior"]), two.into(), "deny"),
        ("only an agent is in both", known(agent("bot", "priya@acme.dev"), &["dba", "senior"]), two.into(), "deny"),
        ("a user by name", vec![], named("priya@acme.dev"), "hold"),
        ("the requester by name", vec![], named("ana@acme.dev"), "deny"),
        (
            "on another table",
            vec![],
            r#"permit (principal, action == Action::"approve", resource == Table::"shop/public.other");"#.into(),
            "deny",
        ),
    ];
    for (case, known, more, expected) in table {
        assert_eq!(by_groups(&known, &more), expected, "{case}");
    }
    let why = denial(decide(&policies(write), &ana(&[Action::Delete]), &[], &[], now()));
    assert_eq!(why.message.as_deref(), Some("Policy asks for approval here, but nobody may approve this."));
}

#[test]
fn the_owner_of_an_agent_is_nobody_who_could_approve_it() {
    let policies = policies(
        r#"permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };
           permit (principal == User::"ana@acme.dev", action == Action::"approve", resource);"#,
    );
    let own = asked(agent("deploy", "ana@acme.dev"), &[], &[Action::Delete]);
    assert_eq!(word(&decide(&policies, &own, &[], &[], now())), "deny");
    let other = asked(agent("deploy", "ben@acme.dev"), &[], &[Action::Delete]);
    assert_eq!(word(&decide(&policies, &other, &[], &[], now())), "hold");
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let overflow = "context.sql.statement_count * 9223372036854775807 > 1";
    let read = r#"permit (principal, action in Action::"read", resource);"#;
    let table = [
        ("a forbid", format!("{read} forbid (principal, action in Action::\"read\", resource) when {{ {overflow} }};")),
        (
            "another permit",
            format!("{read} permit (principal, action in Action::\"read\", resource) when {{ {overflow} }};"),
        ),
    ];
    let mut twice = ana(&[Action::Select]);
    twice.sql.statement_count = 2;
    for (case, text) in table {
        let policies = policies(&text);
        assert_eq!(
            word(&decide(&policies, &ana(&[Action::Select]), &[], &[], now())),
            if case == "a forbid" { "deny" } else { "allow" },
            "{case}, while it can be"
        );
        let denied = denial(decide(&policies, &twice, &[], &[], now()));
        assert_eq!(denied.rules, ["10-base.cedar#2"], "{case}");
    }
}

#[test]
fn a_policy_that_fails_only_once_approved_denies_before_anybody_is_asked() {
    let policies = policies(
        r#"permit (principal, action in Action::"write", resource)
           when { context.approvals.count >= 1 && context.sql.statement_count * 9223372036854775807 > 1 };
           permit (principal in Group::"dba", action == Action::"approve", resource);"#,
    );
    let mut twice = ana(&[Action::Delete]);
    twice.sql.statement_count = 2;
    assert_eq!(denial(decide(&policies, &twice, &[], &[], now())).rules, ["10-base.cedar#1"]);
}

#[test]
fn an_approver_whose_right_cannot_be_evaluated_has_none() {
    let policies = policies(
        r#"permit (principal, action in Action::"write", resource) when { context.approvals.count >= 1 };
           permit (principal in Group::"dba", action == Action::"approve", resource);
           forbid (principal, action == Action::"approve", resource)
           when { context has sql && context.sql.statement_count * 9223372036854775807 > 1 };"#,
    );
    let mut twice = ana(&[Action::Delete]);
    twice.sql.statement_count = 2;
    let priya = yes("priya@acme.dev", &["dba"]);
    let known = [Known { human: priya.human.clone(), groups: priya.groups.clone() }];
    for approvals in [vec![], vec![priya]] {
        assert_eq!(word(&decide(&policies, &twice, &approvals, &known, now())), "deny", "{approvals:?}");
    }
}

#[test]
fn as_many_approvals_as_can_be_asked_for_are_held_and_not_denied() {
    let policies = policies(
        r#"permit (principal, action == Action::"delete", resource)
           when { context.approvals.count >= 10 && context.approvals.step_up && context.approvals.at_commit };
           permit (principal, action == Action::"insert", resource) when { context.approvals.groups.contains("nobody") };
           permit (principal in Group::"dba", action == Action::"approve", resource);"#,
    );
    let held = needed(decide(&policies, &ana(&[Action::Delete]), &[], &[], now()));
    assert_eq!((held.count, held.step_up), (10, true), "count 99 and both flags are taken for the second question");
    let why = denial(decide(&policies, &ana(&[Action::Insert]), &[], &[], now()));
    let message = "Policy asks for approval by nobody, whose members may not approve this.";
    assert_eq!(why.message.as_deref(), Some(message), "a group counts where its members may approve");
}

#[test]
fn the_reasons_of_a_decision_are_the_policies_that_made_it() {
    use super::explain::{Outcome, explain, rules_behind};
    let policies = policies(SAMPLE);
    let asked = ana(&[Action::Select, Action::Delete, Action::Drop]);
    let priya = yes("priya@acme.dev", &["dba"]);
    let known = [Known { human: priya.human.clone(), groups: priya.groups.clone() }];
    let explained = explain(&policies, &asked, &[], &known, now());
    let of = |index: usize| (explained.reasons[index].outcome, explained.reasons[index].rules.join(" "));
    assert_eq!(of(0), (Outcome::Allow, "10-base.cedar#2".to_owned()));
    assert_eq!(of(1), (Outcome::Hold, "10-base.cedar#3".to_owned()), "what would permit it, approved");
    assert_eq!(of(2), (Outcome::Deny, "10-base.cedar#6".to_owned()));
    assert_eq!(word(&explained.decision), "deny", "the strictest effect wins");
    assert_eq!(explained.people, ["priya@acme.dev"]);
    let write = ana(&[Action::Delete]);
    let held = decide(&policies, &write, &[], &known, now());
    assert_eq!(rules_behind(&policies, &write, &held, now()), ["10-base.cedar#3"]);
}

#[test]
fn an_unknown_client_address_is_refused_rather_than_guessed() {
    let policies = policies(SAMPLE);
    for (address, expected) in
        [("10.1.2.3", "allow"), ("10.1.2.3:5000", "allow"), ("[::1]:80", "allow"), ("", "deny"), ("host", "deny")]
    {
        let mut asked = ana(&[Action::Select]);
        asked.session.address = address.into();
        assert_eq!(word(&decide(&policies, &asked, &[], &[], now())), expected, "{address:?}");
    }
}

#[test]
fn an_address_range_is_not_walked_round_in_ipv6_clothes() {
    let policies = policies(
        r#"permit (principal, action in Action::"read", resource);
           forbid (principal, action, resource) when { context.session.address.isInRange(ip("10.0.0.0/8")) };"#,
    );
    for (address, expected) in [("10.1.2.3", "deny"), ("::ffff:10.1.2.3", "deny"), ("192.0.2.1", "allow")] {
        let mut asked = ana(&[Action::Select]);
        asked.session.address = address.into();
        assert_eq!(word(&decide(&policies, &asked, &[], &[], now())), expected, "{address}");
    }
}

#[test]
fn an_approval_without_a_fresh_sign_in_does_not_spoil_one_with_it() {
    let policies = policies(
        r#"permit (principal, action in Action::"write", resource) when { context.approvals.step_up };
           permit (principal in Group::"dba", action == Action::"approve", resource);"#,
    );
    let table = [
        ("nobody", vec![], "hold"),
        ("from Slack", vec![yes("priya@acme.dev", &["dba"])], "hold"),
        ("afresh", vec![afresh("priya@acme.dev", &["dba"])], "allow"),
        ("both", vec![yes("dario@acme.dev", &["dba"]), afresh("priya@acme.dev", &["dba"])], "allow"),
        ("afresh by who may not approve", vec![yes("dario@acme.dev", &["dba"]), afresh("ben@acme.dev", &[])], "hold"),
    ];
    for (case, approvals, expected) in table {
        assert_eq!(word(&decide(&policies, &ana(&[Action::Delete]), &approvals, &[], now())), expected, "{case}");
    }
    assert!(needed(decide(&policies, &ana(&[Action::Delete]), &[], &[], now())).step_up);
}

#[test]
fn too_many_ways_to_assign_people_are_not_enough() {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let all = letters.map(|letter| format!("\"{letter}\"")).join(", ");
    let policies = policies(&format!(
        "permit (principal, action in Action::\"write\", resource) when {{ context.approvals.groups.containsAll([{all}]) }};
         permit (principal, action == Action::\"approve\", resource);"
    ));
    let everywhere: Vec<_> = (0..10).map(|n| yes(&format!("p{n}@acme.dev"), &letters)).collect();
    assert_eq!(word(&decide(&policies, &ana(&[Action::Delete]), &everywhere, &[], now())), "hold", "10^10 ways");
    let each: Vec<_> = letters.iter().map(|letter| yes(&format!("{letter}@acme.dev"), &[letter])).collect();
    assert_eq!(word(&decide(&policies, &ana(&[Action::Delete]), &each, &[], now())), "allow", "one way");
}

#[test]
fn tags_roles_reasons_and_time_reach_policy() {
    let policies = policies(
        r#"permit (principal in Role::"reader", action in Action::"read", resource)
           when { resource.connection.hasTag("env") && resource.connection.getTag("env") == "prod"
               && context has reason && context.reason like "INC-*" && context.time < datetime("2026-03-02")
               && context.session.application == "psql" && context.sql.tables.contains("public.orders") };"#,
    );
    let ask = |change: &dyn Fn(&mut Asked)| {
        let mut asked = asked(human("ana@acme.dev"), &[], &[Action::Select]);
        asked.asker.roles = list(&["reader"]);
        asked.reason = Some("INC-1".into());
        change(&mut asked);
        word(&decide(&policies, &asked, &[], &[], now()))
    };
    assert_eq!(ask(&|_| {}), "allow");
    assert_eq!(ask(&|asked| asked.asker.roles.clear()), "deny", "the grant is over");
    assert_eq!(ask(&|asked| asked.tags.clear()), "deny", "another environment");
    assert_eq!(ask(&|asked| asked.reason = None), "deny", "no reason");
    assert_eq!(ask(&|asked| asked.session.application = "x".into()), "deny", "another application");
}

#[test]
fn actions_outside_statements_are_asked_alone() {
    let policies = policies(&format!(
        "{SAMPLE}
        permit (principal in Group::\"ops\", action == Action::\"administer\", resource);
        permit (principal in Group::\"audit\", action == Action::\"audit\", resource);"
    ));
    let tags = BTreeMap::new();
    let session = SessionFacts { address: "127.0.0.1".into(), ..SessionFacts::default() };
    let may = |who: Human, groups: &[&str], action| {
        let asker = Asker { human: who, groups: list(groups), roles: vec![] };
        permits(&policies, &asker, ("shop", &tags), &Effect::on_connection(action), &session, now())
    };
    let ana = || human("Ana@acme.dev");
    let table = [
        ("an engineer connects", ana(), vec!["engineering"], Action::Connect, true),
        ("somebody else does not", ana(), vec![], Action::Connect, false),
        ("a DBA approves", ana(), vec!["dba"], Action::Approve, true),
        ("an engineer does not", ana(), vec!["engineering"], Action::Approve, false),
        ("an agent never approves", agent("bot", "priya@acme.dev"), vec!["dba"], Action::Approve, false),
        ("ops administer", ana(), vec!["ops"], Action::Administer, true),
        ("a DBA does not", ana(), vec!["dba"], Action::Administer, false),
        ("auditors audit", ana(), vec!["audit"], Action::Audit, true),
        ("a statement can't be asked alone", ana(), vec!["engineering"], Action::Select, false),
    ];
    for (case, who, groups, action, expected) in table {
        assert_eq!(may(who, &groups, action), expected, "{case}");
    }
}
