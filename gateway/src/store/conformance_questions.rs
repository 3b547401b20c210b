//! What every store must do with questions about a request.

use chrono::TimeDelta;
use countersign_shared::{ids::RequestId, request::State};

use super::{
    Store, StoreError,
    conformance::{led_to, now, state_of},
    questions::{Kept, Question},
};

fn asks(who: &str, request: &RequestId, text: &str) -> Question {
    Question { request: request.clone(), by: format!("{who}@acme.dev"), text: text.into(), at: now() }
}

pub(super) async fn conformance(store: &dyn Store) {
    let request = led_to(store, State::Pending).await;
    let (id, events) = (&request.id, store.last_event().await.unwrap());
    let before = store.request(id).await.unwrap();
    let why = asks("priya", id, "why \u{202E}<!channel>?");
    assert_eq!(store.keep_question(&why, 2).await.unwrap(), Kept::As(1));
    assert_eq!(store.last_event().await.unwrap(), events + 1, "and it is said");
    let again = Question { by: "Priya@acme.dev".into(), ..why.clone() };
    assert_eq!(store.keep_question(&again, 2).await.unwrap(), Kept::Before, "however their name is written");
    let hers = asks("dario", id, &why.text);
    assert_eq!(store.keep_question(&hers, 2).await.unwrap(), Kept::As(2), "another person's is another question");
    let second = asks("priya", id, "and when?");
    assert_eq!(store.keep_question(&second, 2).await.unwrap(), Kept::As(3));
    assert_eq!(store.keep_question(&asks("priya", id, "who?"), 2).await.unwrap(), Kept::TooMany);
    assert_eq!(store.questions(id).await.unwrap(), [why, hers, second], "in order");
    assert_eq!(store.last_event().await.unwrap(), events + 3, "what was not kept is not said");
    assert_eq!(store.request(id).await.unwrap(), before, "nothing of the request moves by it");

    let unknown = RequestId::random();
    let late = Question { at: request.expires_at, ..asks("olu", id, "late?") };
    for (case, wrong) in [
        ("nothing", asks("olu", id, "")),
        ("too long", asks("olu", id, &"é".repeat(501))),
        ("nobody", Question { by: String::new(), ..asks("olu", id, "who?") }),
    ] {
        let got = store.keep_question(&wrong, 2).await;
        assert!(matches!(got, Err(StoreError::Refused(_))), "{case}: {got:?}");
    }
    assert_eq!(store.keep_question(&asks("olu", id, &"é".repeat(500)), 2).await.unwrap(), Kept::As(4));
    let got = store.keep_question(&late, 2).await;
    assert!(matches!(got, Err(StoreError::Over { state: State::Expired })), "past its deadline: {got:?}");
    let got = store.keep_question(&asks("olu", &unknown, "why?"), 2).await;
    assert!(matches!(got, Err(StoreError::NotFound(_))), "about nothing: {got:?}");
    assert_eq!(store.questions(&unknown).await.unwrap(), []);
    for state in State::ALL.into_iter().filter(|state| *state != State::Pending) {
        let request = led_to(store, state).await;
        let early = Question { at: now() - TimeDelta::minutes(1), ..asks("priya", &request.id, "why?") };
        let got = store.keep_question(&early, 2).await;
        assert!(matches!(&got, Err(StoreError::Over { state: is }) if *is == state), "{state}: {got:?}");
        assert_eq!(state_of(store, &request.id).await, state);
    }
}
