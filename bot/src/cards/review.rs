//! A review of a connection's grants: one grant at a time, with Keep and Revoke, each with a reason.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{Finding, ReviewAnswer, ReviewChoice, ReviewItem, ReviewView},
    ids::{GrantId, ReviewId},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    access::{span, what},
    blocks::{self, Message},
    visible::{escaped, short},
};

/// The form's `callback_id`.
pub const CALLBACK: &str = "review";
/// The block and the action that hold the reason.
pub const REASON: &str = "reason";
/// The longest reason, in characters.
pub const REASON_LIMIT: usize = 500;

/// How to ask for one.
pub const HOW_TO: &str = "Write `/access review CONNECTION`; whoever administers a connection reviews its grants.";

/// What the form carries from the press to its submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The review.
    pub review: ReviewId,
    /// The grant.
    pub grant: GrantId,
    /// What is said of it.
    pub choice: ReviewChoice,
    /// Where the walk is shown.
    pub channel: Option<String>,
    /// Its timestamp there.
    pub ts: Option<String>,
}

/// A button's value: a review and one of its grants.
#[must_use]
pub fn value(review: &ReviewId, grant: &GrantId) -> String {
    format!("{review}:{grant}")
}

/// What [`value`] wrote.
#[must_use]
pub fn read_value(text: &str) -> Option<(ReviewId, GrantId)> {
    let (review, grant) = text.split_once(':')?;
    Some((review.parse().ok()?, grant.parse().ok()?))
}

/// The form that asks for the reason.
#[must_use]
pub fn form(carried: &Carried) -> Value {
    let (title, ask) = match carried.choice {
        ReviewChoice::Keep => ("Keep", "Why should it stay? This is kept in the log."),
        ReviewChoice::Revoke => ("Revoke", "Why should it end now? This is kept in the log."),
    };
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": json!(carried).to_string(),
        "title": { "type": "plain_text", "text": title },
        "submit": { "type": "plain_text", "text": title },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": [{
            "type": "input",
            "block_id": REASON,
            "label": { "type": "plain_text", "text": ask },
            "element": {
                "type": "plain_text_input",
                "action_id": REASON,
                "multiline": true,
                "max_length": REASON_LIMIT,
            },
        }],
    })
}

fn use_of(item: &ReviewItem, now: DateTime<Utc>) -> String {
    match (item.finding, item.last_used) {
        (Finding::NoData, None) => "older than the records of use".into(),
        (Finding::TooNew, None) => "too new to tell".into(),
        (_, None) => "never used".into(),
        (_, Some(last)) => format!("last used {} ago", span(now - last)),
    }
}

fn said(answer: &ReviewAnswer) -> String {
    let word = match answer.choice {
        ReviewChoice::Keep => "kept",
        ReviewChoice::Revoke => "revoked",
    };
    format!("{word} by {}: {}", short(&answer.by, 100), short(&answer.reason, 200))
}

fn became(item: &ReviewItem) -> String {
    match &item.answer {
        Some(answer) => said(answer),
        None if item.grant.state == "active" => "not looked at yet".into(),
        None => format!("{} before anybody looked at it", short(&item.grant.state, 20)),
    }
}

fn line(text: &str) -> Value {
    blocks::rich(vec![blocks::line(vec![blocks::plain(text)])])
}

/// How many are kept, revoked, and over by themselves.
fn counts(review: &ReviewView) -> (usize, usize, usize) {
    let with = |choice| review.items.iter().filter(|i| i.answer.as_ref().is_some_and(|a| a.choice == choice)).count();
    let (kept, revoked) = (with(ReviewChoice::Keep), with(ReviewChoice::Revoke));
    (kept, revoked, review.items.iter().filter(|item| item.answer.is_none() && !item.waits()).count())
}

/// The sentence that says how far it is.
fn progress(review: &ReviewView) -> String {
    let (all, left) = (review.items.len(), review.items.iter().filter(|item| item.waits()).count());
    let on = short(&review.connection, 63);
    if review.closed_at.is_some() {
        let (kept, revoked, ended) = counts(review);
        return format!(
            "Review {} of {on} is done: {kept} kept, {revoked} revoked, {ended} ended meanwhile.",
            review.id
        );
    }
    format!("Review {} of {on}: {} of {all} grants looked at.", review.id, all - left)
}

