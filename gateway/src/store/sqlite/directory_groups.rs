//! The directory's groups and their members.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor, SqlitePool};

use super::{
    super::{
        StoreError,
        directory::{DirectoryGroup, GroupFields, GroupId, Kept, UserId},
    },
    errors::{refused, unavailable, unreadable},
    events::time,
};

type Row = (String, String, Option<String>, i64, i64, i64, String);

const SELECT: &str = "SELECT id, display_name, external_id, version, created_at, modified_at,
    (SELECT json_group_array(json_array(u.id, u.user_name))
       FROM directory_members AS m JOIN directory_users AS u ON u.id = m.member WHERE m.in_group = g.id)
  FROM directory_groups AS g";

fn group(row: Row) -> Result<DirectoryGroup, StoreError> {
    let (id, display_name, external_id, version, created_at, modified_at, members) = row;
    let related: Vec<(String, String)> =
        serde_json::from_str(&members).map_err(|e| unreadable("a group's members", e))?;
    let mut members: Vec<_> = related.iter().map(|(id, _)| UserId::named(id)).collect();
    members.sort();
    Ok(Kept {
        id: GroupId::named(&id),
        is: GroupFields { display_name, external_id, members },
        version,
        created_at: time(created_at)?,
        modified_at: time(modified_at)?,
        related,
    })
}

/// One group.
pub(super) async fn one(db: impl SqliteExecutor<'_>, id: &GroupId) -> Result<Option<DirectoryGroup>, StoreError> {
    let sql = AssertSqlSafe(format!("{SELECT} WHERE id = ?"));
    let row: Option<Row> = sqlx::query_as(sql).bind(id.as_str()).fetch_optional(db).await.map_err(unavailable)?;
    row.map(group).transpose()
}

/// Groups, the oldest first.
pub(super) async fn list(db: &SqlitePool, name: Option<&str>) -> Result<Vec<DirectoryGroup>, StoreError> {
    let sql = AssertSqlSafe(match name {
        Some(_) => format!("{SELECT} WHERE display_name = ?"),
        None => format!("{SELECT} ORDER BY created_at, id"),
    });
    let query = match name {
        Some(name) => sqlx::query_as(sql).bind(name),
        None => sqlx::query_as(sql),
    };
    let rows: Vec<Row> = query.fetch_all(db).await.map_err(unavailable)?;
    rows.into_iter().map(group).collect()
}

async fn not_taken(db: &mut SqliteConnection, id: &GroupId, is: &GroupFields) -> Result<(), StoreError> {
    let another: Option<i64> = sqlx::query_scalar("SELECT 1 FROM directory_groups WHERE display_name = ? AND id <> ?")
        .bind(&is.display_name)
        .bind(id.as_str())
        .fetch_optional(db)
        .await
        .map_err(unavailable)?;
    if another.is_some() { Err(StoreError::Taken("displayName")) } else { Ok(()) }
}

/// Makes the members of a group what they are to be.
async fn set_members(db: &mut SqliteConnection, id: &GroupId, members: &[UserId]) -> Result<(), StoreError> {
    let texts: Vec<&str> = members.iter().map(UserId::as_str).collect();
    let wanted = serde_json::to_string(&texts).map_err(|e| unreadable("a list of members", e))?;
    sqlx::query("DELETE FROM directory_members WHERE in_group = ? AND member NOT IN (SELECT value FROM json_each(?))")
        .bind(id.as_str())
        .bind(&wanted)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    sqlx::query(
        "INSERT INTO directory_members (in_group, member)
         SELECT ?1, u.id FROM directory_users AS u
          WHERE u.id IN (SELECT value FROM json_each(?2))
            AND NOT EXISTS (SELECT 1 FROM directory_members AS m WHERE m.in_group = ?1 AND m.member = u.id)",
    )
    .bind(id.as_str())
    .bind(&wanted)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM directory_members WHERE in_group = ?")
        .bind(id.as_str())
        .fetch_one(db)
        .await
        .map_err(unavailable)?;
    if usize::try_from(count) == Ok(members.len()) { Ok(()) } else { Err(StoreError::NotFound("user")) }
}

/// Creates one.
pub(super) async fn create(
    db: &mut SqliteConnection,
    is: &GroupFields,
    now: DateTime<Utc>,
) -> Result<DirectoryGroup, StoreError> {
    let id = GroupId::random();
    not_taken(db, &id, is).await?;
    sqlx::query(
        "INSERT INTO directory_groups (id, display_name, external_id, version, created_at, modified_at)
         VALUES (?1, ?2, ?3, 1, ?4, ?4)",
    )
    .bind(id.as_str())
    .bind(&is.display_name)
    .bind(&is.external_id)
    .bind(now.timestamp_millis())
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    set_members(db, &id, &is.members).await?;
    one(db, &id).await?.ok_or(StoreError::NotFound("group"))
}

/// Replaces one version of one.
pub(super) async fn replace(
    db: &mut SqliteConnection,
    id: &GroupId,
    version: i64,
    is: &GroupFields,
    now: DateTime<Utc>,
) -> Result<Option<DirectoryGroup>, StoreError> {
    let found = one(&mut *db, id).await?.ok_or(StoreError::NotFound("group"))?;
    if found.version != version {
        return Ok(None);
    }
    not_taken(db, id, is).await?;
    sqlx::query(
        "UPDATE directory_groups
            SET display_name = ?2, external_id = ?3, modified_at = max(modified_at, ?4), version = version + 1
          WHERE id = ?1",
    )
    .bind(id.as_str())
    .bind(&is.display_name)
    .bind(&is.external_id)
    .bind(now.timestamp_millis())
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    set_members(db, id, &is.members).await?;
    one(db, id).await
}

/// Deletes one version of one.
pub(super) async fn delete(db: &mut SqliteConnection, id: &GroupId, version: i64) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM directory_groups WHERE id = ? AND version = ?")
        .bind(id.as_str())
        .bind(version)
        .execute(db)
        .await
        .map_err(|e| refused(e, None))?;
    Ok(done.rows_affected() == 1)
}
