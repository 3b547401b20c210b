//! Allowances, their runs, and denials. What may be written is for the schema's triggers to say.

use countersign_shared::{
    api::Outcome,
    ids::{RequestId, SessionId},
    request::State,
};
use serde::Deserialize;
use sqlx::{SqliteConnection, SqliteExecutor};

use chrono::{DateTime, Utc};

use super::{
    super::{
        StoreError,
        allowances::{Allowance, AllowanceEnd, Denial, HowEnded, OpenFilter, Run},
    },
    errors::{is_wall, refused, unavailable, unreadable},
    events, requests,
};

/// `?1` an id or null, `?2` a principal or null, `?3` a connection or null, `?4` whether only those that have not ended.
const SELECT: &str = "
    SELECT request, principal, connection, text, runs, began_at, until, ended_at, how, ended_by, why,
           (SELECT json_group_array(
                       json_object('number', t.number, 'at', t.at, 'session', t.session, 'outcome', t.outcome,
                                   'discarded', json(CASE t.discarded WHEN 1 THEN 'true' ELSE 'false' END))
                       ORDER BY t.number)
              FROM allowed_runs AS t WHERE t.request = a.request) AS taken
      FROM allowances AS a
     WHERE (?1 IS NULL OR request = ?1)
       AND (?2 IS NULL OR principal = ?2)
       AND (?3 IS NULL OR connection = ?3)
       AND (?4 = 0 OR ended_at IS NULL)
     ORDER BY began_at, request";

/// In the order of [`SELECT`].
type Row = (
    String,
    String,
    String,
    String,
    u32,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
);

#[derive(Deserialize)]
struct TakenRow {
    number: u32,
    at: i64,
    session: Option<String>,
    outcome: Option<String>,
    discarded: bool,
}

fn read(row: Row) -> Result<Allowance, StoreError> {
    let (request, principal, connection, text, runs, began_at, until, ended_at, how, by, why, taken) = row;
    let bad = |e: &dyn std::fmt::Display| unreadable("an allowance", e);
    let way = |name: &str| {
        let way = HowEnded::ALL.into_iter().find(|way| way.as_str() == name);
        way.ok_or_else(|| bad(&format!("unknown end {name:?}")))
    };
    let end = match (ended_at, how.as_deref()) {
        (Some(at), Some(name)) => Some(AllowanceEnd { at: events::time(at)?, how: way(name)?, by, why }),
        _ => None,
    };
    let taken: Vec<TakenRow> = serde_json::from_str(&taken).map_err(|e| bad(&e))?;
    let run = |row: TakenRow| {
        Ok(Run {
            number: row.number,
            at: events::time(row.at)?,
            session: row.session.map(|id| id.parse()).transpose().map_err(|e| bad(&e))?,
            outcome: row.outcome,
            discarded: row.discarded,
        })
    };
    Ok(Allowance {
        request: request.parse().map_err(|e| bad(&e))?,
        principal,
        connection,
        text: text.parse().map_err(|e| bad(&e))?,
        runs,
        began_at: events::time(began_at)?,
        until: events::time(until)?,
        end,
        taken: taken.into_iter().map(run).collect::<Result<_, StoreError>>()?,
    })
}

async fn select(
    db: impl SqliteExecutor<'_>,
    id: Option<&RequestId>,
    filter: &OpenFilter,
    open: bool,
) -> Result<Vec<Allowance>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SELECT)
        .bind(id.map(RequestId::as_str))
        .bind(&filter.principal)
        .bind(&filter.connection)
        .bind(open)
        .fetch_all(db)
        .await
        .map_err(unavailable)?;
    rows.into_iter().map(read).collect()
}

/// One.
pub(super) async fn one(db: impl SqliteExecutor<'_>, id: &RequestId) -> Result<Option<Allowance>, StoreError> {
    Ok(select(db, Some(id), &OpenFilter::default(), false).await?.pop())
}

/// Those that have not ended.
pub(super) async fn open(db: impl SqliteExecutor<'_>, filter: &OpenFilter) -> Result<Vec<Allowance>, StoreError> {
    select(db, None, filter, true).await
}

