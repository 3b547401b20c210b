//! The identity provider, as stories: somebody signs in, and a client that trusts nothing verifies.

use countersign_demo::{
    browser::Browser,
    idp::{Idp, Outage, Signing},
    people::People,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use url::Url;

const CALLBACK: &str = "http://127.0.0.1:1/callback";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A client that has only the issuer's address.
struct Client {
    http: reqwest::Client,
    discovery: Value,
}

impl Client {
    async fn discover(issuer: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let at = format!("{issuer}/.well-known/openid-configuration");
        let discovery: Value = http.get(at).send().await.unwrap().json().await.unwrap();
        assert_eq!(discovery["issuer"], issuer);
        Self { http, discovery }
    }

    fn at(&self, name: &str) -> &str {
        self.discovery[name].as_str().unwrap()
    }

    fn sign_in_page(&self, more: &[(&str, &str)]) -> String {
        let mut url = Url::parse(self.at("authorization_endpoint")).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "countersign"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid email groups offline_access"),
            ("state", "s-1"),
            ("nonce", "n-1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        url.query_pairs_mut().extend_pairs(more);
        url.into()
    }

    async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.http.post(self.at(endpoint)).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn exchange(&self, code: &str, verifier: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("client_id", "countersign"),
            ("code_verifier", verifier),
        ];
        self.post("token_endpoint", &form).await
    }

    /// Verifies as a careful client does.
    async fn verify(&self, token: &str) -> Result<Value, String> {
        let keys: JwkSet = self.http.get(self.at("jwks_uri")).send().await.unwrap().json().await.unwrap();
        let header = decode_header(token).map_err(|e| e.to_string())?;
        let key = keys.find(&header.kid.ok_or("no kid")?).ok_or("unknown kid")?;
        let mut rules = Validation::new(Algorithm::RS256);
        if header.alg == Algorithm::ES256 {
            rules = Validation::new(Algorithm::ES256);
        }
        rules.set_audience(&["countersign"]);
        rules.set_issuer(&[self.at("issuer")]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        rules.leeway = 0;
        let key = DecodingKey::from_jwk(key).map_err(|e| e.to_string())?;
        decode::<Value>(token, &key, &rules).map(|data| data.claims).map_err(|e| e.to_string())
    }
}

fn answer(browser: &Browser, name: &str) -> Option<String> {
    browser.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn a_browser() -> Browser {
    let mut browser = Browser::new().unwrap();
    browser.stop_at(CALLBACK);
    browser
}

#[tokio::test]
async fn ana_signs_in_on_the_page_and_a_client_can_verify_who_she_is() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;
    let mut browser = a_browser();
    browser.open(&client.sign_in_page(&[])).await.unwrap();
    assert!(browser.shows("Ana Alvarez") && browser.shows("Priya Patel"), "{}", browser.text());
    assert!(!browser.body.contains("<script"), "the page has no script");
    browser.press("ana@acme.dev", &[]).await.unwrap();
    assert_eq!(answer(&browser, "state").as_deref(), Some("s-1"));
    assert_eq!(answer(&browser, "iss").as_deref(), Some(idp.url()));

    let code = answer(&browser, "code").unwrap();
    let (status, tokens) = client.exchange(&code, VERIFIER).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = client.verify(tokens["id_token"].as_str().unwrap()).await.unwrap();
    for (claim, expected) in [
        ("email", json!("ana@acme.dev")),
        ("email_verified", json!(true)),
        ("name", json!("Ana Alvarez")),
        ("groups", json!(["engineering"])),
        ("nonce", json!("n-1")),
        ("aud", json!("countersign")),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    assert!(claims["auth_time"].is_i64() && claims["amr"].is_array(), "{claims}");

    let (status, again) = client.exchange(&code, VERIFIER).await;
    assert_eq!((status, &again["error"]), (400, &json!("invalid_grant")), "a code is good once");

    let bearer = tokens["access_token"].as_str().unwrap();
    let info = client.http.get(client.at("userinfo_endpoint")).bearer_auth(bearer).send().await.unwrap();
    assert_eq!(info.json::<Value>().await.unwrap()["email"], "ana@acme.dev");

    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "countersign")];
    let (status, fresh) = client.post("token_endpoint", &form).await;
    assert_eq!(status, 200, "{fresh}");
    let claims = client.verify(fresh["id_token"].as_str().unwrap()).await.unwrap();
    assert_eq!((&claims["email"], &claims["nonce"]), (&json!("ana@acme.dev"), &Value::Null));

    idp.sign_out("ana").unwrap();
    let refresh = fresh["refresh_token"].as_str().unwrap();
    let form = [("token", refresh), ("client_id", "countersign")];
    assert_eq!(client.post("introspection_endpoint", &form).await.1, json!({ "active": false }));
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "countersign")];
    assert_eq!(client.post("token_endpoint", &form).await.1["error"], "invalid_grant", "she is signed out");
}

