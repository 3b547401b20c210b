//! The directory's users, and whom it keeps out. Names and subjects that it ended are kept by triggers.

use chrono::{DateTime, Utc};
use countersign_shared::duties::Human;
use sqlx::{AssertSqlSafe, SqliteConnection, SqliteExecutor, SqlitePool};

use super::{
    super::{
        StoreError,
        directory::{Account, DirectoryUser, Gone, Kept, UserFields, UserId},
    },
    errors::{refused, unavailable, unreadable},
    events::time,
};

type Row = (String, String, Option<String>, bool, Option<String>, String, i64, i64, i64, String);

const SELECT: &str =
    "SELECT id, user_name, external_id, active, display_name, profile, version, created_at, modified_at,
    (SELECT json_group_array(json_array(g.id, g.display_name))
       FROM directory_members AS m JOIN directory_groups AS g ON g.id = m.in_group WHERE m.member = u.id)
  FROM directory_users AS u";

fn user(row: Row) -> Result<DirectoryUser, StoreError> {
    let (id, user_name, external_id, active, display_name, profile, version, created_at, modified_at, groups) = row;
    let profile = serde_json::from_str(&profile).map_err(|e| unreadable("a user", e))?;
    let related = serde_json::from_str(&groups).map_err(|e| unreadable("a user's groups", e))?;
    Ok(Kept {
        id: UserId::named(&id),
        is: UserFields { user_name, external_id, active, display_name, profile },
        version,
        created_at: time(created_at)?,
        modified_at: time(modified_at)?,
        related,
    })
}

/// One user.
pub(super) async fn one(db: impl SqliteExecutor<'_>, id: &UserId) -> Result<Option<DirectoryUser>, StoreError> {
    let sql = AssertSqlSafe(format!("{SELECT} WHERE id = ?"));
    let row: Option<Row> = sqlx::query_as(sql).bind(id.as_str()).fetch_optional(db).await.map_err(unavailable)?;
    row.map(user).transpose()
}

/// Users, the oldest first.
pub(super) async fn list(db: &SqlitePool, principal: Option<&str>) -> Result<Vec<DirectoryUser>, StoreError> {
    let sql = AssertSqlSafe(match principal {
        Some(_) => format!("{SELECT} WHERE principal = ?"),
        None => format!("{SELECT} ORDER BY created_at, id"),
    });
    let query = match principal {
        Some(principal) => sqlx::query_as(sql).bind(principal.to_ascii_lowercase()),
        None => sqlx::query_as(sql),
    };
    let rows: Vec<Row> = query.fetch_all(db).await.map_err(unavailable)?;
    rows.into_iter().map(user).collect()
}

/// What `is` wants and another has.
async fn taken(db: &mut SqliteConnection, id: &UserId, is: &UserFields) -> Result<Option<&'static str>, StoreError> {
    let row: Option<bool> = sqlx::query_scalar(
        "SELECT principal = ?2 FROM directory_users WHERE id <> ?1 AND (principal = ?2 OR external_id = ?3)
          ORDER BY principal = ?2 DESC LIMIT 1",
    )
    .bind(id.as_str())
    .bind(is.principal())
    .bind(&is.external_id)
    .fetch_optional(db)
    .await
    .map_err(unavailable)?;
    Ok(row.map(|name| if name { "userName" } else { "externalId" }))
}

/// Writes a user as it is to be; `changes` is how many rows did.
async fn write(
    db: &mut SqliteConnection,
    sql: &'static str,
    id: &UserId,
    is: &UserFields,
    now: DateTime<Utc>,
    version: i64,
) -> Result<u64, StoreError> {
    if let Some(what) = taken(db, id, is).await? {
        return Err(StoreError::Taken(what));
    }
    let profile = serde_json::to_string(&is.profile).map_err(|e| unreadable("a user", e))?;
    let done = sqlx::query(sql)
        .bind(id.as_str())
        .bind(&is.user_name)
        .bind(is.principal())
        .bind(&is.external_id)
        .bind(is.active)
        .bind(&is.display_name)
        .bind(profile)
        .bind(now.timestamp_millis())
        .bind(version)
        .execute(db)
        .await
        .map_err(|e| refused(e, None))?;
    Ok(done.rows_affected())
}

/// Creates one.
pub(super) async fn create(
    db: &mut SqliteConnection,
    is: &UserFields,
    now: DateTime<Utc>,
) -> Result<DirectoryUser, StoreError> {
    let id = UserId::random();
    let sql = "INSERT INTO directory_users (id, user_name, principal, external_id, active, display_name, profile,
                                            created_at, modified_at, version)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)";
    write(db, sql, &id, is, now, 1).await?;
    one(db, &id).await?.ok_or(StoreError::NotFound("user"))
}

