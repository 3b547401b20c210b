//! The last check before forward: everything that the approvals rest on, again.

use chrono::{DateTime, Utc};
use countersign_shared::{digest::Digest, ids::RequestId};

use crate::{runtime::Gateway, statement::decide::Asked};

/// Proof that a request went `approved → released`, durably and just now. Only [`release`] makes it.
#[derive(Debug)]
pub struct Released {
    request: RequestId,
    digest: Digest,
}

impl Released {
    /// Which request.
    #[must_use]
    pub const fn request(&self) -> &RequestId {
        &self.request
    }

    /// What was approved.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why an approved request is not released. The request has been moved to `void` (or was over).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// Approvals are missing, or no longer count.
    #[error("{0}")]
    Void(String),
    /// The state or the log can't say; refuse.
    #[error("{0}")]
    Unavailable(String),
}

/// Checks the stored, signed approvals, the digest, the approvers' rights and the requester's
/// rights again, and moves the request to `released`.
///
/// # Errors
/// Why it stays where it is.
pub async fn release(
    _gateway: &Gateway,
    _id: &RequestId,
    _digest: Digest,
    _asked: &Asked,
    _now: DateTime<Utc>,
) -> Result<Released, NotReleased> {
    todo!("written with approvals")
}
