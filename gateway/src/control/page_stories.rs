//! The pages, as a browser meets them.

use std::collections::HashMap;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{TimeDelta, Utc};
use countersign_shared::{
    api::{Impact, SlackRef},
    bot_token::SlackAccount,
    ids::RequestId,
    impact::Sample,
    request::{Assurance, State},
};
use serde_json::json;
use tower::ServiceExt;

use super::router;
use crate::{
    approval::{
        house::{House, PEOPLE, slack},
        release::release,
        stories_allowing::MOST,
    },
    statement::effect::Action,
    store::{
        NewRequest, PendingLink,
        tokens::{TokenEnd, Which},
    },
};

/// A browser with one cookie jar.
struct Browser {
    app: Router,
    cookie: Option<String>,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    policy: String,
    text: String,
}

impl Page {
    fn field(&self, name: &str) -> String {
        let after =
            self.text.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{}", self.text));
        after.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    fn of(app: &Router) -> Self {
        Self { app: app.clone(), cookie: None }
    }

    async fn send(&mut self, method: &str, path: &str, form: Option<String>) -> Page {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:6480");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(form.map_or_else(Body::empty, Body::from)).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let header = |name: header::HeaderName| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        if let Some(set) = header(header::SET_COOKIE) {
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        let (location, policy) = (header(header::LOCATION), header(header::CONTENT_SECURITY_POLICY).unwrap());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Page { status, location, policy, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, None).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        form.iter().for_each(|(name, value)| _ = text.append_pair(name, value));
        self.send("POST", path, Some(text.finish())).await
    }

    /// Opens `path` and signs in as `who`; the page that the provider's way back leads to.
    async fn sign_in(&mut self, house: &House, path: &str, who: &str, auth_time: Option<i64>) -> Page {
        let back = self.at_provider(house, path, who, auth_time).await;
        self.get(&back).await
    }

    /// Opens `path` and signs in as `who`; the way back, not yet taken.
    async fn at_provider(&mut self, house: &House, path: &str, who: &str, auth_time: Option<i64>) -> String {
        let sent = self.get(path).await;
        assert_eq!(sent.status, StatusCode::FOUND, "{}", sent.text);
        let address: url::Url = sent.location.unwrap().parse().unwrap();
        let query: HashMap<_, _> = address.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["tenant"], "1", "the endpoint's own query is kept");
        assert_eq!(query["redirect_uri"], "http://127.0.0.1:6480/signin/callback");
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"], "openid email profile groups");
        let (_, subject, groups) = PEOPLE.iter().find(|(name, ..)| *name == who).unwrap();
        let mut claims = house.provider.claims(who, subject, groups);
        claims["nonce"] = json!(query["nonce"]);
        if let Some(at) = auth_time {
            claims["auth_time"] = json!(at);
        }
        let code = house.provider.give_code(&query["code_challenge"], &house.provider.token(&claims));
        format!("/signin/callback?code={code}&state={}", query["state"])
    }
}

async fn start(house: &House, account: SlackAccount) -> String {
    let nonce = URL_SAFE_NO_PAD.encode(account.user.as_bytes().repeat(32).get(..32).unwrap());
    let link = PendingLink { nonce: nonce.clone(), slack: account, expires_at: Utc::now() + TimeDelta::minutes(10) };
    house.gateway.store.start_link(&link).await.unwrap();
    nonce
}

async fn linked(house: &House, user: &str) -> Option<(String, bool)> {
    let slack = SlackRef { team: "T1".into(), user: user.into() };
    let link = house.gateway.store.link_of_slack(&slack).await.unwrap();
    link.map(|link| (link.principal, link.confirmed))
}

#[tokio::test]
async fn a_slack_user_is_linked_once_both_accounts_were_shown() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let nonce = start(&house, slack("U1", Some("Priya@acme.dev"))).await;
    let (path, confirm) = (format!("/link/{nonce}"), format!("/link/{nonce}/confirm"));
    Browser::of(&app).get(&path).await; // Slack looks at the link first.
    let mut browser = Browser::of(&app);
    let page = browser.sign_in(&house, &path, "priya@acme.dev", None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    for shown in ["U1 &lt;b&gt;", "Priya@acme.dev", "T1", "priya@acme.dev", &house.provider.url] {
        assert!(page.text.contains(shown), "{shown} is not on the page");
    }
    assert!(page.policy.contains("default-src 'none'") && page.policy.contains("form-action 'self'"));
    assert!(!page.text.contains("<script"));
    assert_eq!(linked(&house, "U1").await, None, "nothing counts before the button");
    let csrf = page.field("csrf");
    let done = browser.post(&confirm, &[("csrf", &csrf)]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(linked(&house, "U1").await, Some(("priya@acme.dev".into(), true)));
    assert!(house.log_text().contains("\"link\""));
    assert_eq!(browser.post(&confirm, &[("csrf", &csrf)]).await.status, StatusCode::BAD_REQUEST, "the form again");
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND, "the link again");
}

