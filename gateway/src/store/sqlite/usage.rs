//! The use of grants, and notices.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{api::Claim, ids::GrantId};
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    super::{
        StoreError,
        usage::{Keep, Kind, Usage, Uses, Watch},
    },
    errors::{refused, unavailable, unreadable},
    events::time,
    requests::to_json,
};

fn id(text: &str) -> Result<GrantId, StoreError> {
    text.parse().map_err(|error| unreadable("a grant's use", error))
}

/// Remembers that grants were used.
pub(super) async fn record(db: &mut SqliteConnection, uses: &[(GrantId, DateTime<Utc>)]) -> Result<(), StoreError> {
    for (grant, at) in uses {
        sqlx::query(
            "INSERT INTO grant_uses (id, first_at, last_at)
             SELECT ?1, ?2, ?2 WHERE EXISTS (SELECT 1 FROM grants WHERE id = ?1)
             ON CONFLICT (id) DO UPDATE SET last_at = max(last_at, excluded.last_at)",
        )
        .bind(grant.as_str())
        .bind(at.timestamp_millis())
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    }
    Ok(())
}

/// What is known.
pub(super) async fn read(db: &SqlitePool) -> Result<Usage, StoreError> {
    let since: i64 = sqlx::query_scalar("SELECT coalesce(max(since), unixepoch() * 1000) FROM uses_recorded")
        .fetch_one(db)
        .await
        .map_err(unavailable)?;
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT id, first_at, last_at FROM grant_uses WHERE id NOT IN (SELECT id FROM grant_ends)")
            .fetch_all(db)
            .await
            .map_err(unavailable)?;
    let mut uses = HashMap::new();
    for (grant, first, last) in rows {
        uses.insert(id(&grant)?, Uses { first: time(first)?, last: time(last)? });
    }
    let rows: Vec<(String, i64, i64, String, String)> = sqlx::query_as(
        "SELECT id, at, until_at, by, reason FROM grant_keeps
          WHERE id NOT IN (SELECT id FROM grant_ends) ORDER BY at",
    )
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    let mut keeps = HashMap::new();
    for (grant, at, until, by, reason) in rows {
        let grant = id(&grant)?;
        keeps.insert(grant.clone(), Keep { grant, at: time(at)?, until: time(until)?, by, reason });
    }
    let rows: Vec<(String, String, i64, bool, Option<i64>)> =
        sqlx::query_as("SELECT kind, name, since, before, last_at FROM watched")
            .fetch_all(db)
            .await
            .map_err(unavailable)?;
    let mut watched = HashMap::new();
    for (kind, name, since, before, last) in rows {
        let kind = Kind::ALL.into_iter().find(|one| one.as_str() == kind);
        let kind =
            kind.ok_or_else(|| StoreError::Unavailable("something is watched of which nothing is known".into()))?;
        watched.insert((kind, name), Watch { since: time(since)?, before, last: last.map(time).transpose()? });
    }
    Ok(Usage { since: time(since)?, uses, keeps, watched })
}

/// Watches these of a kind, and no others.
pub(super) async fn watch(
    db: &mut SqliteConnection,
    kind: Kind,
    names: &[String],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let any: Option<i64> = sqlx::query_scalar("SELECT 1 FROM watched WHERE kind = ? LIMIT 1")
        .bind(kind.as_str())
        .fetch_optional(&mut *db)
        .await
        .map_err(unavailable)?;
    let all = to_json(names)?;
    sqlx::query(
        "INSERT INTO watched (kind, name, since, before)
         SELECT ?1, value, ?2, ?3 FROM json_each(?4) WHERE true
         ON CONFLICT (kind, name) DO NOTHING",
    )
    .bind(kind.as_str())
    .bind(now.timestamp_millis())
    .bind(i64::from(any.is_none()))
    .bind(&all)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    sqlx::query("DELETE FROM watched WHERE kind = ?1 AND name NOT IN (SELECT value FROM json_each(?2))")
        .bind(kind.as_str())
        .bind(&all)
        .execute(db)
        .await
        .map(drop)
        .map_err(|e| refused(e, None))
}

/// Remembers that some of them were used.
pub(super) async fn record_watched(
    db: &mut SqliteConnection,
    kind: Kind,
    names: &[String],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE watched SET last_at = max(coalesce(last_at, 0), ?2)
          WHERE kind = ?1 AND name IN (SELECT value FROM json_each(?3))",
    )
    .bind(kind.as_str())
    .bind(at.timestamp_millis())
    .bind(to_json(names)?)
    .execute(db)
    .await
    .map(drop)
    .map_err(|e| refused(e, None))
}

/// Remembers that somebody wants a grant kept.
pub(super) async fn keep(db: &mut SqliteConnection, keep: &Keep) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO grant_keeps (id, at, until_at, by, reason) VALUES (?, ?, ?, ?, ?)")
        .bind(keep.grant.as_str())
        .bind(keep.at.timestamp_millis())
        .bind(keep.until.timestamp_millis())
        .bind(&keep.by)
        .bind(&keep.reason)
        .execute(db)
        .await
        .map(drop)
        .map_err(|e| refused(e, None))
}

/// What was posted so long ago is forgotten, in milliseconds: nobody means to post it again.
const FORGOTTEN_AFTER: i64 = 60 * 24 * 60 * 60 * 1000;

/// Claims a notice, and forgets those of long ago.
pub(super) async fn claim(
    db: &mut SqliteConnection,
    name: &str,
    by: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Claim, StoreError> {
    let before: Option<(String, i64, Option<i64>)> =
        sqlx::query_as("SELECT claimed_by, claimed_at, done_at FROM notices WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *db)
            .await
            .map_err(unavailable)?;
    let claim = match before {
        None => Claim::Yours,
        Some((_, _, Some(_))) => return Ok(Claim::Done),
        // Whoever claims again does not know what came of it.
        Some((claimer, _, None)) if claimer == by => Claim::InDoubt,
        Some((_, at, None)) if time(at)? + lease <= now => Claim::InDoubt,
        Some(_) => return Ok(Claim::Taken),
    };
    sqlx::query("DELETE FROM notices WHERE claimed_at < ?")
        .bind(now.timestamp_millis().saturating_sub(FORGOTTEN_AFTER))
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
    sqlx::query(
        "INSERT INTO notices (name, claimed_by, claimed_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET claimed_by = ?2, claimed_at = ?3",
    )
    .bind(name)
    .bind(by)
    .bind(now.timestamp_millis())
    .execute(db)
    .await
    .map_err(|e| refused(e, None))?;
    Ok(claim)
}

/// A notice is posted.
pub(super) async fn posted(
    db: &mut SqliteConnection,
    name: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    sqlx::query("UPDATE notices SET done_at = ? WHERE name = ? AND claimed_by = ? AND done_at IS NULL")
        .bind(now.timestamp_millis())
        .bind(name)
        .bind(by)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| refused(e, None))
}
