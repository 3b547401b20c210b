//! Tokens that count no more.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};

use super::{
    super::{
        StoreError,
        tokens::{TokenEnd, TokenFacts, Which},
    },
    errors::{refused, unavailable, unreadable},
    events::time,
};

/// So long everything here is kept: longer than any token, and long for sign-ins, from which a provider may
/// go on to make new ones.
const KEPT: TimeDelta = TimeDelta::days(400);

/// Remembers ends; `false` where the logout token `once` was taken before.
pub(super) async fn end(
    db: &mut SqliteConnection,
    ends: &[TokenEnd],
    once: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let old = (now - KEPT).timestamp_millis();
    for sql in ["DELETE FROM logouts_taken WHERE taken_at < ?", "DELETE FROM tokens_ended WHERE ended_at < ?"] {
        sqlx::query(sql).bind(old).execute(&mut *db).await.map_err(unavailable)?;
    }
    if let (Some(id), Some(first)) = (once, ends.first()) {
        let taken =
            sqlx::query("INSERT INTO logouts_taken (issuer, id, taken_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(&first.issuer)
                .bind(id)
                .bind(now.timestamp_millis())
                .execute(&mut *db)
                .await
                .map_err(unavailable)?;
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
    }
    for end in ends {
        sqlx::query(
            "INSERT INTO tokens_ended (issuer, kind, value, until, reason, ended_by, ended_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (issuer, kind, value) DO UPDATE SET until = max(until, excluded.until),
                    reason = excluded.reason, ended_by = excluded.ended_by, ended_at = max(ended_at, excluded.ended_at)",
        )
        .bind(&end.issuer)
        .bind(end.which.kind())
        .bind(end.which.value())
        .bind(end.which.until().map(|until| until.timestamp()))
        .bind(&end.reason)
        .bind(&end.by)
        .bind(end.at.timestamp_millis())
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    }
    Ok(true)
}

/// Why a token counts no more, if it does not.
pub(super) async fn ended(db: impl SqliteExecutor<'_>, token: &TokenFacts) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar(
        "SELECT reason FROM tokens_ended
          WHERE issuer = ?1
            AND ((kind = 'subject' AND value = ?2 AND until >= ?3)
              OR (kind = 'unnamed' AND value = ?2 AND until >= ?3 AND ?4 IS NULL)
              OR (kind = 'sign_in' AND value = ?4)
              OR (kind = 'id' AND value = ?5)
              OR (kind = 'digest' AND value = ?6))
          LIMIT 1",
    )
    .bind(&token.issuer)
    .bind(&token.subject)
    .bind(token.issued_at.timestamp())
    .bind(&token.sign_in)
    .bind(&token.id)
    .bind(token.digest.to_string())
    .fetch_optional(db)
    .await
    .map_err(unavailable)
}

type Row = (String, String, String, String, Option<String>, i64);

/// Those that were ended one by one, the newest first.
pub(super) async fn denied(db: &SqlitePool) -> Result<Vec<TokenEnd>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT issuer, kind, value, reason, ended_by, ended_at FROM tokens_ended
          WHERE kind IN ('id', 'digest') ORDER BY ended_at DESC, value",
    )
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    let read = |(issuer, kind, value, reason, by, at): Row| {
        let which = match kind.as_str() {
            "id" => Which::Id(value),
            _ => Which::Digest(value.parse().map_err(|_| unreadable("a token that was ended", "it is no digest"))?),
        };
        Ok(TokenEnd { issuer, which, reason, by, at: time(at)? })
    };
    rows.into_iter().map(read).collect()
}
