//! The newest snapshot, for many readers and one writer.

use std::sync::{Arc, RwLock};

use super::{
    read::{self, CatalogQuery},
    snapshot::Snapshot,
};

/// A connection's catalog. Sessions take [`Catalog::current`]; one loop calls [`Catalog::refresh`].
#[derive(Debug, Default)]
pub struct Catalog {
    current: RwLock<Option<Arc<Snapshot>>>,
}

impl Catalog {
    /// One of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest snapshot; none before the first, and none after one could not be read: what is
    /// unknown or stale is `opaque`, so callers classify against `Snapshot::default()` then.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces the snapshot, or takes it away.
    pub fn set(&self, snapshot: Option<Snapshot>) {
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = snapshot.map(Arc::new);
    }

    /// Compares fingerprints, and reads everything again where they differ. `Ok(true)` says that
    /// the snapshot is another one now. After an error there is none.
    ///
    /// # Errors
    /// What the server said.
    pub async fn refresh(&self, server: &mut dyn CatalogQuery) -> Result<bool, String> {
        let outcome = self.try_refresh(server).await;
        if outcome.is_err() {
            self.set(None);
        }
        outcome
    }

    async fn try_refresh(&self, server: &mut dyn CatalogQuery) -> Result<bool, String> {
        let seen = read::fingerprint(server).await?;
        if self.current().is_some_and(|snapshot| snapshot.fingerprint() == seen) {
            return Ok(false);
        }
        let snapshot = read::read(server).await?;
        self.set(Some(snapshot));
        Ok(true)
    }
}
