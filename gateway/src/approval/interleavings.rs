//! A hold ends exactly once: every order of the steps of people, sessions and the gateway that could meet at
//! one request, with the real code and the real state (4,549 orders with those that `make orders` tries). A step is a call of the state's that reads or changes a request;
//! between two of them anything else may happen.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use countersign_shared::{
    api::{DecisionBody, Problem},
    request::{Choice, State},
};
use futures_util::future::BoxFuture;

use super::{
    house::{House, POLICY, other_digest, policies},
    take::take,
};
use crate::{
    log::{Entry, Kind},
    statement::{
        effect::Action,
        hold::{Held, Look, Quit, release_again},
        record::Header,
    },
    store::{
        NewRequest,
        turns::{Schedules, run, turn},
    },
};

/// What somebody does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Presses Approve.
    Approves(&'static str),
    /// Presses Deny.
    Denies(&'static str),
    /// The requester's own button.
    Withdraws,
    /// The session that waits: looks so often, then goes on waiting.
    Waits(usize),
    /// The same; then Ctrl-C, a closed client, or the deadline.
    WaitsAndQuits(usize),
    /// The same; what it would run is something else from its second look on.
    Changes,
    /// Another session that sends what was approved.
    Sends,
    /// `/access park`.
    Parks,
    /// Policy asks for one more approval from now on.
    Tightens,
    /// An approver leaves the group.
    Leaves(&'static str),
    /// The gateway died; the next one ends what it held.
    Restarts,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The right to forward, once; the flag says that it was looked at when what it rests on had gone.
    Permit(bool),
    /// A refusal to the client.
    Refused,
    /// It waits on.
    Waits,
    /// A choice was taken, with this said.
    Taken(String),
    /// It was not.
    Not(String),
    Done,
}

struct Case {
    house: Arc<House>,
    request: NewRequest,
    /// What the approvals rest on has gone.
    gone: Arc<AtomicBool>,
}

impl Case {
    fn task(&self, does: Does) -> BoxFuture<'static, Came> {
        let (house, request, gone) = (Arc::clone(&self.house), self.request.clone(), Arc::clone(&self.gone));
        Box::pin(async move {
            let gateway = &house.gateway;
            let header = Header::from(Entry { connection: Some("shop".into()), ..Entry::new(Kind::Held) });
            let choose = async |who: &str, choice: Choice| {
                let body = DecisionBody { choice, digest: request.digest, reason: None, allow: None };
                match take(gateway, &house.chooser(who), &request.id, &body).await {
                    Ok(taken) => Came::Taken(taken.message),
                    Err(Problem { code, .. }) => Came::Not(code),
                }
            };
            let look = async |held: &Held, same: bool| {
                let stale = gone.load(Ordering::SeqCst);
                let digest = if same { request.digest } else { other_digest() };
                match held.look(gateway, &header, digest, &request.asked).await {
                    Look::Waiting(_) => None,
                    Look::Pass(_) => Some(Came::Permit(stale || !same)),
                    Look::No(_) => Some(Came::Refused),
                }
            };
            match does {
                Does::Approves(who) => choose(who, Choice::Approve).await,
                Does::Denies(who) => choose(who, Choice::Deny).await,
                Does::Withdraws => choose("ana@acme.dev", Choice::Withdraw).await,
                Does::Waits(looks) | Does::WaitsAndQuits(looks) => {
                    let held = Held::of(gateway, &request);
                    for _ in 0..looks {
                        if let Some(came) = look(&held, true).await {
                            return came;
                        }
                    }
                    if matches!(does, Does::Waits(_)) {
                        return Came::Waits;
                    }
                    held.quit(gateway, &header, Quit::Expired).await;
                    Came::Refused
                }
                Does::Changes => {
                    let held = Held::of(gateway, &request);
                    for same in [true, false] {
                        if let Some(came) = look(&held, same).await {
                            return came;
                        }
                    }
                    Came::Waits
                }
                Does::Sends => {
                    let stale = gone.load(Ordering::SeqCst);
                    match release_again(gateway, &header, &request.id, request.digest, &request.asked).await {
                        Ok(_) => Came::Permit(stale),
                        Err(_) => Came::Refused,
                    }
                }
                Does::Parks => match Held::of(gateway, &request).park(gateway, &header, "ana@acme.dev").await {
                    Ok(true) => Came::Taken("parked".to_owned()),
                    other => Came::Not(format!("{other:?}")),
                },
                Does::Tightens => {
                    turn().await;
                    let more = POLICY.replace("context.approvals.count >= 1", "context.approvals.count >= 3");
                    house.policies.send_replace(Arc::new(policies(&more.replace("count >= 2", "count >= 3"))));
                    gone.store(true, Ordering::SeqCst);
                    Came::Done
                }
                Does::Leaves(who) => {
                    turn().await;
                    house.seen(house.human(who), &[]).await;
                    gone.store(true, Ordering::SeqCst);
                    Came::Done
                }
                Does::Restarts => {
                    turn().await;
                    gateway.store.end_orphans("the gateway stopped").await.unwrap();
                    Came::Done
                }
            }
        })
    }
}

/// What the orders of one case came to.
#[derive(Debug, Default)]
struct Figures {
    orders: usize,
    ran: usize,
    not: usize,
}

/// Tries every order of what `all` do to a request for `action`.
async fn every_order(action: Action, approved_by: &[&str], all: &[Does]) -> Figures {
    let house = Arc::new(House::open().await);
    let (mut schedules, mut figures) = (Schedules::default(), Figures::default());
    loop {
        let request = house.asks(house.human("ana@acme.dev"), &["engineering"], action).await;
        for who in approved_by {
            let body = DecisionBody { choice: Choice::Approve, digest: request.digest, reason: None, allow: None };
            take(&house.gateway, &house.chooser(who), &request.id, &body).await.unwrap();
        }
        let case = Case { house: Arc::clone(&house), request, gone: Arc::default() };
        let tasks = all.iter().map(|does| case.task(*does)).collect();
        let came = run(tasks, |of| schedules.choose(of)).await;
        let end = house.state(&case.request.id).await;
        let told = || format!("{all:?} in the order {} came to {came:?}, {end}", schedules.told());
        let permits = came.iter().filter(|came| matches!(came, Came::Permit(_))).count();
        assert!(permits <= 1, "it runs once: {}", told());
        assert!(!came.contains(&Came::Permit(true)), "what it rests on had gone: {}", told());
        let restarts = all.contains(&Does::Restarts);
        match end {
            State::Released => assert_eq!(permits, 1, "somebody has it: {}", told()),
            State::Unknown => assert!(restarts && permits == 1, "{}", told()),
            _ => assert_eq!(permits, 0, "what is {end} does not run: {}", told()),
        }
        for (does, came) in all.iter().zip(&came) {
            let expected = match (does, came) {
                (Does::Denies(_), Came::Taken(_)) => State::Denied,
                (Does::Withdraws | Does::Parks, Came::Taken(_)) => State::Withdrawn,
                (Does::Approves(_), Came::Taken(said)) => {
                    assert!(said.contains("pproved") || said.contains("more needed"), "{}", told());
                    continue;
                }
                _ => continue,
            };
            assert_eq!(end, expected, "whoever was told so, was right: {}", told());
        }
        figures.orders += 1;
        *(if permits == 1 { &mut figures.ran } else { &mut figures.not }) += 1;
        // As it was, for the next.
        if all.contains(&Does::Tightens) {
            house.policies.send_replace(Arc::new(policies(POLICY)));
        }
        if all.contains(&Does::Leaves(PRIYA)) {
            house.seen(house.human(PRIYA), &["dba"]).await;
        }
        if !schedules.advance() {
            break;
        }
    }
    // What the log calls released, and not taken back at once, is what ran.
    let log = house.log_text();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what) && line.contains("\"principal\"")).count();
    let (released, taken_back) = (lines("\"kind\":\"released\""), lines("it was ended at the last moment"));
    assert_eq!(released, figures.ran + taken_back, "the log knows what ran");
    figures
}

