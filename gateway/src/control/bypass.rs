//! `POST /v1/connections/{name}/bypass`: who is on a connection's database and did not come through. What is seen is an
//! entry.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Json,
};
use countersign_shared::api::BypassView;

use super::{App, answer::Refused, caller::Caller, sight};
use crate::bypass;

pub(super) async fn look(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<BypassView>, Refused> {
    let gateway = &app.gateway;
    let (who, from) = caller.known()?;
    // One that is not there and one that they may not audit look alike.
    let connection = gateway.config.connections.get(&name);
    let connection = connection.filter(|_| sight::audited(gateway, who, from).contains(&name));
    let Some(connection) = connection else {
        return Err(Refused::forbidden("Only who may `audit` a connection sees who else is on its database."));
    };
    let view = bypass::look(connection).await.map_err(|why| {
        tracing::warn!(connection = name, why, "bypass");
        Refused::new(
            StatusCode::BAD_GATEWAY,
            "unavailable",
            "The database can't be asked.",
            "The gateway's log says why.",
        )
    })?;
    gateway.log.append_durably(&bypass::entry(&view, &who.human.principal)).await?;
    Ok(Json(view))
}
