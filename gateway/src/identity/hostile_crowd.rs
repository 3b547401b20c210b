//! Hostile tokens by the hundred: every accepted algorithm times every way in which a claim, a header or a
//! signature can be wrong. None is accepted, each has its own reason for the log, and the client reads the same
//! of all.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};

use super::{
    Issuers,
    TokenRefused::{self, Audience, Expired, Invalid, Nobody},
    provider::{FOREIGN, OWN, Provider},
};
use crate::refusal::Farewell;

/// The accepted algorithms, and the key that each signs with.
const ALGORITHMS: [(&str, &str); 9] = [
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("EdDSA", "ed25519"),
];

const NOT_A_TIME: TokenRefused = Invalid("one of its times is not a time");
const NOT_YET: TokenRefused = Invalid("it is not valid yet");
const NO_SUBJECT: TokenRefused = Invalid("it has no subject");
const NO_NAME: TokenRefused = Invalid("one of its names is not a short text");
const STRANGER: TokenRefused = Invalid("its issuer is not one of ours");
const SIGNATURE: TokenRefused = Invalid("its signature is wrong");
const KEY: TokenRefused = Invalid("its issuer has no such key");
const ALGORITHM: TokenRefused = Invalid("its algorithm is not accepted");
const OWN_KEY: TokenRefused = Invalid("its header brings a key or a demand of its own");
const KIND: TokenRefused = Invalid("it is another kind of token");
const NO_JWT: TokenRefused = Invalid("it is not a JWT");
const KEY_ID: TokenRefused = Invalid("its key id is not a short text");
const NO_ADDRESS: TokenRefused = Nobody("the claim for the user is not a plain address");
const NO_USER: TokenRefused = Nobody("the claim for the user is missing");
const NOT_VERIFIED: TokenRefused = Nobody("the provider has not verified the e-mail address");
const NO_GROUPS: TokenRefused = Nobody("the claim for the groups is not a list of texts");

/// A claim, what it is in place of what it should be (null takes it away), and why that is refused.
#[rustfmt::skip]
fn claims(url: &str, now: i64) -> Vec<(&'static str, Value, TokenRefused)> {
    vec![
        ("exp", Value::Null, Invalid("it has no end")),
        ("exp", json!(now), Expired),
        ("exp", json!(now - 1), Expired),
        ("exp", json!(0), Expired),
        ("exp", json!(-1), NOT_A_TIME),
        ("exp", json!((now + 60).to_string()), NOT_A_TIME),
        ("exp", json!(1e300), NOT_A_TIME),
        ("exp", json!([now + 60]), NOT_A_TIME),
        ("exp", json!(true), NOT_A_TIME),
        ("iat", Value::Null, Invalid("it does not say when it was issued")),
        ("iat", json!(now + 3600), NOT_YET),
        ("iat", json!(now - 13 * 3600), Expired),
        ("iat", json!(0), Expired),
        ("iat", json!(-now), NOT_A_TIME),
        ("iat", json!("now"), NOT_A_TIME),
        ("iat", json!({}), NOT_A_TIME),
        ("nbf", json!(now + 3600), NOT_YET),
        ("nbf", json!(""), NOT_A_TIME),
        ("nbf", json!(-0.5), NOT_A_TIME),
        ("aud", Value::Null, Audience),
        ("aud", json!(""), Audience),
        ("aud", json!("grafana"), Audience),
        ("aud", json!("Countersign"), Audience),
        ("aud", json!("countersign "), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!(["grafana"]), Audience),
        ("aud", json!(["countersign", null]), Audience),
        ("aud", json!(["countersign", "grafana"]), Audience),
        ("aud", json!({ "countersign": 1 }), Audience),
        ("iss", Value::Null, STRANGER),
        ("iss", json!(format!("{url}/")), STRANGER),
        ("iss", json!(url.to_uppercase()), STRANGER),
        ("iss", json!([url]), STRANGER),
        ("iss", json!("https://evil.dev"), STRANGER),
        ("sub", Value::Null, NO_SUBJECT),
        ("sub", json!(""), NO_SUBJECT),
        ("sub", json!(1), NO_SUBJECT),
        ("sub", json!(["1"]), NO_SUBJECT),
        ("sub", json!("x".repeat(256)), NO_SUBJECT),
        ("jti", json!(1), NO_NAME),
        ("jti", json!(""), NO_NAME),
        ("jti", json!("x".repeat(513)), NO_NAME),
        ("sid", json!(["s"]), NO_NAME),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }), KIND),
        ("events", json!([]), KIND),
        ("email", Value::Null, NO_USER),
        ("email", json!(["ana@acme.dev"]), NO_USER),
        ("email", json!("ana"), NO_ADDRESS),
        ("email", json!("ana@acme.dev\n"), NO_ADDRESS),
        ("email", json!("ana@evil@acme.dev"), NO_ADDRESS),
        ("email", json!("аna@acme.dev"), NO_ADDRESS),
        ("email_verified", Value::Null, NOT_VERIFIED),
        ("email_verified", json!(false), NOT_VERIFIED),
        ("email_verified", json!("true"), NOT_VERIFIED),
        ("email_verified", json!(1), NOT_VERIFIED),
        ("groups", json!("dba"), NO_GROUPS),
        ("groups", json!([["dba"]]), NO_GROUPS),
        ("groups", json!({ "dba": true }), NO_GROUPS),
    ]
}

