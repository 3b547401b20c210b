//! authenticate: an OIDC token as the password, into a principal that may connect.

use std::sync::Arc;

use chrono::Utc;
use countersign_shared::duties::Human;

use super::pipe::End;
use crate::{
    config::ConnectionConfig,
    directory,
    identity::Identity,
    log::{Entry, Kind},
    metrics::LoginResult,
    refusal::Farewell,
    runtime::Gateway,
    statement::{
        decide::{Asker, SessionFacts, permits},
        effect::{Action, Effect},
    },
    store::StoreError,
    wire::{frame, startup::Startup},
};

/// Who is connected, to what.
pub struct Admitted {
    /// The verified token.
    pub identity: Identity,
    /// The connection, with this principal's login upstream.
    pub connection: ConnectionConfig,
}

/// Asks for the password, and admits whoever policy permits to connect.
///
/// # Errors
/// What the client reads before it is closed.
pub async fn authenticate(
    gateway: &Arc<Gateway>,
    client: &mut End,
    startup: &Startup,
    address: &str,
) -> Result<Admitted, Farewell> {
    let mut result = check(gateway, client, startup, address).await;
    let mut entry = Entry::new(if result.is_ok() { Kind::Login } else { Kind::LoginRefused });
    entry.connection = startup.get("database").or_else(|| startup.get("user")).map(str::to_owned);
    entry.detail = serde_json::json!({ "address": address, "application": startup.get("application_name") });
    match &result {
        Ok(admitted) => {
            entry.principal = Some(admitted.identity.human.principal.clone());
            entry.detail["login"] = admitted.connection.upstream.user.clone().into();
        }
        Err(Farewell::NotAllowed { principal, .. } | Farewell::Gone { principal, .. }) => {
            entry.principal = Some(principal.clone())
        }
        Err(_) => {}
    }
    entry.outcome = Some(match &result {
        Ok(_) => "ok".to_owned(),
        Err(Farewell::Token(refused)) => refused.to_string(),
        Err(Farewell::Gone { principal, how, .. }) => format!("{principal} was {} in the directory", how.as_str()),
        Err(farewell) => format!("{farewell:?}").chars().take(200).collect(),
    });
    gateway.metrics.login(match &result {
        Ok(_) => LoginResult::Accepted,
        Err(Farewell::Token(_)) => LoginResult::TokenRefused,
        Err(Farewell::Unavailable | Farewell::Upstream) => LoginResult::Unavailable,
        Err(_) => LoginResult::Denied,
    });
    if gateway.log.append_durably(&entry).await.is_err() {
        result = Err(Farewell::Unavailable);
    }
    result
}

async fn check(
    gateway: &Arc<Gateway>,
    client: &mut End,
    startup: &Startup,
    address: &str,
) -> Result<Admitted, Farewell> {
    if let Some(negotiation) = startup.negotiation() {
        client.send(&negotiation);
    }
    client.send(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]);
    let token = password(client).await?;
    let identity = gateway.issuers.verify(&token).await.map_err(Farewell::Token)?;
    drop(token);
    match startup.get("user") {
        Some(user) if !user.is_empty() && !user.eq_ignore_ascii_case(&identity.human.principal) => {
            return Err(Farewell::OtherUser);
        }
        _ => {}
    }
    let name = startup.get("database").or_else(|| startup.get("user")).unwrap_or_default();
    let identity = directory::admit(gateway, identity).await.map_err(|error| match error {
        StoreError::BoundToAnother { .. } => Farewell::OtherUser,
        StoreError::Gone { principal, how } => Farewell::Gone { connection: name.to_owned(), principal, how },
        error => {
            tracing::error!(%error, "a login could not be written down");
            Farewell::Unavailable
        }
    })?;
    let Human { principal, .. } = &identity.human;
    let not_allowed = || Farewell::NotAllowed { connection: name.to_owned(), principal: principal.clone() };
    let connection = gateway.config.connections.get(name).ok_or_else(not_allowed)?;
    let asker = Asker { human: identity.human.clone(), groups: identity.groups.clone(), roles: Vec::new() };
    if may_connect(gateway, &asker, connection, address, startup.get("application_name").unwrap_or_default()) {
        Ok(Admitted { connection: connection.as_seen_by(&asker.groups, &asker.roles), identity })
    } else {
        Err(not_allowed())
    }
}

/// Whether policy permits `connect`, now.
#[must_use]
pub fn may_connect(
    gateway: &Gateway,
    asker: &Asker,
    connection: &ConnectionConfig,
    address: &str,
    application: &str,
) -> bool {
    let session = SessionFacts { application: application.to_owned(), address: address.to_owned() };
    let connect = Effect::on_connection(Action::Connect);
    permits(&gateway.policies(), asker, (&connection.name, &connection.tags), &connect, &session, Utc::now())
}

async fn password(client: &mut End) -> Result<String, Farewell> {
    let gone = |_| Farewell::Protocol { message: "the client closed before its password".into() };
    let bad = |message: &str| Farewell::Protocol { message: message.into() };
    client.flush().await.map_err(gone)?;
    loop {
        let head = frame::head(&client.input, |_| frame::LOGIN_CAP).map_err(|v| bad(&v.to_string()))?;
        if let Some(head) = head {
            if head.tag != b'p' {
                return Err(bad("a password was asked for, and something else came"));
            }
            if client.input.len() >= head.size {
                let body = client.input.split_to(head.size);
                let text = body[frame::HEAD..].strip_suffix(&[0]).unwrap_or_default();
                let text = std::str::from_utf8(text).map_err(|_| bad("the password is not text"))?;
                return Ok(text.trim().to_owned());
            }
        }
        client.read().await.map_err(gone)?;
    }
}
