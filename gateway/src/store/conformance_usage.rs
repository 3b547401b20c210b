//! What every store must do with the use of grants, and with what is posted once.

use chrono::TimeDelta;
use countersign_shared::{api::Claim, ids::GrantId};

use super::{
    GrantEnd, How, Store, StoreError, Term,
    conformance::{agent, now, see, user},
    usage::{Keep, Kind, Uses, Watch},
};

pub(super) async fn conformance(store: &dyn Store) {
    a_notice_is_claimed_by_one_and_posted_once(store).await;
    uses_are_of_grants_and_never_go_back(store).await;
    a_grant_is_kept_by_another_person_alone(store).await;
    what_is_watched_is_known_since_when_and_until_it_is_gone(store).await;
}

/// A grant that policy gave at once.
pub(super) async fn given(store: &dyn Store, human: countersign_shared::duties::Human) -> GrantId {
    see(store, &human).await;
    let term = Term {
        grant: GrantId::random(),
        number: 0,
        human,
        connection: "shop".into(),
        role: "writer".into(),
        reason: "INC-1".into(),
        request: None,
        approved_by: Vec::new(),
        from: now(),
        until: now() + TimeDelta::days(40),
        signature: "s".into(),
    };
    store.give(&term).await.unwrap();
    term.grant
}

async fn a_notice_is_claimed_by_one_and_posted_once(store: &dyn Store) {
    let lease = TimeDelta::seconds(90);
    let claim = async |by: &str, seconds: i64| {
        store.claim("digest:2026-11-24", by, now() + TimeDelta::seconds(seconds), lease).await.unwrap()
    };
    assert_eq!(claim("one", 0).await, Claim::Yours);
    assert_eq!(claim("two", 0).await, Claim::Taken);
    assert_eq!(claim("one", 1).await, Claim::InDoubt, "it does not know what came of its first try");
    assert_eq!(claim("two", 90).await, Claim::Taken, "the lease counts from the last claim");
    assert_eq!(claim("two", 91).await, Claim::InDoubt, "the first may have posted it");
    assert!(!store.posted("digest:2026-11-24", "one", now()).await.unwrap(), "who lost it says nothing of it");
    assert!(store.posted("digest:2026-11-24", "two", now()).await.unwrap());
    for by in ["one", "two", "three"] {
        assert_eq!(claim(by, 10_000).await, Claim::Done, "{by}");
    }
    assert!(!store.posted("digest:2026-11-24", "two", now()).await.unwrap());
    assert_eq!(store.claim("digest:2026-11-25", "one", now(), lease).await.unwrap(), Claim::Yours);
}

async fn uses_are_of_grants_and_never_go_back(store: &dyn Store) {
    let grant = given(store, user("ana")).await;
    let at = |minutes: i64| now() + TimeDelta::minutes(minutes);
    assert_eq!(store.usage().await.unwrap().uses.get(&grant), None);
    for minutes in [5, 9, 7] {
        store.record_uses(&[(grant.clone(), at(minutes)), (GrantId::random(), at(1))]).await.unwrap();
    }
    let usage = store.usage().await.unwrap();
    assert_eq!(usage.uses.get(&grant), Some(&Uses { first: at(5), last: at(9) }));
    assert_eq!(usage.uses.len(), 1, "what is no grant has no use");
    let end = GrantEnd { at: now(), how: How::Revoked, by: None, reason: None };
    store.end_grant(&grant, &end).await.unwrap();
    assert!(store.usage().await.unwrap().uses.is_empty(), "who looks for unused grants needs no ended ones");
}

