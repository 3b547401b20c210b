//! Which tokens count no more, though they are signed and their time is not over.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::digest::Digest;

use super::StoreError;

/// By what a token can be named without showing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`.
    pub id: Option<String>,
    /// `sid`: the sign-in at the provider that it is from.
    pub sign_in: Option<String>,
    /// Of what is signed of it ([`of_token`](countersign_shared::digest::of_token)).
    pub digest: Digest,
    /// `iat`.
    pub issued_at: DateTime<Utc>,
}

/// Which of an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of a subject's that were issued up to this second.
    Subject(String, DateTime<Utc>),
    /// Those of them that name no sign-in.
    Unnamed(String, DateTime<Utc>),
    /// All from this sign-in (`sid`), whenever they were issued.
    SignIn(String),
    /// The one with this `jti`.
    Id(String),
    /// The one with this SHA-256 of what is signed.
    Digest(Digest),
}

impl Which {
    /// Whether a token of the same issuer is meant.
    #[must_use]
    pub fn is(&self, token: &TokenFacts) -> bool {
        let before = |until: &DateTime<Utc>| token.issued_at.timestamp() <= until.timestamp();
        match self {
            Self::Subject(subject, until) => token.subject == *subject && before(until),
            Self::Unnamed(subject, until) => token.subject == *subject && token.sign_in.is_none() && before(until),
            Self::SignIn(sign_in) => token.sign_in.as_ref() == Some(sign_in),
            Self::Id(id) => token.id.as_ref() == Some(id),
            Self::Digest(digest) => token.digest == *digest,
        }
    }

    /// Its name in the state and in the API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Subject(..) => "subject",
            Self::Unnamed(..) => "unnamed",
            Self::SignIn(_) => "sign_in",
            Self::Id(_) => "id",
            Self::Digest(_) => "digest",
        }
    }

    /// What names it.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Subject(text, _) | Self::Unnamed(text, _) | Self::SignIn(text) | Self::Id(text) => text.clone(),
            Self::Digest(digest) => digest.to_string(),
        }
    }

    /// Up to when they fall, where that matters.
    #[must_use]
    pub const fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Subject(_, until) | Self::Unnamed(_, until) => Some(*until),
            _ => None,
        }
    }
}

/// That tokens count no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEnd {
    /// Whose.
    pub issuer: String,
    /// Which.
    pub which: Which,
    /// Why.
    pub reason: String,
    /// Who said so, if a person did.
    pub by: Option<String>,
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
}

/// That part of the state.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Remembers that these count no more. `once`: the `jti` of the logout token that says so; `false` where it
    /// came before, and then nothing changed.
    async fn end_tokens(&self, ends: &[TokenEnd], once: Option<&str>) -> Result<bool, StoreError>;

    /// Why a token counts no more, if it does not.
    async fn token_ended(&self, token: &TokenFacts) -> Result<Option<String>, StoreError>;

    /// The tokens that were ended one by one, the newest first.
    async fn denied_tokens(&self) -> Result<Vec<TokenEnd>, StoreError>;
}
