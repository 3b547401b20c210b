//! What every store must do with allowances and denials.

use chrono::TimeDelta;
use countersign_shared::{
    allow::{Parameters, Terms},
    api::Outcome,
    ids::RequestId,
    request::State,
};

use super::{
    Approval, NewRequest, Store, StoreError,
    allowances::{Allowable, Allowance, AllowanceEnd, Allowed, Bound, Denial, HowEnded, OpenFilter},
    conformance::{agent, approval_of, digest_of, now, request_by, see, state_of, user},
};

const TERMS: Terms = Terms { minutes: 30, runs: 3, rows: 20, parameters: Parameters::Free };

fn bound() -> Bound {
    Bound { text: digest_of("text"), free: digest_of("free"), pinned: digest_of("pinned") }
}

/// A request of ana's that may be allowed, and that priya has approved so.
pub(super) async fn approved_for_a_time(store: &dyn Store) -> NewRequest {
    for name in ["ana", "priya"] {
        see(store, &user(name)).await;
    }
    let new = NewRequest { allowable: Some(Allowable { most: TERMS, bound: bound() }), ..request_by(user("ana")) };
    store.create_request(&new).await.unwrap();
    let allow = Some(Allowed { terms: TERMS, bound: bound() });
    store.add_approval(&Approval { allow, ..approval_of(&new, user("priya")) }).await.unwrap();
    assert!(store.move_request(&new.id, &[State::Pending], State::Approved, None).await.unwrap());
    new
}

pub(super) fn allowance_of(new: &NewRequest) -> Allowance {
    Allowance {
        request: new.id.clone(),
        principal: "ana@acme.dev".into(),
        connection: "shop".into(),
        text: bound().text,
        runs: TERMS.runs,
        began_at: now(),
        until: now() + TimeDelta::minutes(30),
        end: None,
        taken: Vec::new(),
    }
}

/// All of it.
pub(super) async fn conformance(store: &dyn Store) {
    what_was_allowed_comes_back_as_it_was(store).await;
    runs_are_taken_in_order_and_no_more_than_there_are(store).await;
    what_the_server_discarded_does_not_count(store).await;
    what_has_ended_takes_no_run(store).await;
    only_what_may_be_allowed_is(store).await;
    the_last_denial_that_it_takes_ends_a_request(store).await;
}

async fn what_was_allowed_comes_back_as_it_was(store: &dyn Store) {
    let new = approved_for_a_time(store).await;
    let kept = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!(kept.new.allowable, new.allowable);
    assert_eq!(kept.approvals[0].allow, Some(Allowed { terms: TERMS, bound: bound() }));
    assert_eq!(store.allowance(&new.id).await.unwrap(), None, "nothing has run yet");
    assert!(store.release_allowed(&allowance_of(&new), None).await.unwrap());
    assert_eq!(state_of(store, &new.id).await, State::Released);
    assert!(!store.release_allowed(&allowance_of(&new), None).await.unwrap(), "once");
    let allowance = store.allowance(&new.id).await.unwrap().unwrap();
    assert_eq!(Allowance { taken: Vec::new(), ..allowance.clone() }, allowance_of(&new));
    assert_eq!((allowance.taken.len(), allowance.taken[0].number, allowance.counted()), (1, 1, 1));
    let of = |principal: &str, connection: &str| OpenFilter {
        principal: Some(principal.to_owned()),
        connection: Some(connection.to_owned()),
    };
    for (filter, found) in [
        (of("ANA@acme.dev", "shop"), true),
        (of("ben@acme.dev", "shop"), false),
        (of("ana@acme.dev", "crm"), false),
        (OpenFilter::default(), true),
    ] {
        let open = store.open_allowances(&filter).await.unwrap();
        assert_eq!(open.iter().any(|one| one.request == new.id), found, "{filter:?}");
    }
}

async fn runs_are_taken_in_order_and_no_more_than_there_are(store: &dyn Store) {
    let new = approved_for_a_time(store).await;
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), None, "before the first");
    store.release_allowed(&allowance_of(&new), None).await.unwrap();
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), Some((2, 2)));
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), Some((3, 3)));
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), None);
    assert!(!store.end_run(&new.id, 1, "UPDATE 1", false).await.unwrap());
    assert!(!store.end_run(&new.id, 3, "UPDATE 1", false).await.unwrap());
    assert!(store.end_run(&new.id, 2, "UPDATE 1", false).await.unwrap(), "all have ended");
    assert!(matches!(store.end_run(&new.id, 2, "UPDATE 2", true).await, Err(StoreError::Refused(_))), "once");
    let over = store.allowance(&new.id).await.unwrap().unwrap();
    assert_eq!(over.end.map(|end| end.how), Some(HowEnded::Used));
}

