//! `/v1/links`: which Slack account is whose.

use std::collections::HashMap;

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Json,
};
use chrono::{TimeDelta, Utc};
use countersign_shared::api::{LinkBody, LinkStarted, LinkView, ListedLink, SlackRef};
use serde_json::json;

use super::{
    App,
    answer::{Body, Refused},
    browser::unguessable,
    caller::Caller,
    sight,
};
use crate::{
    log::{Entry, Kind},
    store::{Link, PendingLink},
};

/// How long a link to sign in at is good.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The bot asks for a page on which this Slack user can sign in.
pub(super) async fn start(
    State(app): State<App>,
    caller: Caller,
    Body(slack): Body<LinkBody>,
) -> Result<(StatusCode, Json<LinkStarted>), Refused> {
    caller.bot()?;
    if !slack.full_member {
        return Err(Refused::forbidden("Only full members of this Slack workspace can be linked."));
    }
    let expires_at = Utc::now() + LIFETIME;
    let link = PendingLink { nonce: unguessable()?, slack, expires_at };
    app.gateway.store.start_link(&link).await?;
    let url = format!("{}/link/{}", app.base(), link.nonce);
    Ok((StatusCode::CREATED, Json(LinkStarted { url, expires_at })))
}

async fn find(app: &App, team: String, user: String) -> Result<Link, Refused> {
    let link = app.gateway.store.link_of_slack(&SlackRef { team, user }).await?;
    let error = "This Slack account is not linked to an identity.";
    link.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "not_linked", error, "Type `/access link` and sign in."))
}

/// Who a Slack user is, for the bot.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
) -> Result<Json<LinkView>, Refused> {
    let administers = |(who, from)| sight::administers_all(&app.gateway, who, from);
    if !matches!(caller, Caller::Bot) && !caller.user().is_ok_and(administers) {
        return Err(Refused::forbidden("Only the bot and administrators look up links."));
    }
    Ok(Json(view(find(&app, team, user).await?)))
}

fn view(link: Link) -> LinkView {
    LinkView { slack: link.slack, principal: link.principal, confirmed: link.confirmed }
}

/// Every link: those that wait for an administrator first. For administrators alone, since Slack's names and addresses
/// are in it.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ListedLink>>, Refused> {
    let (who, from) = caller.user()?;
    if !sight::administers_all(&app.gateway, who, from) {
        return Err(Refused::forbidden("Only an administrator of every connection lists links."));
    }
    let listed = |one: crate::store::ListedLink| ListedLink {
        link: view(one.link),
        slack_name: one.name,
        slack_email: one.email,
        made_at: one.made_at,
    };
    Ok(Json(app.gateway.store.links().await?.into_iter().map(listed).collect()))
}

/// An administrator confirms a link whose e-mail addresses differ; never their own. With `?principal=` only where the
/// account is still linked to that one.
pub(super) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<StatusCode, Refused> {
    let Query(query) = query.map_err(|_| Refused::bad_request("The query can't be read."))?;
    let (who, from) = caller.user()?;
    if !sight::administers_all(&app.gateway, who, from) {
        return Err(Refused::forbidden("Only an administrator of every connection confirms links."));
    }
    let link = find(&app, team, user).await?;
    if query.get("principal").is_some_and(|principal| !principal.eq_ignore_ascii_case(&link.principal)) {
        let error = format!("This Slack account is linked to {}.", link.principal);
        return Err(Refused::new(StatusCode::CONFLICT, "conflict", error, "Look at the list of links again."));
    }
    if link.principal.eq_ignore_ascii_case(&who.human.principal) {
        let hint = "Ask another administrator.";
        return Err(Refused::new(StatusCode::FORBIDDEN, "own_request", "You cannot confirm your own link.", hint));
    }
    record(&app, &link, &who.human.principal, "confirmed").await?;
    if app.gateway.store.confirm_link(&link.slack, &link.principal).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found("link"))
    }
}

/// Ends a link: its owner, or an administrator.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    // Through the bot, too: whoever has the account may end its link.
    let (who, from) = match &caller {
        Caller::Acting { identity, .. } if !identity.human.is_agent() => caller.acts(&[])?,
        _ => caller.user()?,
    };
    let administers = sight::administers_all(&app.gateway, who, from);
    let link = find(&app, team, user).await?;
    if !administers && !link.principal.eq_ignore_ascii_case(&who.human.principal) {
        return Err(Refused::forbidden("Only its owner or an administrator removes a link."));
    }
    record(&app, &link, &who.human.principal, "unlinked").await?;
    if app.gateway.store.unlink(&link.slack).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found("link"))
    }
}

async fn record(app: &App, link: &Link, by: &str, what: &str) -> Result<(), Refused> {
    let entry = Entry {
        principal: Some(link.principal.clone()),
        outcome: Some(what.to_owned()),
        detail: json!({ "team": link.slack.team, "user": link.slack.user, "by": by }),
        ..Entry::new(Kind::Link)
    };
    Ok(app.gateway.log.append_durably(&entry).await?)
}
