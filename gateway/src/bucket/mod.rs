//! The log in an S3 bucket with object lock: what is in it can't be changed or deleted before its time, not even with
//! the gateway's own key.
//!
//! The log is written here first, as ever; what is over goes on. So nobody waits for the bucket, and nothing is lost while
//! it is away: it waits in the spool, and where that is full, nothing passes.
//!
//! | below the prefix | what |
//! |---|---|
//! | `log/00000001.jsonl.zst` | a segment, as [`pack`](crate::log::pack) makes it |
//! | `log/00000001.note` | the checkpoint at its end |
//! | `log/checkpoint` | the newest of these |
//! | `log/log.vkey` | the public key |
//! | `lock-probe` | what each start tries the lock with |
//!
//! | file | job |
//! |---|---|
//! | [`client`] | list, get, put under a lock, and what is kept of it |
//! | [`probe`] | whether the bucket keeps a lock |
//! | [`custody`] | the task that ends, packs and uploads segments, and makes room |
//! | [`newest`] | the newest checkpoint that it has |
//! | [`reader`] | a log in a bucket, read in order |

pub mod client;
pub mod custody;
pub mod newest;
pub mod probe;
pub mod reader;

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod stories;

use std::{fmt, time::Duration};

use countersign_shared::secret::Secret;
use url::Url;

/// `[s3]`, and where `records` says.
#[derive(Clone)]
pub struct BucketConfig {
    /// Its name.
    pub bucket: String,
    /// What stands before each key, without a slash at its end; may be empty.
    pub prefix: String,
    /// As AWS calls it.
    pub region: String,
    /// Where it is reached, where that is not AWS.
    pub endpoint: Option<Url>,
    /// Without them, those that the machine has: of its role, or in AWS's own variables.
    pub keys: Option<Keys>,
    /// How long nothing may change.
    pub lock: Lock,
    /// So many bytes of the log may wait here.
    pub spool: u64,
    /// How often what is new goes on.
    pub every: Duration,
}

/// What requests are signed with.
#[derive(Clone)]
pub struct Keys {
    /// Its id.
    pub id: Secret<String>,
    /// The key.
    pub secret: Secret<String>,
    /// For keys that end by themselves.
    pub token: Option<Secret<String>>,
}

/// An object's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whom it holds.
    pub mode: Mode,
    /// From the upload on.
    pub keep: Duration,
}

/// Whom a lock holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everybody, the account's owner too.
    Compliance,
    /// Everybody but who has `s3:BypassGovernanceRetention`.
    Governance,
}

impl Mode {
    /// As S3 spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
}

impl fmt::Display for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?}, {:?})", self.region, self.lock)
    }
}

impl BucketConfig {
    /// An object's key.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// A bucket to read from, as AWS's own variables say how: `AWS_REGION`, `AWS_ENDPOINT_URL`, and those of keys.
    ///
    /// # Errors
    /// Where the endpoint is none, or is neither https nor on this machine.
    pub fn by_environment(bucket: String, prefix: String) -> Result<Self, String> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.as_deref().map(crate::config::values::web_url).transpose();
        Ok(Self {
            bucket,
            prefix,
            region: set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned()),
            endpoint: endpoint.map_err(|why| format!("AWS_ENDPOINT_URL: {why}"))?,
            keys: None,
            lock: Lock { mode: Mode::Governance, keep: Duration::ZERO },
            spool: 0,
            every: Duration::from_secs(60),
        })
    }

    /// Where `s3://bucket/prefix` is. The prefix has only characters that stand for themselves in a URL.
    ///
    /// # Errors
    /// What would fit.
    pub fn place(text: &str) -> Result<(String, String), String> {
        let shape = || "write \"s3://bucket/prefix\"".to_owned();
        let rest = text.strip_prefix("s3://").ok_or_else(shape)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let named = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !named {
            return Err(format!("{}; a bucket's name has 3 to 63 small letters, digits, dots and dashes", shape()));
        }
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return Err("use letters, digits, `.`, `_`, `-` and `/` in the prefix".to_owned());
        }
        Ok((bucket.to_owned(), prefix.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_bucket_is_read_or_refused() {
        let good = [
            ("s3://acme-audit", ("acme-audit", "")),
            ("s3://acme-audit/", ("acme-audit", "")),
            ("s3://acme.audit/prod/countersign/", ("acme.audit", "prod/countersign")),
        ];
        for (text, (bucket, prefix)) in good {
            assert_eq!(BucketConfig::place(text), Ok((bucket.to_owned(), prefix.to_owned())), "{text}");
        }
        for text in ["s3://", "s3://ab", "s3://Acme", "s3://acme/a b", "s3://acme//x", "s3://acme/../x", "https://acme"]
        {
            assert!(BucketConfig::place(text).is_err(), "{text}");
        }
    }
}
