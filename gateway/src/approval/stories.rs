//! What becomes of a choice, and what is checked again before a statement goes on.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use countersign_shared::{
    api::{DecisionBody, DecisionTaken, Problem},
    request::{Assurance, Choice, State},
};

use super::{
    house::{House, POLICY, other_digest, policies},
    release::{NotReleased, release},
    take::{Chooser, take},
};
use crate::{
    statement::effect::Action,
    store::{Approval, NewRequest},
};

fn body(request: &NewRequest, choice: Choice) -> DecisionBody {
    DecisionBody { choice, digest: request.digest, reason: None, allow: None }
}

async fn chooses(house: &House, who: &Chooser, request: &NewRequest, choice: Choice) -> Result<DecisionTaken, Problem> {
    take(&house.gateway, who, &request.id, &body(request, choice)).await
}

async fn approves(house: &House, who: &str, request: &NewRequest) -> Result<DecisionTaken, Problem> {
    chooses(house, &house.chooser(who), request, Choice::Approve).await
}

fn code(result: Result<DecisionTaken, Problem>) -> String {
    result.map_or_else(|problem| problem.code, |taken| taken.message)
}

#[tokio::test]
async fn one_other_person_is_enough_for_a_delete_and_it_is_released_once() {
    let house = House::open().await;
    let request = house.ana_deletes().await;
    let waiting = house.gateway.holds.wait_for(&request.id);
    let taken = approves(&house, "priya@acme.dev", &request).await.unwrap();
    assert_eq!(taken.message, "Approved; it runs now.");
    assert_eq!(taken.request.state, State::Approved);
    assert_eq!(taken.request.approvals[0].approver, "priya@acme.dev");
    waiting.rung().await;
    let go = || release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now());
    let released = go().await.unwrap();
    assert_eq!((released.request(), released.digest()), (&request.id, request.digest));
    assert!(matches!(go().await, Err(NotReleased::Void(_))), "twice");
    assert_eq!(house.state(&request.id).await, State::Released);
    let log = house.log_text();
    let (decided, freed) = (log.find("\"decision\"").unwrap(), log.find("\"released\"").unwrap());
    assert!(decided < freed, "the decision is written before the release");
}

#[tokio::test]
async fn nobody_approves_their_own_request() {
    let house = House::open().await;
    let hers = house.ana_deletes().await;
    let mut ana = house.chooser("ana@acme.dev");
    ana.groups.push("dba".into());
    assert_eq!(code(chooses(&house, &ana, &hers, Choice::Approve).await), "own_request", "as a dba");
    ana.human.principal = "ana.b@acme.dev".into();
    assert_eq!(code(chooses(&house, &ana, &hers, Choice::Approve).await), "own_request", "renamed, same subject");
    let agents = house.asks(house.agent(), &["ci"], Action::Delete).await;
    assert_eq!(code(approves(&house, "priya@acme.dev", &agents).await), "own_request", "the agent's owner");
    let mut deploy = house.chooser("priya@acme.dev");
    deploy.human = house.agent();
    assert_eq!(code(chooses(&house, &deploy, &hers, Choice::Approve).await), "forbidden", "an agent, for ana");
    assert_eq!(house.state(&hers.id).await, State::Pending);
    assert!(house.request(&hers.id).await.approvals.is_empty());
    assert_eq!(code(approves(&house, "dario@acme.dev", &agents).await), "Approved; it runs now.");
}

