//! The sign-in page: authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636).
//!
//! The provider keeps no session of its own: in a demo one browser plays several people, and being
//! signed in silently as the wrong one would be a trap. So every sign-in is a fresh one.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use url::{Host, Url};

use super::{
    page,
    state::{Shared, SignIn, Wish},
    token::now,
};
use crate::random;

#[derive(Deserialize)]
pub(super) struct Parameters {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<Url>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    login_hint: Option<String>,
    prompt: Option<String>,
}

/// Clients live on this machine, on any port (RFC 8252 §7.3).
pub(super) fn loopback(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    here && matches!(url.scheme(), "http" | "https") && url.fragment().is_none()
}

/// Shows the page, or says what is wrong with the request: to the client where it is known and
/// may be answered, else to the person.
pub(super) async fn ask(State(shared): State<Arc<Shared>>, Query(asked): Query<Parameters>) -> Response {
    let mut state = shared.lock();
    let Some(client) = asked.client_id.filter(|id| state.clients.contains_key(id)) else {
        return page::say(
            StatusCode::BAD_REQUEST,
            "Unknown application",
            "No application is registered under this client_id.",
        );
    };
    let Some(redirect) = asked.redirect_uri.filter(loopback) else {
        return page::say(
            StatusCode::BAD_REQUEST,
            "Wrong address",
            "The redirect_uri is missing, or not on this machine.",
        );
    };
    let public = state.clients.get(&client).is_some_and(Option::is_none);
    let wish = Wish {
        client,
        redirect,
        state: asked.state,
        nonce: asked.nonce,
        challenge: asked.code_challenge,
        scope: asked.scope.unwrap_or_default(),
        hint: asked.login_hint,
    };
    let refuse = |error, why| refused(&shared, &wish, error, why);
    if asked.response_type.as_deref() != Some("code") {
        return refuse("unsupported_response_type", "only response_type=code is offered");
    }
    if !wish.scope.split(' ').any(|scope| scope == "openid") {
        return refuse("invalid_scope", "the scope must name openid");
    }
    if wish.challenge.is_some() && asked.code_challenge_method.as_deref() != Some("S256") {
        return refuse("invalid_request", "only code_challenge_method=S256 is offered");
    }
    if wish.challenge.is_none() && public {
        return refuse("invalid_request", "a client without a secret must send a code_challenge");
    }
    let hinted = wish.hint.as_deref().and_then(|hint| state.people.person(hint)).cloned();
    if let Some(person) = hinted.filter(|_| state.trusts_hints) {
        let code = random::token();
        let back = granted(&shared, &wish, &code);
        state.codes.insert(code, SignIn { wish, subject: person.subject, at: now() });
        return back;
    }
    if asked.prompt.as_deref() == Some("none") {
        return refuse("login_required", "nobody is signed in");
    }
    let transaction = random::token();
    let shown =
        page::choose("/authorize", ("transaction", &transaction), &wish.client, &state.people, wish.hint.as_deref());
    state.pages.insert(transaction, wish);
    shown
}

#[derive(Deserialize)]
pub(super) struct Answer {
    transaction: String,
    person: Option<String>,
}

/// Takes the page's form, once, and sends the browser back with a code.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, Form(form): Form<Answer>) -> Response {
    let mut state = shared.lock();
    let Some(wish) = state.pages.remove(&form.transaction) else {
        return page::say(
            StatusCode::BAD_REQUEST,
            "Too late",
            "This page was used before. Start again from the application.",
        );
    };
    let Some(person) = form.person.as_deref().and_then(|who| state.people.person(who)).cloned() else {
        return refused(&shared, &wish, "access_denied", "the sign-in was cancelled");
    };
    let code = random::token();
    let back = granted(&shared, &wish, &code);
    state.codes.insert(code, SignIn { wish, subject: person.subject, at: now() });
    back
}

fn granted(shared: &Shared, wish: &Wish, code: &str) -> Response {
    back(shared, wish, &[("code", code)])
}

fn refused(shared: &Shared, wish: &Wish, error: &str, why: &str) -> Response {
    back(shared, wish, &[("error", error), ("error_description", why)])
}

/// To the client, with its `state`, and `iss` against mix-ups (RFC 9207).
fn back(shared: &Shared, wish: &Wish, pairs: &[(&str, &str)]) -> Response {
    let mut address = wish.redirect.clone();
    address.query_pairs_mut().extend_pairs(pairs).append_pair("iss", &shared.url);
    if let Some(state) = &wish.state {
        address.query_pairs_mut().append_pair("state", state);
    }
    Redirect::to(address.as_str()).into_response()
}
