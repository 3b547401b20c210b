//! What a gateway says of itself, and how it says no.

use serde::{Deserialize, Serialize};

/// What a gateway says of itself to whoever asks: where to sign in, and where it speaks PostgreSQL's
/// protocol. Nothing of connections, nothing that a login page would not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The host to connect to.
    pub host: String,
    /// And its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Where people sign in.
    pub issuers: Vec<AboutIssuer>,
}

/// An issuer whose tokens a gateway takes from people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutIssuer {
    /// Its address, as its tokens carry it.
    pub issuer: String,
    /// Which client signs people in.
    pub client_id: String,
    /// For whom its tokens must be made.
    pub audience: String,
    /// The claim that names the principal.
    pub user_claim: String,
}

/// The body of every error: what happened, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Problem {
    /// A stable word: `not_linked`, `own_request`, `not_an_approver`, `over`, `digest_mismatch`,
    /// `not_signed_in`, `forbidden`, `not_found`, `bad_request`, `repeated`, `unavailable`.
    pub code: String,
    /// What happened, in a sentence.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
