//! What the state keeps of reviews of a connection's grants.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::ReviewChoice,
    ids::{GrantId, ReviewId},
};

use super::StoreError;

/// So long a grant that a reviewer keeps is left alone by the digest.
pub const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// What somebody said of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it stays.
    pub choice: ReviewChoice,
    /// Who; never its holder.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// Of which connection.
    pub connection: String,
    /// Who began it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The log's newest checkpoint then.
    pub checkpoint: Option<String>,
    /// When nothing was left to look at.
    pub closed_at: Option<DateTime<Utc>>,
    /// The grants that counted when it began, with what was said of them.
    pub items: BTreeMap<GrantId, Option<Answer>>,
}

/// Reviews. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// Begins a review. Where its connection has one that is open, that one, and nothing changes.
    ///
    /// # Errors
    /// `NotFound` where an item is no grant of the connection.
    async fn open_review(&self, review: &Review) -> Result<Review, StoreError>;

    /// A review.
    async fn review(&self, id: &ReviewId) -> Result<Option<Review>, StoreError>;

    /// Reviews, the newest first.
    async fn reviews(&self, limit: u32) -> Result<Vec<Review>, StoreError>;

    /// Remembers what somebody said of a grant; once. A grant that stays is kept as by
    /// [`keep_grant`](super::usage::UsageStore::keep_grant), one that goes has ended before.
    ///
    /// # Errors
    /// `SameHuman` for its holder and who answers for them; `AlreadyDecided`; `GrantOver`; `NotFound`;
    /// `Refused` for an agent, and where the review is closed.
    async fn answer_review(&self, id: &ReviewId, grant: &GrantId, answer: &Answer) -> Result<(), StoreError>;

    /// Closes a review of which nothing is left to look at. `false` where it was closed before.
    ///
    /// # Errors
    /// `Refused` where something is left.
    async fn close_review(&self, id: &ReviewId, at: DateTime<Utc>) -> Result<bool, StoreError>;
}
