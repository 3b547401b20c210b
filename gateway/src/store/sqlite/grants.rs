//! Grants: their terms, and how they ended. Rows are added and never changed.

use chrono::{DateTime, Utc};
use countersign_shared::{api::Outcome, duties::Human, ids::GrantId, request::State};
use sqlx::{Row as _, SqliteConnection, SqliteExecutor, SqlitePool, sqlite::SqliteRow};

use super::{
    super::{Grant, GrantEnd, GrantFilter, How, StoreError, Term},
    errors::{refused, unavailable, unreadable},
    events, requests,
};

/// Terms of grants, those of one grant together and in order, in one statement, so that all comes from
/// one snapshot. `?1` an id or null, `?2` whether only open ones, `?3` a principal or null, `?4` how many.
const SELECT: &str = "
    SELECT g.id, g.term, g.principal, g.issuer, g.subject, g.owner, g.connection, g.role, g.reason, g.request,
           g.approved_by, g.from_at, g.until_at, g.signature, e.at, e.how, e.by, e.reason AS why
      FROM (SELECT id, from_at AS began FROM grants
             WHERE term = 0
               AND (?1 IS NULL OR id = ?1)
               AND (NOT ?2 OR id NOT IN (SELECT id FROM grant_ends))
               AND (?3 IS NULL OR principal = ?3)
             ORDER BY from_at DESC, id
             LIMIT ?4) AS chosen
      JOIN grants AS g ON g.id = chosen.id
      LEFT JOIN grant_ends AS e ON e.id = g.id
     ORDER BY chosen.began DESC, g.id, g.term";

struct Row {
    term: Term,
    end: Option<GrantEnd>,
}

fn bad(why: impl std::fmt::Display) -> StoreError {
    unreadable("a grant", why)
}

fn time(row: &SqliteRow, column: &str) -> Result<DateTime<Utc>, StoreError> {
    events::time(row.try_get(column).map_err(bad)?)
}

fn read(row: &SqliteRow) -> Result<Row, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(bad);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column).map_err(bad);
    let end = match maybe("how")? {
        Some(name) => {
            let how = How::ALL.into_iter().find(|how| how.as_str() == name).ok_or_else(|| bad(name))?;
            Some(GrantEnd { at: time(row, "at")?, how, by: maybe("by")?, reason: maybe("why")? })
        }
        None => None,
    };
    let term = Term {
        grant: text("id")?.parse().map_err(bad)?,
        number: row.try_get("term").map_err(bad)?,
        human: Human {
            principal: text("principal")?,
            issuer: text("issuer")?,
            subject: text("subject")?,
            owner: maybe("owner")?,
        },
        connection: text("connection")?,
        role: text("role")?,
        reason: text("reason")?,
        request: maybe("request")?.map(|id| id.parse()).transpose().map_err(bad)?,
        approved_by: serde_json::from_str(&text("approved_by")?).map_err(bad)?,
        from: time(row, "from_at")?,
        until: time(row, "until_at")?,
        signature: text("signature")?,
    };
    Ok(Row { term, end })
}

async fn select(
    db: impl SqliteExecutor<'_>,
    id: Option<&GrantId>,
    filter: &GrantFilter,
) -> Result<Vec<Grant>, StoreError> {
    let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
    let rows = sqlx::query(SELECT)
        .bind(id.map(GrantId::as_str))
        .bind(filter.open)
        .bind(filter.principal.as_deref())
        .bind(limit)
        .fetch_all(db)
        .await
        .map_err(unavailable)?;
    let mut grants: Vec<Grant> = Vec::new();
    for row in &rows {
        let Row { term, end } = read(row)?;
        match grants.last_mut() {
            Some(grant) if grant.first.grant == term.grant => grant.more.push(term),
            _ => grants.push(Grant { first: term, more: Vec::new(), end }),
        }
    }
    Ok(grants)
}

/// One grant.
pub(super) async fn one(db: &SqlitePool, id: &GrantId) -> Result<Option<Grant>, StoreError> {
    Ok(select(db, Some(id), &GrantFilter::default()).await?.pop())
}

/// Grants, the newest first.
pub(super) async fn list(db: &SqlitePool, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
    select(db, None, filter).await
}

/// Keeps a term, and ends the request that it came from.
pub(super) async fn give(db: &mut SqliteConnection, term: &Term) -> Result<(), StoreError> {
    let approved_by = serde_json::to_string(&term.approved_by).map_err(bad)?;
    sqlx::query(
        "INSERT INTO grants (id, term, principal, issuer, subject, owner, connection, role, reason, request,
                             approved_by, from_at, until_at, signature)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(term.grant.as_str())
    .bind(term.number)
    .bind(&term.human.principal)
    .bind(&term.human.issuer)
    .bind(&term.human.subject)
    .bind(&term.human.owner)
    .bind(&term.connection)
    .bind(&term.role)
    .bind(&term.reason)
    .bind(term.request.as_ref().map(|id| id.as_str()))
    .bind(approved_by)
    .bind(term.from.timestamp_millis())
    .bind(term.until.timestamp_millis())
    .bind(&term.signature)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    if let Some(request) = &term.request {
        let outcome = Outcome { tag: Some(format!("GRANT {}", term.grant)), ..Outcome::default() };
        if !requests::change_state(db, request, &[State::Released], State::Done, Some(&outcome)).await? {
            return Err(StoreError::Refused("the request was not released".to_owned()));
        }
    }
    let kind = if term.number == 0 { events::GRANTED } else { events::EXTENDED };
    events::of_grant(db, kind, &term.grant).await
}

/// Ends a grant.
pub(super) async fn end(db: &mut SqliteConnection, id: &GrantId, end: &GrantEnd) -> Result<bool, StoreError> {
    let ended = sqlx::query("INSERT INTO grant_ends (id, at, how, by, reason) VALUES (?, ?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(end.at.timestamp_millis())
        .bind(end.how.as_str())
        .bind(&end.by)
        .bind(&end.reason)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None));
    match ended {
        Ok(_) => events::of_grant(db, events::GRANT_ENDED, id).await.map(|()| true),
        Err(StoreError::GrantOver) => Ok(false),
        Err(error) => Err(error),
    }
}
