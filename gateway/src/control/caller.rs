//! Who calls: a person or an agent with an OIDC token, or the bot with its own.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{StatusCode, header, request::Parts},
};
use countersign_shared::{
    bot_token::{Claims, Purpose},
    digest::of_bytes,
};

use super::{App, answer::Refused};
use crate::{
    directory,
    identity::{Identity, TokenRefused},
    statement::decide::SessionFacts,
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

    /// A person; never an agent or the bot.
    pub(super) fn user(&self) -> Result<(&Identity, &SessionFacts), Refused> {
        match self {
            Self::Known { identity, from, .. } if !identity.human.is_agent() => Ok((identity, from)),
            _ => Err(Refused::forbidden("Only a person who is signed in may do this.")),
        }
    }
}

fn not_signed_in(error: &str) -> Refused {
    let hint = "Send an OIDC token of yours as `Authorization: Bearer …`.";
    Refused::new(StatusCode::UNAUTHORIZED, "not_signed_in", error, hint)
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
            });
        }
        let identity = app.gateway.issuers.verify(token).await.map_err(|refused| match refused {
            TokenRefused::Unavailable => Refused::unavailable(&refused),
            _ => not_signed_in(&format!("You are not signed in: {refused}.")),
        })?;
        let identity = directory::admit(&app.gateway, identity).await?;
        Ok(Self::Known {
            identity,
            from: Origin::of(parts).0,
            evidence: format!("sha256:{}", of_bytes(token.as_bytes())),
        })
    }
}
