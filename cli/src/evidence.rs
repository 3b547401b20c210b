//! Where records are, and by which key: from the config, or as somebody says it.
//!
//! Records are read as files, by whoever may read these: a gateway that is down, or gone, keeps nobody from its
//! evidence, and an auditor needs no account.

use std::path::{Path, PathBuf};

use countersign_gateway::{
    bucket::BucketConfig,
    config::places,
    log::{
        Records,
        chain::{LogKey, Verifier, read_key},
    },
};

/// Where records are: a folder, `s3://bucket/prefix`, or what the config says.
///
/// # Errors
/// What is wrong with the config, where nobody names them.
pub fn records(config: &Path, named: Option<PathBuf>) -> Result<Records, String> {
    let found = |config: &Path| {
        places(config).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            problems.join("\n")
        })
    };
    let Some(named) = named else {
        let found = found(config).map_err(|problems| format!("{problems}\nor name the folder of records"))?;
        return Ok(found.records());
    };
    let Some(place) = named.to_str().filter(|text| text.starts_with("s3://")) else { return Ok(named.into()) };
    let (bucket, prefix) = BucketConfig::place(place).map_err(|why| format!("{place}: {why}"))?;
    // The config's keys, where it speaks of this bucket; AWS's own variables otherwise.
    let known = if config.exists() { found(config)?.bucket } else { None };
    Ok(match known.filter(|known| known.bucket == bucket) {
        Some(known) => BucketConfig { prefix, ..known }.into(),
        None => BucketConfig::by_environment(bucket, prefix)?.into(),
    })
}

/// Both.
///
/// # Errors
/// As of [`records`] and [`key`].
pub fn both(config: &Path, handed: Option<PathBuf>, named: Option<PathBuf>) -> Result<(Records, Verifier), String> {
    let records = records(config, named)?;
    Ok((records, key(config, handed.as_deref())?))
}

/// The key that checkpoints are verified with: the one that somebody hands over, or this gateway's own.
///
/// # Errors
/// Where there is none.
pub fn key(config: &Path, handed: Option<&Path>) -> Result<Verifier, String> {
    if let Some(file) = handed {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let hint = "it is the line in log.vkey beside the log, or an Ed25519 key in PEM";
        return read_key(&text).ok_or_else(|| format!("{}: this is no log's key; {hint}", file.display()));
    }
    let own = places(config).map(|found| found.log_key).ok().filter(|path| path.exists());
    let own =
        own.ok_or("name the log's public key with --key FILE; the gateway writes it to log.vkey beside the log")?;
    LogKey::load_or_create(&own).map(|key| key.verifier()).map_err(|e| e.to_string())
}
