//! `PUT /v1/requests/{id}/card`: the bot says where it posted, once.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use countersign_shared::{api::CardBody, ids::RequestId};

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
};

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(card): Body<CardBody>,
) -> Result<StatusCode, Refused> {
    caller.bot()?;
    let absent = || Refused::not_found("request");
    let id: RequestId = id.parse().map_err(|_| absent())?;
    let store = &app.gateway.store;
    let request = store.request(&id).await?.ok_or_else(absent)?;
    // The bot may ask again when it did not hear the answer.
    if request.card.as_ref() == Some(&card) || store.set_card(&id, &card).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let hint = "Update that card instead, and delete yours.";
    Err(Refused::new(StatusCode::CONFLICT, "conflict", "This request has another card already.", hint))
}
