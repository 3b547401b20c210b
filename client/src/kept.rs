//! The sign-in that is kept, and its silent renewal.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{About, AboutIssuer},
    secret::Secret,
};
use serde::{Deserialize, Serialize};

use crate::{
    NotSignedIn,
    place::{Place, What},
    provider::{NoTokens, Provider, Tokens},
};

/// A token with less time than this is renewed before it is used.
const SOON: TimeDelta = TimeDelta::minutes(2);

/// Who is signed in, and where.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The gateway, as it spoke of itself.
    pub about: About,
    /// Which of its issuers.
    pub issuer: AboutIssuer,
    /// What the issuer gave.
    pub tokens: Tokens,
}

/// The same as a file has it.
#[derive(Serialize, Deserialize)]
struct Written {
    about: About,
    issuer: AboutIssuer,
    user: String,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    expires_at: DateTime<Utc>,
}

impl Kept {
    /// Reads what is kept, however old.
    ///
    /// # Errors
    /// [`NotSignedIn::Nobody`], or what is wrong with the file.
    pub fn read(place: &Place) -> Result<Self, NotSignedIn> {
        let bytes = place.read(What::Login)?.ok_or(NotSignedIn::Nobody)?;
        // A file that this version can't read is nobody's sign-in.
        let Ok(Written { about, issuer, user, token, refresh_token, expires_at }) = serde_json::from_slice(&bytes)
        else {
            return Err(NotSignedIn::Over("what is kept of it can't be read".to_owned()));
        };
        let refresh = refresh_token.map(Secret::new);
        Ok(Self { about, issuer, tokens: Tokens { token: Secret::new(token), refresh, expires_at, user } })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, place: &Place) -> Result<(), NotSignedIn> {
        let Tokens { token, refresh, expires_at, user } = &self.tokens;
        let written = Written {
            about: self.about.clone(),
            issuer: self.issuer.clone(),
            user: user.clone(),
            token: token.reveal().clone(),
            refresh_token: refresh.as_ref().map(|secret| secret.reveal().clone()),
            expires_at: *expires_at,
        };
        // Texts and times: nothing that JSON can't hold.
        place.write(What::Login, &serde_json::to_vec_pretty(&written).unwrap_or_default())
    }

    fn is_fresh(&self) -> bool {
        self.tokens.expires_at - Utc::now() > SOON
    }

    /// The sign-in with a token that is good for a while, renewed where it must be.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fresh(place: &Place) -> Result<Self, NotSignedIn> {
        let kept = Self::read(place)?;
        if kept.is_fresh() {
            return Ok(kept);
        }
        let waits = place.clone();
        let lock = tokio::task::spawn_blocking(move || waits.lock()).await;
        let _lock = lock.map_err(|error| NotSignedIn::Provider(error.to_string()))??;
        // Somebody else may have renewed it meanwhile.
        let mut kept = Self::read(place)?;
        if kept.is_fresh() {
            return Ok(kept);
        }
        kept.renew().await?;
        kept.write(place)?;
        Ok(kept)
    }

    async fn renew(&mut self) -> Result<(), NotSignedIn> {
        let ended = format!("at {}", self.tokens.expires_at.format("%Y-%m-%d %H:%M UTC"));
        let Some(refresh) = self.tokens.refresh.clone() else {
            return if self.tokens.expires_at > Utc::now() { Ok(()) } else { Err(NotSignedIn::Over(ended)) };
        };
        let provider = Provider::discover(self.issuer.clone()).await?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.reveal())];
        match provider.tokens(&form, None).await {
            Ok(mut tokens) => {
                if tokens.user != self.tokens.user {
                    return Err(NotSignedIn::Refused("the renewed token is somebody else's".to_owned()));
                }
                // Without a new one, the old one goes on (RFC 6749 §6).
                tokens.refresh = tokens.refresh.or(Some(refresh));
                self.tokens = tokens;
                Ok(())
            }
            Err(NoTokens::Said(error, _)) if error == "invalid_grant" => {
                Err(NotSignedIn::Over("the identity provider does not renew it any more".to_owned()))
            }
            Err(other) => Err(other.into()),
        }
    }
}
