//! `reviews`: who looked at a connection's grants, when, and what they said.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_bot::cards::review::lines;
use countersign_shared::{
    api::{ReviewChoice, ReviewView},
    ids::ReviewId,
};
use reqwest::Method;

use crate::api::{Api, NOTHING, with};

/// What to do with reviews.
#[derive(Subcommand)]
pub enum What {
    /// Lists the newest ones.
    List,
    /// Prints one: each grant with who said what of it, and when, and the log's checkpoint when it began.
    Show {
        /// Its id.
        id: ReviewId,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    with(config, async |api| work(api, what, json).await).await
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::List => {
            let reviews: Vec<ReviewView> = api.call(Method::GET, "/v1/reviews", NOTHING).await?;
            if json {
                crate::say_json(&reviews);
            } else if reviews.is_empty() {
                crate::say("nobody has reviewed grants yet: type `/access review CONNECTION` in Slack");
            } else {
                reviews.iter().for_each(|review| crate::say(&line(review)));
            }
        }
        What::Show { id } => {
            let review: ReviewView = api.call(Method::GET, &format!("/v1/reviews/{id}"), NOTHING).await?;
            if json { crate::say_json(&review) } else { crate::say(&lines(&review)) }
        }
    }
    Ok(())
}

fn line(review: &ReviewView) -> String {
    let revoked = |item: &&countersign_shared::api::ReviewItem| {
        item.answer.as_ref().is_some_and(|answer| answer.choice == ReviewChoice::Revoke)
    };
    let state = match review.closed_at {
        Some(at) => format!("done {}", at.format("%F %T UTC")),
        None => format!("{} left", review.items.iter().filter(|item| item.waits()).count()),
    };
    let (all, revoked) = (review.items.len(), review.items.iter().filter(revoked).count());
    format!(
        "{}  {}  {all} grants, {revoked} revoked, {state}, begun by {}",
        review.id, review.connection, review.opened_by
    )
}
