//! Access reviews: whoever holds something, and whether they keep it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::grants::{Finding, GrantView};
use crate::ids::{GrantId, ReviewId};

/// `POST /v1/reviews`: begins to review a connection's grants, or goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewBody {
    /// The connection.
    pub connection: String,
}

/// What a reviewer says of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewChoice {
    /// It stays.
    Keep,
    /// It ends now.
    Revoke,
}

/// `POST /v1/reviews/{id}/answers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAnswerBody {
    /// Which grant.
    pub grant: GrantId,
    /// Whether it stays.
    pub choice: ReviewChoice,
    /// Why.
    pub reason: String,
}

/// What was said of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAnswer {
    /// Whether it stays.
    pub choice: ReviewChoice,
    /// Who said so; never its holder.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A grant in a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewItem {
    /// The grant as it is now.
    pub grant: GrantView,
    /// What is to be said of its use.
    pub finding: Finding,
    /// When it was last used, as far as that was recorded.
    pub last_used: Option<DateTime<Utc>>,
    /// What was said of it.
    pub answer: Option<ReviewAnswer>,
    /// Whether it is the caller's own, or an agent's that they answer for: another person has to look at it.
    #[serde(default)]
    pub own: bool,
}

impl ReviewItem {
    /// Whether somebody still has to look at it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.answer.is_none() && self.grant.state == "active"
    }
}

/// `GET /v1/reviews/{id}`: a review of a connection's grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    /// Its id.
    pub id: ReviewId,
    /// Of which connection.
    pub connection: String,
    /// Who began it.
    pub opened_by: String,
    /// When.
    pub opened_at: DateTime<Utc>,
    /// The log's newest checkpoint then, a signed note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// When nothing was left to look at.
    pub closed_at: Option<DateTime<Utc>>,
    /// The grants that counted when it began, the oldest first.
    pub items: Vec<ReviewItem>,
}