const PRIYA: &str = "priya@acme.dev";
const DARIO: &str = "dario@acme.dev";

/// Each with whom it meets, and whether it may run at all.
async fn all(cases: &[(Action, &[&str], &[Does])]) {
    let mut orders = 0;
    for (action, approved_by, does) in cases {
        let figures = every_order(*action, approved_by, does).await;
        println!("{:>6} orders, {:>5} ran, {:>5} did not: {does:?}", figures.orders, figures.ran, figures.not);
        assert!(figures.ran > 0 && figures.not > 0, "the race is open: {does:?} {figures:?}");
        orders += figures.orders;
    }
    println!("{orders:>6} orders in all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_meet_at_a_hold_end_it_once_in_every_order() {
    all(&[
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::WaitsAndQuits(1)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Changes]),
        (Action::Delete, &[PRIYA], &[Does::Denies(DARIO), Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Withdraws, Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Tightens, Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Leaves(PRIYA), Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Restarts, Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Sends, Does::Denies(DARIO)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make orders` runs it and prints its figures"]
async fn three_who_meet_at_a_hold_end_it_once_in_every_order() {
    all(&[
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Denies(DARIO), Does::Waits(1)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Withdraws, Does::Waits(1)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Approves(PRIYA), Does::WaitsAndQuits(1)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Tightens, Does::Waits(2)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Leaves(PRIYA), Does::Waits(2)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Restarts, Does::Waits(2)]),
        (Action::Delete, &[], &[Does::Approves(PRIYA), Does::Parks, Does::Waits(2)]),
        (Action::Alter, &[], &[Does::Approves(PRIYA), Does::Approves(DARIO), Does::Waits(1)]),
        (Action::Delete, &[PRIYA], &[Does::Sends, Does::Sends, Does::Denies(DARIO)]),
        (Action::Delete, &[PRIYA], &[Does::Waits(1), Does::Parks, Does::Denies(DARIO)]),
        (Action::Delete, &[PRIYA], &[Does::WaitsAndQuits(1), Does::Denies(DARIO), Does::Withdraws]),
    ])
    .await;
}
