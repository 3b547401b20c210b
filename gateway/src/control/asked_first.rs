//! Whom a card asks first, against a real state.

use chrono::Utc;
use countersign_shared::{ids::RequestId, request::Choice};

use super::{
    router,
    who_may::{call, link},
};
use crate::{
    approval::{
        house::{House, PEOPLE, slack},
        whom,
    },
    statement::effect::Action,
    store::delegations::Delegation,
};

#[tokio::test]
async fn who_may_decide_and_is_linked_and_here_is_asked_and_not_always_the_same_one() {
    let house = House::open().await;
    let now = Utc::now();
    let asked = async |id: &RequestId| {
        let request = house.request(id).await;
        let mut users: Vec<String> =
            whom::asked(&house.gateway, &request, now).await.unwrap().into_iter().map(|one| one.user).collect();
        let first = users.first().cloned();
        users.sort();
        (users, first)
    };
    let one = house.ana_deletes().await.id;
    assert_eq!(asked(&one).await.0, Vec::<String>::new(), "nobody is linked");
    for (name, ..) in PEOPLE {
        link(&house, &format!("U{}", name.split('@').next().unwrap()), name, true).await;
    }
    assert_eq!(asked(&one).await.0, ["Udario", "Upriya"], "who approves here, and not who asks");
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let id = house.ana_deletes().await.id;
        let (_, first) = asked(&id).await;
        assert_eq!(asked(&id).await.1, first, "the same one, however often the card is written");
        firsts.extend(first);
    }
    assert_eq!(firsts.len(), 2, "now one, now the other");

    let dario = house.asks(house.human("dario@acme.dev"), &["dba", "engineering"], Action::Delete);
    assert_eq!(asked(&dario.await.id).await.0, ["Upriya"], "nobody is asked about their own");
    let away = Delegation {
        principal: "Priya@acme.dev".into(),
        delegate: "dario@acme.dev".into(),
        from: now,
        until: now + chrono::TimeDelta::days(1),
    };
    house.gateway.store.delegate(&away).await.unwrap();
    assert_eq!(asked(&one).await.0, ["Udario"], "whoever is away is not asked");
    let request = house.request(&one).await;
    let token = house.click(&request.new, Choice::Approve, slack("Udario", None));
    let path = format!("/v1/requests/{one}/decisions");
    let body = serde_json::json!({ "choice": "approve", "digest": request.new.digest });
    let app = router(house.gateway.clone());
    assert_eq!(call(&app, "POST", &path, Some(&token), Some(body)).await.status, 200);
    assert_eq!(asked(&one).await.0, Vec::<String>::new(), "it waits no more");
}
