//! What every store must do with who is told in somebody's place.

use chrono::TimeDelta;

use super::{Store, StoreError, conformance::now, delegations::Delegation};

fn away(principal: &str, delegate: &str, days: i64) -> Delegation {
    Delegation {
        principal: principal.into(),
        delegate: delegate.into(),
        from: now(),
        until: now() + TimeDelta::days(days),
    }
}

pub(super) async fn conformance(store: &dyn Store) {
    let open = async |days: i64| store.delegations(now() + TimeDelta::days(days)).await.unwrap();
    assert_eq!(open(0).await, []);
    let first = away("priya@acme.dev", "dario@acme.dev", 3);
    let other = away("olu@acme.dev", "priya@acme.dev", 5);
    for one in [&first, &other] {
        store.delegate(one).await.unwrap();
    }
    assert_eq!(open(0).await, [other.clone(), first.clone()], "by name");
    assert_eq!(open(3).await, std::slice::from_ref(&other), "what has ended counts no more, to the moment");

    let later = away("PRIYA@acme.dev", "ben@acme.dev", 4);
    store.delegate(&later).await.unwrap();
    let all = open(0).await;
    assert_eq!(
        (all.len(), all[1].delegate.as_str()),
        (2, "ben@acme.dev"),
        "one for each, however it is written: {all:?}"
    );

    for (case, wrong) in [
        ("nobody stands in for themselves", away("ana@acme.dev", "Ana@acme.dev", 1)),
        ("nobody", away("ana@acme.dev", "", 1)),
        ("for nobody", away("", "ana@acme.dev", 1)),
        ("it ends before it begins", away("ana@acme.dev", "ben@acme.dev", 0)),
    ] {
        let got = store.delegate(&wrong).await;
        assert!(matches!(got, Err(StoreError::Refused(_))), "{case}: {got:?}");
    }
    assert_eq!(open(0).await.len(), 2, "and nothing of it is kept");

    assert!(store.end_delegation("Priya@acme.dev").await.unwrap());
    assert!(!store.end_delegation("priya@acme.dev").await.unwrap(), "once");
    assert!(!store.end_delegation("dario@acme.dev").await.unwrap(), "whoever stands in has none of their own");
    assert_eq!(open(0).await, [other]);
}
