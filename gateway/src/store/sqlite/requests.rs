//! Requests and their approvals.

use chrono::DateTime;
use countersign_shared::{
    api::{CardRef, Needed, Outcome, RequestKind},
    duties::Human,
    ids::RequestId,
    request::{Assurance, State},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{
    FromRow, Row as _, Sqlite, SqliteConnection, SqliteExecutor, SqlitePool,
    query::QueryAs,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    super::{
        Approval, NewRequest, Request, RequestFilter, StoreError,
        allowances::{Allowed, Denial},
    },
    errors::{refused, unavailable, unreadable},
    events,
    steps::TakenRow,
};

/// Requests with their approvals, in one statement, so that both come from one snapshot.
/// `?1` an id or null, `?2` a JSON array of states or null, `?3` a principal or null, `?4` how many.
const SELECT: &str = "
    SELECT id, CASE review WHEN 1 THEN 'review' ELSE kind END AS kind, digest, asked, session, sql, parameters, notes, impact, needed, channel, created_at, expires_at,
           allowable, steps, state, outcome, card_channel, card_ts,
           (SELECT json_group_array(
                       json_object('number', t.number, 'at', t.at, 'session', t.session, 'outcome', t.outcome,
                                   'ran', t.ran)
                       ORDER BY t.number)
              FROM steps_taken AS t WHERE t.request = r.id) AS taken,
           (SELECT json_group_array(
                       json_object('principal', d.principal, 'issuer', d.issuer, 'subject', d.subject, 'at', d.at,
                                   'reason', d.reason)
                       ORDER BY d.at, d.principal)
              FROM denials AS d WHERE d.request = r.id) AS denials,
           (SELECT json_group_array(
                       json_object('digest', a.digest, 'principal', a.principal, 'issuer', a.issuer,
                                   'subject', a.subject, 'owner', a.owner, 'assurance', a.assurance,
                                   'at_ns', a.at_ns, 'evidence', a.evidence, 'signature', a.signature,
                                   'allow', json(a.allow))
                       ORDER BY a.at_ns, a.principal)
              FROM approvals AS a WHERE a.request = r.id) AS approvals
      FROM requests AS r
     WHERE (?1 IS NULL OR id = ?1)
       AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
       AND (?3 IS NULL OR principal = ?3)
     ORDER BY created_at DESC, id
     LIMIT ?4";

struct Row {
    id: String,
    kind: String,
    digest: String,
    asked: String,
    session: Option<String>,
    sql: String,
    parameters: String,
    notes: String,
    impact: String,
    needed: String,
    channel: Option<String>,
    created_at: i64,
    expires_at: i64,
    allowable: Option<String>,
    steps: Option<String>,
    taken: String,
    denials: String,
    state: String,
    outcome: Option<String>,
    card_channel: Option<String>,
    card_ts: Option<String>,
    approvals: String,
}

impl FromRow<'_, SqliteRow> for Row {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            digest: row.try_get("digest")?,
            asked: row.try_get("asked")?,
            session: row.try_get("session")?,
            sql: row.try_get("sql")?,
            parameters: row.try_get("parameters")?,
            notes: row.try_get("notes")?,
            impact: row.try_get("impact")?,
            needed: row.try_get("needed")?,
            channel: row.try_get("channel")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            allowable: row.try_get("allowable")?,
            steps: row.try_get("steps")?,
            taken: row.try_get("taken")?,
            denials: row.try_get("denials")?,
            state: row.try_get("state")?,
            outcome: row.try_get("outcome")?,
            card_channel: row.try_get("card_channel")?,
            card_ts: row.try_get("card_ts")?,
            approvals: row.try_get("approvals")?,
        })
    }
}

#[derive(Deserialize)]
struct ApprovalRow {
    digest: String,
    principal: String,
    issuer: String,
    subject: String,
    owner: Option<String>,
    assurance: Assurance,
    at_ns: i64,
    evidence: String,
    signature: String,
    allow: Option<Allowed>,
}

#[derive(Deserialize)]
struct DenialRow {
    principal: String,
    issuer: String,
    subject: String,
    at: i64,
    reason: Option<String>,
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|e| unreadable("a request", e))
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Refused(format!("it can't be written down: {e}")))
}

/// The name that serde gives a variant without fields.
fn name<T: Serialize>(value: T) -> Result<String, StoreError> {
    Ok(to_json(&value)?.trim_matches('"').to_owned())
}

fn state_of(name: &str) -> Result<State, StoreError> {
    State::from_name(name).ok_or_else(|| unreadable("a request", format!("unknown state {name:?}")))
}

