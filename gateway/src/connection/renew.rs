//! `SET countersign.token = '…'`: a newer token for a session that lives.
//!
//! It is verified as at the login, and must be of the same principal with the same issuer and subject. The text
//! stays here: it is neither recorded nor forwarded nor shown, and its token is in no error.

use bytes::Bytes;
use chrono::Utc;
use tokio::time::Instant;

use super::session::{Ended, Session, unavailable};
use crate::{
    access::tokens,
    directory,
    identity::{Identity, TokenRefused},
    log::Kind,
    refusal::Refusal,
    statement::classify::{OwnSetting, TOKEN},
    store::StoreError,
    wire::backend::complete,
};

/// Why a token does not renew a session.
enum Not {
    /// It is not taken. For the log; the client reads the same of all.
    Taken(String),
    /// Somebody who must be asked does not answer.
    Known,
    /// The session has been renewed too often.
    Again,
}

impl Session {
    /// Answers `SET/SHOW countersign.*`; the frames of its answer.
    pub(super) async fn own_setting_or_token(
        &mut self,
        setting: &OwnSetting,
    ) -> Result<Result<Vec<Bytes>, Refusal>, Ended> {
        match setting {
            OwnSetting::Set { name, value: Some(token) } if name == TOKEN => self.renew(token).await,
            OwnSetting::Set { name, .. } | OwnSetting::Show { name } if name == TOKEN => Ok(Err(Refusal::TokenAlone)),
            _ => Ok(self.own_setting(setting)),
        }
    }

    async fn renew(&mut self, token: &str) -> Result<Result<Vec<Bytes>, Refusal>, Ended> {
        // To stay signed in is not to do something.
        self.idle_since = self.idle_before;
        let renewed = self.renewed_by(token.trim()).await;
        // The text is not kept among those that may come again.
        self.memory.forget_prepared();
        let mut entry = self.header.entry(Kind::Renewed);
        let answer = match renewed {
            Ok(identity) => {
                entry.outcome = Some("ok".to_owned());
                entry.detail = serde_json::json!({ "until": identity.expires_at, "groups": identity.groups });
                self.gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))?;
                self.rest_on(identity).await;
                return Ok(Ok(vec![complete("SET")]));
            }
            Err(Not::Taken(reason)) => {
                entry.outcome = Some(reason);
                Refusal::Token
            }
            Err(Not::Known) => {
                entry.outcome = Some("it can't be checked now".to_owned());
                Refusal::Unavailable { message: "the gateway can't check this token now".to_owned() }
            }
            Err(Not::Again) => {
                entry.outcome = Some("the session has been renewed too often".to_owned());
                Refusal::RenewedTooOften
            }
        };
        self.gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))?;
        Ok(Err(answer))
    }

    /// Whose token it is, where it renews this session.
    async fn renewed_by(&self, token: &str) -> Result<Identity, Not> {
        let not = |reason: &str| Not::Taken(reason.to_owned());
        let identity = self.gateway.issuers.verify(token).await.map_err(|refused| match refused {
            TokenRefused::Unavailable => Not::Known,
            refused => Not::Taken(refused.inside()),
        })?;
        if identity.human != self.asker.human {
            return Err(not("the token is somebody else's"));
        }
        let before = self.place.live().token();
        if let (Some(new), Some(old)) = (&identity.token, &before)
            && new.issued_at < old.issued_at
        {
            return Err(not("the token is older than the one that the session has"));
        }
        if !self.place.live().may_renew(identity.token.as_ref()) {
            return Err(Not::Again);
        }
        directory::admit(&self.gateway, identity).await.map_err(|error| match error {
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "a renewal could not be written down");
                Not::Known
            }
            error => Not::Taken(error.to_string()),
        })
    }

    /// The session goes on with this token: until its end, and with its groups.
    async fn rest_on(&mut self, identity: Identity) {
        let left = (identity.expires_at - Utc::now()).to_std().unwrap_or_default();
        let live = self.place.live();
        live.renew(identity.token, identity.expires_at, identity.groups);
        self.expires_at = Instant::now() + left;
        // It may be sooner than before: the alarm looks again.
        self.alarm.as_mut().reset(Instant::now());
        self.keep_roles();
        // What ended it meanwhile did not find it here yet.
        tokens::look_again(&self.gateway, &live).await;
        directory::look_again(&self.gateway, &self.place).await;
        directory::look_after_renewal(&self.gateway, &live);
    }
}
