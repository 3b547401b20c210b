//! The log at the start and at the stop of a gateway, and its newest checkpoint in the state.

use std::{os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use chrono::Utc;
use serde_json::json;

use crate::{
    bucket::{
        client::{Bucket, BucketError},
        custody::{Custody, LAST},
        newest,
        probe::probe,
    },
    config::{Config, GatewayConfig},
    loads::{self, Last},
    log::{
        Entry, Kind, Log, LogDown,
        chain::{Chaining, Known, LogKey, Signed, Verifier},
        seal::Sealer,
    },
    policy::Policies,
    runtime::Gateway,
    service::{NotStarted, not},
    store::{Store, StoreError},
};

/// Opens the log, if it is what was signed, here, in the state, and in the bucket; and what has it in the bucket.
///
/// # Errors
/// Why no gateway may start on it.
pub async fn open(config: &Config, store: &dyn Store) -> Result<(Log, Custody), NotStarted> {
    let settings = &config.gateway;
    let key = LogKey::load_or_create(&settings.log_key).map_err(not)?;
    let known = store.checkpoints().await.map_err(not)?;
    let bucket = settings.bucket.as_ref().map(|config| Bucket::new(config).map(Arc::new)).transpose().map_err(not)?;
    make_private(&settings.records).map_err(|e| not(format!("{}: {e}", settings.records.display())))?;
    let verifier = key.verifier();
    let (proven, in_bucket) = match &bucket {
        Some(bucket) => proven(bucket, settings, &verifier).await?,
        None => (false, None),
    };
    let spool = settings.bucket.as_ref().map(|config| (config.spool, config.to_string()));
    let sealer = Sealer::new(&settings.records, config.seals());
    let chaining = Chaining { key, every: settings.checkpoint_interval, known, sealer, in_bucket, spool };
    let log = Log::open(&settings.records, chaining)
        .map_err(|e| not(format!("[gateway] records = {}: {e}", settings.records.display())))?;
    let opened = log.opened();
    if let Some(before) = &opened.follows {
        let (origin, size) = (&before.origin, before.size);
        tracing::warn!(origin, size, "a new log begins; the state knows another one, in another folder");
    }
    let mut custody = Custody::new(log.clone(), settings.compress_after, bucket, verifier, proven);
    custody.begin().map_err(|e| not(format!("{}: {e}", settings.records.display())))?;
    Ok((log, custody))
}

/// Whether the bucket keeps a lock, and the newest checkpoint that it has. One that is away is believed what it has
/// proven before; nothing goes there before it is tried again.
async fn proven(
    bucket: &Bucket,
    settings: &GatewayConfig,
    key: &Verifier,
) -> Result<(bool, Option<Signed>), NotStarted> {
    let what = format!("{} {:?}", bucket.config(), bucket.config().lock);
    let remembered = settings.records.join("bucket-proven");
    match probe(bucket).await {
        Ok(tried) => tried.tell(bucket.config()),
        Err(error @ BucketError::Away(..)) => {
            if std::fs::read_to_string(&remembered).is_ok_and(|before| before == what) {
                tracing::error!(%error, "the log waits here; the bucket's lock was tried by an earlier run, and is again");
                return Ok((false, None));
            }
            return Err(not(format!("[s3] {error}. Its lock was never tried, so nothing may rest on it")));
        }
        Err(error) => return Err(not(format!("[s3] {error}"))),
    }
    std::fs::write(&remembered, what).map_err(|e| not(format!("{}: {e}", remembered.display())))?;
    let newest = async { newest::signed(bucket, &bucket.list("log").await?, key).await };
    Ok((true, newest.await.map_err(|error| not(format!("[s3] {error}")))?))
}

/// Makes the folder of records, for its owner alone.
fn make_private(records: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(records)
}

/// The first entry of a run: what was found, what was cut, and what came before.
#[must_use]
pub fn start(log: &Log, policies: &Policies) -> Entry {
    let opened = log.opened();
    let mut detail = json!({ "log": opened.origin, "entries": opened.entries });
    if opened.unsigned > 0 {
        detail["unsigned"] = opened.unsigned.into();
    }
    if opened.cut > 0 {
        detail["cut_bytes"] = opened.cut.into();
    }
    if let Some(before) = &opened.follows {
        detail["follows"] = before.text().into();
    }
    let outcome = Some(format!("policy {}", policies.version()));
    Entry { outcome, detail, ..Entry::new(Kind::Start) }
}

/// What is in force from the start on, each as an entry of its own.
///
/// # Errors
/// Where the log can't take them.
pub async fn loaded(log: &Log, config: &Config, policies: &Policies) -> Result<(), LogDown> {
    let last = Last::of(&config.gateway.records);
    let before = last.read();
    let (policy_before, config_before) =
        before.as_ref().map(|(policy, config)| (policy.as_slice(), config.as_str())).unzip();
    log.append_durably(&loads::config(config, config_before)).await?;
    log.append_durably(&loads::policy(policies, &config.gateway.policy, policy_before)).await?;
    last.write(policies.texts(), config.text.reveal());
    Ok(())
}

/// Has in the log that policies will be in force in place of others.
///
/// # Errors
/// Where the log can't take it; then they must not be.
pub async fn reloaded(gateway: &Gateway, policies: &Arc<Policies>) -> Result<(), LogDown> {
    let (records, folder) = (gateway.config.gateway.records.clone(), gateway.config.gateway.policy.clone());
    let (next, before) = (Arc::clone(policies), gateway.policies());
    // Reading git's files and comparing texts takes its time.
    let entry = tokio::task::spawn_blocking(move || loads::policy(&next, &folder, Some(before.texts()))).await;
    let entry = entry.map_err(|died| LogDown::Broken(format!("the entry of a load can't be made: {died}")))?;
    gateway.log.append_durably(&entry).await?;
    Last::of(&records).write(policies.texts(), gateway.config.text.reveal());
    Ok(())
}

/// Puts a checkpoint of all that is there into the state.
///
/// # Errors
/// Where the log or the state is away.
pub async fn keep(log: &Log, settings: &GatewayConfig, store: &dyn Store) -> Result<(), NotStarted> {
    let signed = log.signed().await.map_err(not)?;
    put(&signed, settings, store)
        .await
        .map_err(|e| not(format!("the log's checkpoint can't be kept in the state: {e}")))
}

async fn put(signed: &Signed, settings: &GatewayConfig, store: &dyn Store) -> Result<(), StoreError> {
    let records = std::fs::canonicalize(&settings.records).unwrap_or_else(|_| settings.records.clone());
    let origin = signed.checkpoint.origin.clone();
    let known = Known { origin, records, note: signed.note.clone() };
    store.keep_checkpoint(&known, signed.checkpoint.size, Utc::now()).await
}

/// Keeps the newest checkpoint in the state, until it is dropped.
pub async fn keep_on(gateway: Arc<Gateway>) {
    let mut checkpoints = gateway.log.checkpoints();
    while checkpoints.changed().await {
        let Some(newest) = checkpoints.newest() else { continue };
        if let Err(error) = put(&newest, &gateway.config.gateway, &*gateway.store).await {
            tracing::warn!(%error, "the log's newest checkpoint is not in the state; the next one may be");
        }
    }
}

/// The last entry of a run, signed, with its checkpoint in the state.
pub async fn stop(gateway: &Gateway) {
    if let Err(down) = stopped(gateway).await {
        tracing::error!(%down, "the stop is not in the log");
    }
}

/// Has in the bucket what is not there yet, as far as the time for it goes.
pub async fn last_round(mut custody: Custody) {
    match tokio::time::timeout(LAST, custody.round()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "the end of the log is not in the bucket; the next start has it there")
        }
        Err(_) => tracing::error!("the end of the log is not in the bucket yet; the next start has it there"),
    }
}

async fn stopped(gateway: &Gateway) -> Result<(), LogDown> {
    gateway.log.append_durably(&Entry::new(Kind::Stop)).await?;
    let signed = gateway.log.signed().await?;
    if let Err(error) = put(&signed, &gateway.config.gateway, &*gateway.store).await {
        tracing::error!(%error, "the log's last checkpoint is not in the state");
    }
    Ok(())
}
