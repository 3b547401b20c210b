//! Who is told in somebody's place.

use chrono::{DateTime, Utc};
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    super::{StoreError, delegations::Delegation},
    errors::{refused, unavailable},
    events::time,
};

/// Keeps one.
pub(super) async fn keep(db: &mut SqliteConnection, delegation: &Delegation) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO delegations (principal, delegate, from_at, until_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (principal) DO UPDATE
            SET delegate = excluded.delegate, from_at = excluded.from_at, until_at = excluded.until_at",
    )
    .bind(&delegation.principal)
    .bind(&delegation.delegate)
    .bind(delegation.from.timestamp_millis())
    .bind(delegation.until.timestamp_millis())
    .execute(db)
    .await
    .map(drop)
    .map_err(|e| refused(e, None))
}

/// Ends one.
pub(super) async fn end(db: &mut SqliteConnection, principal: &str) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM delegations WHERE principal = ?")
        .bind(principal)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| refused(e, None))
}

/// Those that have not ended.
pub(super) async fn open(db: &SqlitePool, now: DateTime<Utc>) -> Result<Vec<Delegation>, StoreError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT principal, delegate, from_at, until_at FROM delegations WHERE until_at > ? ORDER BY principal",
    )
    .bind(now.timestamp_millis())
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    let read = |(principal, delegate, from, until)| {
        Ok(Delegation { principal, delegate, from: time(from)?, until: time(until)? })
    };
    rows.into_iter().map(read).collect()
}
