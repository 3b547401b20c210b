//! What every store must do with reviews of a connection's grants.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use countersign_shared::{
    api::ReviewChoice,
    ids::{GrantId, ReviewId},
};

use super::{
    GrantEnd, How, Store, StoreError,
    conformance::{agent, now, see, user},
    conformance_usage::given,
    reviews::{Answer, Review},
};

fn review_of(grants: &[&GrantId]) -> Review {
    Review {
        id: ReviewId::random(),
        connection: "shop".into(),
        by: "olu@acme.dev".into(),
        at: now(),
        checkpoint: Some("a note".into()),
        closed_at: None,
        items: grants.iter().map(|grant| ((*grant).clone(), None)).collect::<BTreeMap<_, _>>(),
    }
}

fn says(choice: ReviewChoice, by: &str) -> Answer {
    Answer { choice, by: by.into(), at: now() + TimeDelta::minutes(1), reason: "on call".into() }
}

pub(super) async fn conformance(store: &dyn Store) {
    use ReviewChoice::{Keep, Revoke};
    let (anas, deploys) = (given(store, user("ana")).await, given(store, agent("deploy", "ana")).await);
    let others = given(store, user("ben")).await;
    for person in [user("olu"), agent("robot", "olu")] {
        see(store, &person).await;
    }
    let got = store.open_review(&review_of(&[&anas, &GrantId::random()])).await;
    assert!(matches!(got, Err(StoreError::NotFound("grant"))), "what is no grant is not reviewed: {got:?}");
    let review = review_of(&[&anas, &deploys]);
    assert_eq!(store.open_review(&review).await.unwrap(), review);
    let again = store.open_review(&review_of(&[&others])).await.unwrap();
    assert_eq!(again, review, "whoever comes later goes on with it");

    let answer =
        async |grant: &GrantId, choice, by: &str| store.answer_review(&review.id, grant, &says(choice, by)).await;
    for (case, grant, by) in [("her own", &anas, "ANA@acme.dev"), ("her agent's", &deploys, "ana@acme.dev")] {
        let got = answer(grant, Keep, by).await;
        assert!(matches!(got, Err(StoreError::SameHuman)), "{case}: {got:?}");
    }
    let got = answer(&anas, Keep, "robot").await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "an agent reviews nothing: {got:?}");
    let got = answer(&others, Keep, "olu@acme.dev").await;
    assert!(matches!(got, Err(StoreError::NotFound(_))), "not in this review: {got:?}");
    let got = answer(&deploys, Revoke, "olu@acme.dev").await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "it still counts: {got:?}");
    let got = store.close_review(&review.id, now() + TimeDelta::minutes(2)).await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "two are left to look at: {got:?}");

    answer(&anas, Keep, "olu@acme.dev").await.unwrap();
    let got = answer(&anas, Keep, "ben@acme.dev").await;
    assert!(matches!(got, Err(StoreError::AlreadyDecided)), "{got:?}");
    assert_eq!(store.usage().await.unwrap().keeps[&anas].by, "olu@acme.dev", "the digest leaves it alone, too");
    store.end_grant(&deploys, &GrantEnd { at: now(), how: How::Revoked, by: None, reason: None }).await.unwrap();
    let got = answer(&deploys, Keep, "olu@acme.dev").await;
    assert!(matches!(got, Err(StoreError::GrantOver)), "what has ended is not kept: {got:?}");
    answer(&deploys, Revoke, "olu@acme.dev").await.unwrap();

    let closed_at = now() + TimeDelta::minutes(3);
    assert!(store.close_review(&review.id, closed_at).await.unwrap());
    assert!(!store.close_review(&review.id, closed_at).await.unwrap(), "once");
    let closed = store.review(&review.id).await.unwrap().unwrap();
    assert_eq!(closed.closed_at, Some(closed_at));
    assert_eq!(closed.items[&anas], Some(says(Keep, "olu@acme.dev")));
    assert_eq!(closed.items[&deploys], Some(says(Revoke, "olu@acme.dev")));
    let next = review_of(&[&others]);
    assert_eq!(store.open_review(&next).await.unwrap().id, next.id, "the next one begins anew");
    let ids: Vec<ReviewId> = store.reviews(10).await.unwrap().into_iter().map(|review| review.id).collect();
    assert!(ids.contains(&review.id) && ids.contains(&next.id), "{ids:?}");
}
