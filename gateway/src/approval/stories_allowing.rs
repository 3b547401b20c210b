//! What was allowed for a time, by the people and the policy of now, and denials one by one.

use chrono::{TimeDelta, Utc};
use countersign_shared::{
    allow::{Parameters, Terms},
    api::{DecisionBody, Problem},
    digest::of_bytes,
    ids::SessionId,
    request::{Assurance, Choice, State},
};

use super::{
    allowance::{Attempt, Taken, look_at_all, take as take_run},
    house::{House, POLICY, policies},
    release::{NotReleased, release},
    take::take,
};
use crate::store::{
    Approval, NewRequest,
    allowances::{Allowed, HowEnded},
};

pub(crate) const MOST: Terms = Terms { minutes: 30, runs: 3, rows: 20, parameters: Parameters::Free };
const TERMS: Terms = Terms { parameters: Parameters::Pinned, ..MOST };

/// The usual policy, and deletes may be allowed.
fn allowing() -> String {
    let (before, after) = POLICY.split_once("permit (principal in Group::\"engineering\", action in [").unwrap();
    let connect = "permit (principal in Group::\"engineering\", action == Action::\"connect\", resource);";
    format!(
        "{connect}{before}@allowance(\"30m, 3 runs, 20 rows, free parameters\") \
         permit (principal in Group::\"engineering\", action in [{after}"
    )
}

impl House {
    pub(crate) async fn that_allows() -> Self {
        let house = Self::open().await;
        house.policies.send_replace(std::sync::Arc::new(policies(&allowing())));
        house
    }

    async fn allows(&self, who: &str, new: &NewRequest, terms: Terms) -> Result<String, Problem> {
        let body = DecisionBody { choice: Choice::Approve, digest: new.digest, reason: None, allow: Some(terms) };
        take(&self.gateway, &self.chooser(who), &new.id, &body).await.map(|taken| taken.message)
    }

    async fn denies(&self, who: &str, new: &NewRequest) -> Result<String, Problem> {
        let body = DecisionBody { choice: Choice::Deny, digest: new.digest, reason: Some("no".into()), allow: None };
        take(&self.gateway, &self.chooser(who), &new.id, &body).await.map(|taken| taken.message)
    }

    /// Allowed by priya, and its first run is done.
    async fn has_allowed(&self) -> NewRequest {
        let new = self.ana_deletes_for(MOST).await;
        self.allows("priya@acme.dev", &new, TERMS).await.unwrap();
        release(&self.gateway, &new.id, new.digest, &new.asked, Utc::now()).await.unwrap();
        new
    }

    async fn tries(&self, new: &NewRequest) -> Taken {
        let session = SessionId::random();
        let bound = new.allowable.unwrap().bound;
        take_run(&self.gateway, &Attempt { asked: &new.asked, bound, session: &session }).await.unwrap()
    }

    async fn how_it_ended(&self, new: &NewRequest) -> Option<HowEnded> {
        self.gateway.store.allowance(&new.id).await.unwrap().unwrap().end.map(|end| end.how)
    }
}

#[tokio::test]
async fn it_ends_with_the_rights_that_it_rests_on_for_good() {
    for lost in ["the approver's group", "the requester's group", "policy", "another who asks"] {
        let house = House::that_allows().await;
        let new = house.has_allowed().await;
        assert!(matches!(house.tries(&new).await, Taken::Run(run) if run.number() == 2), "{lost}: before");
        let mut asks = new.clone();
        match lost {
            "the approver's group" => house.seen(house.human("priya@acme.dev"), &["sales"]).await,
            "the requester's group" => {
                house.seen(house.human("ana@acme.dev"), &["sales"]).await;
                asks.asked.asker.groups = vec!["sales".into()];
            }
            "policy" => drop(house.policies.send_replace(std::sync::Arc::new(policies(POLICY)))),
            _ => asks.asked.asker.human.subject = "another".into(),
        }
        assert!(matches!(house.tries(&asks).await, Taken::Not(over) if over.len() == 1), "{lost}");
        assert_eq!(house.how_it_ended(&new).await, Some(HowEnded::Void), "{lost}");
        house.seen(house.human("priya@acme.dev"), &["dba"]).await;
        house.seen(house.human("ana@acme.dev"), &["engineering"]).await;
        house.policies.send_replace(std::sync::Arc::new(policies(&allowing())));
        assert!(
            matches!(house.tries(&new).await, Taken::Not(over) if over.is_empty()),
            "{lost}: it does not come back"
        );
    }
}

