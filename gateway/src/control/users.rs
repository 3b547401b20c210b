//! `GET /v1/users`, `GET /v1/users/{id}`: everybody whom the gateway or the directory knows.

use axum::{
    extract::{Path, State},
    response::Json,
};
use countersign_shared::api::UserView;

use super::{App, answer::Refused, caller::Caller, sight};
use crate::store::directory::Account;

/// Everybody, by principal.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<UserView>>, Refused> {
    Ok(Json(accounts(&app, &caller).await?.into_iter().map(view).collect()))
}

/// One, by principal or by id in the directory.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<UserView>, Refused> {
    let named = |account: &Account| {
        account.principal.eq_ignore_ascii_case(&id) || account.directory.as_ref().is_some_and(|own| own.as_str() == id)
    };
    let found = accounts(&app, &caller).await?.into_iter().find(named);
    found.map(|account| Json(view(account))).ok_or_else(|| Refused::not_found("user"))
}

async fn accounts(app: &App, caller: &Caller) -> Result<Vec<Account>, Refused> {
    let (who, from) = caller.known()?;
    if !sight::reads_people(&app.gateway, who, from) {
        return Err(Refused::forbidden("Only who administers or audits every connection reads who there is."));
    }
    Ok(app.gateway.store.accounts().await?)
}

fn view(account: Account) -> UserView {
    let (issuer, subject, owner) = match account.human {
        Some(human) => (Some(human.issuer), Some(human.subject), human.owner),
        None => (None, None, None),
    };
    UserView {
        principal: account.principal,
        state: account.gone.map_or("active", |gone| gone.as_str()).to_owned(),
        display_name: account.display_name,
        owner,
        groups: account.groups,
        issuer,
        subject,
        first_seen: account.first_seen,
        last_seen: account.last_seen,
        directory: account.directory.map(|id| id.to_string()),
    }
}