#[tokio::test]
async fn a_sign_in_that_is_not_in_order_gives_no_token() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;

    let mut browser = a_browser();
    browser.open(&client.sign_in_page(&[])).await.unwrap();
    browser.press("Cancel", &[]).await.unwrap();
    assert_eq!(answer(&browser, "error").as_deref(), Some("access_denied"));

    browser.open(&client.sign_in_page(&[])).await.unwrap();
    browser.press("ben@acme.dev", &[]).await.unwrap();
    let (_, refused) = client.exchange(&answer(&browser, "code").unwrap(), "another-verifier").await;
    assert_eq!(refused["error"], "invalid_grant", "a stolen code is of no use without the verifier");

    browser.open(&client.sign_in_page(&[("prompt", "none")])).await.unwrap();
    assert_eq!(answer(&browser, "error").as_deref(), Some("login_required"));

    let elsewhere = client.sign_in_page(&[]).replace("127.0.0.1%3A1%2F", "evil.example%2F");
    browser.open(&elsewhere).await.unwrap();
    assert_eq!((browser.status, browser.shows("Wrong address")), (400, true), "no code leaves this machine");

    let nobody = client.sign_in_page(&[]).replace("client_id=countersign", "client_id=other");
    browser.open(&nobody).await.unwrap();
    assert_eq!((browser.status, browser.shows("Unknown application")), (400, true));

    idp.set_client_secret("countersign", "s3cret");
    let (status, refused) = client.exchange("whatever", VERIFIER).await;
    assert_eq!((status, &refused["error"]), (401, &json!("invalid_client")), "the secret is demanded");
}

#[tokio::test]
async fn a_hint_signs_in_only_where_it_is_trusted() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;
    let page = client.sign_in_page(&[("login_hint", "priya@acme.dev")]);
    let mut browser = a_browser();
    browser.open(&page).await.unwrap();
    assert!(browser.shows("Priya Patel") && answer(&browser, "code").is_none(), "a person must choose");

    idp.trust_hints();
    browser.open(&page).await.unwrap();
    let (_, tokens) = client.exchange(&answer(&browser, "code").unwrap(), VERIFIER).await;
    let claims = client.verify(tokens["id_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(claims["email"], "priya@acme.dev");
}

#[tokio::test]
async fn a_terminal_without_a_browser_signs_in_with_a_code() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;
    let form = [("client_id", "countersign"), ("scope", "openid")];
    let (_, device) = client.post("device_authorization_endpoint", &form).await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device["device_code"].as_str().unwrap()),
        ("client_id", "countersign"),
    ];
    assert_eq!(client.post("token_endpoint", &form).await.1["error"], "authorization_pending");

    let mut browser = a_browser();
    browser.open(device["verification_uri"].as_str().unwrap()).await.unwrap();
    let typed = device["user_code"].as_str().unwrap().to_lowercase();
    browser.press("Continue", &[("user_code", &typed)]).await.unwrap();
    browser.press("dario@acme.dev", &[]).await.unwrap();
    assert!(browser.shows("Go back to your device"), "{}", browser.text());

    let (status, tokens) = client.post("token_endpoint", &form).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = client.verify(tokens["id_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(claims["groups"], json!(["dba"]));
    assert_eq!(client.post("token_endpoint", &form).await.1["error"], "invalid_grant", "a device code is good once");
}

#[tokio::test]
async fn minted_tokens_are_good_unless_they_are_bent() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;
    let token = || idp.token("ana").unwrap();
    let table = [
        ("as it comes", token(), true),
        ("signed with ES256", token().signed(Signing::Es256), true),
        ("a workload's", idp.token("deploy").unwrap(), true),
        ("for another audience", token().audience("grafana"), false),
        ("expired", token().issued_ago(7200).expires_in(-1), false),
        ("without an audience", token().without("aud"), false),
        ("not signed", token().signed(Signing::Nothing), false),
        ("HS256 with the public key", token().signed(Signing::HmacWithPublicKey), false),
        ("somebody else's key under our id", token().signed(Signing::ForeignKey), false),
        ("a key that nobody knows", token().header("kid", "RS256-99"), false),
        ("without a key id", token().header("kid", Value::Null), false),
    ];
    for (case, token, good) in table {
        let verdict = client.verify(&token.jwt().unwrap()).await;
        assert_eq!(verdict.is_ok(), good, "{case}: {verdict:?}");
    }
    let deploy = client.verify(&idp.token_for("deploy").unwrap()).await.unwrap();
    assert_eq!(deploy["sub"], "repo:acme/shop:ref:refs/heads/main");
    assert!(deploy.get("email").is_none() && deploy.get("groups").is_none(), "{deploy}");
    assert!(idp.token_for("mallory").is_err());

    let sent = idp.token("ana").unwrap().claim("email_verified", false).jwt().unwrap();
    assert_eq!(client.verify(&sent).await.unwrap()["email_verified"], false);
}

