//! What every store must do with texts that are asked for statement by statement.

use chrono::TimeDelta;
use countersign_shared::{ids::SessionId, request::State};

use super::{
    NewRequest, Store, StoreError,
    allowances::Allowable,
    conformance::{approval_of, digest_of, now, request_by, see, state_of, user},
    steps::StepEnd,
};
use crate::statement::steps::Step;

fn step(text: &str, needed: bool) -> Step {
    Step {
        before: "-- a comment".into(),
        after: String::new(),
        text: digest_of(text),
        block: 0,
        needed,
        meaning: digest_of("meaning"),
        rests: vec![("public.orders".into(), digest_of("orders"))],
        does: vec![("delete".into(), "Table::\"shop/public.orders\"".into())],
    }
}

/// A request of ana's with three statements that need an approval, and one before them that does not; priya has
/// approved it.
pub(super) async fn approved_by_steps(store: &dyn Store) -> NewRequest {
    for name in ["ana", "priya"] {
        see(store, &user(name)).await;
    }
    let steps = vec![step("set", false), step("one", true), step("two", true), step("three", true)];
    let new = NewRequest { session: None, steps, ..request_by(user("ana")) };
    store.create_request(&new).await.unwrap();
    store.add_approval(&approval_of(&new, user("priya"))).await.unwrap();
    assert!(store.move_request(&new.id, &[State::Pending], State::Approved, None).await.unwrap());
    new
}

fn ran(outcome: &str) -> StepEnd {
    StepEnd { outcome: outcome.into(), ran: true }
}

/// All of it.
pub(super) async fn conformance(store: &dyn Store) {
    they_come_back_as_they_were_and_run_in_order(store).await;
    one_that_fails_ends_the_rest(store).await;
    what_is_over_takes_none(store).await;
    only_what_no_session_waits_with_has_any(store).await;
    what_has_begun_ends_with_the_gateway(store).await;
}

