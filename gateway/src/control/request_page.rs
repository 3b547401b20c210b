//! `/requests/{id}`: a request whole, for what does not fit a card, and for decisions that need a
//! fresh sign-in.

use std::collections::HashMap;

use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    allow::{Parameters, Terms},
    api::DecisionBody,
    digest::{Digest, of_bytes},
    duties,
    ids::RequestId,
    request::{Assurance, Choice},
};

use super::{
    App, allowances,
    answer::Refused,
    browser::{self, Purpose},
    caller::Origin,
    decisions,
    pages::{self, Sorry},
    sight, sign_in,
};
use crate::{
    approval::{
        take::{Chooser, may_approve},
        view::view,
    },
    directory,
    identity::Identity,
    statement::decide::SessionFacts,
};

/// How old a proof to the provider may be to count as fresh.
const FRESH: TimeDelta = TimeDelta::minutes(5);

fn absent() -> Sorry {
    Sorry(Refused::not_found("request"))
}

pub(super) async fn open(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Sorry> {
    // Whether there is such a request is nobody's business before they sign in.
    let id: RequestId = id.parse().map_err(|_| absent())?;
    sign_in::begin(&app, &headers, &format!("/requests/{id}"), Purpose::Request(id)).await
}

pub(super) async fn open_with(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, issuer)): Path<(String, String)>,
) -> Result<Response, Sorry> {
    let id: RequestId = id.parse().map_err(|_| absent())?;
    sign_in::begin_with(&app, &headers, &issuer, Purpose::Request(id)).await
}

/// The request, with buttons for those who may decide. `who` was admitted.
pub(super) async fn show(
    app: &App,
    id: &RequestId,
    csrf: &str,
    who: &Identity,
    from: &SessionFacts,
) -> Result<Response, Sorry> {
    let now = Utc::now();
    let gateway = &app.gateway;
    let request = gateway.store.request(id).await?.ok_or_else(absent)?;
    if !sight::sees_request(gateway, who, from, &request) {
        return Err(absent());
    }
    let asked = &request.new.asked;
    let decides = may_approve(&gateway.policies(), asked, &who.human, &who.groups, now);
    // Whether it counts, is looked at again when they press it.
    let ends = decides
        || duties::acts_for(&who.human, &asked.asker.human)
        || request.approvals.iter().any(|approval| approval.approver == who.human)
        || sight::administers(gateway, who, from, &asked.connection);
    let view = view(gateway, &request).await?;
    Ok(pages::request(&view, who, csrf, pages::May { decide: decides, end: ends }))
}

/// The buttons.
pub(super) async fn choose(
    State(app): State<App>,
    from: Origin,
    headers: HeaderMap,
    Path(id): Path<String>,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Result<Response, Sorry> {
    let id: RequestId = id.parse().map_err(|_| absent())?;
    let Form(form) = form.map_err(|_| Refused::bad_request("The form can't be read."))?;
    let csrf = form.get("csrf").map(String::as_str).unwrap_or_default();
    let browser = browser::cookie(&app, &headers);
    let shown = app.sign_ins.submitted(csrf, &Purpose::Request(id.clone()), browser.as_deref());
    let shown = shown.ok_or_else(browser::stale)?;
    if form.get("choice").map(String::as_str) == Some("end") {
        let identity = directory::admit(&app.gateway, shown.who.identity).await?;
        let ended = allowances::end_for(&app, &identity, &from.0, id).await?;
        return Ok(pages::decided(&ended.request, &ended.message));
    }
    let body = read(&form)?;
    // Who has signed out or gone since the page was shown decides nothing.
    let identity = directory::admit(&app.gateway, shown.who.identity).await?;
    let who = Chooser {
        assurance: assurance(shown.who.auth_time, Utc::now()),
        evidence: format!("sign-in at {}, form sha256:{}", identity.human.issuer, of_bytes(csrf.as_bytes())),
        human: identity.human,
        groups: identity.groups,
    };
    let taken = decisions::to_the_end(&app.gateway, who, id, body).await?;
    Ok(pages::decided(&taken.request, &taken.message))
}

fn read(form: &HashMap<String, String>) -> Result<DecisionBody, Refused> {
    let choice = match form.get("choice").map(String::as_str) {
        Some("approve" | "allow") => Choice::Approve,
        Some("deny") => Choice::Deny,
        _ => return Err(Refused::bad_request("The form names no choice.")),
    };
    let digest = form.get("digest").and_then(|digest| digest.parse::<Digest>().ok());
    let digest = digest.ok_or_else(|| Refused::bad_request("The form names no digest."))?;
    let reason = form.get("reason").filter(|reason| choice == Choice::Deny && !reason.trim().is_empty()).cloned();
    let allow = form.get("choice").filter(|choice| *choice == "allow").map(|_| terms(form)).transpose()?;
    Ok(DecisionBody { choice, digest, reason, allow })
}

/// What was filled in to allow it for a time.
fn terms(form: &HashMap<String, String>) -> Result<Terms, Refused> {
    let text = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
    let bad = |what: &str| Refused::bad_request(format!("The form does not say {what}."));
    Ok(Terms {
        minutes: text("minutes").parse().map_err(|_| bad("for how many minutes"))?,
        runs: text("runs").parse().map_err(|_| bad("how many runs"))?,
        rows: text("rows").parse().map_err(|_| bad("how many rows"))?,
        parameters: match text("parameters") {
            "free" => Parameters::Free,
            "" | "pinned" => Parameters::Pinned,
            _ => return Err(bad("which parameters")),
        },
    })
}

/// A provider that does not say when somebody proved who they are says nothing about freshness.
fn assurance(auth_time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Assurance {
    let fresh = auth_time.is_some_and(|at| at <= now + TimeDelta::minutes(1) && now - at <= FRESH);
    if fresh { Assurance::StepUp } else { Assurance::Cli }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_of_the_last_five_minutes_is_fresh() {
        let now = Utc::now();
        let table = [
            (None, Assurance::Cli),
            (Some(now), Assurance::StepUp),
            (Some(now - TimeDelta::minutes(4)), Assurance::StepUp),
            (Some(now - TimeDelta::minutes(6)), Assurance::Cli),
            (Some(now + TimeDelta::minutes(6)), Assurance::Cli),
        ];
        for (at, expected) in table {
            assert_eq!(assurance(at, now), expected, "{at:?}");
        }
    }
}
