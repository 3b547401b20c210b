//! Statements of a text that are taken one by one. What may be written is for the schema's triggers to say.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::Outcome,
    ids::{RequestId, SessionId},
    request::State,
};
use serde::Deserialize;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{
    super::{
        StoreError,
        steps::{StepEnd, StepTaken},
    },
    errors::{is_wall, refused, unavailable, unreadable},
    events, requests,
};

/// As [`requests`] selects it.
#[derive(Deserialize)]
pub(super) struct TakenRow {
    number: u32,
    at: i64,
    session: String,
    outcome: Option<String>,
    ran: Option<u8>,
}

impl TakenRow {
    pub(super) fn into_taken(self) -> Result<StepTaken, StoreError> {
        let ended = self.outcome.zip(self.ran).map(|(outcome, ran)| StepEnd { outcome, ran: ran == 1 });
        let session = self.session.parse().map_err(|e| unreadable("a statement that was taken", e))?;
        Ok(StepTaken { number: self.number, at: events::time(self.at)?, session, ended })
    }
}

/// Whether somebody has any that were approved.
pub(super) async fn any(db: impl SqliteExecutor<'_>, principal: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM requests WHERE principal = ? AND steps IS NOT NULL AND state = 'approved')",
    )
    .bind(principal)
    .fetch_one(db)
    .await
    .map_err(unavailable)
}

/// Takes one, and releases the request with the last.
pub(super) async fn take(
    db: &mut SqliteConnection,
    id: &RequestId,
    number: u32,
    now: DateTime<Utc>,
    session: &SessionId,
) -> Result<bool, StoreError> {
    let taken = sqlx::query("INSERT INTO steps_taken (request, number, at, session) VALUES (?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(number)
        .bind(now.timestamp_millis())
        .bind(session.as_str())
        .execute(&mut *db)
        .await;
    match taken {
        Ok(_) => {}
        Err(error) if is_wall(&error, "not_next") => return Ok(false),
        Err(error) => return Err(refused(error, None)),
    }
    let left: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM requests AS r, json_each(r.steps) AS s
                         WHERE r.id = ?1 AND json_extract(s.value, '$.needed') = 1 AND s.key >= ?2)",
    )
    .bind(id.as_str())
    .bind(number)
    .fetch_one(&mut *db)
    .await
    .map_err(unavailable)?;
    if left {
        events::add(db, events::UPDATED, Some(id)).await?;
        return Ok(true);
    }
    requests::change_state(db, id, &[State::Approved], State::Released, None).await
}

/// Writes down what came of one, and ends the request with the last, or with one that did not run.
pub(super) async fn end(
    db: &mut SqliteConnection,
    id: &RequestId,
    number: u32,
    end: &StepEnd,
    known: bool,
    milliseconds: u64,
) -> Result<Option<State>, StoreError> {
    sqlx::query("UPDATE steps_taken SET outcome = ?, ran = ? WHERE request = ? AND number = ?")
        .bind(&end.outcome)
        .bind(end.ran)
        .bind(id.as_str())
        .bind(number)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    let (to, outcome) = match requests::state(db, id).await? {
        Some(State::Released) => {
            let tags: Vec<String> =
                sqlx::query_scalar("SELECT outcome FROM steps_taken WHERE request = ? AND ran = 1 ORDER BY number")
                    .bind(id.as_str())
                    .fetch_all(&mut *db)
                    .await
                    .map_err(unavailable)?;
            let outcome =
                Outcome { milliseconds: Some(milliseconds), tag: Some(tags.join("; ")), ..Outcome::default() };
            let failed =
                Outcome { tag: None, error: Some(format!("statement {number}: {}", end.outcome)), ..outcome.clone() };
            (if known { State::Done } else { State::Unknown }, if end.ran { outcome } else { failed })
        }
        Some(State::Approved) if !end.ran => {
            let what = if known { "did not run" } else { "may have run, nobody knows" };
            let reason = Some(format!("statement {number} {what}: {}", end.outcome));
            (State::Void, Outcome { reason, ..Outcome::default() })
        }
        state => {
            events::add(db, events::UPDATED, Some(id)).await?;
            return Ok(state);
        }
    };
    requests::change_state(db, id, &[State::Approved, State::Released], to, Some(&outcome)).await?;
    Ok(Some(to))
}
