//! Reviews of a connection's grants.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::ReviewChoice,
    ids::{GrantId, ReviewId},
};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::{
    super::{
        StoreError,
        reviews::{Answer, KEPT_FOR, Review},
        usage::Keep,
    },
    errors::{refused, unavailable, unreadable},
    events::time,
    usage,
};

const COLUMNS: &str = "SELECT id, connection, by, at, checkpoint, closed_at FROM access_reviews";

type Row = (String, String, String, i64, Option<String>, Option<i64>);
type ItemRow = (String, Option<String>, Option<String>, Option<i64>, Option<String>);

const fn word(choice: ReviewChoice) -> &'static str {
    match choice {
        ReviewChoice::Keep => "keep",
        ReviewChoice::Revoke => "revoke",
    }
}

fn read_answer((_, choice, by, at, reason): &ItemRow) -> Result<Option<Answer>, StoreError> {
    let (Some(choice), Some(by), Some(at), Some(reason)) = (choice, by, at, reason) else { return Ok(None) };
    let choice = match choice.as_str() {
        "keep" => ReviewChoice::Keep,
        "revoke" => ReviewChoice::Revoke,
        other => return Err(unreadable("an answer of a review", other)),
    };
    Ok(Some(Answer { choice, by: by.clone(), at: time(*at)?, reason: reason.clone() }))
}

async fn whole(
    db: &mut SqliteConnection,
    (id, connection, by, at, checkpoint, closed): Row,
) -> Result<Review, StoreError> {
    let rows: Vec<ItemRow> = sqlx::query_as(
        "SELECT i.id, a.choice, a.by, a.at, a.reason
           FROM access_review_items AS i
           LEFT JOIN access_review_answers AS a ON a.review = i.review AND a.id = i.id
          WHERE i.review = ?",
    )
    .bind(&id)
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    let mut items = BTreeMap::new();
    for row in rows {
        let grant: GrantId = row.0.parse().map_err(|error| unreadable("a review's grant", error))?;
        items.insert(grant, read_answer(&row)?);
    }
    let id = id.parse().map_err(|error| unreadable("a review", error))?;
    Ok(Review { id, connection, by, at: time(at)?, checkpoint, closed_at: closed.map(time).transpose()?, items })
}

/// Begins one, unless its connection has an open one.
pub(super) async fn open(db: &mut SqliteConnection, review: &Review) -> Result<Review, StoreError> {
    let open: Option<Row> =
        sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} WHERE connection = ? AND closed_at IS NULL")))
            .bind(&review.connection)
            .fetch_optional(&mut *db)
            .await
            .map_err(unavailable)?;
    if let Some(row) = open {
        return whole(db, row).await;
    }
    sqlx::query("INSERT INTO access_reviews (id, connection, by, at, checkpoint) VALUES (?, ?, ?, ?, ?)")
        .bind(review.id.as_str())
        .bind(&review.connection)
        .bind(&review.by)
        .bind(review.at.timestamp_millis())
        .bind(&review.checkpoint)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    for grant in review.items.keys() {
        sqlx::query("INSERT INTO access_review_items (review, id) VALUES (?, ?)")
            .bind(review.id.as_str())
            .bind(grant.as_str())
            .execute(&mut *db)
            .await
            .map_err(|e| refused(e, None))?;
    }
    let row = (
        review.id.to_string(),
        review.connection.clone(),
        review.by.clone(),
        review.at.timestamp_millis(),
        review.checkpoint.clone(),
        None,
    );
    whole(db, row).await
}

/// One.
pub(super) async fn one(db: &SqlitePool, id: &ReviewId) -> Result<Option<Review>, StoreError> {
    let mut db = db.acquire().await.map_err(unavailable)?;
    let row: Option<Row> = sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} WHERE id = ?")))
        .bind(id.as_str())
        .fetch_optional(&mut *db)
        .await
        .map_err(unavailable)?;
    match row {
        Some(row) => whole(&mut db, row).await.map(Some),
        None => Ok(None),
    }
}

/// The newest first.
pub(super) async fn newest(db: &SqlitePool, limit: u32) -> Result<Vec<Review>, StoreError> {
    let mut db = db.acquire().await.map_err(unavailable)?;
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} ORDER BY at DESC, id LIMIT ?")))
        .bind(limit)
        .fetch_all(&mut *db)
        .await
        .map_err(unavailable)?;
    let mut reviews = Vec::new();
    for row in rows {
        reviews.push(whole(&mut db, row).await?);
    }
    Ok(reviews)
}

/// Remembers what somebody said.
pub(super) async fn answer(
    db: &mut SqliteConnection,
    id: &ReviewId,
    grant: &GrantId,
    answer: &Answer,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO access_review_answers (review, id, choice, by, at, reason) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(grant.as_str())
        .bind(word(answer.choice))
        .bind(&answer.by)
        .bind(answer.at.timestamp_millis())
        .bind(&answer.reason)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    if answer.choice == ReviewChoice::Keep {
        let Answer { by, at, reason, .. } = answer.clone();
        usage::keep(db, &Keep { grant: grant.clone(), at, until: at + KEPT_FOR, by, reason }).await?;
    }
    Ok(())
}

/// Closes one.
pub(super) async fn close(db: &mut SqliteConnection, id: &ReviewId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    sqlx::query("UPDATE access_reviews SET closed_at = ? WHERE id = ? AND closed_at IS NULL")
        .bind(at.timestamp_millis())
        .bind(id.as_str())
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|e| refused(e, None))
}
