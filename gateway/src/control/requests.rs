//! `GET /v1/requests`, `GET /v1/requests/{id}`.

use std::collections::HashMap;

use axum::{
    extract::{Path, Query, State},
    response::Json,
};
use chrono::Utc;
use countersign_shared::{api::RequestView, ids::RequestId, request::State as RequestState};

use super::{App, answer::Refused, caller::Caller, sight};
use crate::{
    approval::{view::view, whom},
    store::{Request, RequestFilter, allowances::OpenFilter},
};

/// So many are looked at, at most.
const MOST: u32 = 1_000;

/// `?state=pending,approved&principal=…&limit=…`, the newest first; `decidable=true`: only what the caller
/// may decide on.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<RequestView>>, Refused> {
    let Query(query) = query.map_err(|_| Refused::bad_request("The query can't be read."))?;
    let mut filter = filter(&query)?;
    let (gateway, mut views) = (&app.gateway, Vec::new());
    match query.get("allowed").map(String::as_str) {
        None => {}
        Some("open") => return open(&app, &caller, filter.principal).await.map(Json),
        Some(_) => return Err(Refused::bad_request("`allowed` is `open`.")),
    }
    let decidable = query.get("decidable").is_some_and(|value| value == "true");
    let most = filter.most() as usize;
    if decidable {
        // What others decide on does not use up the places of what the caller does.
        filter.limit = MOST;
    }
    for request in gateway.store.requests(&filter).await? {
        if views.len() >= most {
            break;
        }
        let decides = !decidable || sight::caller_may_decide(gateway, &caller, &request);
        if decides && sight::caller_sees(gateway, &caller, &request) {
            views.push(view(gateway, &request).await?);
        }
    }
    Ok(Json(views))
}

/// What is allowed for a time now: what the caller sees, or administers.
async fn open(app: &App, caller: &Caller, principal: Option<String>) -> Result<Vec<RequestView>, Refused> {
    let (gateway, mut views) = (&app.gateway, Vec::new());
    for one in gateway.store.open_allowances(&OpenFilter { principal, connection: None }).await? {
        let Some(request) = gateway.store.request(&one.request).await? else { continue };
        if sight::caller_sees(gateway, caller, &request) || sight::caller_administers(gateway, caller, &one.connection)
        {
            views.push(view(gateway, &request).await?);
        }
    }
    views.retain(|view| view.allowance.as_ref().is_some_and(|allowance| allowance.state == "open"));
    Ok(views)
}

fn filter(query: &HashMap<String, String>) -> Result<RequestFilter, Refused> {
    let names = query.get("state").map(String::as_str).unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let states: Option<Vec<_>> = names.map(RequestState::from_name).collect();
    let states = states.ok_or_else(|| Refused::bad_request("`state` names no state of a request."))?;
    let limit = query.get("limit").map_or(Ok(0), |limit| limit.parse::<u32>());
    let limit = limit.map_err(|_| Refused::bad_request("`limit` is not a number."))?.min(MOST);
    Ok(RequestFilter { states, principal: query.get("principal").map(|who| who.to_ascii_lowercase()), limit })
}

/// One request. What the caller may not see is not there.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RequestView>, Refused> {
    let request = visible(&app, &caller, &id).await?;
    let mut view = view(&app.gateway, &request).await?;
    if matches!(caller, Caller::Bot) {
        view.approvers = whom::asked(&app.gateway, &request, Utc::now()).await?;
    }
    Ok(Json(view))
}

async fn visible(app: &App, caller: &Caller, id: &str) -> Result<Request, Refused> {
    let absent = || Refused::not_found("request");
    let id: RequestId = id.parse().map_err(|_| absent())?;
    let request = app.gateway.store.request(&id).await?.ok_or_else(absent)?;
    if sight::caller_sees(&app.gateway, caller, &request) { Ok(request) } else { Err(absent()) }
}