async fn they_come_back_as_they_were_and_run_in_order(store: &dyn Store) {
    let new = approved_by_steps(store).await;
    let kept = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!((&kept.new.steps, kept.taken.len()), (&new.steps, 0));
    assert!(store.has_steps("ANA@acme.dev").await.unwrap());
    let (one, other) = (SessionId::random(), SessionId::random());
    let take = async |number: u32, session: &SessionId| store.take_step(&new.id, number, now(), session).await.unwrap();
    for number in [0, 1, 3, 4, 5] {
        assert!(!take(number, &one).await, "{number} is not the first that needs an approval");
    }
    assert!(take(2, &one).await);
    assert!(!take(2, &one).await, "once");
    assert!(!take(3, &one).await, "the one before it has not run");
    assert_eq!(store.end_step(&new.id, 2, &ran("DELETE 3"), true, 5).await.unwrap(), Some(State::Approved));
    assert!(matches!(store.end_step(&new.id, 2, &ran("DELETE 4"), true, 5).await, Err(StoreError::Refused(_))), "once");
    assert!(!take(3, &other).await, "in one session");
    assert!(!take(4, &one).await, "in order");
    assert!(take(3, &one).await);
    store.end_step(&new.id, 3, &ran("UPDATE 1"), true, 5).await.unwrap();
    let released = store.move_request(&new.id, &[State::Approved], State::Released, None).await;
    assert!(matches!(released, Err(StoreError::Refused(_))), "not as a whole, before all have been sent");
    assert!(take(4, &one).await);
    assert_eq!(state_of(store, &new.id).await, State::Released);
    assert_eq!(store.end_step(&new.id, 4, &ran("DELETE 1"), true, 7).await.unwrap(), Some(State::Done));
    let done = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!(done.taken.iter().map(|taken| taken.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(done.taken.iter().all(|taken| taken.session == one));
    assert_eq!(done.taken[1].ended, Some(ran("UPDATE 1")));
    assert_eq!(done.outcome.unwrap().tag.as_deref(), Some("DELETE 3; UPDATE 1; DELETE 1"));
    assert!(!take(4, &one).await, "it is over");
}

async fn one_that_fails_ends_the_rest(store: &dyn Store) {
    let session = SessionId::random();
    let failed = StepEnd { outcome: "23503 still referenced".into(), ran: false };
    let new = approved_by_steps(store).await;
    assert!(store.take_step(&new.id, 2, now(), &session).await.unwrap());
    assert_eq!(store.end_step(&new.id, 2, &failed, true, 5).await.unwrap(), Some(State::Void));
    let over = store.request(&new.id).await.unwrap().unwrap();
    assert!(over.outcome.unwrap().reason.unwrap().contains("statement 2 did not run: 23503"));
    assert!(!store.take_step(&new.id, 3, now(), &session).await.unwrap());
    // The last.
    for (known, state) in [(true, State::Done), (false, State::Unknown)] {
        let new = approved_by_steps(store).await;
        for number in [2, 3] {
            assert!(store.take_step(&new.id, number, now(), &session).await.unwrap());
            store.end_step(&new.id, number, &ran("DELETE 1"), true, 5).await.unwrap();
        }
        assert!(store.take_step(&new.id, 4, now(), &session).await.unwrap());
        assert_eq!(store.end_step(&new.id, 4, &failed, known, 5).await.unwrap(), Some(state));
        let over = store.request(&new.id).await.unwrap().unwrap();
        assert!(over.outcome.unwrap().error.unwrap().contains("statement 4: 23503"));
    }
}

async fn what_is_over_takes_none(store: &dyn Store) {
    let session = SessionId::random();
    let new = approved_by_steps(store).await;
    assert!(!store.take_step(&new.id, 2, now() + TimeDelta::minutes(15), &session).await.unwrap(), "its time is over");
    for state in [State::Denied, State::Withdrawn, State::Expired, State::Void] {
        let new = approved_by_steps(store).await;
        assert!(store.take_step(&new.id, 2, now(), &session).await.unwrap());
        store.end_step(&new.id, 2, &ran("DELETE 1"), true, 5).await.unwrap();
        assert!(store.move_request(&new.id, &[State::Approved], state, None).await.unwrap());
        assert!(!store.take_step(&new.id, 3, now(), &session).await.unwrap(), "{state}");
    }
    let steps = vec![step("one", true)];
    let pending = NewRequest { session: None, steps, ..request_by(user("ana")) };
    store.create_request(&pending).await.unwrap();
    assert!(!store.take_step(&pending.id, 1, now(), &session).await.unwrap(), "nobody has approved it");
}

async fn only_what_no_session_waits_with_has_any(store: &dyn Store) {
    let steps = || vec![step("one", true)];
    let digest = || digest_of("d");
    let bound = crate::store::allowances::Bound { text: digest(), free: digest(), pinned: digest() };
    let most = countersign_shared::allow::Terms {
        minutes: 1,
        runs: 1,
        rows: 1,
        parameters: countersign_shared::allow::Parameters::Pinned,
    };
    let waits = NewRequest { steps: steps(), ..request_by(user("ana")) };
    let allowed = NewRequest {
        session: None,
        allowable: Some(Allowable { most, bound }),
        steps: steps(),
        ..request_by(user("ana"))
    };
    for new in [waits, allowed] {
        assert!(matches!(store.create_request(&new).await, Err(StoreError::Refused(_))));
    }
}

async fn what_has_begun_ends_with_the_gateway(store: &dyn Store) {
    let session = SessionId::random();
    let (begun, waits) = (approved_by_steps(store).await, approved_by_steps(store).await);
    assert!(store.take_step(&begun.id, 2, now(), &session).await.unwrap());
    store.end_step(&begun.id, 2, &ran("DELETE 1"), true, 5).await.unwrap();
    let ended = store.end_orphans("the gateway stopped").await.unwrap();
    assert!(ended.contains(&begun.id) && !ended.contains(&waits.id));
    assert_eq!(state_of(store, &begun.id).await, State::Void);
    assert_eq!(state_of(store, &waits.id).await, State::Approved);
}