impl Row {
    fn into_request(self) -> Result<Request, StoreError> {
        let bad = |e: &dyn std::fmt::Display| unreadable("a request", e);
        let id: RequestId = self.id.parse().map_err(|e| bad(&e))?;
        let kind: RequestKind = from_json(&format!("{:?}", self.kind))?;
        let approvals: Vec<ApprovalRow> = from_json(&self.approvals)?;
        let denials: Vec<DenialRow> = from_json(&self.denials)?;
        let taken: Vec<TakenRow> = from_json(&self.taken)?;
        Ok(Request {
            approvals: approvals.into_iter().map(|row| row.into_approval(&id)).collect::<Result<_, _>>()?,
            denials: denials.into_iter().map(|row| row.into_denial(&id)).collect::<Result<_, _>>()?,
            taken: taken.into_iter().map(TakenRow::into_taken).collect::<Result<_, _>>()?,
            state: state_of(&self.state)?,
            outcome: self.outcome.as_deref().map(from_json).transpose()?,
            card: self.card_channel.zip(self.card_ts).map(|(channel, ts)| CardRef { channel, ts }),
            new: NewRequest {
                id,
                kind,
                digest: self.digest.parse().map_err(|e| bad(&e))?,
                asked: from_json(&self.asked)?,
                session: self.session.map(|id| id.parse()).transpose().map_err(|e| bad(&e))?,
                sql: self.sql,
                parameters: from_json(&self.parameters)?,
                notes: from_json(&self.notes)?,
                impact: from_json(&self.impact)?,
                needed: from_json(&self.needed)?,
                channel: self.channel,
                created_at: events::time(self.created_at)?,
                expires_at: events::time(self.expires_at)?,
                allowable: self.allowable.as_deref().map(from_json).transpose()?,
                steps: self.steps.as_deref().map(from_json).transpose()?.unwrap_or_default(),
            },
        })
    }
}

impl ApprovalRow {
    fn into_approval(self, request: &RequestId) -> Result<Approval, StoreError> {
        Ok(Approval {
            request: request.clone(),
            digest: self.digest.parse().map_err(|e| unreadable("an approval", e))?,
            approver: Human {
                principal: self.principal,
                issuer: self.issuer,
                subject: self.subject,
                owner: self.owner,
            },
            assurance: self.assurance,
            at: DateTime::from_timestamp_nanos(self.at_ns),
            evidence: self.evidence,
            allow: self.allow,
            signature: self.signature,
        })
    }
}

impl DenialRow {
    fn into_denial(self, request: &RequestId) -> Result<Denial, StoreError> {
        let Self { principal, issuer, subject, at, reason } = self;
        let by = Human { principal, issuer, subject, owner: None };
        Ok(Denial { request: request.clone(), by, at: events::time(at)?, reason })
    }
}

fn select<'q>(
    id: Option<&'q RequestId>,
    states: Option<String>,
    principal: Option<&'q str>,
    limit: u32,
) -> QueryAs<'q, Sqlite, Row, SqliteArguments> {
    sqlx::query_as(SELECT).bind(id.map(RequestId::as_str)).bind(states).bind(principal).bind(limit)
}

/// One request.
pub(super) async fn one(db: impl SqliteExecutor<'_>, id: &RequestId) -> Result<Option<Request>, StoreError> {
    select(Some(id), None, None, 1).fetch_optional(db).await.map_err(unavailable)?.map(Row::into_request).transpose()
}

/// Requests, newest first.
pub(super) async fn list(db: &SqlitePool, filter: &RequestFilter) -> Result<Vec<Request>, StoreError> {
    let states = if filter.states.is_empty() { None } else { Some(to_json(&filter.states)?) };
    let limit = filter.most();
    let rows = select(None, states, filter.principal.as_deref(), limit).fetch_all(db).await.map_err(unavailable)?;
    rows.into_iter().map(Row::into_request).collect()
}

/// Makes a request in `pending`.
pub(super) async fn create(db: &mut SqliteConnection, new: &NewRequest) -> Result<(), StoreError> {
    let human = &new.asked.asker.human;
    sqlx::query(
        "INSERT INTO requests (id, kind, digest, principal, issuer, subject, owner, asked, session, sql, parameters,
                               notes, impact, needed, channel, created_at, expires_at, review, allowable, steps,
                               state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
    )
    .bind(new.id.as_str())
    .bind(name(if new.kind == RequestKind::Review { RequestKind::Statement } else { new.kind })?)
    .bind(new.digest.to_string())
    .bind(&human.principal)
    .bind(&human.issuer)
    .bind(&human.subject)
    .bind(&human.owner)
    .bind(to_json(&new.asked)?)
    .bind(new.session.as_ref().map(ToString::to_string))
    .bind(&new.sql)
    .bind(to_json(&new.parameters)?)
    .bind(to_json(&new.notes)?)
    .bind(to_json(&new.impact)?)
    .bind(to_json(&new.needed)?)
    .bind(&new.channel)
    .bind(new.created_at.timestamp_millis())
    .bind(new.expires_at.timestamp_millis())
    .bind(new.kind == RequestKind::Review)
    .bind(new.allowable.as_ref().map(to_json).transpose()?)
    .bind(Some(&new.steps).filter(|steps| !steps.is_empty()).map(to_json).transpose()?)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    events::add(db, events::CREATED, Some(&new.id)).await
}