/// Replaces one version of one.
pub(super) async fn replace(
    db: &mut SqliteConnection,
    id: &UserId,
    version: i64,
    is: &UserFields,
    now: DateTime<Utc>,
) -> Result<Option<DirectoryUser>, StoreError> {
    let found = one(&mut *db, id).await?.ok_or(StoreError::NotFound("user"))?;
    if found.version != version {
        return Ok(None);
    }
    let sql = "UPDATE directory_users
                  SET user_name = ?2, principal = ?3, external_id = ?4, active = ?5, display_name = ?6, profile = ?7,
                      modified_at = max(modified_at, ?8), version = ?9 + 1
                WHERE id = ?1 AND version = ?9";
    write(db, sql, id, is, now, version).await?;
    one(db, id).await
}

/// Deletes one version of one.
pub(super) async fn delete(db: &mut SqliteConnection, id: &UserId, version: i64) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM directory_users WHERE id = ? AND version = ?")
        .bind(id.as_str())
        .bind(version)
        .execute(db)
        .await
        .map_err(|e| refused(e, None))?;
    Ok(done.rows_affected() == 1)
}

fn gone_as(state: &str) -> Gone {
    if state == "inactive" { Gone::Deactivated } else { Gone::Deleted }
}

/// Whether the directory keeps somebody out.
pub(super) async fn gone(db: impl SqliteExecutor<'_>, human: &Human) -> Result<Option<Gone>, StoreError> {
    let name = human.owner.as_ref().unwrap_or(&human.principal).to_ascii_lowercase();
    let state: Option<String> = sqlx::query_scalar(
        "SELECT state FROM directory_says
          WHERE state IN ('inactive', 'ended')
            AND ((kind = 'principal' AND value = ?1)
              OR (kind = 'subject' AND value = coalesce(?2, (SELECT subject FROM people WHERE principal = ?1))))
          ORDER BY state DESC LIMIT 1",
    )
    .bind(name)
    .bind(if human.is_agent() { None } else { Some(&human.subject) })
    .fetch_optional(db)
    .await
    .map_err(unavailable)?;
    Ok(state.as_deref().map(gone_as))
}

/// The groups that the directory gives somebody.
pub(super) async fn groups_of(db: impl SqliteExecutor<'_>, human: &Human) -> Result<Vec<String>, StoreError> {
    if human.is_agent() {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT name FROM directory_memberships WHERE principal = ? ORDER BY name")
        .bind(human.principal.to_ascii_lowercase())
        .fetch_all(db)
        .await
        .map_err(unavailable)
}

type AccountRow = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

/// Everybody who is known.
pub(super) async fn accounts(db: &SqlitePool) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<AccountRow> = sqlx::query_as(
        "SELECT n.principal, p.issuer, p.subject, p.owner, p.groups, p.first_seen, p.last_seen, u.id, u.display_name,
                coalesce((SELECT max(e.state) FROM people_ended AS e WHERE e.principal = n.principal),
                         (SELECT s.state FROM directory_says AS s
                           WHERE s.kind = 'principal' AND s.value = n.principal AND s.state IN ('inactive', 'ended'))),
                (SELECT json_group_array(d.name) FROM directory_memberships AS d
                  WHERE d.principal = n.principal AND p.owner IS NULL)
           FROM (SELECT lower(principal) AS principal FROM people
                 UNION SELECT value FROM directory_says WHERE kind = 'principal') AS n
           LEFT JOIN people AS p ON p.principal = n.principal
           LEFT JOIN directory_users AS u ON u.principal = n.principal
          ORDER BY n.principal",
    )
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    rows.into_iter().map(account).collect()
}

fn account(row: AccountRow) -> Result<Account, StoreError> {
    let (principal, issuer, subject, owner, groups, first, last, id, display_name, state, more) = row;
    let human =
        issuer.zip(subject).map(|(issuer, subject)| Human { principal: principal.clone(), issuer, subject, owner });
    Ok(Account {
        principal,
        human,
        groups: union(groups.as_deref().unwrap_or("[]"), &more)?,
        first_seen: first.map(time).transpose()?,
        last_seen: last.map(time).transpose()?,
        directory: id.as_deref().map(UserId::named),
        display_name,
        gone: state.as_deref().map(gone_as),
    })
}

/// Two lists of groups, as JSON, into one.
pub(super) fn union(token: &str, directory: &str) -> Result<Vec<String>, StoreError> {
    let read = |json: &str| serde_json::from_str::<Vec<String>>(json).map_err(|e| unreadable("a list of groups", e));
    let mut groups = read(token)?;
    for group in read(directory)? {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}
