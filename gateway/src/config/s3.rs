//! `[s3]`: how the log is kept in a bucket.

use std::{path::PathBuf, time::Duration};

use super::{reader::Table, secrets::secret, values};
use crate::bucket::{BucketConfig, Keys, Lock, Mode};

const DAY: Duration = Duration::from_secs(86_400);

/// The spool's folder, where it is named, and the bucket.
pub(super) fn read(table: &Table<'_>, bucket: String, prefix: String) -> (Option<PathBuf>, Option<BucketConfig>) {
    let endpoint = table.read("endpoint", values::web_url).map(|found| found.value);
    if endpoint.is_none() {
        table.must("region", "as AWS calls it: \"eu-central-1\"");
    }
    let region = table.read("region", region).map(|found| found.value);
    let (id, key) = (secret(table, "access_key"), secret(table, "secret_key"));
    let token = secret(table, "session_token");
    if table.get("access_key").is_some() != table.get("secret_key").is_some() {
        let hint = "or leave out both: then the machine's role counts, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        table.doc.problem(table.at, "[s3] needs `access_key` and `secret_key` together", hint);
    }
    let keys = id.zip(key).map(|(id, secret)| Keys { id, secret, token });
    // No default: what is locked for compliance can't be taken back by anybody.
    table.must(
        "lock",
        "\"compliance\": nobody can shorten it; \"governance\": only who has s3:BypassGovernanceRetention",
    );
    let modes = [("compliance", Mode::Compliance), ("governance", Mode::Governance)];
    let mode = table.read("lock", values::one_of(&modes)).map(|found| found.value);
    table.must("keep", "how long nothing may change from its upload on: \"365d\"");
    let keep = table.read("keep", values::duration(Duration::from_secs(60)..=36_500 * DAY)).map(|found| found.value);
    let spool = table.filled("spool").map(|path| table.doc.path(&path));
    let size = table.read_or("spool_size", 1 << 30, values::size(1 << 20..=1 << 44));
    let within = Duration::from_secs(1)..=Duration::from_secs(3600);
    let every = table.read_or("every", Duration::from_secs(60), values::duration(within));
    table.finish();
    let config = mode.zip(keep).map(|(mode, keep)| BucketConfig {
        bucket,
        prefix,
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        endpoint,
        keys,
        lock: Lock { mode, keep },
        spool: u64::try_from(size).unwrap_or(u64::MAX),
        every,
    });
    (spool, config)
}

fn region(text: &str) -> Result<String, String> {
    let fits =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { Ok(text.to_owned()) } else { Err("write a region as AWS calls it: \"eu-central-1\"".to_owned()) }
}
