//! What becomes of wishes and grants, in a whole gateway without clients.

use std::{sync::Arc, task::Waker};

use chrono::{TimeDelta, Utc};
use countersign_shared::{
    api::{AccessBody, DecisionBody, ExtendBody, Problem},
    ids::GrantId,
    request::{Choice, State},
};

use super::{
    ask::{Answer, Petitioner, ask, extend},
    book::Now,
    end::{Why, end, end_grant, end_principal},
    keep,
};
use crate::{
    approval::{
        house::{House, policies},
        take::take,
    },
    config::RoleConfig,
    directory,
    sessions::Place,
    statement::decide::SessionFacts,
    store::{Grant, GrantEnd, How, Request, Seen, directory::UserFields},
};

const POLICY: &str = r#"
permit (principal in Group::"engineering", action == Action::"connect", resource in Connection::"shop");
permit (principal in Group::"engineering", action == Action::"request", resource == Role::"writer")
when { context.approvals.count >= 1 && context has duration && context.duration <= duration("4h") };
permit (principal in Group::"engineering", action == Action::"request", resource == Role::"reader");
permit (principal in Group::"ci", action == Action::"request", resource == Role::"writer")
when { context.approvals.count >= 1 };
@error("Ask the platform team.")
forbid (principal, action == Action::"request", resource == Role::"owner");
permit (principal in Role::"guest", action == Action::"connect", resource in Connection::"shop");
permit (principal in Group::"auditors", action == Action::"request", resource == Role::"guest");
permit (principal in Group::"dba", action == Action::"approve", resource in Connection::"shop");
"#;

async fn house() -> House {
    let house = House::with(|config| {
        let role =
            |name: &str| RoleConfig { name: name.into(), max_duration: std::time::Duration::from_secs(8 * 3600) };
        config.roles = ["writer", "reader", "owner", "guest"].map(role).into();
    })
    .await;
    house.policies.send_replace(Arc::new(policies(POLICY)));
    house
}

impl House {
    fn petitioner(&self, who: &str) -> Petitioner {
        let from = SessionFacts { application: "control".into(), address: "127.0.0.1".into() };
        if who == "deploy" {
            return Petitioner { human: self.agent(), groups: vec!["ci".into()], from };
        }
        let chooser = self.chooser(who);
        Petitioner { human: chooser.human, groups: chooser.groups, from }
    }

    async fn wishes(&self, who: &str, role: &str, duration: &str) -> Result<Answer, Problem> {
        let (connection, reason) = ("shop".into(), "INC-1".into());
        let body = AccessBody { connection, role: role.into(), duration: duration.into(), reason };
        ask(&self.gateway, &self.petitioner(who), &body).await
    }

