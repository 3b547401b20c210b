//! Who calls: a person or an agent with an OIDC token, or the bot with its own.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{StatusCode, header, request::Parts},
};
use chrono::{DateTime, Utc};
use countersign_shared::{
    api::SlackRef,
    bot_token::{Claims, Purpose, SlackAccount},
    digest::{Digest, of_bytes},
};

use super::{App, answer::Refused};
use crate::{
    directory,
    identity::{Identity, TokenRefused},
    runtime::Gateway,
    statement::decide::{Known, SessionFacts},
    store::StoreError,
};

/// `context.session` of somebody who calls: where the connection comes from. `0.0.0.0` where it is
/// not known, which no rule about addresses lets in.
pub(super) struct Origin(pub SessionFacts);

impl Origin {
    fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let address = peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()).to_string();
        Self(SessionFacts { application: "control".into(), address })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// A verified caller.
#[derive(Debug)]
pub(super) enum Caller {
    /// A user or an agent. The token itself is gone; its digest stays as evidence.
    Known { identity: Identity, from: SessionFacts, evidence: String },
    /// The bot, for itself.
    Bot,
    /// The bot, with somebody's click.
    Click { claims: Box<Claims>, token: String },
    /// The bot, with what a linked person asked for.
    Acting { identity: Identity, from: SessionFacts, body: Digest },
}

impl Caller {
    /// Only the bot itself.
    pub(super) fn bot(&self) -> Result<(), Refused> {
        match self {
            Self::Bot => Ok(()),
            _ => Err(Refused::forbidden("Only the bot may do this.")),
        }
    }

    /// A user or an agent, and from where; never the bot.
    pub(super) fn known(&self) -> Result<(&Identity, &SessionFacts), Refused> {
        match self {
            Self::Known { identity, from, .. } => Ok((identity, from)),
            _ => Err(Refused::forbidden("Only somebody who is signed in may do this.")),
        }
    }

    /// Whoever acts: somebody who is signed in, or a linked person through the bot, who signed for `body`.
    pub(super) fn acts(&self, body: &[u8]) -> Result<(&Identity, &SessionFacts), Refused> {
        match self {
            Self::Known { identity, from, .. } => Ok((identity, from)),
            Self::Acting { identity, from, body: signed } if *signed == of_bytes(body) => Ok((identity, from)),
            Self::Acting { .. } => Err(Refused::bad_request("The call is signed for another body than it has.")),
            _ => Err(Refused::forbidden("Only somebody who is signed in may do this.")),
        }
    }

    /// A person; never an agent or the bot.
    pub(super) fn user(&self) -> Result<(&Identity, &SessionFacts), Refused> {
        match self {
            Self::Known { identity, from, .. } if !identity.human.is_agent() => Ok((identity, from)),
            _ => Err(Refused::forbidden("Only a person who is signed in may do this.")),
        }
    }
}

/// Whether somebody who was let in would still be: their token counts, and the directory knows them. They keep the groups
/// that they still have.
pub(super) async fn still(gateway: &Gateway, identity: &mut Identity) -> Result<bool, StoreError> {
    if identity.expires_at <= Utc::now() {
        return Ok(false);
    }
    if let Some(token) = &identity.token
        && gateway.store.token_ended(token).await?.is_some()
    {
        return Ok(false);
    }
    let Some(person) = gateway.store.person(&identity.human.principal).await? else { return Ok(false) };
    identity.groups.retain(|group| person.groups.contains(group));
    Ok(true)
}

fn not_signed_in(error: &str) -> Refused {
    let hint = "Send an OIDC token of yours as `Authorization: Bearer …`.";
    Refused::new(StatusCode::UNAUTHORIZED, "not_signed_in", error, hint)
}