#[tokio::test]
async fn keys_rotate_with_and_without_the_old_ones() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let client = Client::discover(idp.url()).await;
    let before = idp.key_fetches();
    let old = idp.token_for("ana").unwrap();
    idp.rotate_keys(true).unwrap();
    let newer = idp.token_for("ana").unwrap();
    assert!(client.verify(&old).await.is_ok() && client.verify(&newer).await.is_ok(), "both are published");
    idp.rotate_keys(false).unwrap();
    assert_eq!(client.verify(&newer).await.unwrap_err(), "unknown kid", "withdrawn");
    assert!(client.verify(&idp.token_for("ana").unwrap()).await.is_ok());
    assert_eq!(idp.key_fetches() - before, 4);
}

#[tokio::test]
async fn a_provider_fails_as_it_is_told_and_comes_back() {
    let idp = Idp::start(People::acme()).await.unwrap();
    let at = format!("{}/jwks", idp.url());
    let http = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(2)).build().unwrap();
    let get = || http.get(&at).send();
    assert!(get().await.unwrap().status().is_success());

    idp.set_outage(Outage::Failing);
    assert_eq!(get().await.unwrap().status(), 503);
    idp.set_outage(Outage::Babbling);
    assert!(get().await.unwrap().text().await.unwrap().contains("café"));
    idp.set_outage(Outage::Silent);
    assert!(get().await.unwrap_err().is_timeout());
    idp.set_outage(Outage::Refusing);
    loop {
        // The listener goes a moment later; until then it fails.
        match get().await {
            Ok(answer) => assert_eq!(answer.status(), 503),
            Err(error) if error.is_connect() => break,
            Err(error) => assert!(!error.is_timeout(), "{error}"),
        }
    }
    idp.set_outage(Outage::None);
    while get().await.is_err() {}
    assert!(get().await.unwrap().status().is_success(), "at the same address");
}

#[tokio::test]
async fn a_sign_in_can_be_bent_too() {
    let idp = Idp::start(People::acme()).await.unwrap();
    idp.trust_hints();
    idp.bend(|token| token.claim("email_verified", false).claim("auth_time", 1));
    let client = Client::discover(idp.url()).await;
    let mut browser = a_browser();
    browser.open(&client.sign_in_page(&[("login_hint", "ana@acme.dev")])).await.unwrap();
    let (_, tokens) = client.exchange(&answer(&browser, "code").unwrap(), VERIFIER).await;
    let claims = client.verify(tokens["id_token"].as_str().unwrap()).await.unwrap();
    assert_eq!((&claims["email_verified"], &claims["auth_time"]), (&json!(false), &json!(1)));
}