#[tokio::test]
async fn choices_that_are_not_theirs_to_make_change_nothing() {
    let house = House::open().await;
    let request = house.ana_deletes().await;
    for (who, choice, expected) in [
        ("ben@acme.dev", Choice::Approve, "not_an_approver"),
        ("ben@acme.dev", Choice::Deny, "not_an_approver"),
        ("sam@acme.dev", Choice::Approve, "not_an_approver"),
        ("olu@acme.dev", Choice::Approve, "not_an_approver"),
        ("ana@acme.dev", Choice::Deny, "own_request"),
        ("priya@acme.dev", Choice::Withdraw, "forbidden"),
    ] {
        assert_eq!(code(chooses(&house, &house.chooser(who), &request, choice).await), expected, "{who} {choice:?}");
    }
    let problem = approves(&house, "ben@acme.dev", &request).await.unwrap_err();
    assert!(problem.error.contains("dba"), "{problem}: names who can");
    let wrong = DecisionBody { digest: other_digest(), ..body(&request, Choice::Approve) };
    let refused = take(&house.gateway, &house.chooser("priya@acme.dev"), &request.id, &wrong).await;
    assert_eq!(code(refused), "digest_mismatch");
    let nowhere = NewRequest { id: countersign_shared::ids::RequestId::random(), ..request.clone() };
    assert_eq!(code(approves(&house, "priya@acme.dev", &nowhere).await), "not_found");
    let after = house.request(&request.id).await;
    assert_eq!((after.state, after.approvals.len()), (State::Pending, 0));
    assert!(!house.log_text().contains("\"decision\""), "what was not taken is no decision");
}

#[tokio::test]
async fn a_schema_change_needs_two_and_a_double_click_is_one() {
    let house = House::open().await;
    let request = house.asks(house.human("ana@acme.dev"), &["engineering"], Action::Alter).await;
    let first = approves(&house, "priya@acme.dev", &request).await.unwrap();
    assert!(first.message.starts_with("Your approval is recorded; 1 more needed"), "{}", first.message);
    assert_eq!(first.request.state, State::Pending);
    let again = approves(&house, "priya@acme.dev", &request).await.unwrap();
    assert_eq!(again.message, "You have approved this already; nothing was changed.");
    assert_eq!(again.request.approvals.len(), 1);
    let early = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
    assert!(matches!(early, Err(NotReleased::Void(_))), "not with one");
    assert_eq!(code(approves(&house, "dario@acme.dev", &request).await), "Approved; it runs now.");
    let late = approves(&house, "priya@acme.dev", &request).await.unwrap();
    assert_eq!(late.message, "You have approved this already; nothing was changed.");
    assert!(release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await.is_ok());
}

#[tokio::test]
async fn an_approval_that_was_cut_off_takes_effect_with_the_next_click() {
    let house = House::open().await;
    let request = house.ana_deletes().await;
    let approval = house.gateway.seal.seal(Approval {
        request: request.id.clone(),
        digest: request.digest,
        approver: house.human("priya@acme.dev"),
        assurance: Assurance::Cli,
        at: Utc::now(),
        evidence: "test".into(),
        allow: None,
        signature: String::new(),
    });
    house.gateway.store.add_approval(&approval).await.unwrap();
    assert_eq!(house.state(&request.id).await, State::Pending);
    assert_eq!(code(approves(&house, "priya@acme.dev", &request).await), "Approved; it runs now.");
    assert_eq!(house.request(&request.id).await.approvals.len(), 1);
}

#[tokio::test]
async fn a_denial_ends_it_with_its_reason() {
    let house = House::open().await;
    let request = house.ana_deletes().await;
    let priya = house.chooser("priya@acme.dev");
    let no = DecisionBody { reason: Some("  not on a Friday ".into()), ..body(&request, Choice::Deny) };
    let taken = take(&house.gateway, &priya, &request.id, &no).await.unwrap();
    assert_eq!(taken.message, "Denied; it will not run.");
    let outcome = house.request(&request.id).await.outcome.unwrap();
    assert_eq!(outcome.by.as_deref(), Some("priya@acme.dev"));
    assert_eq!(outcome.reason.as_deref(), Some("not on a Friday"));
    let again = take(&house.gateway, &priya, &request.id, &no).await;
    assert_eq!(code(again), "You have ended this already; nothing was changed.");
    let late = approves(&house, "dario@acme.dev", &request).await.unwrap_err();
    assert_eq!(late.code, "over");
    assert!(late.error.contains("denied by priya@acme.dev (not on a Friday)"), "{late}");
}