async fn a_grant_is_kept_by_another_person_alone(store: &dyn Store) {
    let (anas, deploys) = (given(store, user("ana")).await, given(store, agent("deploy", "ana")).await);
    for person in [user("priya"), agent("robot", "priya")] {
        see(store, &person).await;
    }
    let keep = |grant: &GrantId, by: &str| Keep {
        grant: grant.clone(),
        at: now(),
        until: now() + TimeDelta::days(30),
        by: by.into(),
        reason: "on call".into(),
    };
    for (case, keep) in
        [("her own", keep(&anas, "ANA@acme.dev")), ("of an agent that she answers for", keep(&deploys, "ana@acme.dev"))]
    {
        let got = store.keep_grant(&keep).await;
        assert!(matches!(got, Err(StoreError::SameHuman)), "{case}: {got:?}");
    }
    let got = store.keep_grant(&keep(&anas, "robot")).await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "an agent keeps nothing: {got:?}");
    let got = store.keep_grant(&keep(&GrantId::random(), "priya@acme.dev")).await;
    assert!(matches!(got, Err(StoreError::NotFound("grant"))), "{got:?}");
    let good = keep(&anas, "priya@acme.dev");
    store.keep_grant(&good).await.unwrap();
    assert_eq!(store.usage().await.unwrap().keeps.get(&anas), Some(&good));
    let later = Keep { at: now() + TimeDelta::days(1), reason: "still".into(), ..good };
    store.keep_grant(&later).await.unwrap();
    assert_eq!(store.usage().await.unwrap().keeps.get(&anas), Some(&later), "the last one counts");
    store.end_grant(&anas, &GrantEnd { at: now(), how: How::Done, by: None, reason: None }).await.unwrap();
    let got = store.keep_grant(&Keep { at: now() + TimeDelta::days(2), ..later }).await;
    assert!(matches!(got, Err(StoreError::GrantOver)), "{got:?}");
}

async fn what_is_watched_is_known_since_when_and_until_it_is_gone(store: &dyn Store) {
    let at = |days: i64| now() + TimeDelta::days(days);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let watched =
        async |kind: Kind, name: &str| store.usage().await.unwrap().watched.get(&(kind, name.to_owned())).copied();
    store.watch(Kind::Permission, &names(&["reads", "writes"]), at(0)).await.unwrap();
    store.record_watched(Kind::Permission, &names(&["reads", "nothing of the kind"]), at(2)).await.unwrap();
    store.record_watched(Kind::Permission, &names(&["reads"]), at(1)).await.unwrap();
    let reads = Watch { since: at(0), before: true, last: Some(at(2)) };
    assert_eq!(watched(Kind::Permission, "reads").await, Some(reads), "its last use never goes back");
    let writes = Watch { since: at(0), before: true, last: None };
    assert_eq!(watched(Kind::Permission, "writes").await, Some(writes));
    assert_eq!(watched(Kind::Permission, "nothing of the kind").await, None);
    assert_eq!(watched(Kind::Role, "reads").await, None, "each kind has its own names");
    // Another load of the policies: one is gone, one is new.
    store.watch(Kind::Permission, &names(&["reads", "drops"]), at(5)).await.unwrap();
    assert_eq!(watched(Kind::Permission, "reads").await, Some(reads), "as before");
    assert_eq!(watched(Kind::Permission, "writes").await, None, "who looks for unused ones needs no old ones");
    let drops = Watch { since: at(5), before: false, last: None };
    assert_eq!(watched(Kind::Permission, "drops").await, Some(drops));
    store.watch(Kind::Permission, &names(&["reads", "drops", "writes"]), at(9)).await.unwrap();
    let writes = Watch { since: at(9), before: false, last: None };
    assert_eq!(watched(Kind::Permission, "writes").await, Some(writes), "who comes back is new");
    store.watch(Kind::Role, &names(&["writer"]), at(9)).await.unwrap();
    assert_eq!(watched(Kind::Role, "writer").await.map(|watch| watch.before), Some(true), "the first of its kind");
    store.watch(Kind::Secret, &names(&["0a1b"]), at(9)).await.unwrap();
    let secret = Watch { since: at(9), before: true, last: None };
    assert_eq!(watched(Kind::Secret, "0a1b").await, Some(secret), "secrets are a kind of their own");
    store.watch(Kind::Permission, &[], at(9)).await.unwrap();
    assert_eq!(watched(Kind::Permission, "reads").await, None);
}