#[tokio::test]
async fn it_ends_though_nobody_tries_it() {
    for lost in ["nothing", "the approver's group", "the requester's group", "policy"] {
        let house = House::that_allows().await;
        let new = house.has_allowed().await;
        match lost {
            "the approver's group" => house.seen(house.human("priya@acme.dev"), &["sales"]).await,
            "the requester's group" => house.seen(house.human("ana@acme.dev"), &["sales"]).await,
            "policy" => drop(house.policies.send_replace(std::sync::Arc::new(policies(POLICY)))),
            _ => {}
        }
        look_at_all(&house.gateway).await.unwrap();
        let expected = (lost != "nothing").then_some(HowEnded::Void);
        assert_eq!(house.how_it_ended(&new).await, expected, "{lost}");
        assert_eq!(house.log_text().contains("\"allowance_ended\""), lost != "nothing", "{lost}");
    }
}

#[tokio::test]
async fn another_statement_is_another_and_a_changed_one_ends_it() {
    let house = House::that_allows().await;
    let new = house.has_allowed().await;
    let with = |change: &dyn Fn(&mut NewRequest)| {
        let mut other = new.clone();
        change(&mut other);
        other
    };
    let bound = |change: fn(&mut crate::store::allowances::Bound)| {
        with(&|other| change(&mut other.allowable.as_mut().unwrap().bound))
    };
    let text = bound(|bound| bound.text = of_bytes(b"other"));
    let values = bound(|bound| bound.pinned = of_bytes(b"other"));
    let elsewhere = with(&|other| other.asked.connection = "crm".into());
    for (case, other) in [("another text", text), ("other values", values), ("elsewhere", elsewhere)] {
        assert!(matches!(house.tries(&other).await, Taken::Not(over) if over.is_empty()), "{case}");
        assert_eq!(house.how_it_ended(&new).await, None, "{case}");
    }
    let changed = bound(|bound| bound.free = of_bytes(b"other"));
    assert!(matches!(house.tries(&changed).await, Taken::Not(over) if over.len() == 1), "what it rests on");
    assert_eq!(house.how_it_ended(&new).await, Some(HowEnded::Void));
}

#[tokio::test]
async fn its_time_is_what_its_approvers_sealed() {
    // Sealed so long ago; the state says otherwise.
    for (minutes_ago, runs) in [(29, true), (31, false)] {
        let house = House::that_allows().await;
        let new = house.ana_deletes_for(MOST).await;
        let now = Utc::now();
        let approval = house.gateway.seal.seal(Approval {
            request: new.id.clone(),
            digest: new.digest,
            approver: house.human("priya@acme.dev"),
            assurance: Assurance::Cli,
            at: now - TimeDelta::minutes(minutes_ago),
            evidence: "test".into(),
            allow: Some(Allowed { terms: TERMS, bound: new.allowable.unwrap().bound }),
            signature: String::new(),
        });
        house.gateway.store.add_approval(&approval).await.unwrap();
        house.gateway.store.move_request(&new.id, &[State::Pending], State::Approved, None).await.unwrap();
        if runs {
            release(&house.gateway, &new.id, new.digest, &new.asked, now).await.unwrap();
            let until = house.gateway.store.allowance(&new.id).await.unwrap().unwrap().until;
            assert!(until < now + TimeDelta::minutes(2), "from the approval on: {until}");
            assert!(matches!(house.tries(&new).await, Taken::Run(_)));
            continue;
        }
        let released = release(&house.gateway, &new.id, new.digest, &new.asked, now).await;
        assert!(matches!(released, Err(NotReleased::Void(why)) if why.contains("ran out")), "not even once");
        // Whoever begins it past us, with more time than was sealed, gains nothing.
        let other = house.ana_deletes_for(MOST).await;
        let late = house.gateway.seal.seal(Approval { request: other.id.clone(), ..approval });
        house.gateway.store.add_approval(&late).await.unwrap();
        house.gateway.store.move_request(&other.id, &[State::Pending], State::Approved, None).await.unwrap();
        let allowance = crate::store::allowances::Allowance {
            request: other.id.clone(),
            principal: "ana@acme.dev".into(),
            connection: "shop".into(),
            text: other.allowable.unwrap().bound.text,
            runs: 1_000,
            began_at: now,
            until: now + TimeDelta::days(1),
            end: None,
            taken: Vec::new(),
        };
        assert!(house.gateway.store.release_allowed(&allowance, None).await.unwrap());
        assert!(matches!(house.tries(&other).await, Taken::Not(over) if over.len() == 1));
        assert_eq!(house.how_it_ended(&other).await, Some(HowEnded::Expired));
    }
}