#[tokio::test]
async fn an_approved_request_can_still_be_denied_or_withdrawn_before_it_runs() {
    let house = House::open().await;
    for (who, choice, end) in
        [("dario@acme.dev", Choice::Deny, State::Denied), ("ana@acme.dev", Choice::Withdraw, State::Withdrawn)]
    {
        let request = house.ana_deletes().await;
        approves(&house, "priya@acme.dev", &request).await.unwrap();
        chooses(&house, &house.chooser(who), &request, choice).await.unwrap();
        assert_eq!(house.state(&request.id).await, end);
        let released = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
        assert!(matches!(released, Err(NotReleased::Void(_))), "{choice:?}");
    }
}

#[tokio::test]
async fn after_the_deadline_nothing_counts() {
    let house = House::open().await;
    let ana = house.human("ana@acme.dev");
    let request = house.asks_until(ana, &["engineering"], Action::Delete, TimeDelta::zero()).await;
    assert_eq!(code(approves(&house, "priya@acme.dev", &request).await), "over");
    assert_eq!(house.state(&request.id).await, State::Expired);
    let request = house.ana_deletes().await;
    approves(&house, "priya@acme.dev", &request).await.unwrap();
    let late = release(&house.gateway, &request.id, request.digest, &request.asked, request.expires_at).await;
    assert!(matches!(late, Err(NotReleased::Void(_))), "approved in time, but too late to run");
    assert_eq!(house.state(&request.id).await, State::Void);
}

#[tokio::test]
async fn what_changed_since_the_approval_makes_it_void() {
    let table = [
        "the statement",
        "the approver's group",
        "the requester's group",
        "who asks",
        "policy: nobody approves",
        "policy: more are needed",
    ];
    for case in table {
        let house = House::open().await;
        let mut request = house.ana_deletes().await;
        approves(&house, "priya@acme.dev", &request).await.unwrap();
        let new_policy = |from: &str, to: &str| {
            assert!(POLICY.contains(from), "{from}");
            house.policies.send_replace(Arc::new(policies(&POLICY.replace(from, to))));
        };
        match case {
            "the statement" => request.digest = other_digest(),
            "the approver's group" => house.seen(house.human("priya@acme.dev"), &[]).await,
            "the requester's group" => request.asked.asker.groups.clear(),
            "who asks" => request.asked.asker.human = house.human("ben@acme.dev"),
            "policy: nobody approves" => {
                new_policy("\"dba\", action == Action::\"approve\"", "\"none\", action == Action::\"approve\"")
            }
            _ => new_policy("count >= 1", "count >= 2"),
        }
        let released = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
        assert!(matches!(released, Err(NotReleased::Void(_))), "{case}: {released:?}");
        assert_eq!(house.state(&request.id).await, State::Void, "{case}");
        assert!(!house.log_text().contains("\"released\""), "{case}");
    }
}

#[tokio::test]
async fn an_approval_that_we_did_not_sign_counts_for_nothing() {
    let house = House::open().await;
    let request = house.asks(house.human("ana@acme.dev"), &["engineering"], Action::Alter).await;
    let forged = Approval {
        request: request.id.clone(),
        digest: request.digest,
        approver: house.human("dario@acme.dev"),
        assurance: Assurance::StepUp,
        at: Utc::now(),
        evidence: String::new(),
        allow: None,
        signature: "AAAA".into(),
    };
    house.gateway.store.add_approval(&forged).await.unwrap();
    let taken = approves(&house, "priya@acme.dev", &request).await.unwrap();
    assert_eq!(taken.request.state, State::Pending, "priya's alone, although the state holds two");
    assert_eq!(taken.request.approvals.len(), 1, "nor is it shown");
    // Somebody with the state's file in hand moves it on by force.
    assert!(house.gateway.store.move_request(&request.id, &[State::Pending], State::Approved, None).await.unwrap());
    let released = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
    assert!(matches!(released, Err(NotReleased::Void(_))));
    assert_eq!(house.state(&request.id).await, State::Void);
}

#[tokio::test]
async fn a_fresh_sign_in_is_asked_for_before_an_approval_is_used_up() {
    let house = House::open().await;
    let request = house.asks(house.human("ana@acme.dev"), &["engineering"], Action::Merge).await;
    let problem = approves(&house, "priya@acme.dev", &request).await.unwrap_err();
    assert_eq!(problem.code, "step_up_needed");
    let page = format!("http://127.0.0.1:6480/requests/{}", request.id);
    assert!(problem.hint.unwrap().contains(&page));
    let fresh = Chooser { assurance: Assurance::StepUp, ..house.chooser("priya@acme.dev") };
    assert_eq!(code(chooses(&house, &fresh, &request, Choice::Approve).await), "Approved; it runs now.");
}

