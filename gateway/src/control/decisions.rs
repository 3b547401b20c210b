//! `POST /v1/requests/{id}/decisions`: a person chooses, by token or by a click that the bot delivers.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Json,
};
use countersign_shared::{
    api::{DecisionBody, DecisionTaken, SlackRef},
    bot_token::{Claims, Purpose, SlackAccount},
    ids::RequestId,
    request::Assurance,
};

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
};
use crate::{
    approval::take::{Chooser, take},
    runtime::Gateway,
};

pub(super) async fn decide(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(body): Body<DecisionBody>,
) -> Result<Json<DecisionTaken>, Refused> {
    let id: RequestId = id.parse().map_err(|_| Refused::not_found("request"))?;
    let who = match &caller {
        Caller::Known { evidence, .. } => {
            let (identity, _) = caller.user()?;
            Chooser {
                human: identity.human.clone(),
                groups: identity.groups.clone(),
                assurance: Assurance::Cli,
                evidence: evidence.clone(),
            }
        }
        Caller::Click { claims, token } => {
            let slack = clicked(claims, &id, &body)?;
            linked(&app.gateway, slack, token.clone()).await?
        }
        Caller::Bot => {
            return Err(Refused::forbidden("The bot decides nothing; it delivers a click as its own token."));
        }
    };
    to_the_end(&app.gateway, who, id, body).await.map(Json)
}

/// Takes the choice, and goes on where the caller hangs up in the middle: what has been written
/// down must also take effect.
pub(super) async fn to_the_end(
    gateway: &Arc<Gateway>,
    who: Chooser,
    id: RequestId,
    body: DecisionBody,
) -> Result<DecisionTaken, Refused> {
    let gateway = Arc::clone(gateway);
    let work = tokio::spawn(async move { take(&gateway, &who, &id, &body).await });
    Ok(work.await.map_err(|error| Refused::unavailable(&error))??)
}

/// The account whose click this is, where token, path and body speak of the same.
fn clicked<'a>(claims: &'a Claims, id: &RequestId, body: &DecisionBody) -> Result<&'a SlackAccount, Refused> {
    let Purpose::Decision { request, digest, choice, reason, slack } = &claims.purpose else {
        return Err(Refused::forbidden("This token delivers no click."));
    };
    let same = request == id && *digest == body.digest && *choice == body.choice && *reason == body.reason;
    if !same || claims.sub != format!("{}/{}", slack.team, slack.user) {
        return Err(Refused::bad_request("The click is signed for something else than is asked."));
    }
    if !slack.full_member {
        return Err(Refused::forbidden("Only full members of this Slack workspace decide on requests."));
    }
    Ok(slack)
}

/// The person whom a Slack account is linked to, as they were last seen.
async fn linked(gateway: &Gateway, slack: &SlackAccount, token: String) -> Result<Chooser, Refused> {
    let not_linked = |error: &str, hint: &str| Refused::new(StatusCode::FORBIDDEN, "not_linked", error, hint);
    let account = SlackRef { team: slack.team.clone(), user: slack.user.clone() };
    let link = gateway.store.link_of_slack(&account).await?.ok_or_else(|| {
        not_linked("Your Slack account is not linked to an identity yet.", "Type `/access link` and sign in.")
    })?;
    if !link.confirmed {
        let hint = "Ask an administrator to confirm it.";
        return Err(not_linked("Your Slack account's link waits for an administrator.", hint));
    }
    let person = gateway.store.person(&link.principal).await?.ok_or_else(|| {
        not_linked("The identity behind your Slack account is not known any more.", "Type `/access link` and sign in.")
    })?;
    Ok(Chooser { human: person.human, groups: person.groups, assurance: Assurance::Slack, evidence: token })
}
