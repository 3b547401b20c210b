//! `POST /v1/access`, `POST /v1/grants/{id}/extend`: somebody asks for a role, or for more time.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Json,
};
use countersign_shared::{
    api::{AccessAnswer, AccessBody, AccessOption, ExtendBody},
    ids::GrantId,
};

use super::{
    App,
    answer::{Exact, Refused},
    caller::Caller,
    grants,
};
use crate::{
    access::ask::{self, Answer, Petitioner},
    approval::view::view,
};

fn petitioner(caller: &Caller, body: &[u8]) -> Result<Petitioner, Refused> {
    let (who, from) = caller.acts(body)?;
    Ok(Petitioner { human: who.human.clone(), groups: who.groups.clone(), from: from.clone() })
}

/// What there is to ask for, for whoever asks.
pub(super) async fn options(State(app): State<App>, caller: Caller) -> Result<Json<Vec<AccessOption>>, Refused> {
    let who = petitioner(&caller, &[])?;
    Ok(Json(ask::options(&app.gateway, &who).await?))
}

/// Asks for a role.
pub(super) async fn ask(
    State(app): State<App>,
    caller: Caller,
    Exact(body, bytes): Exact<AccessBody>,
) -> Result<(StatusCode, Json<AccessAnswer>), Refused> {
    let who = petitioner(&caller, &bytes)?;
    let answer = ask::ask(&app.gateway, &who, &body).await?;
    told(&app, answer).await
}

/// Asks for more time.
pub(super) async fn extend(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Exact(body, bytes): Exact<ExtendBody>,
) -> Result<(StatusCode, Json<AccessAnswer>), Refused> {
    let who = petitioner(&caller, &bytes)?;
    let id: GrantId = id.parse().map_err(|_| Refused::not_found("grant"))?;
    let answer = ask::extend(&app.gateway, &who, &id, &body).await?;
    told(&app, answer).await
}

async fn told(app: &App, answer: Answer) -> Result<(StatusCode, Json<AccessAnswer>), Refused> {
    let answer = match answer {
        Answer::Given(grant) => {
            let grant = grants::view(&app.gateway, &grant);
            let until = grant.expires_at.format("%Y-%m-%d %H:%M:%S UTC");
            let message = format!("You have {} on {} until {until}.", grant.role, grant.connection);
            AccessAnswer { message, grant: Some(grant), request: None }
        }
        Answer::Waits(request) => {
            let view = view(&app.gateway, &request).await?;
            let by = match view.needed.from.as_slice() {
                [] => "somebody who may approve it".to_owned(),
                groups => groups.join(" or "),
            };
            let message = format!("Request {} waits for {by}.", view.id);
            AccessAnswer { message, grant: None, request: Some(view) }
        }
    };
    Ok((StatusCode::CREATED, Json(answer)))
}