#[tokio::test]
async fn an_approval_that_we_did_not_seal_so_allows_nothing() {
    let house = House::that_allows().await;
    let new = house.ana_deletes_for(MOST).await;
    let once = house.gateway.seal.seal(Approval {
        request: new.id.clone(),
        digest: new.digest,
        approver: house.human("priya@acme.dev"),
        assurance: Assurance::Cli,
        at: Utc::now(),
        evidence: "test".into(),
        allow: None,
        signature: String::new(),
    });
    // What was approved once, with more written beside it.
    let more = Approval { allow: Some(Allowed { terms: TERMS, bound: new.allowable.unwrap().bound }), ..once };
    house.gateway.store.add_approval(&more).await.unwrap();
    house.gateway.store.move_request(&new.id, &[State::Pending], State::Approved, None).await.unwrap();
    let released = release(&house.gateway, &new.id, new.digest, &new.asked, Utc::now()).await;
    assert!(matches!(released, Err(NotReleased::Void(_))), "{released:?}");
}

#[tokio::test]
async fn so_many_denials_as_the_connection_says_end_it() {
    let house = House::with(|config| config.connections.get_mut("shop").unwrap().denials = 2).await;
    let new = house.ana_deletes().await;
    assert_eq!(house.denies("ben@acme.dev", &new).await.expect_err("he may not").code, "not_an_approver");
    assert_eq!(house.denies("ana@acme.dev", &new).await.expect_err("her own").code, "own_request");
    let said = house.denies("priya@acme.dev", &new).await.unwrap();
    assert!(said.starts_with("Your denial is recorded; 1 more would end it."), "{said}");
    assert!(house.denies("priya@acme.dev", &new).await.unwrap().starts_with("You have denied this already"));
    assert_eq!(house.state(&new.id).await, State::Pending);
    let yes = DecisionBody { choice: Choice::Approve, digest: new.digest, reason: None, allow: None };
    let taken = take(&house.gateway, &house.chooser("priya@acme.dev"), &new.id, &yes).await;
    assert_eq!(taken.expect_err("a no is no yes").code, "already_decided");
    assert_eq!(house.denies("dario@acme.dev", &new).await.unwrap(), "Denied; it will not run.");
    assert_eq!(house.state(&new.id).await, State::Denied);
    // Who has approved, and says no, takes the yes away.
    let new = house.ana_deletes().await;
    take(&house.gateway, &house.chooser("priya@acme.dev"), &new.id, &yes).await.unwrap();
    house.denies("priya@acme.dev", &new).await.unwrap();
    let released = release(&house.gateway, &new.id, new.digest, &new.asked, Utc::now()).await;
    assert!(matches!(released, Err(NotReleased::Void(_))), "{released:?}");
}
