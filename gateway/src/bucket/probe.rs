//! Whether a bucket keeps a lock: tried, read back, and tried against. A bucket may take the headers and do nothing.

use bytes::Bytes;
use chrono::{TimeDelta, Utc};

use super::{
    BucketConfig,
    client::{Bucket, BucketError, Deleted},
};

/// What is tried with. Its lock ends soon, its versions stay.
const PROBE: &str = "lock-probe";
/// How long its lock lasts.
const FOR: TimeDelta = TimeDelta::seconds(60);

/// What is known of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It kept an object from being deleted.
    Held,
    /// The bucket says that there is one; whether it holds, this key can't try, for this reason.
    Told(String),
}

impl Tried {
    /// Says in the process log what could not be tried.
    pub fn tell(&self, bucket: &BucketConfig) {
        if let Self::Told(why) = self {
            tracing::warn!(
                %bucket, why,
                "the bucket says that it keeps a lock; whether it holds could not be tried with this key, which may not delete"
            );
        }
    }
}

/// The same, by its config.
///
/// # Errors
/// As [`probe`].
pub async fn try_lock(config: &BucketConfig) -> Result<Tried, BucketError> {
    probe(&Bucket::new(config)?).await
}

/// Puts an object under a lock of a minute, reads back that it is kept, and tries to delete it.
///
/// # Errors
/// [`BucketError::NotKept`]: nothing that is put there is safe. [`BucketError::Refused`], [`BucketError::Away`].
pub async fn probe(bucket: &Bucket) -> Result<Tried, BucketError> {
    let until = Utc::now() + FOR;
    let said = format!("countersign tried this bucket's lock at {}\n", Utc::now().to_rfc3339());
    bucket.put_until(PROBE, Bytes::from(said), until, false).await?;
    let kept = bucket.kept(PROBE).await?;
    bucket.is_locked(PROBE, &kept, until - TimeDelta::seconds(1))?;
    let Some(version) = kept.version.filter(|version| version != "null") else {
        return Err(bucket.not_kept(
            PROBE,
            "the bucket keeps no versions, so whatever is written again is lost; turn on versioning",
        ));
    };
    let deleted = bucket.delete(PROBE, &version).await?;
    // Whatever the bucket says to that, it must be there still.
    let still = bucket.kept_version(PROBE, &version).await?;
    let Some(still) = still.filter(|_| deleted != Deleted::Gone) else {
        return Err(bucket.not_kept(
            PROBE,
            "the bucket says that it is locked, and let it be deleted: nothing that is put there is safe. Use one that \
             enforces object lock",
        ));
    };
    bucket.is_locked(PROBE, &still, until - TimeDelta::seconds(1))?;
    Ok(match deleted {
        Deleted::Refused(why) => Tried::Told(why),
        Deleted::Locked | Deleted::Gone => Tried::Held,
    })
}