pub(super) async fn state(db: &mut SqliteConnection, id: &RequestId) -> Result<Option<State>, StoreError> {
    let name: Option<String> = sqlx::query_scalar("SELECT state FROM requests WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(db)
        .await
        .map_err(unavailable)?;
    name.as_deref().map(state_of).transpose()
}

/// Adds an approval. That it may be added is for the schema's triggers to say, nobody else.
pub(super) async fn approve(db: &mut SqliteConnection, approval: &Approval) -> Result<Request, StoreError> {
    let at = approval.at.timestamp_nanos_opt().ok_or_else(|| StoreError::Refused("no such time".to_owned()))?;
    let state = state(db, &approval.request).await?;
    sqlx::query(
        "INSERT INTO approvals (request, digest, principal, issuer, subject, owner, assurance, at_ns, evidence, signature,
                                allow)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(approval.request.as_str())
    .bind(approval.digest.to_string())
    .bind(&approval.approver.principal)
    .bind(&approval.approver.issuer)
    .bind(&approval.approver.subject)
    .bind(&approval.approver.owner)
    .bind(name(approval.assurance)?)
    .bind(at)
    .bind(&approval.evidence)
    .bind(&approval.signature)
    .bind(approval.allow.as_ref().map(to_json).transpose()?)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, state))?;
    events::add(db, events::UPDATED, Some(&approval.request)).await?;
    one(db, &approval.request).await?.ok_or(StoreError::NotFound("request"))
}

/// Refuses before anything is asked of the file; the schema refuses the same moves.
pub(super) fn refuse_illegal(from: &[State], to: State) -> Result<(), StoreError> {
    match from.iter().find(|state| !state.may_become(to)) {
        Some(state) => Err(StoreError::Refused(format!("a request that is {state} cannot become {to}"))),
        None => Ok(()),
    }
}

/// Compare and swap, in one statement.
pub(super) async fn change_state(
    db: &mut SqliteConnection,
    id: &RequestId,
    from: &[State],
    to: State,
    outcome: Option<&Outcome>,
) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE requests SET state = ?, outcome = coalesce(?, outcome)
          WHERE id = ? AND state IN (SELECT value FROM json_each(?))",
    )
    .bind(to.as_str())
    .bind(outcome.map(to_json).transpose()?)
    .bind(id.as_str())
    .bind(to_json(&from)?)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    if moved.rows_affected() == 1 {
        events::add(db, events::UPDATED, Some(id)).await?;
        return Ok(true);
    }
    state(db, id).await?.map(|_| false).ok_or(StoreError::NotFound("request"))
}

/// What is needed changed.
pub(super) async fn set_needed(db: &mut SqliteConnection, id: &RequestId, needed: &Needed) -> Result<(), StoreError> {
    let changed = sqlx::query("UPDATE requests SET needed = ?1 WHERE id = ?2 AND needed <> ?1")
        .bind(to_json(needed)?)
        .bind(id.as_str())
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    if changed.rows_affected() == 1 {
        return events::add(db, events::UPDATED, Some(id)).await;
    }
    state(db, id).await?.map(drop).ok_or(StoreError::NotFound("request"))
}

/// Remembers the first card.
pub(super) async fn set_card(db: &mut SqliteConnection, id: &RequestId, card: &CardRef) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE requests SET card_channel = ?, card_ts = ? WHERE id = ? AND card_ts IS NULL")
        .bind(&card.channel)
        .bind(&card.ts)
        .bind(id.as_str())
        .execute(&mut *db)
        .await
        .map_err(|e| refused(e, None))?;
    if done.rows_affected() == 1 {
        return Ok(true);
    }
    state(db, id).await?.map(|_| false).ok_or(StoreError::NotFound("request"))
}

/// Ends the held statements of a gateway that is gone. A wish for access outlives it, unless it was
/// cut off between its release and its grant: then nothing was given. So does a statement with which no session waits, but
/// not one of several that are sent one by one, of which some have been: they come in one session.
pub(super) async fn end_orphans(db: &mut SqliteConnection, outcome: &Outcome) -> Result<Vec<RequestId>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT id, state FROM requests
          WHERE (state IN ('pending', 'approved') AND kind = 'statement' AND review = 0 AND session IS NOT NULL) OR state = 'released'
             OR (state = 'approved' AND EXISTS (SELECT 1 FROM steps_taken AS t WHERE t.request = requests.id))
          ORDER BY created_at, id",
    )
    .fetch_all(&mut *db)
    .await
    .map_err(unavailable)?;
    let mut ended = Vec::with_capacity(rows.len());
    for (id, name) in rows {
        let id: RequestId = id.parse().map_err(|e| unreadable("a request", e))?;
        let from = state_of(&name)?;
        let to = if from == State::Released { State::Unknown } else { State::Void };
        change_state(db, &id, &[from], to, Some(outcome)).await?;
        ended.push(id);
    }
    Ok(ended)
}
