//! What the bot and the event stream follow.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::Event,
    ids::{GrantId, RequestId},
};
use sqlx::{Sqlite, SqliteConnection, SqliteExecutor, SqlitePool};

use super::{
    super::StoreError,
    errors::{unavailable, unreadable},
};

/// `seq`, when, kind, request, grant.
type Row = (i64, i64, String, Option<String>, Option<String>);

/// A request was made.
pub(super) const CREATED: &str = "request.created";
/// Something about a request changed.
pub(super) const UPDATED: &str = "request.updated";
/// A role was given.
pub(super) const GRANTED: &str = "grant.created";
/// A grant lasts longer.
pub(super) const EXTENDED: &str = "grant.extended";
/// A grant ended.
pub(super) const GRANT_ENDED: &str = "grant.ended";
/// A Slack account was linked.
pub(super) const LINKED: &str = "link.created";

/// Milliseconds, as the schema keeps times, into a time.
pub(super) fn time(milliseconds: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(milliseconds).ok_or_else(|| unreadable("a time", milliseconds))
}

/// Adds an event to the transaction that it tells of.
pub(super) async fn add(db: &mut SqliteConnection, kind: &str, request: Option<&RequestId>) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (at, kind, request) VALUES (?, ?, ?)")
        .bind(Utc::now().timestamp_millis())
        .bind(kind)
        .bind(request.map(RequestId::as_str))
        .execute(db)
        .await
        .map(drop)
        .map_err(unavailable)
}

/// Adds an event about a grant to the transaction that it tells of.
pub(super) async fn of_grant(db: &mut SqliteConnection, kind: &str, grant: &GrantId) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (at, kind, about_grant) VALUES (?, ?, ?)")
        .bind(Utc::now().timestamp_millis())
        .bind(kind)
        .bind(grant.as_str())
        .execute(db)
        .await
        .map(drop)
        .map_err(unavailable)
}

/// The newest `seq`; 0 where there is none.
pub(super) async fn last(db: impl SqliteExecutor<'_>) -> Result<i64, StoreError> {
    sqlx::query_scalar::<Sqlite, i64>("SELECT coalesce(max(seq), 0) FROM events")
        .fetch_one(db)
        .await
        .map_err(unavailable)
}

/// Events after `seq`, oldest first.
pub(super) async fn after(db: &SqlitePool, seq: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT seq, at, kind, request, about_grant FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(seq)
            .bind(limit)
            .fetch_all(db)
            .await
            .map_err(unavailable)?;
    rows.into_iter()
        .map(|(seq, at, kind, request, grant)| {
            let request = request.map(|id| id.parse()).transpose().map_err(|e| unreadable("an event", e))?;
            let grant = grant.map(|id| id.parse()).transpose().map_err(|e| unreadable("an event", e))?;
            Ok(Event { seq, at: time(at)?, kind, request, grant })
        })
        .collect()
}
