//! authenticate: an OIDC token, as the password or by SASL OAUTHBEARER, into a principal that may connect.
//!
//! Every driver can send a password; few know OAUTHBEARER, and a server says which it wants before it
//! knows the client. So a client that wants the latter says so: `options=-c countersign.login=oauth`.

use std::sync::Arc;

use bytes::Bytes;
use chrono::Utc;
use countersign_shared::{duties::Human, ids::SessionId};

use super::pipe::End;
use crate::{
    access::book::Now,
    config::ConnectionConfig,
    directory,
    identity::{Identity, TokenRefused},
    log::{Entry, Kind},
    metrics::LoginResult,
    refusal::{Farewell, Refusal},
    runtime::Gateway,
    statement::{
        decide::{Asker, SessionFacts, permits_by},
        effect::{Action, Effect},
    },
    store::StoreError,
    wire::{
        Violation,
        bearer::{self, Said},
        frame,
        startup::Startup,
    },
};

/// Who is connected, to what.
pub struct Admitted {
    /// The verified token.
    pub identity: Identity,
    /// The connection, with this principal's login upstream.
    pub connection: ConnectionConfig,
    /// The roles that grants gave at the login.
    pub roles: Vec<String>,
    /// Whether the login upstream is had for one of them.
    pub login_by_role: bool,
    /// What the session will be called.
    pub session: SessionId,
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
            entry.session = Some(admitted.session.clone());
            let Identity { human, groups, .. } = &admitted.identity;
            entry.detail["groups"] = groups.clone().into();
            entry.detail["issuer"] = human.issuer.clone().into();
            entry.detail["subject"] = human.subject.clone().into();
            if let Some(owner) = &human.owner {
                entry.detail["owner"] = owner.clone().into();
            }
        }
        Err(Farewell::NotAllowed { principal, .. } | Farewell::Gone { principal, .. }) => {
            entry.principal = Some(principal.clone())
        }
        Err(_) => {}
    }
    entry.outcome = Some(match &result {
        Ok(_) => "ok".to_owned(),
        Err(Farewell::Token(refused)) => refused.inside(),
        Err(Farewell::TokenEnded { reason }) => format!("the token counts no more: {reason}"),
        Err(Farewell::Gone { principal, how, .. }) => format!("{principal} was {} in the directory", how.as_str()),
        Err(farewell) => format!("{farewell:?}").chars().take(200).collect(),
    });
    gateway.metrics.login(match &result {
        Ok(_) => LoginResult::Accepted,
        Err(Farewell::Token(_) | Farewell::TokenEnded { .. }) => LoginResult::TokenRefused,
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
    let identity = match super::facts::own_option(startup, "login").as_deref() {
        Some("oauth") => bearer(gateway, client, startup).await?,
        Some("password") | None => {
            client.send(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]);
            gateway.issuers.verify(&password(client).await?).await.map_err(Farewell::Token)?
        }
        Some(_) => {
            let message = "countersign.login is password or oauth".to_owned();
            return Err(Farewell::Startup(Refusal::OwnSetting { message }));
        }
    };
    match startup.get("user") {
        Some(user) if !user.is_empty() && !user.eq_ignore_ascii_case(&identity.human.principal) => {
            return Err(Farewell::OtherUser);
        }
        _ => {}
    }
    let name = startup.get("database").or_else(|| startup.get("user")).unwrap_or_default();
    let identity = directory::admit(gateway, identity).await.map_err(|error| match error {
        StoreError::BoundToAnother { .. } => Farewell::OtherUser,
        StoreError::TokenEnded { reason } => Farewell::TokenEnded { reason },
        StoreError::Gone { principal, how } => Farewell::Gone { connection: name.to_owned(), principal, how },
        error => {
            tracing::error!(%error, "a login could not be written down");
            Farewell::Unavailable
        }
    })?;
    let Human { principal, .. } = &identity.human;
    let not_allowed = || Farewell::NotAllowed { connection: name.to_owned(), principal: principal.clone() };
    let connection = gateway.config.connections.get(name).ok_or_else(not_allowed)?;
    let roles = gateway.grants.roles_of(&identity.human, name, Now::read()).names;
    let asker = Asker { human: identity.human.clone(), groups: identity.groups.clone(), roles };
    if may_connect(gateway, &asker, connection, address, startup.get("application_name").unwrap_or_default()) {
        let with_roles = connection.as_seen_by(&asker.groups, &asker.roles);
        let login_by_role = with_roles.upstream.user != connection.as_seen_by(&asker.groups, &[]).upstream.user;
        let session = SessionId::random();
        Ok(Admitted { connection: with_roles, roles: asker.roles, login_by_role, identity, session })
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
    let (policies, on) = (gateway.policies(), (connection.name.as_str(), &connection.tags));
    let by = permits_by(&policies, asker, on, &connect, &session, Utc::now());
    by.map(|by| policies.permissions().mark(&by)).is_some()
}

/// SASL OAUTHBEARER. Who has no token, or none that is good, is told where to get one first.
async fn bearer(gateway: &Gateway, client: &mut End, startup: &Startup) -> Result<Identity, Farewell> {
    let bad = |violation: Violation| Farewell::Protocol { message: violation.to_string() };
    client.send(&bearer::offer());
    let refused = match bearer::first(&answer(client).await?).map_err(bad)? {
        Said::Token(token) => match gateway.issuers.verify(&token).await {
            Ok(identity) => return Ok(identity),
            Err(refused) => refused,
        },
        Said::Asks => TokenRefused::Invalid("the client had none, and was told where to sign in"),
    };
    let issuers = gateway.issuers.names();
    let chosen = super::facts::own_option(startup, "issuer");
    let issuer = chosen.filter(|name| issuers.contains(&name.as_str()));
    let issuer = issuer.unwrap_or_else(|| issuers.first().copied().unwrap_or_default().to_owned());
    let configuration = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    client.send(&bearer::refuse(&configuration, "openid email profile"));
    // The client owes a word that says nothing (RFC 7628 §3.2.3).
    answer(client).await?;
    Err(Farewell::Token(refused))
}

async fn password(client: &mut End) -> Result<String, Farewell> {
    let bad = |message: &str| Farewell::Protocol { message: message.into() };
    let body = answer(client).await?;
    let text = body.strip_suffix(&[0]).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| bad("the password is not text"))?;
    Ok(text.trim().to_owned())
}

/// The body of the client's next message, which must answer a question of the login's.
async fn answer(client: &mut End) -> Result<Bytes, Farewell> {
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
                return Ok(client.input.split_to(head.size).freeze().slice(frame::HEAD..));
            }
        }
        client.read().await.map_err(gone)?;
    }
}
