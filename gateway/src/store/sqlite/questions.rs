//! Questions about requests.

use countersign_shared::ids::RequestId;
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    super::{
        StoreError,
        questions::{Kept, Question},
    },
    errors::{refused, unavailable},
    events, requests,
};

/// Keeps one. That it may be asked is for the schema's trigger to say.
pub(super) async fn keep(db: &mut SqliteConnection, question: &Question, most: u32) -> Result<Kept, StoreError> {
    let (all, own, same): (u32, u32, bool) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE principal = ?2),
                count(*) FILTER (WHERE principal = ?2 AND text = ?3) > 0
           FROM questions WHERE request = ?1",
    )
    .bind(question.request.as_str())
    .bind(&question.by)
    .bind(&question.text)
    .fetch_one(&mut *db)
    .await
    .map_err(unavailable)?;
    if same {
        return Ok(Kept::Before);
    }
    if own >= most {
        return Ok(Kept::TooMany);
    }
    let state = requests::state(db, &question.request).await?;
    sqlx::query("INSERT INTO questions (request, number, principal, text, at) VALUES (?, ?, ?, ?, ?)")
        .bind(question.request.as_str())
        .bind(all + 1)
        .bind(&question.by)
        .bind(&question.text)
        .bind(question.at.timestamp_millis())
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, state))?;
    events::add(db, events::UPDATED, Some(&question.request)).await?;
    Ok(Kept::As(all + 1))
}

/// All about a request, in order.
pub(super) async fn of(db: &SqlitePool, request: &RequestId) -> Result<Vec<Question>, StoreError> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT principal, text, at FROM questions WHERE request = ? ORDER BY number")
            .bind(request.as_str())
            .fetch_all(db)
            .await
            .map_err(unavailable)?;
    let read = |(by, text, at)| Ok(Question { request: request.clone(), by, text, at: events::time(at)? });
    rows.into_iter().map(read).collect()
}
