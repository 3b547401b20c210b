//! `/v1/reviews`: a connection's grants, looked at one by one by whoever administers it.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Path, State},
    response::Json,
};
use chrono::Utc;
use countersign_shared::{
    api::{ReviewAnswer, ReviewAnswerBody, ReviewBody, ReviewItem, ReviewView},
    duties::Human,
    ids::{GrantId, ReviewId},
};

use super::{
    App,
    answer::{Exact, Refused},
    caller::Caller,
    digest, sight,
};
use crate::{
    access::review::{self, NotTaken},
    approval::view::slack_of,
    runtime::Gateway,
    store::{GrantFilter, StoreError, reviews::Review},
};

/// How many are listed.
const LISTED: u32 = 200;

impl From<NotTaken> for Refused {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Refused(problem) => problem.into(),
            NotTaken::Store(error) => error.into(),
            NotTaken::Log(down) => down.into(),
        }
    }
}

fn sees(gateway: &Gateway, caller: &Caller, review: &Review) -> bool {
    caller.acts(&[]).is_ok_and(|(who, from)| sight::sees_review(gateway, who, from, &review.connection))
}

async fn view(gateway: &Gateway, review: Review, who: Option<&Human>) -> Result<ReviewView, StoreError> {
    let usage = gateway.store.usage().await?;
    let all = gateway.store.grants(&GrantFilter::default()).await?;
    let mut items = Vec::new();
    for grant in all.iter().filter(|grant| review.items.contains_key(&grant.first.grant)) {
        let found = digest::found(gateway, grant, &usage, Utc::now());
        let mut shown = found.grant;
        shown.slack = slack_of(gateway, shown.owner.as_deref().unwrap_or(&shown.principal)).await?;
        items.push(ReviewItem {
            answer: review.items.get(&shown.id).cloned().flatten().map(|answer| ReviewAnswer {
                choice: answer.choice,
                by: answer.by,
                at: answer.at,
                reason: answer.reason,
            }),
            own: who.is_some_and(|who| countersign_shared::duties::same_human(who, &grant.first.human)),
            finding: found.finding,
            last_used: found.last_used,
            grant: shown,
        });
    }
    items.sort_by_key(|item| (item.grant.created_at, item.grant.id.clone()));
    Ok(ReviewView {
        id: review.id,
        connection: review.connection,
        opened_by: review.by,
        opened_at: review.at,
        checkpoint: review.checkpoint,
        closed_at: review.closed_at,
        items,
    })
}

/// Begins a review, or goes on with the one that is open.
pub(super) async fn open(
    State(app): State<App>,
    caller: Caller,
    Exact(body, bytes): Exact<ReviewBody>,
) -> Result<Json<ReviewView>, Refused> {
    let (who, from) = caller.acts(&bytes)?;
    if who.human.is_agent() || !sight::administers(&app.gateway, who, from, &body.connection) {
        return Err(Refused::forbidden("Only who administers a connection reviews its grants."));
    }
    let (gateway, human) = (Arc::clone(&app.gateway), who.human.clone());
    // Goes on where the caller hangs up in the middle.
    let opened = tokio::spawn(async move {
        let review = review::open(&gateway, &human, &body.connection).await?;
        Ok::<_, Refused>(view(&gateway, review, Some(&human)).await?)
    });
    opened.await.map_err(|error| Refused::unavailable(&error))?.map(Json)
}

/// The newest ones that the caller sees.
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ReviewView>>, Refused> {
    let (who, _) = caller.acts(&[])?;
    let mut views = Vec::new();
    let mut seen: HashMap<String, bool> = HashMap::new();
    for review in app.gateway.store.reviews(LISTED).await? {
        let may = seen.entry(review.connection.clone()).or_insert_with(|| sees(&app.gateway, &caller, &review));
        if *may {
            views.push(view(&app.gateway, review, Some(&who.human)).await?);
        }
    }
    Ok(Json(views))
}

async fn visible(app: &App, caller: &Caller, id: &str) -> Result<Review, Refused> {
    let absent = || Refused::not_found("review");
    let id: ReviewId = id.parse().map_err(|_| absent())?;
    let review = app.gateway.store.review(&id).await?;
    review.filter(|review| sees(&app.gateway, caller, review)).ok_or_else(absent)
}

/// One.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ReviewView>, Refused> {
    let (who, _) = caller.acts(&[])?;
    let review = visible(&app, &caller, &id).await?;
    Ok(Json(view(&app.gateway, review, Some(&who.human)).await?))
}

/// Says that a grant stays or goes.
pub(super) async fn answer(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Exact(body, bytes): Exact<ReviewAnswerBody>,
) -> Result<Json<ReviewView>, Refused> {
    let (who, from) = caller.acts(&bytes)?;
    let id: ReviewId = id.parse().map_err(|_| Refused::not_found("review"))?;
    let review = app.gateway.store.review(&id).await?;
    let review = review.filter(|review| sight::sees_review(&app.gateway, who, from, &review.connection));
    let review = review.ok_or_else(|| Refused::not_found("review"))?;
    if who.human.is_agent() || !sight::administers(&app.gateway, who, from, &review.connection) {
        return Err(Refused::forbidden("Only who administers a connection reviews its grants."));
    }
    let (gateway, human) = (Arc::clone(&app.gateway), who.human.clone());
    let grant: GrantId = body.grant;
    // Goes on where the caller hangs up in the middle.
    let answered = tokio::spawn(async move {
        let review = review::answer(&gateway, &id, &human, &grant, (body.choice, &body.reason)).await?;
        Ok::<_, Refused>(view(&gateway, review, Some(&human)).await?)
    });
    answered.await.map_err(|error| Refused::unavailable(&error))?.map(Json)
}
