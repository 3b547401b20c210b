//! The daily digest.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    grants::{Finding, GrantView, KeepView},
    people::SessionView,
};
use crate::ids::{RequestId, SessionId};

/// A grant in a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestGrant {
    /// The grant.
    pub grant: GrantView,
    /// What is to be said of it.
    pub finding: Finding,
    /// When it was last used, as far as that was recorded.
    pub last_used: Option<DateTime<Utc>>,
    /// Who wanted it kept last.
    pub kept: Option<KeepView>,
}

/// A role of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRole {
    /// Its name.
    pub role: String,
    /// Whether it is used: stale, never used, too new to tell, no data, or in use.
    pub finding: Finding,
    /// When it was last given.
    pub last_given: Option<DateTime<Utc>>,
    /// When it was last used, of the grants that have not ended.
    pub last_used: Option<DateTime<Utc>>,
}

/// A `permit` of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestPermission {
    /// Its `@id`, or its file and place.
    pub permission: String,
    /// Whether it is used: stale, never used, too new to tell, no data, or in use.
    pub finding: Finding,
    /// Since when it is watched; a text that was changed is watched anew.
    pub since: DateTime<Utc>,
    /// When it last let something happen.
    pub last_used: Option<DateTime<Utc>>,
}

/// A token that was issued long ago, and that a session rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestToken {
    /// Whose.
    pub principal: String,
    /// The session's connection.
    pub connection: String,
    /// The session.
    pub session: SessionId,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A secret of the config that has not been changed for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestSecret {
    /// What it is for; never anything of its value.
    pub what: String,
    /// The connection that it is for, if it is for one.
    #[serde(default)]
    pub connection: Option<String>,
    /// Since when it is what it is.
    pub since: DateTime<Utc>,
    /// It was there when watching began, and may be older.
    pub at_least: bool,
}

/// An agent for whom nobody answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestAgent {
    /// Its name.
    pub name: String,
    /// Who should.
    pub owner: String,
    /// Why they don't.
    pub why: String,
}

/// `GET /v1/digest`: who holds what they don't use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDigest {
    /// When it was drawn up.
    pub at: DateTime<Utc>,
    /// After so many seconds without use a grant is stale.
    pub stale_after: u64,
    /// Since when uses are recorded.
    pub recorded_since: DateTime<Utc>,
    /// Every grant that counts, what matters first.
    pub grants: Vec<DigestGrant>,
    /// Every role, what matters first: what nobody had or used in 30 days.
    pub roles: Vec<DigestRole>,
    /// Every permission of the policies, what matters first: what nobody used in 30 days.
    #[serde(default)]
    pub permissions: Vec<DigestPermission>,
    /// Agents without a living owner.
    pub agents: Vec<DigestAgent>,
    /// Sessions of more than a day.
    pub sessions: Vec<SessionView>,
    /// Tokens of more than a day that sessions rest on.
    #[serde(default)]
    pub tokens: Vec<DigestToken>,
    /// Secrets of the config that have not been changed for more than 90 days.
    #[serde(default)]
    pub secrets: Vec<DigestSecret>,
    /// What was run by break-glass and nobody has reviewed, the oldest first.
    #[serde(default)]
    pub reviews: Vec<DigestReview>,
    /// The log's newest checkpoint, a signed note: kept here, it tells whether the log was rolled back since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A statement that was run by break-glass and nobody has reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReview {
    /// The review's id.
    pub request: RequestId,
    /// Who ran it.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// Why, as they said.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}
