//! Who was seen, and to which subject a principal is bound.

use countersign_shared::duties::Human;
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::{
    super::{Seen, StoreError},
    directory,
    errors::{refused, unavailable, unreadable},
    tokens,
};
use crate::statement::decide::Known;

type Row = (String, String, String, Option<String>, String, String);

/// Those whom the directory does not keep out, with what it adds to their groups.
const SELECT: &str = "SELECT principal, issuer, subject, owner, groups,
    (SELECT json_group_array(d.name) FROM directory_memberships AS d
      WHERE p.owner IS NULL AND d.principal = lower(p.principal))
  FROM people AS p
 WHERE NOT EXISTS (SELECT 1 FROM people_ended AS e WHERE e.principal = p.principal)";

fn known((principal, issuer, subject, owner, groups, more): Row) -> Result<Known, StoreError> {
    let groups = directory::union(&groups, &more)?;
    Ok(Known { human: Human { principal, issuer, subject, owner }, groups })
}

/// Remembers a login, and its groups as of now.
pub(super) async fn seen(db: &mut SqliteConnection, seen: &Seen) -> Result<(), StoreError> {
    let Human { principal, issuer, subject, owner } = &seen.human;
    let groups = serde_json::to_string(&seen.groups).map_err(|e| unreadable("a list of groups", e))?;
    let at = seen.at.timestamp_millis();
    if let Some(how) = directory::gone(&mut *db, &seen.human).await? {
        return Err(StoreError::Gone { principal: principal.clone(), how });
    }
    if let Some(token) = &seen.token
        && let Some(reason) = tokens::ended(&mut *db, token).await?
    {
        return Err(StoreError::TokenEnded { reason });
    }
    let bound: Option<(String, String, Option<String>)> =
        sqlx::query_as("SELECT issuer, subject, owner FROM people WHERE principal = ?")
            .bind(principal)
            .fetch_optional(&mut *db)
            .await
            .map_err(unavailable)?;
    let query = match bound {
        None => sqlx::query(
            "INSERT INTO people (groups, owner, last_seen, principal, issuer, subject, first_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?3)",
        ),
        // A user does not become an agent under the same name, nor an agent a user.
        Some(b) if b.0 == *issuer && b.1 == *subject && b.2.is_some() == owner.is_some() => sqlx::query(
            "UPDATE people SET groups = ?1, owner = ?2, last_seen = max(last_seen, ?3)
              WHERE principal = ?4 AND issuer = ?5 AND subject = ?6",
        ),
        Some(_) => return Err(StoreError::BoundToAnother { principal: principal.clone() }),
    };
    query
        .bind(groups)
        .bind(owner)
        .bind(at)
        .bind(principal)
        .bind(issuer)
        .bind(subject)
        .execute(db)
        .await
        .map(drop)
        .map_err(|e| refused(e, None))
}

/// One principal.
pub(super) async fn person(db: &SqlitePool, principal: &str) -> Result<Option<Known>, StoreError> {
    sqlx::query_as(AssertSqlSafe(format!("{SELECT} AND principal = ?")))
        .bind(principal)
        .fetch_optional(db)
        .await
        .map_err(unavailable)?
        .map(known)
        .transpose()
}

/// Every principal, by name.
pub(super) async fn people(db: &SqlitePool) -> Result<Vec<Known>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!("{SELECT} ORDER BY principal")))
        .fetch_all(db)
        .await
        .map_err(unavailable)?;
    rows.into_iter().map(known).collect()
}
