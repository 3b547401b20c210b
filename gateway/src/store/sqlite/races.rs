//! Many at once: a request has exactly one end, whoever comes first.

use std::sync::Arc;

use chrono::TimeDelta;
use countersign_shared::request::State;
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    super::{
        Approval, PendingLink, Store, StoreError,
        allowances::Allowances as _,
        conformance::{approval_of, conformance, led_to, now, pending, see, state_of, user},
        conformance_allowances, conformance_delegations, conformance_directory, conformance_questions,
        conformance_reviews, conformance_steps, conformance_tokens, conformance_usage,
        steps::Steps as _,
        usage::UsageStore as _,
    },
    SqliteStore,
};

/// A store in a folder of its own; the folder goes when it is dropped.
pub(super) async fn fresh() -> (tempfile::TempDir, String, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/state.db", folder.path().display());
    let store = SqliteStore::open(&url).await.unwrap();
    (folder, url, store)
}

#[tokio::test]
async fn sqlite_does_what_every_store_does() {
    let (_folder, _, store) = fresh().await;
    conformance(&store).await;
}

#[tokio::test]
async fn sqlite_keeps_a_directory_as_every_store_does() {
    let (_folder, _, store) = fresh().await;
    conformance_directory::conformance(&store).await;
}

#[tokio::test]
async fn sqlite_remembers_ended_tokens_as_every_store_does() {
    let (_folder, _, store) = fresh().await;
    conformance_tokens::conformance(&store).await;
}

#[tokio::test]
async fn sqlite_keeps_uses_and_notices_as_every_store_does() {
    let (_folder, _, store) = fresh().await;
    conformance_usage::conformance(&store).await;
    conformance_reviews::conformance(&store).await;
    conformance_delegations::conformance(&store).await;
    conformance_questions::conformance(&store).await;
    conformance_allowances::conformance(&store).await;
}

