//! Who it is: tokens of OIDC issuers into principals.

use chrono::{DateTime, Utc};
use countersign_shared::duties::Human;

use crate::config::{AgentConfig, IdentityConfig};

/// A verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The principal and the human behind it.
    pub human: Human,
    /// Groups that this issuer may assert, as the token asserts them.
    pub groups: Vec<String>,
    /// The token's end, or its greatest age, whichever comes first.
    pub expires_at: DateTime<Utc>,
}

/// Why a token is refused. Its text may be shown to the client and written to a log: it holds
/// nothing of the token but names that were verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not a JWT, a wrong algorithm or signature, an unknown issuer or key.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Too old.
    #[error("the token has expired; sign in again")]
    Expired,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// No usable principal: claim missing, e-mail not verified, domain not this issuer's.
    #[error("the token names nobody who can log in here: {0}")]
    Nobody(&'static str),
    /// The issuer can't be reached, so nothing can be verified.
    #[error("the identity provider can't be reached; try again in a moment")]
    Unavailable,
}

/// Verifies tokens of the configured issuers. Keys are fetched by discovery and cached.
pub struct Issuers {}

impl Issuers {
    /// Takes the configured issuers; fetches nothing yet.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(_identities: &[IdentityConfig], _agents: &[AgentConfig]) -> Result<Self, String> {
        todo!("written with the issuers")
    }

    /// Verifies `token` in full.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, _token: &str) -> Result<Identity, TokenRefused> {
        todo!("written with the issuers")
    }
}
