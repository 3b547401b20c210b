//! Slack accounts and their principals.

use chrono::{DateTime, Utc};
use countersign_shared::{api::SlackRef, bot_token::SlackAccount, digest::of_bytes};
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{
    super::{Link, ListedLink, PendingLink, StoreError},
    errors::{refused, unavailable, unreadable},
    events,
};

/// A started link is forgotten this long after its end, in milliseconds.
const FORGOTTEN_AFTER: i64 = 24 * 60 * 60 * 1000;

/// What is kept of a nonce, so that whoever reads the state can't use it.
fn hash(nonce: &str) -> String {
    of_bytes(nonce.as_bytes()).to_string()
}

/// Starts a link, and forgets those that ended long ago.
pub(super) async fn start(db: &mut SqliteConnection, link: &PendingLink) -> Result<(), StoreError> {
    let slack = serde_json::to_string(&link.slack).map_err(|e| unreadable("a Slack account", e))?;
    let expires_at = link.expires_at.timestamp_millis();
    sqlx::query("DELETE FROM pending_links WHERE expires_at < ?")
        .bind(expires_at.saturating_sub(FORGOTTEN_AFTER))
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
    sqlx::query("INSERT INTO pending_links (nonce_hash, slack, expires_at) VALUES (?, ?, ?)")
        .bind(hash(&link.nonce))
        .bind(slack)
        .bind(expires_at)
        .execute(db)
        .await
        .map(drop)
        .map_err(|e| refused(e, None))
}

/// A started link that has neither ended nor been used.
pub(super) async fn pending(
    db: impl SqliteExecutor<'_>,
    nonce: &str,
    now: DateTime<Utc>,
) -> Result<Option<PendingLink>, StoreError> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT slack, expires_at FROM pending_links WHERE nonce_hash = ? AND expires_at > ?")
            .bind(hash(nonce))
            .bind(now.timestamp_millis())
            .fetch_optional(db)
            .await
            .map_err(unavailable)?;
    row.map(|(slack, expires_at)| {
        let slack: SlackAccount = serde_json::from_str(&slack).map_err(|e| unreadable("a started link", e))?;
        Ok(PendingLink { nonce: nonce.to_owned(), slack, expires_at: events::time(expires_at)? })
    })
    .transpose()
}

/// Uses up a started link and makes the link.
pub(super) async fn complete(
    db: &mut SqliteConnection,
    nonce: &str,
    principal: &str,
    confirmed: bool,
    now: DateTime<Utc>,
) -> Result<Link, StoreError> {
    let account = pending(&mut *db, nonce, now).await?.ok_or(StoreError::NotFound("link"))?.slack;
    sqlx::query("DELETE FROM pending_links WHERE nonce_hash = ?")
        .bind(hash(nonce))
        .execute(&mut *db)
        .await
        .map_err(unavailable)?;
    let (name, email) = (account.name, account.email);
    let slack = SlackRef { team: account.team, user: account.user };
    match of_slack(&mut *db, &slack).await? {
        Some(link) if link.principal.eq_ignore_ascii_case(principal) => {
            if confirmed && !link.confirmed {
                confirm(db, &slack, principal).await?;
            }
            return Ok(Link { confirmed: link.confirmed || confirmed, ..link });
        }
        Some(link) => {
            return Err(StoreError::Linked(format!(
                "this Slack account is linked to {} already; an administrator can unlink it",
                link.principal
            )));
        }
        None => {}
    }
    let mut others = of_principal(&mut *db, principal).await?;
    others.retain(|link| link.slack.team == slack.team);
    if !others.is_empty() {
        return Err(StoreError::Linked(format!(
            "{principal} is linked to another Slack account of this workspace already; an administrator can unlink it"
        )));
    }
    sqlx::query(
        "INSERT INTO links (team, slack_user, principal, confirmed, created_at, slack_name, slack_email)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&slack.team)
    .bind(&slack.user)
    .bind(principal)
    .bind(confirmed)
    .bind(now.timestamp_millis())
    .bind(name)
    .bind(email)
    .execute(&mut *db)
    .await
    .map_err(|e| refused(e, None))?;
    events::add(db, events::LINKED, None).await?;
    Ok(Link { slack, principal: principal.to_owned(), confirmed })
}

type Row = (String, String, String, bool);

fn link((team, user, principal, confirmed): Row) -> Link {
    Link { slack: SlackRef { team, user }, principal, confirmed }
}

/// The link of a Slack account.
pub(super) async fn of_slack(db: impl SqliteExecutor<'_>, slack: &SlackRef) -> Result<Option<Link>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT team, slack_user, principal, confirmed FROM links WHERE team = ? AND slack_user = ?")
            .bind(&slack.team)
            .bind(&slack.user)
            .fetch_optional(db)
            .await
            .map_err(unavailable)?;
    Ok(row.map(link))
}

/// The links of a principal, one at most in each workspace.
pub(super) async fn of_principal(db: impl SqliteExecutor<'_>, principal: &str) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT team, slack_user, principal, confirmed FROM links WHERE principal = ? ORDER BY team, slack_user",
    )
    .bind(principal)
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    Ok(rows.into_iter().map(link).collect())
}

type ListedRow = (String, String, String, bool, i64, Option<String>, Option<String>);

/// All of them: those that wait for an administrator first, the oldest first.
pub(super) async fn all(db: impl SqliteExecutor<'_>) -> Result<Vec<ListedLink>, StoreError> {
    let rows: Vec<ListedRow> = sqlx::query_as(
        "SELECT team, slack_user, principal, confirmed, created_at, slack_name, slack_email
           FROM links ORDER BY confirmed, created_at, team, slack_user",
    )
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    let listed = |(team, user, principal, confirmed, at, name, email): ListedRow| {
        let link = link((team, user, principal, confirmed));
        Ok(ListedLink { link, name, email, made_at: events::time(at)? })
    };
    rows.into_iter().map(listed).collect()
}

/// An administrator confirms that a Slack account is `principal`.
pub(super) async fn confirm(db: &mut SqliteConnection, slack: &SlackRef, principal: &str) -> Result<bool, StoreError> {
    sqlx::query("UPDATE links SET confirmed = 1 WHERE team = ? AND slack_user = ? AND principal = ?")
        .bind(&slack.team)
        .bind(&slack.user)
        .bind(principal)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(unavailable)
}

/// Removes a link.
pub(super) async fn remove(db: &mut SqliteConnection, slack: &SlackRef) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM links WHERE team = ? AND slack_user = ?")
        .bind(&slack.team)
        .bind(&slack.user)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(unavailable)
}
