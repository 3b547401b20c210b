//! `GET /v1/grants`, `GET /v1/grants/{id}`, `DELETE /v1/grants/{id}`.

use std::collections::HashMap;

use axum::{
    extract::{Path, Query, State},
    response::Json,
};
use chrono::Utc;
use countersign_shared::{api::GrantView, ids::GrantId};

use super::{App, answer::Refused, caller::Caller, sight};
use crate::{
    access::end::end_grant,
    approval::view::slack_of,
    runtime::Gateway,
    store::{Grant, GrantEnd, GrantFilter, How, StoreError, Term},
};

/// A grant as people see it: by the terms that we sealed.
pub(super) fn view(gateway: &Gateway, grant: &Grant) -> GrantView {
    let Grant { first, end, .. } = grant;
    let sealed: Vec<&Term> = grant.terms().filter(|term| gateway.seal.verify_term(term)).collect();
    let mut approved_by: Vec<String> = Vec::new();
    for approver in sealed.iter().flat_map(|term| &term.approved_by) {
        if !approved_by.contains(approver) {
            approved_by.push(approver.clone());
        }
    }
    let state = match end {
        Some(end) => end.how.as_str(),
        None if gateway.grants.get(&first.grant).is_some() => "active",
        None => How::Expired.as_str(),
    };
    GrantView {
        id: first.grant.clone(),
        principal: first.human.principal.clone(),
        owner: first.human.owner.clone(),
        connection: first.connection.clone(),
        role: first.role.clone(),
        reason: first.reason.clone(),
        created_at: first.from,
        expires_at: sealed.last().map_or(first.from, |term| term.until),
        seconds: u64::try_from((first.until - first.from).num_seconds()).unwrap_or_default(),
        request: first.request.clone(),
        slack: None,
        approved_by,
        state: state.to_owned(),
        ended_at: end.as_ref().map(|end| end.at),
        ended_by: end.as_ref().and_then(|end| end.by.clone()),
    }
}

/// Whether `caller` sees a grant.
fn sees(gateway: &Gateway, caller: &Caller, grant: &Grant) -> bool {
    match caller {
        Caller::Bot => true,
        Caller::Known { identity, from, .. } | Caller::Acting { identity, from, .. } => {
            sight::sees_grant(gateway, identity, from, grant)
        }
        Caller::Click { .. } => false,
    }
}

/// `?state=active|all&principal=…&limit=…`, the newest first.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<GrantView>>, Refused> {
    let Query(query) = query.map_err(|_| Refused::bad_request("The query can't be read."))?;
    let open = match query.get("state").map(String::as_str) {
        None | Some("active") => true,
        Some("all") => false,
        Some(_) => return Err(Refused::bad_request("`state` is `active` or `all`.")),
    };
    let limit = query.get("limit").map_or(Ok(100), |limit| limit.parse::<u32>());
    let limit = limit.map_err(|_| Refused::bad_request("`limit` is not a number."))?.clamp(1, 1_000);
    let filter = GrantFilter { open, principal: query.get("principal").map(|who| who.to_ascii_lowercase()), limit };
    let grants = app.gateway.store.grants(&filter).await?;
    let mut views: Vec<GrantView> = grants
        .iter()
        .filter(|grant| sees(&app.gateway, &caller, grant))
        .map(|grant| view(&app.gateway, grant))
        .collect();
    views.retain(|view| !open || view.state == "active");
    for view in &mut views {
        tell_bot_who(&app, &caller, view).await?;
    }
    Ok(Json(views))
}

/// The bot tells holders of their grants, and so must know who they are in Slack.
async fn tell_bot_who(app: &App, caller: &Caller, view: &mut GrantView) -> Result<(), StoreError> {
    if matches!(caller, Caller::Bot) {
        view.slack = slack_of(&app.gateway, view.owner.as_deref().unwrap_or(&view.principal)).await?;
    }
    Ok(())
}

pub(super) async fn visible(app: &App, caller: &Caller, id: &str) -> Result<Grant, Refused> {
    let absent = || Refused::not_found("grant");
    let id: GrantId = id.parse().map_err(|_| absent())?;
    let grant = app.gateway.store.grant(&id).await?.ok_or_else(absent)?;
    if sees(&app.gateway, caller, &grant) { Ok(grant) } else { Err(absent()) }
}

/// One grant. What the caller may not see is not there.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GrantView>, Refused> {
    let grant = visible(&app, &caller, &id).await?;
    let mut view = view(&app.gateway, &grant);
    tell_bot_who(&app, &caller, &mut view).await?;
    Ok(Json(view))
}

/// Ends a grant now: given back by its holder, revoked by whoever else may.
pub(super) async fn end(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<GrantView>, Refused> {
    let (who, from) = caller.acts(&[])?;
    let grant = visible(&app, &caller, &id).await?;
    if !sight::ends_grant(&app.gateway, who, from, &grant) {
        let error = "Only its holder, its approvers and who administers the connection may end a grant.";
        return Err(Refused::forbidden(error));
    }
    let how = if grant.first.human == who.human { How::Done } else { How::Revoked };
    let end = GrantEnd { at: Utc::now(), how, by: Some(who.human.principal.clone()), reason: None };
    let gateway = std::sync::Arc::clone(&app.gateway);
    let id = grant.first.grant.clone();
    // Goes on where the caller hangs up in the middle.
    let ended = tokio::spawn(async move {
        let ended = end_grant(&gateway, &id, end).await?;
        let after = gateway.store.grant(&id).await?.ok_or(StoreError::NotFound("grant"))?;
        Ok::<_, StoreError>((ended, view(&gateway, &after)))
    });
    match ended.await.map_err(|error| Refused::unavailable(&error))?? {
        (true, view) => Ok(Json(view)),
        (false, view) => {
            let error = format!("The grant has ended already: it is {}.", view.state);
            Err(Refused::from(crate::approval::say::problem("over", error, None)))
        }
    }
}