#[tokio::test]
async fn of_many_who_choose_at_once_the_state_believes_one_story() {
    let house = Arc::new(House::open().await);
    for _ in 0..8 {
        let request = house.ana_deletes().await;
        let choices = [
            ("priya@acme.dev", Choice::Approve),
            ("dario@acme.dev", Choice::Deny),
            ("priya@acme.dev", Choice::Approve),
            ("ana@acme.dev", Choice::Withdraw),
            ("dario@acme.dev", Choice::Approve),
        ];
        let tasks: Vec<_> = choices
            .into_iter()
            .map(|(who, choice)| {
                let (house, request) = (Arc::clone(&house), request.clone());
                tokio::spawn(async move {
                    let result = chooses(&house, &house.chooser(who), &request, choice).await;
                    (choice, result.map(|taken| taken.message))
                })
            })
            .collect();
        let mut ended = Vec::new();
        for task in tasks {
            let (choice, result) = task.await.unwrap();
            if choice != Choice::Approve && result.is_ok() {
                ended.push(choice);
            }
        }
        let end = house.state(&request.id).await;
        assert_eq!(ended.len(), 1, "deny and withdraw can't both have ended it");
        let expected = if ended[0] == Choice::Deny { State::Denied } else { State::Withdrawn };
        assert_eq!(end, expected, "and the state is what they were told");
        let released = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
        assert!(released.is_err());
    }
}

/// `COUNTERSIGN_RACES` sets how often; ten thousand take minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hold_ends_once_whoever_comes_at_the_same_time() {
    let house = Arc::new(House::open().await);
    let rounds = std::env::var("COUNTERSIGN_RACES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(40_usize);
    let mut ends = std::collections::HashMap::<State, usize>::new();
    for round in 0..rounds {
        let request = house.ana_deletes().await;
        // In every other round somebody has approved by then.
        if round % 2 == 0 {
            approves(&house, "priya@acme.dev", &request).await.unwrap();
        }
        let runs = |at: usize| {
            let (house, request) = (Arc::clone(&house), request.clone());
            tokio::spawn(async move {
                let choose =
                    async |who: &str, choice| chooses(&house, &house.chooser(who), &request, choice).await.is_ok();
                match at {
                    0 | 1 => release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now())
                        .await
                        .is_ok()
                        .then_some(State::Released),
                    2 => choose("dario@acme.dev", Choice::Deny).await.then_some(State::Denied),
                    3 => choose("ana@acme.dev", Choice::Withdraw).await.then_some(State::Withdrawn),
                    4 => {
                        let from = [State::Pending, State::Approved];
                        let store = &house.gateway.store;
                        let moved = store.move_request(&request.id, &from, State::Expired, None).await.unwrap();
                        moved.then_some(State::Expired)
                    }
                    // An approval ends nothing by itself.
                    _ => choose("priya@acme.dev", Choice::Approve).await.then_some(State::Approved).filter(|_| false),
                }
            })
        };
        // Not all come each time: the deadline would nearly always be first.
        let comes = |at: &usize| match at {
            4 => round % 5 == 0,
            3 => round % 3 == 0,
            2 => round % 4 == 1,
            _ => true,
        };
        let tasks: Vec<_> = (0..6).map(|at| (at + round) % 6).filter(comes).map(runs).collect();
        let mut ended = Vec::new();
        for task in tasks {
            ended.extend(task.await.unwrap());
        }
        assert!(ended.len() <= 1, "round {round}: {ended:?}");
        let Some(end) = ended.pop() else { continue };
        assert_eq!(house.state(&request.id).await, end, "round {round}: the state is what was told");
        let late = release(&house.gateway, &request.id, request.digest, &request.asked, Utc::now()).await;
        assert!(late.is_err(), "round {round}: nothing runs after an end");
        *ends.entry(end).or_default() += 1;
    }
    println!("{rounds} races ended as {ends:?}");
}
