//! What is kept no longer: the keys of sealed records, some days after the day that they are of. The log stays as it is.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Duration};

use chrono::{Days, NaiveDate, TimeDelta, Utc};

use crate::{
    config::Config,
    log::{
        Log, LogDown,
        seal::{KeyFile, Keys, destroy, forgotten, keys},
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
    /// Nobody knows whether it is over.
    #[error("{path}: it is no key of sealed records ({1}); take it away", path = .0.display())]
    Unread(PathBuf, String),
    /// The config says nothing of their connection.
    #[error(
        "{1} keys are of {0:?}, which is no connection of the config, so nothing says when they are over; name it again, or \
         remove them"
    )]
    Stray(String, usize),
}

/// Looks at once and then now and then, until it is dropped.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let (_, failed) = round(&gateway.config, &gateway.log, Utc::now().date_naive()).await;
        for error in failed {
            tracing::error!(%error, "records that are over may still be there; it is tried again");
        }
    }
}

/// Tells of the keys that are over, and then destroys them, each connection's by themselves. How many, and what did not
/// go well: of one file, or of one connection, it keeps no other.
pub async fn round(config: &Config, log: &Log, today: NaiveDate) -> (usize, Vec<NotForgotten>) {
    let mut failed = Vec::new();
    let found = keys(&config.gateway.records).unwrap_or_else(|error| {
        failed.push(error.into());
        Keys::default()
    });
    for (path, why) in found.bad {
        failed.push(NotForgotten::Unread(path, why));
    }
    for path in found.left {
        failed.extend(std::fs::remove_file(path).err().map(NotForgotten::Io));
    }
    let mut over: BTreeMap<String, Vec<(PathBuf, KeyFile)>> = BTreeMap::new();
    let mut strays: BTreeMap<String, usize> = BTreeMap::new();
    for (path, key) in found.good {
        let Some(connection) = config.connections.get(&key.connection) else {
            *strays.entry(key.connection).or_default() += 1;
            continue;
        };
        if connection.record_keep.is_some_and(|keep| is_over(key.day, keep, today)) {
            over.entry(key.connection.clone()).or_default().push((path, key));
        }
    }
    failed.extend(strays.into_iter().map(|(connection, count)| NotForgotten::Stray(connection, count)));
    let mut count = 0;
    for (connection, keys) in over {
        let told = forgotten(&connection, &keys.iter().map(|(_, key)| key).collect::<Vec<_>>());
        if let Err(down) = log.append_durably(&told).await {
            failed.push(down.into());
            continue;
        }
        for (path, _) in keys {
            match destroy(&path) {
                Ok(()) => count += 1,
                Err(error) => failed.push(error.into()),
            }
        }
    }
    (count, failed)
}

/// Whether all of `day` is longer ago than `keep`.
fn is_over(day: NaiveDate, keep: Duration, today: NaiveDate) -> bool {
    let days = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX).num_days().try_into().unwrap_or(u64::MAX);
    day.checked_add_days(Days::new(days)).is_some_and(|last| last < today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        approval::house::House,
        log::{
            Entry, Kind, read,
            seal::{Sealer, keys_in},
        },
    };

    #[tokio::test]
    async fn no_file_and_no_connection_keeps_the_keys_of_another() {
        let keep = Some(Duration::from_secs(86_400));
        let house = House::with(|config| {
            config.connections.get_mut("shop").unwrap().record_keep = keep;
        })
        .await;
        let (config, log) = (&house.gateway.config, &house.gateway.log);
        let records = config.gateway.records.clone();
        let seals = ["shop", "renamed"].map(|name| (name.to_owned(), countersign_shared::secret::Secret::new([7; 32])));
        let sealer = Sealer::new(&records, seals.into()).unwrap();
        for connection in ["shop", "renamed"] {
            let entry =
                Entry { connection: Some(connection.into()), sql: Some("x".into()), ..Entry::new(Kind::Denied) };
            sealer.seal(serde_json::to_vec(&entry).unwrap()).unwrap();
        }
        let folder = keys_in(&records);
        // What a power cut left of an end, and what nobody knows.
        std::fs::write(folder.join("0000000000000000.key"), "").unwrap();
        std::fs::write(folder.join("1111111111111111.gone"), "half a key").unwrap();
        std::fs::write(folder.join("2222222222222222.key"), "torn").unwrap();
        let (ended, failed) = round(config, log, Utc::now().date_naive() + TimeDelta::days(9)).await;
        assert_eq!(ended, 1);
        let said: Vec<String> = failed.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("2222222222222222.key: it is no key"), "{said:?}");
        assert!(said[1].contains("1 keys are of \"renamed\", which is no connection"), "{said:?}");
        let mut left: Vec<_> = keys(&records).unwrap().good.into_iter().map(|(_, key)| key.connection).collect();
        assert_eq!((left.pop().as_deref(), left.len()), (Some("renamed"), 0));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "what was left is gone");
        let told = read(records.as_path()).map(Result::unwrap).filter(|(_, entry)| entry.kind == Kind::Retention);
        assert_eq!(told.count(), 1);
    }

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