async fn what_the_server_discarded_does_not_count(store: &dyn Store) {
    let new = approved_for_a_time(store).await;
    store.release_allowed(&allowance_of(&new), None).await.unwrap();
    store.end_run(&new.id, 1, "UPDATE 1", false).await.unwrap();
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), Some((2, 2)));
    store.end_run(&new.id, 2, "skipped", true).await.unwrap();
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), Some((3, 2)), "it has a number of its own");
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), Some((4, 3)));
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), None);
}

async fn what_has_ended_takes_no_run(store: &dyn Store) {
    let end = |how| AllowanceEnd { at: now(), how, by: Some("priya@acme.dev".into()), why: Some("why".into()) };
    let new = approved_for_a_time(store).await;
    assert!(!store.end_allowance(&new.id, &end(HowEnded::Revoked)).await.unwrap(), "nothing has begun");
    store.release_allowed(&allowance_of(&new), None).await.unwrap();
    let late = now() + TimeDelta::minutes(30);
    assert_eq!(store.take_run(&new.id, late, None).await.unwrap(), None, "at its end it is over");
    assert!(store.end_allowance(&new.id, &end(HowEnded::Revoked)).await.unwrap());
    assert!(!store.end_allowance(&new.id, &end(HowEnded::Void)).await.unwrap(), "once");
    assert_eq!(store.take_run(&new.id, now(), None).await.unwrap(), None);
    let over = store.allowance(&new.id).await.unwrap().unwrap();
    assert_eq!(over.end, Some(end(HowEnded::Revoked)));
    assert!(!store.open_allowances(&OpenFilter::default()).await.unwrap().iter().any(|one| one.request == new.id));
}

async fn only_what_may_be_allowed_is(store: &dyn Store) {
    see(store, &user("ana")).await;
    let plain = request_by(user("ana"));
    store.create_request(&plain).await.unwrap();
    let allow = Some(Allowed { terms: TERMS, bound: bound() });
    let approval = Approval { allow, ..approval_of(&plain, user("priya")) };
    assert!(matches!(store.add_approval(&approval).await, Err(StoreError::Refused(_))));
    store.add_approval(&approval_of(&plain, user("priya"))).await.unwrap();
    store.move_request(&plain.id, &[State::Pending], State::Approved, None).await.unwrap();
    let released = store.release_allowed(&allowance_of(&plain), None).await;
    assert!(matches!(released, Err(StoreError::Refused(_))), "{released:?}");
    assert_eq!(state_of(store, &plain.id).await, State::Approved, "nothing of it was written");
}

async fn the_last_denial_that_it_takes_ends_a_request(store: &dyn Store) {
    for name in ["ana", "priya", "dario", "ben"] {
        see(store, &user(name)).await;
    }
    see(store, &agent("deploy", "ben")).await;
    let new = request_by(user("ana"));
    store.create_request(&new).await.unwrap();
    let denial = |by| Denial { request: new.id.clone(), by, at: now(), reason: Some("no".into()) };
    let outcome = Outcome { by: Some("dario@acme.dev".into()), ..Outcome::default() };
    let no = async |by| store.deny(&denial(by), 2, &outcome).await;
    assert!(matches!(no(user("ana")).await, Err(StoreError::SameHuman)));
    assert!(matches!(no(agent("deploy", "ben")).await, Err(StoreError::Refused(_))));
    assert!(!no(user("priya")).await.unwrap());
    assert!(matches!(no(user("priya")).await, Err(StoreError::AlreadyDecided)), "one human, one denial");
    assert_eq!(state_of(store, &new.id).await, State::Pending);
    let yes = store.add_approval(&approval_of(&new, user("priya"))).await;
    assert!(matches!(yes, Err(StoreError::AlreadyDecided)), "whoever said no does not say yes");
    assert!(no(user("dario")).await.unwrap());
    assert_eq!(state_of(store, &new.id).await, State::Denied);
    assert!(matches!(no(user("ben")).await, Err(StoreError::Over { state: State::Denied })));
    let kept = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!(
        kept.denials.iter().map(|one| one.by.principal.as_str()).collect::<Vec<_>>(),
        ["dario@acme.dev", "priya@acme.dev"]
    );
    assert_eq!(kept.outcome, Some(outcome.clone()));
    let nowhere = Denial { request: RequestId::random(), ..denial(user("ben")) };
    assert!(matches!(store.deny(&nowhere, 1, &outcome).await, Err(StoreError::NotFound("request"))));
}