/// Releases a request, begins its allowance, and takes the first run.
pub(super) async fn release(
    db: &mut SqliteConnection,
    new: &Allowance,
    session: Option<&SessionId>,
) -> Result<bool, StoreError> {
    if !requests::change_state(db, &new.request, &[State::Approved], State::Released, None).await? {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO allowances (request, principal, connection, text, runs, began_at, until)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(new.request.as_str())
    .bind(&new.principal)
    .bind(&new.connection)
    .bind(new.text.to_string())
    .bind(new.runs)
    .bind(new.began_at.timestamp_millis())
    .bind(new.until.timestamp_millis())
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    insert(db, &new.request, 1, new.began_at, session).await.map_err(|e| refused(e, None))?;
    Ok(true)
}

async fn insert(
    db: &mut SqliteConnection,
    id: &RequestId,
    number: u32,
    at: DateTime<Utc>,
    session: Option<&SessionId>,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO allowed_runs (request, number, at, session) VALUES (?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(number)
        .bind(at.timestamp_millis())
        .bind(session.map(ToString::to_string))
        .execute(db)
        .await
        .map(drop)
}

/// How many runs there are, and how many of them count.
async fn count(db: &mut SqliteConnection, id: &RequestId) -> Result<(u32, u32), StoreError> {
    sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE discarded = 0) FROM allowed_runs WHERE request = ?")
        .bind(id.as_str())
        .fetch_one(db)
        .await
        .map_err(unavailable)
}

/// Takes the next run. The transaction that counts is the one that takes.
pub(super) async fn take(
    db: &mut SqliteConnection,
    id: &RequestId,
    now: DateTime<Utc>,
    session: Option<&SessionId>,
) -> Result<Option<(u32, u32)>, StoreError> {
    let (all, counted) = count(db, id).await?;
    match insert(db, id, all + 1, now, session).await {
        Ok(()) => {
            events::add(db, events::UPDATED, Some(id)).await?;
            Ok(Some((all + 1, counted + 1)))
        }
        Err(error) if is_wall(&error, "not_allowed") => Ok(None),
        Err(error) => Err(refused(error, None)),
    }
}

/// Writes down what came of a run.
pub(super) async fn end_run(
    db: &mut SqliteConnection,
    id: &RequestId,
    number: u32,
    outcome: &str,
    discarded: bool,
) -> Result<bool, StoreError> {
    sqlx::query("UPDATE allowed_runs SET outcome = ?, discarded = ? WHERE request = ? AND number = ?")
        .bind(outcome)
        .bind(discarded)
        .bind(id.as_str())
        .bind(number)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    events::add(db, events::UPDATED, Some(id)).await?;
    let Some(now) = one(&mut *db, id).await? else { return Ok(false) };
    let over = now.counted() >= now.runs && now.taken.iter().all(|run| run.outcome.is_some());
    if !over {
        return Ok(false);
    }
    end(db, id, &AllowanceEnd { at: Utc::now(), how: HowEnded::Used, by: None, why: None }).await
}

/// Ends one.
pub(super) async fn end(db: &mut SqliteConnection, id: &RequestId, end: &AllowanceEnd) -> Result<bool, StoreError> {
    let ended = sqlx::query(
        "UPDATE allowances SET ended_at = ?, how = ?, ended_by = ?, why = ? WHERE request = ? AND ended_at IS NULL",
    )
    .bind(end.at.timestamp_millis())
    .bind(end.how.as_str())
    .bind(&end.by)
    .bind(&end.why)
    .bind(id.as_str())
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    if ended.rows_affected() == 1 {
        events::add(db, events::UPDATED, Some(id)).await?;
    }
    Ok(ended.rows_affected() == 1)
}

/// Keeps a denial, and ends the request with the last that it takes.
pub(super) async fn deny(
    db: &mut SqliteConnection,
    denial: &Denial,
    needed: u32,
    outcome: &Outcome,
) -> Result<bool, StoreError> {
    let id = &denial.request;
    let state = requests::state(db, id).await?;
    sqlx::query("INSERT INTO denials (request, principal, issuer, subject, at, reason) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(&denial.by.principal)
        .bind(&denial.by.issuer)
        .bind(&denial.by.subject)
        .bind(denial.at.timestamp_millis())
        .bind(&denial.reason)
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, state))?;
    let all: u32 = sqlx::query_scalar("SELECT count(*) FROM denials WHERE request = ?")
        .bind(id.as_str())
        .fetch_one(&mut *db)
        .await
        .map_err(unavailable)?;
    if all >= needed {
        return requests::change_state(db, id, &[State::Pending, State::Approved], State::Denied, Some(outcome)).await;
    }
    events::add(db, events::UPDATED, Some(id)).await?;
    Ok(false)
}
