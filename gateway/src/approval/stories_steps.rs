//! Statements that are sent one by one, by the people and the policy of now.

use countersign_shared::{
    api::DecisionBody,
    digest::of_bytes,
    ids::{RequestId, SessionId},
    request::{Choice, State},
};

use futures_util::future::BoxFuture;

use super::{
    house::{House, policies},
    steps::{Attempt, NotTaken, Now, Stepped, leave, take as take_step},
    take::take,
};
use crate::{
    statement::{
        record::End,
        steps::{Step, digest},
    },
    store::{
        NewRequest,
        turns::{Schedules, run, turn},
    },
};

fn step(text: &[u8]) -> Step {
    Step {
        before: String::new(),
        after: String::new(),
        text: of_bytes(text),
        block: 0,
        needed: true,
        meaning: of_bytes(text),
        rests: vec![("public.orders".into(), of_bytes(b"orders"))],
        does: vec![("delete".into(), "Table::\"shop/public.orders\"".into())],
    }
}

impl House {
    /// Two deletes of ana's, asked for one by one; `change` is what somebody does to the state before they are kept.
    async fn asks_each(&self, change: impl FnOnce(&mut NewRequest)) -> NewRequest {
        let one = self.ana_deletes().await;
        let steps = vec![step(b"one"), step(b"two")];
        let mut new =
            NewRequest { id: RequestId::random(), session: None, digest: digest(&one.sql, &steps), steps, ..one };
        new.asked.parts = vec![new.asked.clone(), new.asked.clone()];
        change(&mut new);
        self.gateway.store.create_request(&new).await.unwrap();
        new
    }

    async fn approved_each(&self) -> NewRequest {
        let new = self.asks_each(|_| {}).await;
        self.approves_each(&new).await;
        new
    }

    async fn approves_each(&self, new: &NewRequest) {
        let body = DecisionBody { choice: Choice::Approve, digest: new.digest, reason: None, allow: None };
        take(&self.gateway, &self.chooser("priya@acme.dev"), &new.id, &body).await.unwrap();
    }

    async fn sends(&self, new: &NewRequest, number: u32, session: &SessionId) -> Result<Stepped, NotTaken> {
        let text: &[u8] = if number == 1 { b"one" } else { b"two" };
        let Step { meaning, rests, .. } = step(text);
        let asked = crate::statement::decide::Asked { parts: Vec::new(), ..new.asked.clone() };
        let now = Now { within: false, meaning, rests };
        take_step(&self.gateway, &Attempt { request: &new.id, number, now, asked: &asked, session }).await
    }

    async fn ran(&self, new: &NewRequest, number: u32) {
        super::steps::ended(&self.gateway, &new.id, number, &End::Completed(vec!["DELETE 1".into()]), 1).await;
    }
}

#[tokio::test]
async fn each_is_released_under_its_approvals_and_in_the_log_before_it_is_taken() {
    let house = House::open().await;
    let (new, session) = (house.approved_each().await, SessionId::random());
    let first = house.sends(&new, 1, &session).await.unwrap();
    assert_eq!((first.number(), first.is_last(), first.request()), (1, false, &new.id));
    assert_eq!(house.state(&new.id).await, State::Approved);
    house.ran(&new, 1).await;
    assert!(house.sends(&new, 2, &session).await.unwrap().is_last());
    assert_eq!(house.state(&new.id).await, State::Released);
    house.ran(&new, 2).await;
    assert_eq!(house.state(&new.id).await, State::Done);
    let log = house.log_text();
    assert_eq!(log.matches("\"released\"").count(), 2);
    assert!(log.find("\"decision\"").unwrap() < log.find("\"released\"").unwrap());
    assert!(matches!(house.sends(&new, 2, &session).await, Err(NotTaken::Void(_))), "it is over");
}

#[tokio::test]
async fn rights_that_ended_stop_the_rest_for_good() {
    for lost in ["the approver's group", "the requester's group", "policy", "another who asks", "a denial"] {
        let house = House::open().await;
        let (new, session) = (house.approved_each().await, SessionId::random());
        house.sends(&new, 1, &session).await.unwrap();
        house.ran(&new, 1).await;
        let mut asks = new.clone();
        match lost {
            "the approver's group" => house.seen(house.human("priya@acme.dev"), &["sales"]).await,
            "the requester's group" => asks.asked.asker.groups = vec!["sales".into()],
            "policy" => {
                let nobody = "permit (principal, action == Action::\"connect\", resource);";
                house.policies.send_replace(std::sync::Arc::new(policies(nobody)));
            }
            "a denial" => {
                let body = DecisionBody { choice: Choice::Deny, digest: new.digest, reason: None, allow: None };
                take(&house.gateway, &house.chooser("dario@acme.dev"), &new.id, &body).await.unwrap();
            }
            _ => asks.asked.asker.human.subject = "another".into(),
        }
        assert!(matches!(house.sends(&asks, 2, &session).await, Err(NotTaken::Void(_))), "{lost}");
        let state = if lost == "a denial" { State::Denied } else { State::Void };
        assert_eq!(house.state(&new.id).await, state, "{lost}");
        house.seen(house.human("priya@acme.dev"), &["dba"]).await;
        house.policies.send_replace(std::sync::Arc::new(policies(super::house::POLICY)));
        assert!(matches!(house.sends(&new, 2, &session).await, Err(NotTaken::Void(_))), "{lost}: for good");
    }
}

