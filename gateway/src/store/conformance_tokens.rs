//! What every implementation of [`Tokens`](super::tokens::Tokens) must do.

use chrono::TimeDelta;

use super::{
    Seen, Store, StoreError,
    conformance::{digest_of, now, user},
    tokens::{TokenEnd, TokenFacts, Which},
};

fn token(of: &str, sign_in: Option<&str>, id: Option<&str>) -> TokenFacts {
    let human = user(of);
    TokenFacts {
        issuer: human.issuer,
        subject: human.subject,
        id: id.map(Into::into),
        sign_in: sign_in.map(Into::into),
        digest: digest_of(of),
        issued_at: now(),
    }
}

fn end(which: Which) -> TokenEnd {
    TokenEnd { issuer: "https://idp".into(), which, reason: "because".into(), by: None, at: now() }
}

/// Runs the whole suite on an empty store.
pub(super) async fn conformance(store: &dyn Store) {
    what_has_ended_is_told_from_what_has_not(store).await;
    a_logout_is_taken_once_and_never_taken_back(store).await;
    whoever_brings_an_ended_token_is_not_seen(store).await;
}

async fn what_has_ended_is_told_from_what_has_not(store: &dyn Store) {
    let (before, after) = (now() - TimeDelta::seconds(1), now() + TimeDelta::seconds(1));
    let (bare, with) = (token("kim", None, Some("a")), token("kim", Some("s1"), Some("b")));
    let other = TokenFacts { issuer: "https://other".into(), ..with.clone() };
    let table = [
        (Which::Subject("sub-kim".into(), before), [false, false]),
        (Which::Unnamed("sub-kim".into(), before), [false, false]),
        (Which::Id("c".into()), [false, false]),
        (Which::SignIn("s2".into()), [false, false]),
        (Which::Digest(digest_of("lee")), [false, false]),
        (Which::Unnamed("sub-kim".into(), now()), [true, false]),
        (Which::SignIn("s1".into()), [true, true]),
        (Which::Id("b".into()), [true, true]),
        (Which::Subject("sub-kim".into(), after), [true, true]),
    ];
    for (which, expected) in table {
        let mut alone = [&bare, &with].map(|token| which.is(token));
        assert!(store.end_tokens(&[end(which.clone())], None).await.unwrap(), "{which:?}");
        for ((token, expected), alone) in [&bare, &with].into_iter().zip(expected).zip(&mut alone) {
            assert_eq!(store.token_ended(token).await.unwrap().is_some(), expected, "{which:?}: {token:?}");
            assert!(!*alone || expected, "memory and state agree: {which:?}: {token:?}");
        }
        assert_eq!(store.token_ended(&other).await.unwrap(), None, "another issuer's");
    }
    let later = TokenFacts { issued_at: now() + TimeDelta::seconds(2), ..token("kim", None, Some("z")) };
    assert_eq!(store.token_ended(&later).await.unwrap(), None, "a new sign-in counts");
    assert!(store.end_tokens(&[end(Which::Subject("sub-kim".into(), before))], None).await.unwrap());
    assert!(store.token_ended(&bare).await.unwrap().is_some(), "an older end takes nothing back");
    let denied = store.denied_tokens().await.unwrap();
    assert_eq!(denied.iter().map(|end| end.which.kind()).collect::<Vec<_>>(), ["digest", "id", "id"]);
    assert!(store.end_tokens(&[end(Which::Digest(digest_of("mia")))], None).await.unwrap());
    assert!(store.token_ended(&token("mia", None, None)).await.unwrap().is_some(), "by its digest");
}

async fn a_logout_is_taken_once_and_never_taken_back(store: &dyn Store) {
    let logout = [end(Which::SignIn("s9".into())), end(Which::Unnamed("sub-noa".into(), now()))];
    assert!(store.end_tokens(&logout, Some("logout-1")).await.unwrap());
    let replay = [end(Which::Subject("sub-oli".into(), now()))];
    assert!(!store.end_tokens(&replay, Some("logout-1")).await.unwrap(), "it came before");
    assert_eq!(store.token_ended(&token("oli", None, None)).await.unwrap(), None, "and changed nothing");
    let elsewhere = TokenEnd { issuer: "https://other".into(), ..replay[0].clone() };
    assert!(store.end_tokens(&[elsewhere], Some("logout-1")).await.unwrap(), "another issuer's own id");
}

async fn whoever_brings_an_ended_token_is_not_seen(store: &dyn Store) {
    let brings = |token: TokenFacts| Seen { human: user("pia"), groups: vec![], at: now(), token: Some(token) };
    store.seen(&brings(token("pia", Some("s3"), None))).await.unwrap();
    assert!(store.end_tokens(&[end(Which::SignIn("s3".into()))], None).await.unwrap());
    let refused = store.seen(&brings(token("pia", Some("s3"), None))).await;
    assert!(matches!(&refused, Err(StoreError::TokenEnded { reason }) if reason == "because"), "{refused:?}");
    store.seen(&brings(token("pia", Some("s4"), None))).await.unwrap();
}