#[tokio::test]
async fn sqlite_takes_statements_one_by_one_as_every_store_does() {
    let (_folder, _, store) = fresh().await;
    conformance_steps::conformance(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_who_come_at_once_as_many_take_a_run_as_there_are() {
    let (_folder, _, store) = fresh().await;
    let new = conformance_allowances::approved_for_a_time(&store).await;
    let allowance = conformance_allowances::allowance_of(&new);
    store.release_allowed(&allowance, None).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..1000 {
        let (store, id) = (store.clone(), new.id.clone());
        tasks.spawn(async move {
            if number == 500 {
                store.end_run(&id, 1, "skipped", true).await.unwrap();
            }
            store.take_run(&id, now(), None).await.unwrap()
        });
    }
    let mut taken: Vec<u32> = tasks.join_all().await.into_iter().flatten().map(|(number, _)| number).collect();
    taken.sort_unstable();
    // The first was given back in their midst.
    assert_eq!(taken, [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_sessions_one_sends_a_statement_and_no_other_goes_on() {
    let (_folder, _, store) = fresh().await;
    let new = conformance_steps::approved_by_steps(&store).await;
    let mut tasks = JoinSet::new();
    for number in 0..1000 {
        let (store, id) = (store.clone(), new.id.clone());
        tasks.spawn(async move {
            let session = countersign_shared::ids::SessionId::random();
            // Some come with a later one at once.
            let at = if number % 3 == 0 { 3 } else { 2 };
            store.take_step(&id, at, now(), &session).await.unwrap().then_some((at, session))
        });
    }
    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(matches!(taken.as_slice(), [(2, _)]), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_notice_is_claimed_by_one_of_a_thousand() {
    let (_folder, _, store) = fresh().await;
    let mut tasks = JoinSet::new();
    for number in 0..1000 {
        let store = store.clone();
        let lease = TimeDelta::seconds(90);
        tasks.spawn(async move { store.claim("digest:2026-11-24", &format!("bot {number}"), now(), lease).await });
    }
    let claims: Vec<_> = tasks.join_all().await.into_iter().map(Result::unwrap).collect();
    let yours = claims.iter().filter(|claim| **claim == countersign_shared::api::Claim::Yours).count();
    assert_eq!(yours, 1);
    assert!(claims.iter().all(|claim| *claim != countersign_shared::api::Claim::InDoubt));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_has_exactly_one_end() {
    const ROUNDS: usize = 60;
    const EACH: usize = 5;
    let (_folder, _, store) = fresh().await;
    let store = Arc::new(store);
    for name in ["priya", "dario", "ben"] {
        see(&*store, &user(name)).await;
    }
    let mut seen = std::collections::HashMap::new();
    for _ in 0..ROUNDS {
        let new = pending(&*store, user("ana")).await;
        let barrier = Arc::new(Barrier::new(8 * EACH));
        let mut tasks = JoinSet::new();
        for _ in 0..EACH {
            for name in ["priya", "dario", "ben"] {
                let (store, barrier, approval) =
                    (Arc::clone(&store), Arc::clone(&barrier), approval_of(&new, user(name)));
                tasks.spawn(async move {
                    barrier.wait().await;
                    match store.add_approval(&approval).await {
                        // As the gateway does once policy is content.
                        Ok(_) => store.move_request(&approval.request, &[State::Pending], State::Approved, None).await,
                        Err(StoreError::AlreadyDecided | StoreError::Over { .. }) => Ok(false),
                        Err(e) => Err(e),
                    }
                    .map(|won| (State::Approved, won))
                });
            }
            let ends = [
                (&[State::Pending, State::Approved][..], State::Denied),
                (&[State::Pending, State::Approved], State::Expired),
                (&[State::Pending, State::Approved], State::Withdrawn),
                (&[State::Pending, State::Approved], State::Void),
                (&[State::Approved], State::Released),
            ];
            for (from, to) in ends {
                let (store, barrier, id) = (Arc::clone(&store), Arc::clone(&barrier), new.id.clone());
                tasks.spawn(async move {
                    barrier.wait().await;
                    Ok((to, store.move_request(&id, from, to, None).await?))
                });
            }
        }
        let mut wins: Vec<State> = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (to, won) = done.unwrap().unwrap();
            if won {
                wins.push(to);
            }
        }
        let request = store.request(&new.id).await.unwrap().unwrap();
        let ends: Vec<_> = wins.iter().filter(|state| **state != State::Approved).collect();
        assert!(wins.len() - ends.len() <= 1, "approved once: {wins:?}");
        assert_eq!(ends, [&request.state], "one end, and it is the state: {wins:?}");
        if request.state == State::Released {
            assert!(wins.contains(&State::Approved), "released without an approval: {wins:?}");
        }
        let mut humans: Vec<_> = request.approvals.iter().map(|a| a.approver.subject.clone()).collect();
        humans.sort();
        humans.dedup();
        assert_eq!(humans.len(), request.approvals.len(), "one human, one approval");
        *seen.entry(request.state).or_insert(0) += 1;
    }
    assert!(seen.len() > 1, "the race was never open: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_release_a_request_once() {
    let (_folder, _, store) = fresh().await;
    let new = led_to(&store, State::Approved).await;
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let (store, id) = (store.clone(), new.id.clone());
        tasks.spawn(async move { store.move_request(&id, &[State::Approved], State::Released, None).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
    assert_eq!(state_of(&store, &new.id).await, State::Released);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_is_completed_once() {
    let (_folder, _, store) = fresh().await;
    let slack = countersign_shared::bot_token::SlackAccount {
        team: "T1".into(),
        user: "U1".into(),
        name: "n".into(),
        email: None,
        full_member: true,
    };
    store
        .start_link(&PendingLink { nonce: "n".into(), slack, expires_at: now() + TimeDelta::minutes(1) })
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    for i in 0..100 {
        let store = store.clone();
        tasks.spawn(async move { store.complete_link("n", &format!("p{i}@acme.dev"), true, now()).await.is_ok() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_change_untold() {
    let (_folder, _, store) = fresh().await;
    see(&store, &user("priya")).await;
    let mut bell = store.event_bell();
    for _ in 0..20 {
        let new = pending(&store, user("ana")).await;
        bell.borrow_and_update();
        let approval: Approval = approval_of(&new, user("priya"));
        // Polled once, so that the write has begun, then dropped.
        let mut call = Box::pin(store.add_approval(&approval));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        bell.changed().await.unwrap();
        assert_eq!(store.request(&new.id).await.unwrap().unwrap().approvals, [approval]);
    }
}
