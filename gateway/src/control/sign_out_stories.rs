//! A provider says that somebody signed out, over the whole gateway.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use chrono::Utc;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{public_router, router};
use crate::{
    approval::house::House,
    identity::provider::{FOREIGN, OWN},
    sessions::Place,
};

const FORM: &str = "application/x-www-form-urlencoded";
const HEADER: &str = r#"{"alg":"ES256","kid":"p256","typ":"logout+jwt"}"#;

struct Said {
    status: u16,
    no_store: bool,
    error: String,
}

async fn posts(app: &Router, kind: &str, body: String) -> Said {
    let request = Request::post("/signout/backchannel").header(header::HOST, "localhost");
    let request = request.header(header::CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (status, no_store) = (response.status().as_u16(), response.headers()[header::CACHE_CONTROL] == "no-store");
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    Said { status, no_store, error: body["error"].as_str().unwrap_or_default().to_owned() }
}

fn form(token: &str) -> String {
    format!("logout_token={token}")
}

/// A good logout token's claims, for `changes` to spoil; null takes one away.
fn logout(house: &House, id: &str, changes: Value) -> Value {
    let now = Utc::now().timestamp();
    let mut claims = json!({
        "iss": house.provider.url, "aud": "countersign", "iat": now, "exp": now + 120, "jti": id,
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn signed(claims: &Value) -> String {
    OWN.token("ES256", HEADER, &claims.to_string())
}

fn token(house: &House, who: &str, changes: Value) -> String {
    let subject = house.human(who).subject;
    let mut claims = house.provider.claims(who, &subject, &["engineering"]);
    changes.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
    house.provider.token(&claims)
}

async fn api(app: &Router, token: &str) -> StatusCode {
    let request = Request::get("/v1/sessions").header(header::HOST, "localhost");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status()
}

fn over(place: &Place) -> bool {
    place.killed().is_some()
}

#[tokio::test]
async fn a_logout_token_that_does_not_hold_ends_nothing() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let ana = token(&house, "ana@acme.dev", json!({ "sid": "s1" }));
    let place = house.session_by(&ana).await;
    let now = Utc::now().timestamp();
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let claims = |changes: Value| logout(&house, "x", changes);
    let sub = json!("1");
    let cases: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("no token", "token=x".into()),
        ("two tokens", format!("{0}&{0}", form(&signed(&claims(json!({ "sub": sub })))))),
        ("garbage", form("abc")),
        (
            "not of this provider's keys",
            form(&FOREIGN.token("ES256", HEADER, &claims(json!({ "sub": sub })).to_string())),
        ),
        ("alg none", form("eyJhbGciOiJub25lIn0.e30.")),
        ("another iss", form(&signed(&claims(json!({ "sub": sub, "iss": "https://evil.dev" }))))),
        ("another aud", form(&signed(&claims(json!({ "sub": sub, "aud": "grafana" }))))),
        ("no aud", form(&signed(&claims(json!({ "sub": sub, "aud": null }))))),
        ("no iat", form(&signed(&claims(json!({ "sub": sub, "iat": null }))))),
        ("iat to come", form(&signed(&claims(json!({ "sub": sub, "iat": now + 600 }))))),
        ("iat of last month", form(&signed(&claims(json!({ "sub": sub, "iat": now - 30 * 86400, "exp": null }))))),
        ("over", form(&signed(&claims(json!({ "sub": sub, "exp": now - 1 }))))),
        ("no events", form(&signed(&claims(json!({ "sub": sub, "events": null }))))),
        ("events as a list", form(&signed(&claims(json!({ "sub": sub, "events": [event] }))))),
        ("another event", form(&signed(&claims(json!({ "sub": sub, "events": { "x": {} } }))))),
        ("an event that is no object", form(&signed(&claims(json!({ "sub": sub, "events": { event: true } }))))),
        ("a nonce", form(&signed(&claims(json!({ "sub": sub, "nonce": "n" }))))),
        ("no jti", form(&signed(&claims(json!({ "sub": sub, "jti": null }))))),
        ("jti as a number", form(&signed(&claims(json!({ "sub": sub, "jti": 7 }))))),
        ("nobody", form(&signed(&claims(json!({}))))),
        ("sub as a number", form(&signed(&claims(json!({ "sub": 1 }))))),
        ("an empty sid", form(&signed(&claims(json!({ "sid": "" }))))),
        (
            "an access token",
            form(&OWN.token(
                "ES256",
                r#"{"alg":"ES256","kid":"p256","typ":"at+jwt"}"#,
                &claims(json!({ "sub": sub })).to_string(),
            )),
        ),
        ("her ID token", form(&ana)),
    ];
    for (case, body) in cases {
        let said = posts(&app, FORM, body).await;
        assert_eq!((said.status, said.no_store, said.error.as_str()), (400, true, "invalid_request"), "{case}");
    }
    let json_body = posts(&app, "application/json", form(&signed(&claims(json!({ "sub": sub }))))).await;
    assert_eq!(json_body.status, 400, "not a form");
    assert!(!over(&place));
    assert_eq!(api(&app, &ana).await, StatusCode::OK);
}

#[tokio::test]
async fn who_signs_out_is_out_and_stays_out_with_the_tokens_from_before() {
    let house = House::open().await;
    // Providers are outside: they reach what browsers reach.
    let (app, inside) = (public_router(house.gateway.clone()), router(house.gateway.clone()));
    let now = Utc::now().timestamp();
    let old = json!({ "iat": now - 60 });
    let (first, second) = (json!({ "sid": "s1", "iat": now - 60 }), json!({ "sid": "s2", "iat": now - 60 }));
    let anas = [&first, &second, &old].map(|changes| token(&house, "ana@acme.dev", changes.clone()));
    let bens = token(&house, "ben@acme.dev", json!({ "sid": "s1b", "iat": now - 60 }));
    let mut places = Vec::new();
    for token in anas.iter().chain([&bens]) {
        places.push(house.session_by(token).await);
    }
    let told = |which: [bool; 4]| {
        assert_eq!(places.iter().map(over).collect::<Vec<_>>(), which);
    };
    // One sign-in of hers, and what does not say which it is from.
    let one = signed(&logout(&house, "l1", json!({ "sub": "1", "sid": "s1" })));
    assert_eq!(posts(&app, FORM, form(&one)).await.status, 200);
    told([true, false, true, false]);
    let reason = places[0].killed().unwrap().reason;
    assert_eq!(reason, "you signed out at the identity provider; sign in again");
    let replayed = posts(&app, FORM, form(&one)).await;
    assert_eq!((replayed.status, replayed.error.as_str()), (400, "invalid_request"), "each logout token counts once");
    for (token, expected) in anas.iter().zip([401, 200, 401]) {
        assert_eq!(api(&inside, token).await.as_u16(), expected);
    }
    let same_sign_in = token(&house, "ana@acme.dev", json!({ "sid": "s1", "iat": now + 30 }));
    assert_eq!(api(&inside, &same_sign_in).await, 401, "what comes of a sign-in that has ended counts as little");
    // All of hers.
    let all = signed(&logout(&house, "l2", json!({ "sub": "1", "exp": null })));
    assert_eq!(posts(&app, FORM, form(&all)).await.status, 200);
    told([true, true, true, false]);
    assert_eq!(api(&inside, &anas[1]).await, 401);
    let anew = token(&house, "ana@acme.dev", json!({ "sid": "s3", "iat": now + 5 }));
    assert_eq!(api(&inside, &anew).await, 200, "who signs in again is in again");
    let late = signed(&logout(&house, "l3", json!({ "sub": "1", "iat": now - 30 })));
    let place = house.session_by(&anew).await;
    assert_eq!(posts(&app, FORM, form(&late)).await.status, 200, "a late one is taken");
    assert!(!over(&place), "and ends nothing that is newer");
    // It is remembered over a restart.
    let again = router(house.reopened());
    assert_eq!((api(&again, &anas[0]).await.as_u16(), api(&again, &anas[1]).await.as_u16()), (401, 401));
    let log = house.log_text();
    assert!(log.contains("\"kind\":\"tokens_ended\"") && log.contains("signed out at the identity provider"), "{log}");
}

#[tokio::test]
async fn a_provider_that_can_not_be_asked_is_told_to_come_again() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    house.provider.redirect_keys();
    let said = posts(&app, FORM, form(&signed(&logout(&house, "l1", json!({ "sub": "1" }))))).await;
    assert_eq!((said.status, said.no_store), (400, true));
}
