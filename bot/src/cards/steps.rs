//! What a card says of statements that are sent one by one: each in its place, and how far they are.

use countersign_shared::{
    api::{RequestView, StepState, StepView, steps_so_far},
    request::State,
};
use serde_json::Value;

use super::{
    blocks, effects,
    visible::{length, short, visible},
};

/// How many statements a card lists.
const LISTED: usize = 25;
/// How long one of them may be.
const LENGTH: usize = 400;

/// `deletes rows from public.orders: ran (DELETE 3)`.
pub fn sentence(step: &StepView, connection: &str) -> String {
    let does: Vec<String> = step.does.iter().map(|effect| effects::effect(effect, connection)).collect();
    let stands = match step.state {
        StepState::Free => "needs no approval",
        StepState::Waits => "has not been sent",
        StepState::Runs => "runs",
        StepState::Ran => "ran",
        StepState::Failed => "failed",
    };
    let outcome = step.outcome.as_deref().map(|outcome| format!(" ({})", visible(outcome))).unwrap_or_default();
    format!("{}. {}: {stands}{outcome}", step.number, visible(&does.join(", ")))
}

/// Whether a card has room for all of them. What came of them is no part of what is approved.
pub fn fit(view: &RequestView) -> bool {
    let asked = |step: &StepView| StepView { outcome: None, ..step.clone() };
    view.steps.len() <= LISTED
        && view.steps.iter().all(|step| length(&sentence(&asked(step), &view.connection)) <= LENGTH)
}

/// The lines of a card; none where the request has no statements of its own.
pub fn lines(view: &RequestView) -> Vec<Value> {
    if view.steps.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<Value> = view
        .steps
        .iter()
        .take(LISTED)
        .map(|step| blocks::line(vec![blocks::plain(&short(&sentence(step, &view.connection), LENGTH))]))
        .collect();
    let more = view.steps.len().saturating_sub(LISTED);
    if more > 0 {
        lines.push(blocks::line(vec![blocks::plain(&format!("and {more} statements more, which are not shown here"))]));
    }
    vec![blocks::line(vec![blocks::bold("Statement by statement:")]), blocks::bullets(lines)]
}

/// How far they are, as a sentence of its own.
#[must_use]
pub fn so_far(view: &RequestView) -> Option<String> {
    steps_so_far(&view.steps).map(|so_far| format!("{so_far}."))
}

/// What ends the rest, for whoever could have denied it.
pub fn buttons(view: &RequestView) -> Option<Value> {
    if view.steps.is_empty() || view.state != State::Approved {
        return None;
    }
    let id = view.id.as_str();
    let row = vec![
        blocks::button("deny", "Deny the rest", Some("danger"), id),
        blocks::button("details", "Details", None, id),
    ];
    Some(blocks::actions(&super::request::block_id(&view.id, &view.digest), row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::{request::card, samples};

    #[test]
    fn a_card_says_each_statement_in_its_place_and_how_far_they_are() {
        let view = samples::stepped(State::Approved);
        let base = url::Url::parse("https://countersign.acme.dev").unwrap();
        let text = serde_json::to_string(&card(&view, &base).blocks).unwrap();
        for says in [
            "1. changes a setting on",
            "needs no approval",
            "2. deletes rows from",
            "ran (DELETE 3)",
            "3. updates rows of",
            "has not been sent",
            "1 of 2 statements that need an approval has run.",
            "Deny the rest",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert!(!text.contains("about to run"), "{text}");
        let late = samples::stepped(State::Expired);
        let text = serde_json::to_string(&card(&late, &base).blocks).unwrap();
        assert!(text.contains("its time is over") && !text.contains("nobody decided"), "{text}");
        let over = samples::stepped(State::Void);
        let text = serde_json::to_string(&card(&over, &base).blocks).unwrap();
        assert!(!text.contains("It has not run") && text.contains("1 of 2 statements"), "{text}");
        assert!(!text.contains("Deny the rest"), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_not_approved_from_a_card() {
        let view = samples::stepped(State::Pending);
        assert!(fit(&view) && super::super::request::fits(&view));
        let many = RequestView { steps: vec![view.steps[0].clone(); LISTED + 1], ..view };
        assert!(!super::super::request::fits(&many));
    }
}
