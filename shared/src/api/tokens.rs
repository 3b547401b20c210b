//! Tokens that are taken no more.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// `POST /v1/tokens/denied`: an administrator denies a token. It is named, and not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyTokenBody {
    /// Whose it is; may be absent where there is one issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The SHA-256 of what is signed of it: of its text before the last dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Why; the log keeps it.
    pub reason: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyTokenAnswer {
    /// What is denied from now on.
    pub denied: Vec<DeniedToken>,
    /// How many sessions ended.
    pub sessions: usize,
}

/// A token that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedToken {
    /// Whose it is.
    pub issuer: String,
    /// Its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The SHA-256 of what is signed of it: of its text before the last dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Why.
    pub reason: String,
    /// Who denied it; absent where its provider called it inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// Since when.
    pub denied_at: DateTime<Utc>,
}
