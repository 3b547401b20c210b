//! Every way in which a token can be wrong, against a provider with real keys.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};

use super::{
    Issuers, TokenRefused,
    provider::{FOREIGN, OWN, Provider},
};

fn only(provider: &Provider) -> Issuers {
    Issuers::new(&[provider.config()], &[]).unwrap()
}

/// `claims` with some replaced; `null` takes one away.
fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(key);
        } else {
            claims[key] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn a_token_of_every_accepted_algorithm_names_its_user() {
    let provider = Provider::start().await;
    let issuers = only(&provider);
    let claims = provider.claims("Ana@ACME.dev", "1", &["engineering", "engineering"]).to_string();
    for (algorithm, kid) in [
        ("RS256", "rsa"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("PS384", "rsa"),
        ("PS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed25519"),
    ] {
        let header = json!({ "alg": algorithm, "kid": kid, "typ": "JWT" }).to_string();
        let identity = issuers.verify(&OWN.token(algorithm, &header, &claims)).await.unwrap();
        assert_eq!(identity.human.principal, "ana@acme.dev", "{algorithm}");
        assert_eq!((identity.human.issuer.as_str(), identity.human.subject.as_str()), (provider.url.as_str(), "1"));
        assert_eq!(identity.groups, ["engineering"]);
    }
    assert_eq!(provider.fetches(), 1);
}

#[tokio::test]
async fn claims_that_do_not_hold_are_refused() {
    let provider = Provider::start().await;
    let issuers = only(&provider);
    let good = provider.claims("ana@acme.dev", "1", &["dba"]);
    assert!(issuers.verify(&provider.token(&good)).await.is_ok(), "the table below starts from a good token");
    let now = Utc::now().timestamp();
    let invalid = |refused: &TokenRefused| matches!(refused, TokenRefused::Invalid(_));
    let expired = |refused: &TokenRefused| *refused == TokenRefused::Expired;
    let audience = |refused: &TokenRefused| *refused == TokenRefused::Audience;
    let nobody = |refused: &TokenRefused| matches!(refused, TokenRefused::Nobody(_));
    type Expected<'a> = &'a dyn Fn(&TokenRefused) -> bool;
    let table: Vec<(&str, Value, Expected<'_>)> = vec![
        ("no exp", json!({ "exp": null }), &invalid),
        ("exp in the past", json!({ "exp": now - 1 }), &expired),
        ("exp as text", json!({ "exp": (now + 60).to_string() }), &invalid),
        ("exp negative", json!({ "exp": -1 }), &invalid),
        ("exp absurd", json!({ "exp": 1e300 }), &invalid),
        ("no iat", json!({ "iat": null }), &invalid),
        ("iat as text", json!({ "iat": now.to_string() }), &invalid),
        ("iat negative", json!({ "iat": -5 }), &invalid),
        ("iat in the future", json!({ "iat": now + 3600, "exp": now + 7200 }), &invalid),
        ("weeks old, good for years", json!({ "iat": now - 30 * 86400, "exp": now + 365 * 86400 }), &expired),
        ("older than twelve hours", json!({ "iat": now - 12 * 3600 - 1, "exp": now + 60 }), &expired),
        ("nbf in the future", json!({ "nbf": now + 3600 }), &invalid),
        ("nbf as text", json!({ "nbf": "0" }), &invalid),
        ("no aud", json!({ "aud": null }), &audience),
        ("another aud", json!({ "aud": "grafana" }), &audience),
        ("aud as a prefix", json!({ "aud": "countersign2" }), &audience),
        ("aud in capitals", json!({ "aud": "Countersign" }), &audience),
        ("aud as an object", json!({ "aud": { "countersign": true } }), &audience),
        ("aud as an empty list", json!({ "aud": [] }), &audience),
        ("aud with a number", json!({ "aud": ["countersign", 1] }), &audience),
        ("several aud, no azp", json!({ "aud": ["countersign", "grafana"] }), &audience),
        ("several aud, another's azp", json!({ "aud": ["countersign", "grafana"], "azp": "grafana" }), &audience),
        ("no iss", json!({ "iss": null }), &invalid),
        ("another iss", json!({ "iss": "https://evil.dev" }), &invalid),
        ("iss with a slash", json!({ "iss": format!("{}/", provider.url) }), &invalid),
        ("iss in a list", json!({ "iss": [provider.url] }), &invalid),
        ("no sub", json!({ "sub": null }), &invalid),
        ("empty sub", json!({ "sub": "" }), &invalid),
        ("sub as a number", json!({ "sub": 7 }), &invalid),
        ("sub too long", json!({ "sub": "x".repeat(256) }), &invalid),
        ("no email", json!({ "email": null }), &nobody),
        ("email not verified", json!({ "email_verified": false }), &nobody),
        ("email_verified missing", json!({ "email_verified": null }), &nobody),
        ("email_verified as text", json!({ "email_verified": "true" }), &nobody),
        ("email no address", json!({ "email": "ana" }), &nobody),
        ("email with a line break", json!({ "email": "ana@acme.dev\r\n" }), &nobody),
        ("email with look-alikes", json!({ "email": "аna@acme.dev" }), &nobody),
        ("email in a list", json!({ "email": ["ana@acme.dev"] }), &nobody),
        ("groups as text", json!({ "groups": "dba" }), &nobody),
        ("groups with a number", json!({ "groups": ["dba", 1] }), &nobody),
        (
            "a logout token's events",
            json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
            &invalid,
        ),
    ];
    for (case, changes, expected) in table {
        let refused = issuers.verify(&provider.token(&with(&good, &changes))).await;
        assert!(refused.as_ref().is_err_and(expected), "{case}: {refused:?}");
    }
    assert_eq!(provider.fetches(), 1, "bad claims never cause a fetch");
}

#[tokio::test]
async fn claims_on_the_edge_are_accepted() {
    let provider = Provider::start().await;
    let issuers = only(&provider);
    let good = provider.claims("ana@acme.dev", "1", &["dba"]);
    let now = Utc::now().timestamp();
    for (case, changes) in [
        ("several aud, our azp", json!({ "aud": ["grafana", "countersign"], "azp": "countersign" })),
        ("one aud in a list", json!({ "aud": ["countersign"] })),
        ("a clock a little ahead", json!({ "iat": now + 30, "nbf": now + 30 })),
        ("a time with a fraction", json!({ "iat": (now - 5) as f64 + 0.5 })),
        ("no groups", json!({ "groups": null })),
    ] {
        assert!(issuers.verify(&provider.token(&with(&good, &changes))).await.is_ok(), "{case}");
    }
    let aged = with(&good, &json!({ "iat": now - 3600, "exp": now + 365 * 86400 }));
    let identity = issuers.verify(&provider.token(&aged)).await.unwrap();
    assert_eq!(identity.expires_at.timestamp(), now - 3600 + 12 * 3600, "the greatest age ends before exp");
}

#[tokio::test]
async fn headers_and_signatures_that_do_not_hold_are_refused() {
    let provider = Provider::start().await;
    let issuers = only(&provider);
    let claims = provider.claims("ana@acme.dev", "1", &[]).to_string();
    let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let good = OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &claims);
    assert!(issuers.verify(&good).await.is_ok());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let hmac = |header: &str| {
        let message = format!("{}.{}", b64(header), b64(&claims));
        let public = OWN.jwk("rsa", "rsa")["n"].as_str().unwrap().to_owned();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let own = |header: &str| OWN.token("ES256", header, &claims);
    let doubled = claims.replacen('{', "{\"sub\":\"2\",", 1);
    let table: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("no dots", "abc".into()),
        ("two parts", message.to_owned()),
        ("four parts", format!("{good}.x")),
        ("five parts, as a JWE", format!("{good}.x.y")),
        ("no signature", format!("{message}.")),
        ("another's signature", FOREIGN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &claims)),
        ("a signature cut short", format!("{message}.{}", &signature[..signature.len() - 4])),
        ("a signature with padding", format!("{message}.{signature}==")),
        (
            "a changed claim",
            format!("{}.{}.{signature}", message.split_once('.').unwrap().0, b64(&claims.replace("ana", "eve"))),
        ),
        ("alg none", format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&claims))),
        ("alg none with a signature", format!("{}.{}.{signature}", b64(r#"{"alg":"none"}"#), b64(&claims))),
        ("alg nOnE", own(r#"{"alg":"nOnE","kid":"p256"}"#)),
        ("alg HS256 with the public key", hmac(r#"{"alg":"HS256","kid":"rsa"}"#)),
        ("alg HS256 said to be RS256", hmac(r#"{"alg":"RS256","kid":"rsa"}"#)),
        ("no alg", own(r#"{"kid":"p256"}"#)),
        ("alg of another kind of key", own(r#"{"alg":"RS256","kid":"p256"}"#)),
        ("alg of another curve", own(r#"{"alg":"ES384","kid":"p256"}"#)),
        ("alg twice", own(r#"{"alg":"ES256","alg":"ES256","kid":"p256"}"#)),
        ("a kid that is a number", own(r#"{"alg":"ES256","kid":1}"#)),
        ("a kid that is a path", own(r#"{"alg":"ES256","kid":"../../dev/null"}"#)),
        ("a kid that is SQL", own(r#"{"alg":"ES256","kid":"' OR 1=1 --"}"#)),
        ("a huge kid", own(&json!({ "alg": "ES256", "kid": "k".repeat(4000) }).to_string())),
        ("jku", own(r#"{"alg":"ES256","kid":"p256","jku":"https://evil.dev/keys"}"#)),
        ("x5u", own(r#"{"alg":"ES256","kid":"p256","x5u":"https://evil.dev/cert"}"#)),
        ("x5c", own(r#"{"alg":"ES256","kid":"p256","x5c":["AA=="]}"#)),
        ("jwk", own(&json!({ "alg": "ES256", "jwk": FOREIGN.jwk("p256", "p256") }).to_string())),
        (
            "jwk, signed by it",
            FOREIGN.token(
                "ES256",
                &json!({ "alg": "ES256", "kid": "p256", "jwk": FOREIGN.jwk("p256", "p256") }).to_string(),
                &claims,
            ),
        ),
        ("crit", own(r#"{"alg":"ES256","kid":"p256","crit":["exp"]}"#)),
        ("zip", own(r#"{"alg":"ES256","kid":"p256","zip":"DEF"}"#)),
        ("unencoded payload", own(r#"{"alg":"ES256","kid":"p256","b64":false}"#)),
        ("a logout token", own(r#"{"alg":"ES256","kid":"p256","typ":"logout+jwt"}"#)),
        ("a header that is a list", own("[]")),
        ("claims that are a list", OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, "[]")),
        ("claims with sub twice", OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &doubled)),
        ("claims followed by more", OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &format!("{claims}{{}}"))),
        ("a space in front", format!(" {good}")),
        ("a line break behind", format!("{good}\n")),
        (
            "longer than 16 KiB",
            OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &format!("{claims}{}", " ".repeat(16 * 1024))),
        ),
    ];
    for (case, token) in table {
        let refused = issuers.verify(&token).await;
        let Err(why @ TokenRefused::Invalid(_)) = refused else { panic!("{case}: {refused:?}") };
        assert!(token.len() < 20 || !why.to_string().contains(&token[..20]), "{case} is repeated in {why}");
    }
    assert_eq!(provider.fetches(), 1, "none of it makes us fetch within half a minute of the last fetch");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_in_half_a_minute_and_rotation_works() {
    let provider = Provider::start().await;
    let issuers = std::sync::Arc::new(only(&provider));
    let claims = provider.claims("ana@acme.dev", "1", &[]).to_string();
    let (now, start) = (Utc::now(), Instant::now());
    let old = OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &claims);
    assert!(issuers.verify_at(&old, now, start).await.is_ok());
    let flood = |at: Instant| {
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let token = OWN.token("ES256", &json!({ "alg": "ES256", "kid": format!("k{n}") }).to_string(), &claims);
                let issuers = std::sync::Arc::clone(&issuers);
                tokio::spawn(async move { issuers.verify_at(&token, now, at).await.is_err() })
            })
            .collect();
        futures_util::future::join_all(tasks)
    };
    assert!(flood(start + Duration::from_secs(29)).await.into_iter().all(Result::unwrap));
    assert_eq!(provider.fetches(), 1);
    provider.show(vec![FOREIGN.jwk("p256", "new")]);
    assert!(flood(start + Duration::from_secs(31)).await.into_iter().all(Result::unwrap));
    assert_eq!(provider.fetches(), 2);
    let new = FOREIGN.token("ES256", r#"{"alg":"ES256","kid":"new"}"#, &claims);
    assert!(issuers.verify_at(&new, now, start + Duration::from_secs(32)).await.is_ok(), "the new key counts");
    let refused = issuers.verify_at(&old, now, start + Duration::from_secs(33)).await;
    assert!(matches!(refused, Err(TokenRefused::Invalid(_))), "the withdrawn key counts no more: {refused:?}");
}

#[tokio::test]
async fn keys_that_are_not_for_signing_do_not_count() {
    let claims = |provider: &Provider| provider.claims("ana@acme.dev", "1", &[]).to_string();
    for (case, change) in [
        ("for encryption", json!({ "use": "enc" })),
        ("for other operations", json!({ "key_ops": ["encrypt"] })),
        ("for another algorithm", json!({ "alg": "RS512" })),
        ("a shared secret", json!({ "kty": "oct", "k": "AAAA" })),
    ] {
        let provider = Provider::start().await;
        let mut key = OWN.jwk("p256", "p256");
        change.as_object().unwrap().iter().for_each(|(name, value)| key[name] = value.clone());
        provider.show(vec![key, json!({ "kty": "XYZ" }), json!(7)]);
        let token = OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &claims(&provider));
        let refused = only(&provider).verify(&token).await;
        assert!(matches!(refused, Err(TokenRefused::Invalid(_))), "{case}: {refused:?}");
    }
}

#[tokio::test]
async fn without_a_kid_the_key_must_be_the_only_one_that_fits() {
    let provider = Provider::start().await;
    let claims = provider.claims("ana@acme.dev", "1", &[]).to_string();
    let token = OWN.token("ES256", r#"{"alg":"ES256"}"#, &claims);
    assert!(only(&provider).verify(&token).await.is_ok());
    provider.show(vec![OWN.jwk("p256", "a"), FOREIGN.jwk("p256", "b")]);
    assert!(only(&provider).verify(&token).await.is_err());
}

#[tokio::test]
async fn a_provider_that_is_down_or_lies_verifies_nobody() {
    let provider = Provider::start().await;
    let token = provider.token(&provider.claims("ana@acme.dev", "1", &[]));
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut claims = provider.claims("ana@acme.dev", "1", &[]);
    claims["iss"] = json!(gone);
    let issuers = Issuers::new(&[crate::config::IdentityConfig { issuer: gone, ..provider.config() }], &[]).unwrap();
    assert_eq!(issuers.verify(&provider.token(&claims)).await, Err(TokenRefused::Unavailable), "down");

    provider.claim_to_be(&format!("{}/", provider.url));
    assert_eq!(only(&provider).verify(&token).await, Err(TokenRefused::Unavailable), "another issuer's document");
    provider.claim_to_be(&provider.url);
    assert!(only(&provider).verify(&token).await.is_ok());
    provider.redirect_keys();
    assert_eq!(only(&provider).verify(&token).await, Err(TokenRefused::Unavailable), "keys behind a redirect");
}

#[tokio::test]
async fn cached_keys_outlive_a_short_outage_and_no_long_one() {
    let provider = Provider::start().await;
    let issuers = only(&provider);
    let (now, start) = (Utc::now(), Instant::now());
    let token = provider.token(&provider.claims("ana@acme.dev", "1", &[]));
    assert!(issuers.verify_at(&token, now, start).await.is_ok());
    provider.redirect_keys();
    let after = |seconds| issuers.verify_at(&token, now, start + Duration::from_secs(seconds));
    assert!(after(599).await.is_ok(), "they are looked for, in vain, and still count");
    assert_eq!(after(600).await, Err(TokenRefused::Unavailable), "nobody knows whether they still hold");
    provider.show(vec![OWN.jwk("p256", "p256")]);
    assert_eq!(after(601).await, Err(TokenRefused::Unavailable), "not asked again so soon");
    assert!(after(631).await.is_ok(), "the provider is back");
}

#[tokio::test]
async fn an_issuer_asserts_only_its_own_domains_and_groups() {
    let provider = Provider::start().await;
    let config = crate::config::IdentityConfig {
        domains: Some(vec!["acme.dev".into()]),
        groups: Some(vec!["eng-*".into()]),
        ..provider.config()
    };
    let issuers = Issuers::new(&[config], &[]).unwrap();
    let token = provider.token(&provider.claims("ana@acme.dev", "1", &["dba", "eng-data"]));
    assert_eq!(issuers.verify(&token).await.unwrap().groups, ["eng-data"]);
    for email in ["ana@evil.dev", "ana@sub.acme.dev", "ana@acme.dev.evil.dev"] {
        let refused = issuers.verify(&provider.token(&provider.claims(email, "1", &[]))).await;
        assert!(matches!(refused, Err(TokenRefused::Nobody(_))), "{email}: {refused:?}");
    }
}

#[tokio::test]
async fn a_workload_is_its_agent_whatever_its_claims_say() {
    let (people, workloads) = (Provider::start().await, Provider::start().await);
    let agents = [workloads.agent("deploy", "repo:acme/shop", "Ana@acme.dev")];
    let issuers = Issuers::new(&[people.config()], &agents).unwrap();
    let mut claims = workloads.claims("priya@acme.dev", "repo:acme/shop", &["dba"]);
    let identity = issuers.verify(&workloads.token(&claims)).await.unwrap();
    assert_eq!(identity.human.principal, "deploy");
    assert_eq!(identity.human.owner.as_deref(), Some("ana@acme.dev"));
    assert_eq!(identity.groups, ["ci"]);
    claims["sub"] = json!("repo:acme/other");
    let refused = issuers.verify(&workloads.token(&claims)).await;
    assert!(matches!(refused, Err(TokenRefused::Nobody(_))), "{refused:?}");
    let impostor = people.claims("eve@acme.dev", "repo:acme/shop", &[]);
    assert_eq!(issuers.verify(&people.token(&impostor)).await.unwrap().human.principal, "eve@acme.dev");
}
