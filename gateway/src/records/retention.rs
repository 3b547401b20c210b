//! What is kept no longer: the keys of sealed records, some days after the day that they are of. The log stays as it is.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Duration};

use chrono::{Days, NaiveDate, TimeDelta, Utc};

use crate::{
    config::Config,
    log::{
        Log, LogDown,
        seal::{KeyFile, destroy, forgotten, keys},
    },
    runtime::Gateway,
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(600);

/// Why keys are still there.
#[derive(Debug, thiserror::Error)]
pub enum NotForgotten {
    /// Their end can't be told, so they stay.
    #[error(transparent)]
    Log(#[from] LogDown),
    /// They can't be read or taken away.
    #[error("keys of sealed records: {0}")]
    Io(#[from] io::Error),
}

/// Looks at once and then now and then, until it is dropped.
pub async fn keep(gateway: Arc<Gateway>) {
    if gateway.config.connections.values().all(|connection| connection.record_keep.is_none()) {
        return;
    }
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        if let Err(error) = round(&gateway.config, &gateway.log, Utc::now().date_naive()).await {
            tracing::error!(%error, "records that are over are still there; it is tried again");
        }
    }
}

/// Tells of the keys that are over, and then destroys them. How many.
///
/// # Errors
/// [`NotForgotten`].
pub async fn round(config: &Config, log: &Log, today: NaiveDate) -> Result<usize, NotForgotten> {
    let mut over: BTreeMap<String, Vec<(PathBuf, KeyFile)>> = BTreeMap::new();
    for (path, key) in keys(&config.gateway.records)? {
        let keep = config.connections.get(&key.connection).and_then(|connection| connection.record_keep);
        if keep.is_some_and(|keep| is_over(key.day, keep, today)) {
            over.entry(key.connection.clone()).or_default().push((path, key));
        }
    }
    let mut count = 0;
    for (connection, keys) in over {
        log.append_durably(&forgotten(&connection, &keys.iter().map(|(_, key)| key).collect::<Vec<_>>())).await?;
        for (path, _) in keys {
            destroy(&path)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Whether all of `day` is longer ago than `keep`.
fn is_over(day: NaiveDate, keep: Duration, today: NaiveDate) -> bool {
    let days = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX).num_days().try_into().unwrap_or(u64::MAX);
    day.checked_add_days(Days::new(days)).is_some_and(|last| last < today)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_over_once_all_of_it_is_long_enough_ago() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let week = Duration::from_secs(7 * 86_400);
        for (today, over) in [("2026-11-24", false), ("2026-12-01", false), ("2026-12-02", true), ("2027-01-01", true)]
        {
            assert_eq!(is_over(day("2026-11-24"), week, day(today)), over, "{today}");
        }
        assert!(!is_over(day("2026-11-24"), Duration::MAX, day("2030-01-01")));
    }
}
