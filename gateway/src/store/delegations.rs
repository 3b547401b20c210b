//! What the state keeps of who is told in somebody's place.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;

/// Somebody is told in another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Who is away.
    pub principal: String,
    /// Who is told.
    pub delegate: String,
    /// Since when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// Delegations, one for each who is away. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Delegations: Send + Sync {
    /// Keeps one, in the place of an earlier one.
    async fn delegate(&self, delegation: &Delegation) -> Result<(), StoreError>;

    /// Ends one. `false` where there is none.
    async fn end_delegation(&self, principal: &str) -> Result<bool, StoreError>;

    /// Those that have not ended.
    async fn delegations(&self, now: DateTime<Utc>) -> Result<Vec<Delegation>, StoreError>;
}
