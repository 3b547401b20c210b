//! `/link/{nonce}`: a Slack user signs in at the identity provider, once, and says that both
//! accounts are theirs (DESIGN §6). Opening the page uses nothing up: Slack itself opens links to
//! preview them.

use std::collections::HashMap;

use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::Utc;
use serde_json::json;

use super::{
    App,
    answer::Refused,
    browser::{self, Purpose},
    pages::{self, Sorry},
    sign_in,
};
use crate::{
    directory,
    identity::Identity,
    log::{Entry, Kind},
    store::{PendingLink, StoreError},
};

async fn started(app: &App, nonce: &str) -> Result<PendingLink, Sorry> {
    let link = app.gateway.store.pending_link(nonce, Utc::now()).await?;
    Ok(link.ok_or_else(over)?)
}

fn over() -> Refused {
    let error = "This link has ended or was used already.";
    Refused::new(StatusCode::NOT_FOUND, "not_found", error, "Type `/access link` in Slack for a new one.")
}

pub(super) async fn open(
    State(app): State<App>,
    headers: HeaderMap,
    Path(nonce): Path<String>,
) -> Result<Response, Sorry> {
    let link = started(&app, &nonce).await?;
    let path = format!("/link/{}", link.nonce);
    sign_in::begin(&app, &headers, &path, Purpose::Link(link.nonce)).await
}

pub(super) async fn open_with(
    State(app): State<App>,
    headers: HeaderMap,
    Path((nonce, issuer)): Path<(String, String)>,
) -> Result<Response, Sorry> {
    let link = started(&app, &nonce).await?;
    sign_in::begin_with(&app, &headers, &issuer, Purpose::Link(link.nonce)).await
}

/// Both accounts and a button.
pub(super) async fn show(app: &App, nonce: &str, csrf: &str, who: &Identity) -> Result<Response, Sorry> {
    let link = started(app, nonce).await?;
    Ok(pages::confirm_link(nonce, csrf, &link.slack, who))
}

/// The button.
pub(super) async fn confirm(
    State(app): State<App>,
    headers: HeaderMap,
    Path(nonce): Path<String>,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Result<Response, Sorry> {
    let Form(form) = form.map_err(|_| Refused::bad_request("The form can't be read."))?;
    let csrf = form.get("csrf").map(String::as_str).unwrap_or_default();
    let browser = browser::cookie(&app, &headers);
    let purpose = Purpose::Link(nonce.clone());
    let shown = app.sign_ins.submitted(csrf, &purpose, browser.as_deref()).ok_or_else(browser::stale)?;
    let link = started(&app, &nonce).await?;
    let who = directory::admit(&app.gateway, shown.who.identity).await?;
    let now = Utc::now();
    let confirmed = pages::mails_agree(&link.slack, &who);
    record(&app, &link, &who, if confirmed { "linked" } else { "linked, to be confirmed" }).await?;
    match app.gateway.store.complete_link(&nonce, &who.human.principal, confirmed, now).await {
        Ok(done) => Ok(pages::linked(&done.slack, &done.principal, done.confirmed)),
        Err(error) => {
            record(&app, &link, &who, "not linked").await?;
            Err(Sorry(match error {
                StoreError::NotFound(_) => over(),
                other => other.into(),
            }))
        }
    }
}

async fn record(app: &App, link: &PendingLink, who: &Identity, outcome: &str) -> Result<(), Refused> {
    let entry = Entry {
        principal: Some(who.human.principal.clone()),
        outcome: Some(outcome.to_owned()),
        detail: json!({ "team": link.slack.team, "user": link.slack.user, "issuer": who.human.issuer }),
        ..Entry::new(Kind::Link)
    };
    Ok(app.gateway.log.append_durably(&entry).await?)
}