#[tokio::test]
async fn what_the_state_says_is_no_other_list_than_what_was_sealed() {
    let session = SessionId::random();
    let house = House::open().await;
    // Somebody who writes to the state before it is approved: the digest that is approved is not that of what is kept.
    type Change = fn(&mut NewRequest);
    let table: [(&str, Change); 5] = [
        ("another statement", |new| new.steps[1].meaning = of_bytes(b"evil")),
        ("another order", |new| new.steps.swap(0, 1)),
        ("one less", |new| new.steps.truncate(1)),
        ("the first needs none", |new| new.steps[0].needed = false),
        ("what is shown", |new| new.sql = "select 1".into()),
    ];
    for (case, change) in table {
        let new = house.asks_each(change).await;
        house.approves_each(&new).await;
        for number in [1, 2] {
            let taken = house.sends(&new, number, &session).await;
            assert!(taken.is_err(), "{case}: {taken:?}");
        }
        assert!(house.request(&new.id).await.taken.is_empty(), "{case}");
    }
}

#[tokio::test]
async fn what_is_not_what_was_approved_changes_nothing_and_its_time_is_its_time() {
    let house = House::open().await;
    let (new, session) = (house.approved_each().await, SessionId::random());
    let asked = crate::statement::decide::Asked { parts: Vec::new(), ..new.asked.clone() };
    let Step { rests, .. } = step(b"one");
    let now = Now { within: false, meaning: of_bytes(b"other"), rests };
    let other = Attempt { request: &new.id, number: 1, now, asked: &asked, session: &session };
    assert!(matches!(take_step(&house.gateway, &other).await, Err(NotTaken::Other(_))));
    assert!(matches!(house.sends(&new, 2, &session).await, Err(NotTaken::Void(_))), "not its turn");
    assert!(house.request(&new.id).await.taken.is_empty());
    assert_eq!(house.state(&new.id).await, State::Approved);
    house.sends(&new, 1, &session).await.unwrap();
    leave(&house.gateway, &new.id, "its session ended").await;
    assert_eq!(house.state(&new.id).await, State::Void);
    assert!(house.log_text().contains("void: its session ended"));
}

/// What somebody does, and what came of it.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// A session sends both, as far as they run.
    Sends,
    Denies,
    Withdraws,
    /// The session that began ends.
    Leaves,
    /// The gateway died; the next one ends what had begun.
    Restarts,
}

#[tokio::test]
async fn in_whatever_order_they_come_each_is_sent_once_by_one_session_and_after_the_end_none() {
    let house = std::sync::Arc::new(House::open().await);
    let mut orders = 0;
    for all in [
        [Does::Sends, Does::Sends],
        [Does::Sends, Does::Denies],
        [Does::Sends, Does::Withdraws],
        [Does::Sends, Does::Leaves],
        [Does::Sends, Does::Restarts],
    ] {
        let mut schedules = Schedules::default();
        loop {
            let new = house.approved_each().await;
            let tasks = all.iter().map(|does| {
                let (house, new, does) = (std::sync::Arc::clone(&house), new.clone(), *does);
                let task: BoxFuture<'static, (Vec<u32>, bool)> = Box::pin(async move {
                    let choose = async |who: &str, choice: Choice| {
                        let body = DecisionBody { choice, digest: new.digest, reason: None, allow: None };
                        take(&house.gateway, &house.chooser(who), &new.id, &body).await.is_ok()
                    };
                    let mut sent = Vec::new();
                    let ended = match does {
                        Does::Sends => {
                            let session = SessionId::random();
                            for number in [1, 2] {
                                if house.sends(&new, number, &session).await.is_err() {
                                    break;
                                }
                                sent.push(number);
                                house.ran(&new, number).await;
                            }
                            false
                        }
                        Does::Denies => choose("dario@acme.dev", Choice::Deny).await,
                        Does::Withdraws => choose("ana@acme.dev", Choice::Withdraw).await,
                        Does::Leaves => {
                            turn().await;
                            leave(&house.gateway, &new.id, "its session ended").await;
                            false
                        }
                        Does::Restarts => {
                            turn().await;
                            house.gateway.store.end_orphans("the gateway stopped").await.unwrap();
                            false
                        }
                    };
                    (sent, ended)
                });
                task
            });
            let came = run(tasks.collect(), |of| schedules.choose(of)).await;
            orders += 1;
            let now = house.request(&new.id).await;
            let told = || format!("{all:?} in the order {} came to {came:?}, {now:?}", schedules.told());
            let mut sent: Vec<u32> = came.iter().flat_map(|(sent, _)| sent.clone()).collect();
            sent.sort_unstable();
            assert!([&[][..], &[1], &[1, 2]].contains(&sent.as_slice()), "each once, and in order: {}", told());
            assert_eq!(sent, now.taken.iter().map(|taken| taken.number).collect::<Vec<_>>(), "{}", told());
            assert!(now.taken.iter().all(|taken| taken.session == now.taken[0].session), "one session: {}", told());
            let ended = came.iter().any(|(_, ended)| *ended);
            if ended {
                assert!(matches!(now.state, State::Denied | State::Withdrawn), "its end is its end: {}", told());
            }
            match now.state {
                State::Done | State::Unknown => assert_eq!(sent, [1, 2], "{}", told()),
                _ => assert!(sent.len() < 2, "{}", told()),
            }
            if !schedules.advance() {
                break;
            }
        }
    }
    assert!(orders > 50, "{orders}");
}
