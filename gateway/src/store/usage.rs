//! What the state keeps of the use of grants, and of what the bot posts once.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{api::Claim, ids::GrantId};

use super::StoreError;

/// A grant's uses, as far as they were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The first.
    pub first: DateTime<Utc>,
    /// The last.
    pub last: DateTime<Utc>,
}

/// Somebody wants an unused grant kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Which.
    pub grant: GrantId,
    /// When they said so.
    pub at: DateTime<Utc>,
    /// For how long.
    pub until: DateTime<Utc>,
    /// Who; never its holder.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What is watched beside grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A role of the config, by its name.
    Role,
    /// A `permit` of the policies, by the digest of its text.
    Permission,
    /// A secret of the config, by a keyed hash of its place and its value.
    Secret,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Role, Self::Permission, Self::Secret];

    /// Its name in the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Permission => "permission",
            Self::Secret => "secret",
        }
    }
}

/// Something that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether it was there when watching began: then nobody knows for how long.
    pub before: bool,
    /// When it was last used.
    pub last: Option<DateTime<Utc>>,
}

/// All that is known of the use of grants that have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Since when uses are recorded.
    pub since: DateTime<Utc>,
    /// By grant.
    pub uses: HashMap<GrantId, Uses>,
    /// The last wish to keep each.
    pub keeps: HashMap<GrantId, Keep>,
    /// Roles, permissions and secrets, by kind and name.
    pub watched: HashMap<(Kind, String), Watch>,
}

/// The use of grants, and notices. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Remembers that grants were used. Of those that it does not know, nothing.
    async fn record_uses(&self, uses: &[(GrantId, DateTime<Utc>)]) -> Result<(), StoreError>;

    /// Watches these of a kind from `now` on, those of them that are watched already as before, and no others of it.
    async fn watch(&self, kind: Kind, names: &[String], now: DateTime<Utc>) -> Result<(), StoreError>;

    /// Remembers that some of those that are watched were used.
    async fn record_watched(&self, kind: Kind, names: &[String], at: DateTime<Utc>) -> Result<(), StoreError>;

    /// What is known.
    async fn usage(&self) -> Result<Usage, StoreError>;

    /// Remembers that somebody wants a grant kept.
    ///
    /// # Errors
    /// `SameHuman` for its holder and who answers for them; `GrantOver`; `NotFound`; `Refused` for an agent.
    async fn keep_grant(&self, keep: &Keep) -> Result<(), StoreError>;

    /// Claims the posting of a notice for `by`. A claim that is older than `lease` and came to nothing is
    /// given to whoever asks.
    async fn claim(&self, name: &str, by: &str, now: DateTime<Utc>, lease: TimeDelta) -> Result<Claim, StoreError>;

    /// The notice is posted. `false` where `by` has no claim on it.
    async fn posted(&self, name: &str, by: &str, now: DateTime<Utc>) -> Result<bool, StoreError>;
}