    async fn waits(&self, who: &str, role: &str, duration: &str) -> Request {
        match self.wishes(who, role, duration).await {
            Ok(Answer::Waits(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    async fn given(&self, who: &str, role: &str, duration: &str) -> Grant {
        match self.wishes(who, role, duration).await {
            Ok(Answer::Given(grant)) => *grant,
            other => panic!("{other:?}"),
        }
    }

    async fn says(&self, who: &str, request: &Request, choice: Choice) -> Result<String, Problem> {
        let body = DecisionBody { choice, digest: request.new.digest, reason: None, allow: None };
        take(&self.gateway, &self.chooser(who), &request.new.id, &body).await.map(|taken| taken.message)
    }

    fn roles(&self, who: &str) -> Vec<String> {
        self.gateway.grants.roles_of(&self.human(who), "shop", Now::read()).names
    }

    async fn revokes(&self, id: &GrantId) -> bool {
        let by = Some("priya@acme.dev".into());
        let end = GrantEnd { at: Utc::now(), how: How::Revoked, by, reason: None };
        end_grant(&self.gateway, id, end).await.unwrap()
    }
}

/// Why a session was told to end.
fn told(place: &Place) -> Option<String> {
    place.killed().map(|kill| kill.reason)
}

#[tokio::test]
async fn who_asks_twice_at_once_has_a_role_once() {
    let house = house().await;
    let wish = || house.wishes("ana@acme.dev", "reader", "1h");
    let (one, two, three) = tokio::join!(wish(), wish(), wish());
    let given: Vec<_> = [one, two, three].into_iter().filter_map(Result::ok).collect();
    let [Answer::Given(grant)] = given.as_slice() else { panic!("{given:?}") };
    assert!(house.revokes(&grant.first.grant).await);
    assert!(house.roles("ana@acme.dev").is_empty(), "what is taken is gone");
}

#[tokio::test]
async fn a_wish_is_approved_by_another_and_becomes_a_grant_once() {
    let house = house().await;
    let request = house.waits("ana@acme.dev", "writer", "2h").await;
    assert!(house.roles("ana@acme.dev").is_empty(), "nothing yet");
    let own = house.says("ana@acme.dev", &request, Choice::Approve).await.unwrap_err();
    assert_eq!(own.code, "own_request");
    let stranger = house.says("ben@acme.dev", &request, Choice::Approve).await.unwrap_err();
    assert_eq!(stranger.code, "not_an_approver");
    let said = house.says("priya@acme.dev", &request, Choice::Approve).await.unwrap();
    assert_eq!(said, "Approved; access begins now.");
    assert_eq!(house.roles("ana@acme.dev"), ["writer"]);
    assert!(house.roles("ben@acme.dev").is_empty());
    assert_eq!(house.state(&request.new.id).await, State::Done);
    house.says("dario@acme.dev", &request, Choice::Approve).await.expect_err("it is over");
    let grants = house.gateway.store.grants(&Default::default()).await.unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].first.approved_by, ["priya@acme.dev"]);
    assert_eq!(grants[0].first.until - grants[0].first.from, TimeDelta::hours(2));
    let again = house.wishes("ana@acme.dev", "writer", "1h").await.unwrap_err();
    assert_eq!(again.code, "conflict", "she has it: {again:?}");
    let log = house.log_text();
    assert!(log.contains("\"kind\":\"asked\"") && log.contains("\"kind\":\"granted\""), "{log}");
}

#[tokio::test]
async fn policy_gives_holds_or_refuses_a_wish_as_it_does_a_statement() {
    let house = house().await;
    house.given("ana@acme.dev", "reader", "8h").await;
    assert_eq!(house.roles("ana@acme.dev"), ["reader"]);
    let agents = house.waits("deploy", "writer", "8h").await;
    let owner = house.says("priya@acme.dev", &agents, Choice::Approve).await.unwrap_err();
    assert_eq!(owner.code, "own_request", "she answers for the agent");
    let refused = [
        ("longer than policy permits", "ana@acme.dev", "writer", "5h", "forbidden"),
        ("longer than the role is given for", "ana@acme.dev", "reader", "9h", "bad_request"),
        ("no time", "ana@acme.dev", "writer", "0h", "bad_request"),
        ("not a time", "ana@acme.dev", "writer", "soon", "bad_request"),
        ("forbidden by a rule that says why", "ana@acme.dev", "owner", "1h", "forbidden"),
        ("no such role", "ana@acme.dev", "nothing", "1h", "forbidden"),
        ("no rule for her", "sam@acme.dev", "writer", "1h", "forbidden"),
    ];
    let mut said = Vec::new();
    for (case, who, role, duration, code) in refused {
        let problem = house.wishes(who, role, duration).await.unwrap_err();
        assert_eq!(problem.code, code, "{case}: {problem:?}");
        said.push(problem.error);
    }
    assert_eq!(said[4], "Ask the platform team.");
    assert_eq!(said[5].replace("nothing", "writer"), said[6], "what is not there reads like what is not hers");
    let request = house.waits("ben@acme.dev", "writer", "1h").await;
    let twice = house.wishes("ben@acme.dev", "writer", "2h").await.unwrap_err();
    assert!(twice.error.contains(request.new.id.as_str()), "{twice:?}");
    assert_eq!(house.says("priya@acme.dev", &request, Choice::Deny).await.unwrap(), "Denied; no access is given.");
    house.waits("ben@acme.dev", "writer", "2h").await;
}

#[tokio::test]
async fn what_changed_since_the_wish_counts_when_the_role_is_given() {
    let house = house().await;
    let request = house.waits("ana@acme.dev", "writer", "1h").await;
    house.seen(house.human("ana@acme.dev"), &["sales"]).await;
    let problem = house.says("priya@acme.dev", &request, Choice::Approve).await.unwrap_err();
    assert_eq!(problem.code, "over", "{problem:?}");
    assert_eq!(house.state(&request.new.id).await, State::Void);
    assert!(house.roles("ana@acme.dev").is_empty());

    let request = house.waits("ben@acme.dev", "writer", "1h").await;
    house.policies.send_replace(Arc::new(policies(&POLICY.replace("4h", "30m"))));
    house.says("priya@acme.dev", &request, Choice::Approve).await.unwrap();
    assert_eq!(house.state(&request.new.id).await, State::Void, "policy no longer permits it");
    assert!(house.roles("ben@acme.dev").is_empty());
}

#[tokio::test]
async fn a_grant_is_extended_before_its_end_and_not_after() {
    let house = house().await;
    let grant = house.given("ana@acme.dev", "reader", "1h").await;
    let id = &grant.first.grant;
    let body = |duration: &str| ExtendBody { duration: duration.into(), reason: "not done".into() };
    let ana = house.petitioner("ana@acme.dev");
    let stranger = extend(&house.gateway, &house.petitioner("ben@acme.dev"), id, &body("2h")).await.unwrap_err();
    assert_eq!(stranger.code, "not_found", "only its holder");
    let shorter = extend(&house.gateway, &ana, id, &body("30m")).await.unwrap_err();
    assert_eq!(shorter.code, "bad_request");
    let Answer::Given(longer) = extend(&house.gateway, &ana, id, &body("2h")).await.unwrap() else { panic!("held") };
    assert_eq!((longer.first, longer.more.len()), (grant.first.clone(), 1));
    assert!(house.gateway.grants.get(id).unwrap().until.wall > grant.first.until);

    let writer = {
        let request = house.waits("ana@acme.dev", "writer", "1h").await;
        house.says("priya@acme.dev", &request, Choice::Approve).await.unwrap();
        house.gateway.grants.held_by(&house.human("ana@acme.dev"), "shop", "writer").unwrap().id
    };
    let Answer::Waits(request) = extend(&house.gateway, &ana, &writer, &body("2h")).await.unwrap() else { panic!() };
    assert!(house.revokes(&writer).await);
    assert_eq!(house.state(&request.new.id).await, State::Void, "nobody need decide on it any more");
    let late = extend(&house.gateway, &ana, &writer, &body("2h")).await.unwrap_err();
    assert_eq!(late.code, "over");
    assert_eq!(house.roles("ana@acme.dev"), ["reader"]);
}

#[tokio::test]
async fn what_a_session_rests_on_ends_it_and_others_merely_lose_the_role() {
    let house = house().await;
    let reader = house.given("ana@acme.dev", "reader", "1h").await.first.grant;
    let guest = house.given("sam@acme.dev", "guest", "1h").await.first.grant;
    let (_, used) = house.session("ana@acme.dev");
    used.rests_on(&["reader".into()]);
    let (_, unused) = house.session("ana@acme.dev");
    let (_, guests) = house.session("sam@acme.dev");
    let (_, bens) = house.session("ben@acme.dev");
    assert!(house.revokes(&reader).await && !house.revokes(&reader).await);
    let revoked = "access as reader on shop was revoked by priya@acme.dev";
    assert_eq!(told(&used).as_deref(), Some(revoked));
    assert_eq!((told(&unused), told(&bens), told(&guests)), (None, None, None));
    assert!(house.revokes(&guest).await);
    assert!(told(&guests).is_some(), "without the role, sam may not connect");
    assert_eq!((told(&unused), told(&bens)), (None, None));
}

#[tokio::test]
async fn time_policy_and_groups_end_sessions() {
    let house = house().await;
    let keeping = tokio::spawn(keep::keep(house.gateway.clone()));
    let regrouping = tokio::spawn(keep::keep_written(house.gateway.clone()));
    let ended = async |place: &Place| {
        let wait = std::future::poll_fn(|cx| place.poll_killed(cx, false));
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("it is ended")
    };
    let (_, anas) = house.session("ana@acme.dev");
    let (_, darios) = house.session("dario@acme.dev");
    let (_, bens) = house.session("ben@acme.dev");
    // Ana signs in again, and is in no group any more.
    let left = Seen { human: house.human("ana@acme.dev"), groups: vec!["sales".into()], at: Utc::now(), token: None };
    keep::seen(&house.gateway, &left).await.unwrap();
    assert_eq!(ended(&anas).await, "policy no longer permits you to connect");
    assert_eq!((told(&bens), told(&darios)), (None, None));
    let fewer = POLICY.replace(
        r#"Group::"engineering", action == Action::"connect""#,
        r#"Group::"dba", action == Action::"connect""#,
    );
    house.policies.send_replace(Arc::new(policies(&fewer)));
    assert_eq!(ended(&bens).await, "policy no longer permits you to connect");
    assert_eq!(told(&darios), None, "he is in dba too");
    // What rests on the time is asked each second.
    let soon = (Utc::now() + TimeDelta::seconds(2)).format("%Y-%m-%dT%H:%M:%SZ");
    let until = fewer.replacen(
        "resource in Connection::\"shop\");",
        &format!("resource in Connection::\"shop\") when {{ context.time < datetime(\"{soon}\") }};"),
        1,
    );
    house.policies.send_replace(Arc::new(policies(&until)));
    assert_eq!(ended(&darios).await, "policy no longer permits you to connect");
    keeping.abort();
    regrouping.abort();
}

#[tokio::test]
async fn a_restart_keeps_grants_ends_those_that_are_over_and_trusts_no_row_that_it_did_not_seal() {
    let house = house().await;
    let kept = house.given("ana@acme.dev", "reader", "1h").await;
    let forged = crate::store::Term {
        grant: GrantId::random(),
        role: "owner".into(),
        signature: "c2ln".into(),
        ..kept.first.clone()
    };
    house.gateway.store.give(&forged).await.expect("somebody writes to the file");
    let over = house.gateway.seal.seal_term(crate::store::Term {
        grant: GrantId::random(),
        role: "writer".into(),
        from: Utc::now() - TimeDelta::hours(2),
        until: Utc::now() - TimeDelta::hours(1),
        ..kept.first.clone()
    });
    house.gateway.store.give(&over).await.unwrap();
    let again = house.reopened();
    assert!(again.grants.roles_of(&kept.first.human, "shop", Now::read()).names.is_empty());
    keep::read(&again).await.unwrap();
    assert_eq!(again.grants.roles_of(&kept.first.human, "shop", Now::read()).names, ["reader"]);
    let ended = again.store.grant(&over.grant).await.unwrap().unwrap().end.unwrap();
    assert_eq!((ended.how, ended.by), (How::Expired, None));
    assert!(again.store.grant(&forged.grant).await.unwrap().unwrap().end.is_none());
}

#[tokio::test]
async fn a_principal_that_is_gone_loses_sessions_grants_and_wishes() {
    let house = house().await;
    house.given("ana@acme.dev", "reader", "1h").await;
    let request = house.waits("ana@acme.dev", "writer", "1h").await;
    let ((_, anas), (_, bens)) = (house.session("ana@acme.dev"), house.session("ben@acme.dev"));
    end_principal(&house.gateway, &house.human("ana@acme.dev"), "the account was deactivated").await.unwrap();
    assert_eq!(told(&anas).as_deref(), Some("the account was deactivated"));
    assert_eq!(told(&bens), None);
    assert!(house.roles("ana@acme.dev").is_empty());
    assert_eq!(house.state(&request.new.id).await, State::Void);
    let why = Why::Killed { by: "olu@acme.dev".into() };
    let all = house.gateway.sessions.all(|_| true);
    assert_eq!(end(&house.gateway, &all, &why), 1, "ana's had been ended");
    assert!(anas.poll_killed(&std::task::Context::from_waker(Waker::noop()), false).is_ready());
}

#[tokio::test]
async fn what_is_given_while_somebody_goes_is_not_given() {
    let house = house().await;
    let given = house.given("ana@acme.dev", "reader", "8h").await;
    let gone = UserFields {
        user_name: "ana@acme.dev".into(),
        external_id: None,
        active: false,
        display_name: None,
        profile: serde_json::Map::new(),
    };
    house.gateway.store.create_user(&gone, Utc::now()).await.unwrap();
    let another = crate::store::Term { grant: GrantId::random(), ..given.first.clone() };
    let refused = house.gateway.store.give(&another).await.unwrap_err().to_string();
    assert!(refused.contains("gone"), "{refused}");
    assert!(house.gateway.store.grant(&another.grant).await.unwrap().is_none());
}

#[tokio::test]
async fn who_went_while_the_gateway_died_has_no_role_after_the_start() {
    let house = house().await;
    let hers = house.given("ana@acme.dev", "reader", "8h").await.first.grant;
    let his = house.given("ben@acme.dev", "reader", "8h").await.first.grant;
    let wish = house.waits("ana@acme.dev", "writer", "1h").await;
    // The directory's word is written down, and nothing followed from it.
    let gone = UserFields {
        user_name: "Ana@acme.dev".into(),
        external_id: None,
        active: false,
        display_name: None,
        profile: serde_json::Map::new(),
    };
    house.gateway.store.create_user(&gone, Utc::now()).await.unwrap();
    assert_eq!(house.roles("ana@acme.dev"), ["reader"], "not yet");
    let again = house.reopened();
    keep::read(&again).await.unwrap();
    assert!(again.grants.get(&hers).is_none() && again.grants.get(&his).is_some());
    let ended = again.store.grant(&hers).await.unwrap().unwrap().end.unwrap();
    assert_eq!((ended.how, ended.reason.as_deref()), (How::Revoked, Some("ana@acme.dev was deactivated")));
    assert_eq!(house.state(&wish.new.id).await, State::Void, "nor does what she asked for wait any longer");
}

#[tokio::test]
async fn where_the_state_can_not_say_who_is_gone_roles_and_sessions_end() {
    let house = house().await;
    let grant = house.given("ana@acme.dev", "reader", "8h").await.first.grant;
    let (_, place) = house.session("ana@acme.dev");
    let file = format!("sqlite://{}", house.folder.path().join("state.db").display());
    let state = sqlx::SqlitePool::connect(&file).await.unwrap();
    sqlx::query("ALTER TABLE directory_says RENAME TO lost").execute(&state).await.unwrap();
    directory::settle(&house.gateway, None).await;
    assert!(house.gateway.grants.get(&grant).is_none());
    assert_eq!(told(&place).as_deref(), Some("the gateway can't check any more who may be here"));
    sqlx::query("ALTER TABLE lost RENAME TO directory_says").execute(&state).await.unwrap();
    let ended = house.gateway.store.grant(&grant).await.unwrap().unwrap().end.unwrap();
    assert_eq!(ended.how, How::Revoked);
}
