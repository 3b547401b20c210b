//! A browser to the identity provider and back.

use std::collections::HashMap;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    App,
    answer::Refused,
    browser::{self, Purpose, Sent, Shown, unguessable},
    caller::Origin,
    link,
    pages::{self, Sorry},
    request_page,
};
use crate::{
    directory,
    identity::{SignInFailed, SignInPage},
};

impl From<SignInFailed> for Refused {
    fn from(failed: SignInFailed) -> Self {
        let hint = "Start again from the link in Slack.";
        match failed {
            SignInFailed::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", sentence(&failed), "Try again in a moment.")
            }
            _ => Self::new(StatusCode::FORBIDDEN, "not_signed_in", sentence(&failed), hint),
        }
    }
}

fn sentence(failed: &SignInFailed) -> String {
    let text = failed.to_string();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

/// Sends the browser to the only provider, or lets it choose. `path` is the page's own address.
pub(super) async fn begin(app: &App, headers: &HeaderMap, path: &str, purpose: Purpose) -> Result<Response, Sorry> {
    match app.gateway.issuers.names().as_slice() {
        [] => Err(Sorry(Refused::unavailable(&"no identity provider is configured"))),
        [issuer] => send(app, headers, issuer, purpose).await,
        issuers => Ok(pages::choose_provider(path, issuers)),
    }
}

/// Sends the browser to the provider with this number.
pub(super) async fn begin_with(app: &App, headers: &HeaderMap, n: &str, purpose: Purpose) -> Result<Response, Sorry> {
    let names = app.gateway.issuers.names();
    let issuer = n.parse::<usize>().ok().and_then(|n| names.get(n)).ok_or_else(|| Refused::not_found("page"))?;
    send(app, headers, issuer, purpose).await
}

async fn send(app: &App, headers: &HeaderMap, issuer: &str, purpose: Purpose) -> Result<Response, Sorry> {
    let browser = match browser::cookie(app, headers) {
        Some(cookie) => cookie,
        None => unguessable()?,
    };
    let (state, nonce, verifier) = (unguessable()?, unguessable()?, unguessable()?);
    let redirect_uri = redirect_uri(app);
    let fresh = matches!(purpose, Purpose::Request(_));
    let page = SignInPage { state: &state, nonce: &nonce, verifier: &verifier, redirect_uri: &redirect_uri, fresh };
    let address = app.gateway.issuers.sign_in_address(issuer, &page).await.map_err(Refused::from)?;
    let sent = Sent { purpose, issuer: issuer.to_owned(), nonce, verifier };
    app.sign_ins.send(&state, sent, &browser);
    let cookie = browser::set_cookie(app, &browser);
    Ok((StatusCode::FOUND, [(header::LOCATION, address.to_string()), (header::SET_COOKIE, cookie)]).into_response())
}

fn redirect_uri(app: &App) -> String {
    format!("{}/signin/callback", app.base())
}

/// `GET /signin/callback`: the provider sends the browser back.
pub(super) async fn callback(
    State(app): State<App>,
    Origin(from): Origin,
    headers: HeaderMap,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<Response, Sorry> {
    let Query(query) = query.map_err(|_| Refused::bad_request("The address can't be read."))?;
    let browser = browser::cookie(&app, &headers);
    let sent = query.get("state").and_then(|state| app.sign_ins.came_back(state, browser.as_deref()));
    let (Some(sent), Some(browser)) = (sent, browser) else { return Err(Sorry(browser::stale())) };
    let Some(code) = query.get("code") else { return Err(Sorry(SignInFailed::Refused.into())) };
    let redirect_uri = redirect_uri(&app);
    let page = SignInPage {
        state: "",
        nonce: &sent.nonce,
        verifier: &sent.verifier,
        redirect_uri: &redirect_uri,
        fresh: false,
    };
    let mut who = app.gateway.issuers.signed_in(&sent.issuer, code, &page).await.map_err(Refused::from)?;
    let csrf = unguessable()?;
    let response = match &sent.purpose {
        Purpose::Link(nonce) => link::show(&app, nonce, &csrf, &who.identity).await?,
        Purpose::Request(id) => {
            who.identity = directory::admit(&app.gateway, who.identity).await?;
            request_page::show(&app, id, &csrf, &who.identity, &from).await?
        }
    };
    app.sign_ins.show(&csrf, Shown { purpose: sent.purpose, who }, &browser);
    Ok(response)
}