#[tokio::test]
async fn differing_addresses_wait_for_an_administrator() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    for (user, email, who) in [("U1", Some("p@other.dev"), "priya@acme.dev"), ("U2", None, "dario@acme.dev")] {
        let nonce = start(&house, slack(user, email)).await;
        let mut browser = Browser::of(&app);
        let page = browser.sign_in(&house, &format!("/link/{nonce}"), who, None).await;
        assert!(page.text.contains("differ"), "{}", page.text);
        let csrf = page.field("csrf");
        let done = browser.post(&format!("/link/{nonce}/confirm"), &[("csrf", &csrf)]).await;
        let command = format!("users confirm-link T1/{user} {who}");
        assert!(done.text.contains("administrator") && done.text.contains(&command), "{}", done.text);
        assert_eq!(linked(&house, user).await, Some((who.into(), false)));
    }
}

#[tokio::test]
async fn nothing_is_linked_from_another_browser_or_without_the_pages_own_form() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let nonce = start(&house, slack("U1", None)).await;
    let other = start(&house, slack("U2", None)).await;
    let path = format!("/link/{nonce}");
    let mut mine = Browser::of(&app);
    let back = mine.at_provider(&house, &path, "priya@acme.dev", None).await;
    assert_eq!(Browser::of(&app).get(&back).await.status, StatusCode::BAD_REQUEST, "no cookie");
    let mut theirs = Browser::of(&app);
    theirs.get(&path).await;
    assert_eq!(theirs.get(&back).await.status, StatusCode::BAD_REQUEST, "another browser's cookie");
    let page = mine.get(&back).await;
    assert_eq!(page.status, StatusCode::OK, "neither used it up: {}", page.text);
    assert_eq!(mine.get(&back).await.status, StatusCode::BAD_REQUEST, "the way back is good once");
    let csrf = page.field("csrf");
    let confirm = format!("{path}/confirm");
    assert_eq!(mine.post(&confirm, &[]).await.status, StatusCode::BAD_REQUEST, "no csrf");
    assert_eq!(mine.post(&confirm, &[("csrf", "x")]).await.status, StatusCode::BAD_REQUEST, "another csrf");
    assert_eq!(theirs.post(&confirm, &[("csrf", &csrf)]).await.status, StatusCode::BAD_REQUEST, "another browser");
    let elsewhere = mine.post(&format!("/link/{other}/confirm"), &[("csrf", &csrf)]).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST, "another link");
    assert_eq!(mine.get(&confirm).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!((linked(&house, "U1").await, linked(&house, "U2").await), (None, None));
}

#[tokio::test]
async fn a_sign_in_made_for_another_nonce_or_refused_by_the_provider_is_nothing() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let nonce = start(&house, slack("U1", None)).await;
    let path = format!("/link/{nonce}");
    let mut browser = Browser::of(&app);
    let sent = browser.get(&path).await.location.unwrap().parse::<url::Url>().unwrap();
    let query: HashMap<_, _> = sent.query_pairs().into_owned().collect();
    let mut claims = house.provider.claims("priya@acme.dev", "3", &["dba"]);
    claims["nonce"] = json!("another");
    let code = house.provider.give_code(&query["code_challenge"], &house.provider.token(&claims));
    let page = browser.get(&format!("/signin/callback?code={code}&state={}", query["state"])).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "another nonce");
    let sent = browser.get(&path).await.location.unwrap().parse::<url::Url>().unwrap();
    let query: HashMap<_, _> = sent.query_pairs().into_owned().collect();
    for answer in ["error=access_denied", "code=never-given"] {
        let page = browser.get(&format!("/signin/callback?{answer}&state={}", query["state"])).await;
        assert!(page.status.is_client_error(), "{answer}");
        assert!(page.text.contains("That did not work"), "{}", page.text);
    }
    for path in ["/link/unknown", "/signin/callback", "/signin/callback?state=x&code=y", "/link/unknown/with/0"] {
        let page = browser.get(path).await;
        assert!(page.status.is_client_error(), "{path}: {}", page.status);
        assert!(page.text.contains("<html"), "{path} is a page");
    }
}

