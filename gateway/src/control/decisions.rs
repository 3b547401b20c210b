//! `POST /v1/requests/{id}/decisions`: a person chooses, by token or by a click that the bot delivers.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Json,
};
use countersign_shared::{
    api::{DecisionBody, DecisionTaken},
    bot_token::{Claims, Purpose, SlackAccount},
    ids::RequestId,
    request::Assurance,
};

use super::{
    App,
    answer::{Body, Refused},
    caller::{Caller, linked},
};
use crate::{
    approval::take::{Chooser, take},
    runtime::Gateway,
    statement::decide::Known,
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
            let Known { human, groups } = linked(&app.gateway, claims, slack).await?;
            Chooser { human, groups, assurance: Assurance::Slack, evidence: token.clone() }
        }
        Caller::Bot | Caller::Acting { .. } => {
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
    let Purpose::Decision { request, digest, choice, reason, allow, slack } = &claims.purpose else {
        return Err(Refused::forbidden("This token delivers no click."));
    };
    let same = request == id
        && *digest == body.digest
        && *choice == body.choice
        && *reason == body.reason
        && *allow == body.allow;
    if same { Ok(slack) } else { Err(Refused::bad_request("The click is signed for something else than is asked.")) }
}
