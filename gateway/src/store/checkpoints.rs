//! The newest checkpoint of each log that was written.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;
use crate::log::chain::Known;

/// What the state knows of logs. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Keeps a log's newest checkpoint, of `size` entries.
    ///
    /// # Errors
    /// `Refused` where a newer one is known.
    async fn keep_checkpoint(&self, known: &Known, size: u64, at: DateTime<Utc>) -> Result<(), StoreError>;

    /// What is known of each log, the one that was written last at the end.
    async fn checkpoints(&self) -> Result<Vec<Known>, StoreError>;
}