#[tokio::test]
async fn where_there_are_several_providers_one_is_chosen_on_a_page() {
    let second = crate::identity::provider::Provider::start().await;
    let house = House::with(|config| config.identities.push(second.config())).await;
    let app = router(house.gateway.clone());
    let nonce = start(&house, slack("U1", None)).await;
    let page = Browser::of(&app).get(&format!("/link/{nonce}")).await;
    assert!(page.text.contains(&format!("href=\"/link/{nonce}/with/1\"")), "{}", page.text);
    let sent = Browser::of(&app).get(&format!("/link/{nonce}/with/1")).await;
    assert!(sent.location.unwrap().starts_with(&second.url));
    assert_eq!(Browser::of(&app).get(&format!("/link/{nonce}/with/2")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_is_shown_whole_and_approved_with_a_fresh_sign_in() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.asks(house.human("ana@acme.dev"), &["engineering"], Action::Merge).await;
    let path = format!("/requests/{}", request.id);
    let now = Utc::now().timestamp();
    let mut browser = Browser::of(&app);
    let page = browser.sign_in(&house, &path, "priya@acme.dev", Some(now)).await;
    assert!(page.text.contains("-- \\u{202E}&lt;b&gt;"), "{}", page.text);
    let digest = page.field("digest");
    let form = [("csrf", page.field("csrf")), ("digest", digest), ("choice", "approve".to_owned())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = browser.post(&path, &form).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let stored = house.request(&request.id).await;
    assert_eq!((stored.state, stored.approvals[0].assurance), (State::Approved, Assurance::StepUp));
    assert_eq!(browser.post(&path, &form).await.status, StatusCode::BAD_REQUEST, "the form again");
}

#[tokio::test]
async fn an_old_sign_in_is_not_fresh_and_a_denial_keeps_its_reason() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.asks(house.human("ana@acme.dev"), &["engineering"], Action::Merge).await;
    let path = format!("/requests/{}", request.id);
    for auth_time in [None, Some(Utc::now().timestamp() - 3600)] {
        let mut browser = Browser::of(&app);
        let page = browser.sign_in(&house, &path, "priya@acme.dev", auth_time).await;
        let (csrf, digest) = (page.field("csrf"), page.field("digest"));
        let form = [("csrf", csrf.as_str()), ("digest", &digest), ("choice", "approve")];
        assert_eq!(browser.post(&path, &form).await.status, StatusCode::FORBIDDEN, "{auth_time:?}");
    }
    let mut browser = Browser::of(&app);
    let page = browser.sign_in(&house, &path, "dario@acme.dev", None).await;
    let (csrf, digest) = (page.field("csrf"), page.field("digest"));
    let form = [("csrf", csrf.as_str()), ("digest", &digest), ("choice", "deny"), ("reason", "not today")];
    assert_eq!(browser.post(&path, &form).await.status, StatusCode::OK);
    let outcome = house.request(&request.id).await.outcome.unwrap();
    assert_eq!(outcome.reason.as_deref(), Some("not today"));
}

#[tokio::test]
async fn who_may_not_see_a_request_is_told_nothing_of_it() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    for (who, path, status) in [
        ("ben@acme.dev", format!("/requests/{}", request.id), StatusCode::NOT_FOUND),
        ("ben@acme.dev", "/requests/ZZZZZZZZ".to_owned(), StatusCode::NOT_FOUND),
        ("ana@acme.dev", format!("/requests/{}", request.id), StatusCode::OK),
        ("sam@acme.dev", format!("/requests/{}", request.id), StatusCode::OK),
    ] {
        let page = Browser::of(&app).sign_in(&house, &path, who, None).await;
        assert_eq!(page.status, status, "{who} {path}");
        assert!(!page.text.contains("name=\"csrf\""), "{who} gets no buttons");
    }
}

#[tokio::test]
async fn who_signs_out_before_they_press_decides_nothing() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let request = house.ana_deletes().await;
    let path = format!("/requests/{}", request.id);
    let mut browser = Browser::of(&app);
    let page = browser.sign_in(&house, &path, "priya@acme.dev", None).await;
    let form = [("csrf", page.field("csrf")), ("digest", page.field("digest")), ("choice", "approve".to_owned())];
    let end = TokenEnd {
        issuer: house.provider.url.clone(),
        which: Which::Subject("3".into(), Utc::now()),
        reason: "signed out".into(),
        by: None,
        at: Utc::now(),
    };
    assert!(house.gateway.store.end_tokens(&[end], None).await.unwrap());
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let page = browser.post(&path, &form).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{}", page.text);
    assert_eq!(house.state(&request.id).await, State::Pending);
}