/// Where the walk is: the next grant that is not the reader's own, or how it ended.
#[must_use]
pub fn step(review: &ReviewView, now: DateTime<Utc>) -> Message {
    let head = progress(review);
    let mut blocks = vec![blocks::rich(vec![blocks::line(vec![blocks::bold(&head)])])];
    let next = review.items.iter().find(|item| item.waits() && !item.own);
    match next {
        Some(item) => {
            let grant = &item.grant;
            let owner =
                grant.owner.as_deref().map(|owner| format!(", an agent of {}", short(owner, 100))).unwrap_or_default();
            let by = if grant.approved_by.is_empty() {
                "given by policy".to_owned()
            } else {
                short(&format!("approved by {}", grant.approved_by.join(", ")), 200)
            };
            blocks.push(blocks::rich(vec![
                blocks::line(vec![
                    blocks::bold(&what(grant)),
                    blocks::plain(&format!(
                        ", {}{owner}: {}; until {}.",
                        short(&grant.principal, 100),
                        use_of(item, now),
                        grant.expires_at.format("%Y-%m-%d %H:%M UTC")
                    )),
                ]),
                blocks::line(vec![blocks::plain(&format!("{}, {by}: {}", grant.id, short(&grant.reason, 300)))]),
            ]));
            let id = value(&review.id, &grant.id);
            let row = vec![
                blocks::button("review_keep", "Keep", None, &id),
                blocks::button("review_revoke", "Revoke", Some("danger"), &id),
            ];
            blocks.push(blocks::actions(&format!("review:{id}"), row));
        }
        None if review.closed_at.is_some() => {
            blocks.push(line(&format!("countersign reviews show {} prints who said what; the log has it.", review.id)));
        }
        None => blocks.push(line(&format!(
            "What is left is your own or your agents'. Another person who administers {} goes on with /access review {}.",
            short(&review.connection, 63),
            short(&review.connection, 63)
        ))),
    }
    Message { text: escaped(&head), blocks }
}

/// That the walk goes on in a direct message.
#[must_use]
pub fn begun(review: &ReviewView) -> String {
    escaped(&format!("{} It goes on in a message to you.", progress(review)))
}

/// The review as lines, for a terminal.
#[must_use]
pub fn lines(review: &ReviewView) -> String {
    let mut lines = vec![progress(review)];
    lines.push(format!("begun by {} at {}", short(&review.opened_by, 100), review.opened_at.format("%F %T UTC")));
    if let Some(at) = review.closed_at {
        lines.push(format!("done at {}", at.format("%F %T UTC")));
    }
    for item in &review.items {
        let at = item.answer.as_ref().map(|answer| answer.at.format(", %F %T UTC").to_string()).unwrap_or_default();
        let (who, what) = (short(&item.grant.principal, 100), what(&item.grant));
        lines.push(format!("{}  {who}  {what}: {}{at}", item.grant.id, became(item)));
    }
    if let Some(note) = &review.checkpoint {
        lines.push(format!("the log's newest checkpoint when it began:\n{}", note.trim_end()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    fn review(answers: &[Option<ReviewChoice>], own: usize) -> ReviewView {
        let now = Utc::now();
        let grants = samples::digest_of(answers.len()).grants;
        let items = grants.into_iter().zip(answers).enumerate().map(|(number, (found, choice))| ReviewItem {
            grant: countersign_shared::api::GrantView { id: GrantId::random(), ..found.grant },
            finding: found.finding,
            last_used: found.last_used,
            answer: choice.map(|choice| {
                let (by, reason) = ("olu@acme.dev".to_owned(), "<!channel> still on call".to_owned());
                ReviewAnswer { choice, by, at: now, reason }
            }),
            own: number < own,
        });
        ReviewView {
            id: "REVIEW1234".parse().unwrap(),
            connection: "shop".into(),
            opened_by: "olu@acme.dev".into(),
            opened_at: now,
            checkpoint: Some("origin\n7\nAAAA\n\n\u{2014} origin BBBB\n".into()),
            closed_at: answers.iter().all(Option::is_some).then_some(now),
            items: items.collect(),
        }
    }

    #[test]
    fn a_walk_shows_the_next_grant_that_is_not_ones_own() {
        use ReviewChoice::{Keep, Revoke};
        let ids = |review: &ReviewView| -> Vec<String> {
            let buttons = |block: &Value| block["elements"].as_array().cloned().unwrap_or_default();
            let blocks = step(review, Utc::now()).blocks;
            let buttons = blocks.iter().filter(|block| block["type"] == "actions").flat_map(buttons);
            buttons.map(|button| button["value"].as_str().unwrap().to_owned()).collect()
        };
        let fresh = review(&[None, None, None], 0);
        assert_eq!(ids(&fresh), vec![value(&fresh.id, &fresh.items[0].grant.id); 2], "Keep and Revoke of the first");
        assert_eq!(read_value(&ids(&fresh)[0]), Some((fresh.id.clone(), fresh.items[0].grant.id.clone())));
        let own = review(&[None, None, None], 1);
        assert_eq!(ids(&own), vec![value(&own.id, &own.items[1].grant.id); 2], "the first is the reader's own");
        let stuck = review(&[None, Some(Keep), Some(Revoke)], 1);
        assert!(
            ids(&stuck).is_empty() && step(&stuck, Utc::now()).text.contains("2 of 3"),
            "{:?}",
            step(&stuck, Utc::now())
        );
        let done = review(&[Some(Keep), Some(Keep), Some(Revoke)], 0);
        assert!(ids(&done).is_empty());
        assert!(step(&done, Utc::now()).text.contains("2 kept, 1 revoked"), "{}", step(&done, Utc::now()).text);
    }

    #[test]
    fn a_terminal_shows_who_said_what_of_which_grant_and_when() {
        let done = review(&[Some(ReviewChoice::Keep), Some(ReviewChoice::Revoke)], 0);
        let said = lines(&done);
        for part in ["done at", "kept by olu@acme.dev", "revoked by olu@acme.dev", "origin BBBB", "REVIEW1234"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
