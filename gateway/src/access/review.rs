//! A review of a connection's grants: begun, answered grant by grant, closed when nothing is left. Each step is an
//! entry of the log before it counts.

use chrono::Utc;
use countersign_shared::{
    api::{Problem, ReviewChoice},
    duties::{self, Human},
    ids::{GrantId, ReviewId},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::end::end_grant;
use crate::{
    approval::say::problem,
    log::{Entry, Kind, LogDown},
    runtime::Gateway,
    store::{
        GrantEnd, GrantFilter, How, StoreError,
        reviews::{Answer, Review},
    },
};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// One step at a time: a review is closed once, and a grant answered once.
static ONE: Mutex<()> = Mutex::const_new(());

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It may not be, for a reason that its reader understands.
    #[error("{0}")]
    Refused(Problem),
    /// The state says no, or does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log can't take it.
    #[error(transparent)]
    Log(#[from] LogDown),
}

fn refused(code: &str, error: impl Into<String>, hint: Option<&str>) -> NotTaken {
    NotTaken::Refused(problem(code, error, hint))
}

async fn record(gateway: &Gateway, review: &Review, by: &str, outcome: &str, detail: Value) -> Result<(), LogDown> {
    let entry = Entry {
        principal: Some(by.to_owned()),
        connection: Some(review.connection.clone()),
        outcome: Some(outcome.to_owned()),
        detail,
        ..Entry::new(Kind::Review)
    };
    gateway.log.append_durably(&entry).await
}

/// Whether nobody has to look at a grant of a review any more.
fn is_settled(gateway: &Gateway, (grant, answer): (&GrantId, &Option<Answer>)) -> bool {
    answer.is_some() || gateway.grants.get(grant).is_none()
}

/// Begins to review the grants of `connection` that count now, or goes on where somebody has begun.
///
/// # Errors
/// Where log or state can't take it.
pub async fn open(gateway: &Gateway, by: &Human, connection: &str) -> Result<Review, NotTaken> {
    let _one = ONE.lock().await;
    let reviews = gateway.store.reviews(1_000).await?;
    if let Some(open) = reviews.into_iter().find(|r| r.connection == connection && r.closed_at.is_none()) {
        let open = settle(gateway, &open.id, &by.principal).await?;
        if open.closed_at.is_none() {
            return Ok(open);
        }
    }
    let all = gateway.store.grants(&GrantFilter::default()).await?;
    let counts = all.into_iter().map(|grant| grant.first).filter(|first| first.connection == connection);
    let items = counts.map(|first| first.grant).filter(|grant| gateway.grants.get(grant).is_some());
    let review = Review {
        id: ReviewId::random(),
        connection: connection.to_owned(),
        by: by.principal.clone(),
        at: Utc::now(),
        checkpoint: gateway.log.checkpoints().newest().map(|signed| signed.note),
        closed_at: None,
        items: items.map(|grant| (grant, None)).collect(),
    };
    let grants: Vec<&GrantId> = review.items.keys().collect();
    let detail = json!({ "review": review.id, "grants": grants, "checkpoint": review.checkpoint });
    record(gateway, &review, &review.by, "opened", detail).await?;
    let opened = gateway.store.open_review(&review).await?;
    settle(gateway, &opened.id, &by.principal).await
}

/// Takes what `by` says of a grant. A grant that goes has ended, in running sessions too, before this returns.
///
/// # Errors
/// Where it is their own, was answered before or has ended, or where log or state can't take it.
pub async fn answer(
    gateway: &Gateway,
    id: &ReviewId,
    by: &Human,
    grant: &GrantId,
    (choice, reason): (ReviewChoice, &str),
) -> Result<Review, NotTaken> {
    let _one = ONE.lock().await;
    let review = gateway.store.review(id).await?.ok_or(StoreError::NotFound("review"))?;
    let held = gateway.store.grant(grant).await?.filter(|_| review.items.contains_key(grant));
    let held = held.ok_or(StoreError::NotFound("grant"))?;
    if by.is_agent() || duties::same_human(by, &held.first.human) {
        return Err(refused("own_request", "You cannot review a grant of your own.", Some("Another person has to.")));
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        let error = format!("`reason` has between 1 and {LONGEST_REASON} characters.");
        return Err(refused("bad_request", error, Some("Say why it stays or goes.")));
    }
    if let Some(Some(before)) = review.items.get(grant) {
        return Err(refused("already_decided", format!("{} has looked at this grant already.", before.by), None));
    }
    if gateway.grants.get(grant).is_none() {
        return Err(refused("over", "The grant has ended already.", None));
    }
    let (at, by) = (Utc::now(), by.principal.clone());
    let outcome = match choice {
        ReviewChoice::Keep => "kept",
        ReviewChoice::Revoke => "revoked",
    };
    let detail = json!({
        "review": id, "grant": grant, "holder": held.first.human.principal, "role": held.first.role, "reason": reason,
    });
    record(gateway, &review, &by, outcome, detail).await?;
    if choice == ReviewChoice::Revoke {
        let why = Some(format!("review {id}: {reason}"));
        end_grant(gateway, grant, GrantEnd { at, how: How::Revoked, by: Some(by.clone()), reason: why }).await?;
    }
    let answer = Answer { choice, by: by.clone(), at, reason: reason.to_owned() };
    gateway.store.answer_review(id, grant, &answer).await?;
    settle(gateway, id, &by).await
}

/// The review as it is now; closed, where nothing is left to look at.
///
/// # Errors
/// Where log or state can't take it.
async fn settle(gateway: &Gateway, id: &ReviewId, by: &str) -> Result<Review, NotTaken> {
    let read = async || gateway.store.review(id).await?.ok_or(StoreError::NotFound("review"));
    let review = read().await?;
    if review.closed_at.is_some() || !review.items.iter().all(|item| is_settled(gateway, item)) {
        return Ok(review);
    }
    let items: Vec<Value> = review
        .items
        .iter()
        .map(|(grant, answer)| match answer {
            Some(Answer { choice, by, at, reason }) => {
                json!({ "grant": grant, "choice": choice, "by": by, "at": at, "reason": reason })
            }
            None => json!({ "grant": grant, "choice": "ended" }),
        })
        .collect();
    let checkpoint = gateway.log.checkpoints().newest().map(|signed| signed.note);
    let detail = json!({
        "review": id, "opened_by": review.by, "opened_at": review.at, "opened_at_checkpoint": review.checkpoint,
        "checkpoint": checkpoint, "items": items,
    });
    record(gateway, &review, by, "closed", detail).await?;
    gateway.store.close_review(id, Utc::now()).await?;
    Ok(read().await?)
}