#[tokio::test]
async fn a_page_approves_for_a_time_and_ends_that() {
    let house = House::that_allows().await;
    let app = router(house.gateway.clone());
    let new = house.ana_deletes_for(MOST).await;
    let (path, digest) = (format!("/requests/{}", new.id), new.digest.to_string());
    let form = async |who: &str, fields: &[(&str, &str)]| {
        let mut browser = Browser::of(&app);
        let page = browser.sign_in(&house, &path, who, None).await;
        let csrf = page.field("csrf");
        let mut all = vec![("csrf", csrf.as_str()), ("digest", digest.as_str())];
        all.extend(fields);
        (page.text, browser.post(&path, &all).await)
    };
    let terms = |rows: &'static str| [("choice", "allow"), ("minutes", "30"), ("runs", "3"), ("rows", rows)];
    let (shown, beyond) = form("priya@acme.dev", &terms("21")).await;
    assert!(shown.contains("Approve for this time") && shown.contains("max=\"20\""), "{shown}");
    assert_eq!(beyond.status, StatusCode::FORBIDDEN, "{}", beyond.text);
    assert_eq!(form("priya@acme.dev", &terms("")).await.1.status, StatusCode::BAD_REQUEST, "no number");
    assert_eq!(house.state(&new.id).await, State::Pending);
    let (_, taken) = form("priya@acme.dev", &terms("20")).await;
    assert!(taken.text.contains("Allowed for 30 min, 3 runs of at most 20 rows each"), "{}", taken.text);
    release(&house.gateway, &new.id, new.digest, &new.asked, Utc::now()).await.unwrap();
    // An auditor reads it, and ends nothing.
    let mut auditor = Browser::of(&app);
    let page = auditor.sign_in(&house, &path, "sam@acme.dev", None).await;
    assert!(page.text.contains("Allowed for 30 min") && !page.text.contains("End this"), "{}", page.text);
    let (shown, ended) = form("dario@acme.dev", &[("choice", "end")]).await;
    assert!(shown.contains("End this") && shown.contains("Run 1 at"), "{shown}");
    assert!(ended.text.contains("it waits for approval again"), "{}", ended.text);
    let over = house.gateway.store.allowance(&new.id).await.unwrap().unwrap();
    assert_eq!(over.end.and_then(|end| end.by).as_deref(), Some("dario@acme.dev"));
    let page = Browser::of(&app).sign_in(&house, &path, "ana@acme.dev", None).await;
    assert!(page.text.contains("revoked") && !page.text.contains("End this"), "{}", page.text);
}

#[tokio::test]
async fn a_page_shows_the_rows_before_and_after_that_its_card_shows() {
    let house = House::open().await;
    let app = router(house.gateway.clone());
    let sample = Sample {
        before: vec!["id = 1, status = <b>open</b>".into()],
        after: vec!["id = 1, status = \u{202E}paid".into()],
        missing: Some("there was no time to look for more".into()),
    };
    let impact = Impact { table: "public.orders".into(), sample: Some(sample), ..Impact::default() };
    let before = house.ana_deletes().await;
    let new = NewRequest { id: RequestId::random(), impact: vec![impact], ..before };
    house.gateway.store.create_request(&new).await.unwrap();
    let path = format!("/requests/{}", new.id);
    let page = Browser::of(&app).sign_in(&house, &path, "priya@acme.dev", None).await;
    for shown in [
        "Some rows of public.orders",
        "before: id = 1, status = &lt;b&gt;open&lt;/b&gt;",
        "after:  id = 1, status = \\u{202E}paid",
        "(there was no time to look for more)",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
}
