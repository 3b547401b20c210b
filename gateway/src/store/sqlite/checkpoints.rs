//! The newest checkpoint of each log.

use chrono::{DateTime, Utc};
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    super::StoreError,
    errors::{refused, unavailable},
};
use crate::log::chain::Known;

/// Keeps a log's newest checkpoint.
pub(super) async fn keep(
    db: &mut SqliteConnection,
    known: &Known,
    size: u64,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO checkpoints (origin, records, size, note, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (origin) DO UPDATE
            SET records = excluded.records, size = excluded.size, note = excluded.note, at = excluded.at",
    )
    .bind(&known.origin)
    .bind(known.records.to_string_lossy())
    .bind(i64::try_from(size).unwrap_or(i64::MAX))
    .bind(&known.note)
    .bind(at.timestamp_millis())
    .execute(db)
    .await
    .map(drop)
    .map_err(|e| refused(e, None))
}

/// What is known of each log.
pub(super) async fn read(db: &SqlitePool) -> Result<Vec<Known>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT origin, records, note FROM checkpoints ORDER BY at")
            .fetch_all(db)
            .await
            .map_err(unavailable)?;
    Ok(rows.into_iter().map(|(origin, records, note)| Known { origin, records: records.into(), note }).collect())
}