/// The person whom the bot acts for: where the token is for this very call, and comes for the first time.
async fn acting_for(app: &App, claims: &Claims, parts: &Parts) -> Result<Caller, Refused> {
    let Purpose::Act { call, body, slack } = &claims.purpose else { return Err(Refused::forbidden("No call.")) };
    if *call != format!("{} {}", parts.method, parts.uri.path()) {
        return Err(Refused::bad_request("The call is signed for something else than is asked."));
    }
    let person = linked(&app.gateway, claims, slack).await?;
    if !app.once.first(&claims.jti, claims.exp) {
        let hint = "Ask again if you mean to.";
        return Err(Refused::new(StatusCode::CONFLICT, "repeated", "This call was made already.", hint));
    }
    let identity = acting(person, DateTime::from_timestamp(claims.exp, 0).unwrap_or_default());
    Ok(Caller::Acting { identity, from: in_slack(), body: *body })
}

/// Somebody who acts through Slack, as they were last seen.
pub(super) fn acting(person: Known, expires_at: DateTime<Utc>) -> Identity {
    Identity { human: person.human, groups: person.groups, expires_at, token: None }
}

/// From where somebody acts in Slack is not known; no rule about addresses lets that in.
pub(super) fn in_slack() -> SessionFacts {
    SessionFacts { application: "slack".into(), address: Ipv4Addr::UNSPECIFIED.to_string() }
}

/// Tokens that have been used, for as long as they would be good.
#[derive(Default)]
pub(super) struct Once(Mutex<HashMap<String, i64>>);

impl Once {
    /// Whether a token comes for the first time; it has come from now on.
    fn first(&self, id: &str, expires: i64) -> bool {
        // Longer than any leeway.
        let long_ago = Utc::now().timestamp() - 300;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, expires| *expires > long_ago);
        seen.insert(id.to_owned(), expires).is_none()
    }
}

/// The person whom a Slack account is linked to, as they were last seen.
pub(super) async fn linked(gateway: &Gateway, claims: &Claims, slack: &SlackAccount) -> Result<Known, Refused> {
    let not_linked = |error: &str, hint: &str| Refused::new(StatusCode::FORBIDDEN, "not_linked", error, hint);
    if claims.sub != format!("{}/{}", slack.team, slack.user) {
        return Err(Refused::bad_request("The click is signed for something else than is asked."));
    }
    if !slack.full_member {
        return Err(Refused::forbidden(
            "Only full members of this Slack workspace decide on requests or ask for access.",
        ));
    }
    let account = SlackRef { team: slack.team.clone(), user: slack.user.clone() };
    let link = gateway.store.link_of_slack(&account).await?.ok_or_else(|| {
        not_linked("Your Slack account is not linked to an identity yet.", "Type `/access link` and sign in.")
    })?;
    if !link.confirmed {
        let hint = "Ask an administrator to confirm it.";
        return Err(not_linked("Your Slack account's link waits for an administrator.", hint));
    }
    gateway.store.person(&link.principal).await?.ok_or_else(|| {
        not_linked("The identity behind your Slack account is not known any more.", "Type `/access link` and sign in.")
    })
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Err(not_signed_in("You are not signed in."));
        };
        let token = given.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let token = token.ok_or_else(|| not_signed_in("You are not signed in."))?;
        if let Ok(claims) = app.gateway.bot.verify(token) {
            return Ok(match claims.purpose {
                Purpose::Call => Self::Bot,
                Purpose::Decision { .. } => Self::Click { claims: Box::new(claims), token: token.to_owned() },
                Purpose::Act { .. } => return acting_for(app, &claims, parts).await,
            });
        }
        let identity = app.gateway.issuers.verify(token).await.map_err(|refused| match refused {
            TokenRefused::Unavailable => Refused::unavailable(&refused),
            _ => {
                tracing::warn!(reason = refused.inside(), "a token for the control API was refused");
                not_signed_in(&format!("You are not signed in: {refused}."))
            }
        })?;
        let identity = directory::admit(&app.gateway, identity).await?;
        Ok(Self::Known {
            identity,
            from: Origin::of(parts).0,
            evidence: format!("sha256:{}", of_bytes(token.as_bytes())),
        })
    }
}