/// What a header says beside `alg` and `kid`, and why that is refused.
fn headers() -> Vec<(&'static str, Value, TokenRefused)> {
    vec![
        ("jku", json!("https://evil.dev/keys"), OWN_KEY),
        ("x5u", json!("https://evil.dev/cert"), OWN_KEY),
        ("x5c", json!(["AA=="]), OWN_KEY),
        ("jwk", FOREIGN.jwk("p256", "p256"), OWN_KEY),
        ("crit", json!(["exp"]), OWN_KEY),
        ("zip", json!("DEF"), OWN_KEY),
        ("enc", json!("A256GCM"), OWN_KEY),
        ("b64", json!(false), OWN_KEY),
        ("typ", json!("logout+jwt"), KIND),
        ("typ", json!("secevent+jwt"), KIND),
        ("typ", json!(7), KIND),
        ("kid", json!(7), KEY_ID),
        ("kid", json!("k".repeat(257)), KEY_ID),
        ("kid", json!("../../dev/null"), KEY),
        ("kid", json!("' OR 1=1 --"), KEY),
        ("kid", json!(""), KEY),
        ("alg", json!("none"), ALGORITHM),
        ("alg", json!("None"), ALGORITHM),
        ("alg", json!(""), ALGORITHM),
        ("alg", json!(["RS256"]), ALGORITHM),
        ("alg", Value::Null, ALGORITHM),
        ("alg", json!("HS256"), ALGORITHM),
        ("alg", json!("ES512"), ALGORITHM),
        ("alg", json!("RSA-OAEP"), ALGORITHM),
    ]
}

fn changed(of: &Value, name: &str, value: &Value) -> String {
    let mut of = of.as_object().unwrap().clone();
    if value.is_null() {
        of.remove(name)
    } else {
        of.insert(name.to_owned(), value.clone())
    };
    Value::Object(of).to_string()
}

/// Every hostile token: what is wrong with it, it, and the reason.
fn crowd(provider: &Provider) -> Vec<(String, String, TokenRefused)> {
    let now = Utc::now().timestamp();
    let good = provider.claims("ana@acme.dev", "1", &["dba"]);
    let text = good.to_string();
    let mut all = Vec::new();
    for (algorithm, kid) in ALGORITHMS {
        let header = json!({ "alg": algorithm, "kid": kid });
        let plain = header.to_string();
        for (name, value, why) in claims(&provider.url, now) {
            let token = OWN.token(algorithm, &plain, &changed(&good, name, &value));
            all.push((format!("{algorithm}, {name} {value}"), token, why));
        }
        for (name, value, why) in headers() {
            let token = OWN.token(algorithm, &changed(&header, name, &value), &text);
            all.push((format!("{algorithm}, header {name} {value}"), token, why));
        }
        // Signed with this, and said to be signed with another.
        for (other, others) in ALGORITHMS.iter().filter(|(other, _)| *other != algorithm) {
            let token = OWN.token(algorithm, &json!({ "alg": other, "kid": kid }).to_string(), &text);
            let why = if kid == *others { SIGNATURE } else { KEY };
            all.push((format!("{algorithm} said to be {other}"), token, why));
        }
        let token = OWN.token(algorithm, &plain, &text);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let signed = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let mut flipped = bytes.clone();
        flipped[7] ^= 1;
        let swapped = URL_SAFE_NO_PAD.encode(text.replace("ana", "eve"));
        let head = message.split_once('.').unwrap().0;
        for (case, token, why) in [
            ("of another's key", FOREIGN.token(algorithm, &plain, &text), SIGNATURE),
            ("one bit off", signed(&flipped), SIGNATURE),
            ("cut short", signed(&bytes[..bytes.len() - 1]), SIGNATURE),
            ("with a byte more", signed(&[&bytes[..], &[0]].concat()), SIGNATURE),
            ("all zeros", signed(&vec![0; bytes.len()]), SIGNATURE),
            ("with padding", format!("{message}.{signature}="), SIGNATURE),
            ("for other claims", format!("{head}.{swapped}.{signature}"), SIGNATURE),
            ("none", format!("{message}."), NO_JWT),
            ("and more", format!("{token}.x"), NO_JWT),
            ("without claims", format!("{head}.{signature}"), NO_JWT),
        ] {
            all.push((format!("{algorithm}, a signature {case}"), token, why));
        }
    }
    all
}

#[tokio::test]
async fn none_of_them_is_accepted_and_each_has_its_reason_inside_and_none_outside() {
    let provider = Provider::start().await;
    let issuers = Issuers::new(&[provider.config()], &[]).unwrap();
    assert!(issuers.verify(&provider.token(&provider.claims("ana@acme.dev", "1", &["dba"]))).await.is_ok());
    let crowd = crowd(&provider);
    let distinct: HashSet<&str> = crowd.iter().map(|(_, token, _)| token.as_str()).collect();
    assert!(distinct.len() == crowd.len() && crowd.len() >= 300, "{} of {}", distinct.len(), crowd.len());
    let read = Farewell::Token(Expired).frame();
    for (case, token, why) in crowd {
        let refused = issuers.verify(&token).await.expect_err(&case);
        assert_eq!(refused, why, "{case}");
        assert_eq!(Farewell::Token(refused.clone()).frame(), read, "{case}: the client reads what it reads of all");
        let inside = refused.inside();
        assert!(inside.len() > refused.to_string().len() / 2 && inside != refused.to_string(), "{case}: {inside}");
        assert!(!token.split('.').any(|part| part.len() > 8 && inside.contains(part)), "{case}: {inside}");
        let outside = String::from_utf8_lossy(&read).into_owned();
        assert!(!outside.contains(&inside), "{case}");
    }
    assert_eq!(provider.fetches(), 1, "none of them makes us fetch keys");
}
