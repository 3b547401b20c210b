//! `/v1/links`: which Slack account is whose.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Json,
};
use chrono::{TimeDelta, Utc};
use countersign_shared::api::{LinkBody, LinkChoiceBody, LinkStarted, LinkView, ListedLink, SlackRef, WaitingLink};
use serde_json::json;

use super::{
    App,
    answer::{Body, Refused},
    browser::unguessable,
    caller::Caller,
    sight,
};
use crate::{
    approval::view::slack_of,
    identity::Identity,
    log::{Entry, Kind},
    statement::decide::SessionFacts,
    store::{Link, PendingLink},
};

/// How long a link to sign in at is good.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// So many administrators are asked about a link.
const MOST_ASKED: usize = 8;

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

fn listed(one: crate::store::ListedLink) -> ListedLink {
    ListedLink { link: view(one.link), slack_name: one.name, slack_email: one.email, made_at: one.made_at }
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
    Ok(Json(app.gateway.store.links().await?.into_iter().map(listed).collect()))
}

/// What waits for an administrator, and whom the bot may ask; for the bot alone.
pub(super) async fn waiting(State(app): State<App>, caller: Caller) -> Result<Json<Vec<WaitingLink>>, Refused> {
    caller.bot()?;
    let store = &app.gateway.store;
    let links: Vec<_> = store.links().await?.into_iter().filter(|one| !one.link.confirmed).collect();
    if links.is_empty() {
        return Ok(Json(Vec::new()));
    }
    let mut administrators = Vec::new();
    for one in store.people().await? {
        if administrators.len() < MOST_ASKED
            && !one.human.is_agent()
            && sight::known_administers_all(&app.gateway, &one)
            && let Some(slack) = slack_of(&app.gateway, &one.human.principal).await?
        {
            administrators.push((one.human.principal, slack));
        }
    }
    let waits = |one: crate::store::ListedLink| {
        let others = administrators.iter().filter(|(who, _)| !who.eq_ignore_ascii_case(&one.link.principal));
        WaitingLink { administrators: others.map(|(_, slack)| slack.clone()).collect(), link: listed(one) }
    };
    Ok(Json(links.into_iter().map(waits).collect()))
}

/// An administrator confirms a link whose e-mail addresses differ; never their own. With `?principal=` only where the
/// account is still linked to that one; through the bot, with [`LinkChoiceBody`].
pub(super) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let Query(query) = query.map_err(|_| Refused::bad_request("The query can't be read."))?;
    let (who, principal) = match &caller {
        Caller::Acting { .. } => chooses(&app, &caller, &body).map(|(who, principal)| (who, Some(principal)))?,
        _ => (administrator(&app, caller.user()?)?, query.get("principal").cloned()),
    };
    let link = still(&app, (team, user), principal.as_deref()).await?;
    not_own(who, &link)?;
    record(&app, &link, &who.human.principal, "confirmed").await?;
    if app.gateway.store.confirm_link(&link.slack, &link.principal).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found("link"))
    }
}

/// An administrator ends a link that waits, through the bot or not; never their own.
pub(super) async fn refuse(
    State(app): State<App>,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let (who, principal) = chooses(&app, &caller, &body)?;
    let link = still(&app, (team, user), Some(&principal)).await?;
    not_own(who, &link)?;
    if link.confirmed {
        let error = "This link was confirmed already.";
        return Err(Refused::new(StatusCode::CONFLICT, "conflict", error, "`countersign users unlink` ends it."));
    }
    record(&app, &link, &who.human.principal, "refused").await?;
    if app.gateway.store.unlink(&link.slack).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::not_found("link"))
    }
}

fn administrator<'c>(app: &App, (who, from): (&'c Identity, &SessionFacts)) -> Result<&'c Identity, Refused> {
    if who.human.is_agent() || !sight::administers_all(&app.gateway, who, from) {
        return Err(Refused::forbidden("Only an administrator of every connection confirms or refuses links."));
    }
    Ok(who)
}

/// Which administrator chooses, and about whose link.
fn chooses<'c>(app: &App, caller: &'c Caller, body: &[u8]) -> Result<(&'c Identity, String), Refused> {
    let who = administrator(app, caller.acts(body)?)?;
    let body: LinkChoiceBody = serde_json::from_slice(body)
        .map_err(|_| Refused::bad_request("The body names no principal: {\"principal\": \"…\"}."))?;
    Ok((who, body.principal))
}

/// The link, if it is still that principal's.
async fn still(app: &App, (team, user): (String, String), principal: Option<&str>) -> Result<Link, Refused> {
    let link = find(app, team, user).await?;
    if principal.is_some_and(|principal| !principal.eq_ignore_ascii_case(&link.principal)) {
        let error = format!("This Slack account is linked to {}.", link.principal);
        return Err(Refused::new(StatusCode::CONFLICT, "conflict", error, "Look at the list of links again."));
    }
    Ok(link)
}

fn not_own(who: &Identity, link: &Link) -> Result<(), Refused> {
    if link.principal.eq_ignore_ascii_case(&who.human.principal) {
        let hint = "Ask another administrator.";
        return Err(Refused::new(StatusCode::FORBIDDEN, "own_request", "You cannot decide on your own link.", hint));
    }
    Ok(())
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
