//! Approving for a time: the form that asks for how long, how often and how much, and what a card says of it.

use countersign_shared::{
    allow::{Parameters, Terms},
    api::{AllowanceView, RequestView},
    digest::Digest,
    ids::RequestId,
    impact::thousands,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{blocks, impact, visible::short};

/// The form's `callback_id`.
pub const CALLBACK: &str = "allow";
/// The button that opens it, and the one that ends what was allowed.
pub const ALLOW: &str = "allow";
/// The button that ends what was allowed.
pub const END: &str = "end_allowance";
/// Blocks and actions of its inputs.
pub const INPUTS: [&str; 4] = ["minutes", "runs", "rows", "parameters"];

/// What is offered, as far as policy lets it.
const MINUTES: [u64; 8] = [5, 15, 30, 60, 120, 240, 480, 720];
const RUNS: [u64; 8] = [2, 3, 5, 10, 20, 50, 100, 200];
const ROWS: [u64; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000];

/// What the form carries from the press to its submission: what the approver saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The request on the card.
    pub request: RequestId,
    /// The digest that the card showed.
    pub digest: Digest,
    /// The card's channel, where the approver is told if it fails.
    pub channel: Option<String>,
}

/// The button, where policy lets anybody allow it. What gives pause with Approve does so here, too.
#[must_use]
pub fn button(view: &RequestView) -> Option<Value> {
    let minutes = view.allowable?.minutes.min(30);
    let button = blocks::button(ALLOW, &format!("Approve for {minutes} min…"), None, view.id.as_str());
    Some(impact::with_doubts(button, view))
}

/// How many rows the card states; the least that makes sense.
fn stated(view: &RequestView) -> u64 {
    view.impact.iter().filter_map(|one| one.rows).fold(0, u64::saturating_add).max(1)
}

/// The choices from `least` to `most`, both among them.
fn choices(of: &[u64], least: u64, most: u64) -> Vec<u64> {
    let mut choices: Vec<u64> = of.iter().copied().filter(|one| (least..most).contains(one)).collect();
    if choices.first() != Some(&least) {
        choices.insert(0, least.min(most));
    }
    choices.push(most);
    choices.sort_unstable();
    choices.dedup();
    choices
}

fn option(text: &str, value: &str) -> Value {
    json!({ "text": { "type": "plain_text", "text": text, "emoji": false }, "value": value })
}

fn select(id: &str, label: &str, options: Vec<Value>, chosen: &str) -> Value {
    let initial = options.iter().find(|option| option["value"] == chosen).or(options.first()).cloned();
    json!({
        "type": "input", "block_id": id, "label": { "type": "plain_text", "text": label },
        "element": { "type": "static_select", "action_id": id, "options": options, "initial_option": initial },
    })
}

/// The modal. What somebody allowed before is chosen already: it takes effect only where all who are needed allow the same.
#[must_use]
pub fn form(view: &RequestView, most: &Terms, carried: &Carried) -> Value {
    let given = view.approvals.iter().find_map(|approval| approval.allow);
    let numbers = |id: &str, label: &str, of: Vec<u64>, chosen: u64, unit: &str| {
        let shown = |one: &u64| {
            let unit = if *one == 1 { unit.trim_end_matches('s') } else { unit };
            option(&format!("{} {unit}", thousands(*one)), &one.to_string())
        };
        select(id, label, of.iter().map(shown).collect(), &chosen.to_string())
    };
    let with = |of: Vec<u64>, given: Option<u64>| {
        let mut of = of;
        of.extend(given);
        of.sort_unstable();
        of.dedup();
        of
    };
    let (minutes, runs, rows) = (u64::from(most.minutes), u64::from(most.runs), most.rows);
    let least = stated(view).min(rows);
    let offered = with(choices(&MINUTES, 5.min(minutes), minutes), given.map(|given| given.minutes.into()));
    let chosen = given.map_or_else(|| nearest(&offered, 30), |given| given.minutes.into());
    let [id_minutes, id_runs, id_rows, id_parameters] = INPUTS;
    let mut blocks = vec![blocks::rich(vec![blocks::line(vec![blocks::plain(&intro(view))])])];
    blocks.push(numbers(id_minutes, "For how long", offered, chosen, "min"));
    let offered = with(choices(&RUNS, 2.min(runs), runs), given.map(|given| given.runs.into()));
    let chosen = given.map_or_else(|| nearest(&offered, 10), |given| given.runs.into());
    blocks.push(numbers(id_runs, "How many runs, the one that waits among them", offered, chosen, "runs"));
    let offered = with(choices(&ROWS, least, rows), given.map(|given| given.rows));
    let chosen = given.map_or(least, |given| given.rows);
    blocks.push(numbers(id_rows, "Undo a run that touches more than", offered, chosen, "rows"));
    if !view.parameters.is_empty() && most.parameters == Parameters::Free {
        let options = vec![option("just these values", "pinned"), option("any values", "free")];
        let chosen = given.map_or(Parameters::Pinned, |given| given.parameters).as_str();
        blocks.push(select(id_parameters, "Its parameters", options, chosen));
    }
    // A title has room for 24 characters.
    let id: String = view.id.as_str().chars().take(12).collect();
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": json!(carried).to_string(),
        "title": { "type": "plain_text", "text": format!("Approve {id}") },
        "submit": { "type": "plain_text", "text": "Approve" },
        "close": { "type": "plain_text", "text": "Cancel" },
        "blocks": blocks,
    })
}

fn intro(view: &RequestView) -> String {
    let (who, on) = (short(&view.principal, 100), short(&view.connection, 63));
    format!(
        "The same text by {who} on {on}, and nothing else, runs without anybody being asked again. Each run is in the log \
         under your approval, and whoever may approve it can end this."
    )
}

/// The largest choice that is not above `wish`.
fn nearest(of: &[u64], wish: u64) -> u64 {
    of.iter().copied().filter(|one| *one <= wish).max().or(of.first().copied()).unwrap_or(wish)
}

/// What was allowed, and what came of it: a line of a card.
#[must_use]
pub fn standing(allowance: &AllowanceView) -> String {
    let AllowanceView { terms, until, taken, state, ended_by, ended_why, .. } = allowance;
    let by = ended_by.as_deref().map(|by| format!(" by {}", short(by, 100))).unwrap_or_default();
    let why = ended_why.as_deref().map(|why| format!(": {}", short(why, 200))).unwrap_or_default();
    let how = match state.as_str() {
        "open" => format!("until {}", until.format("%H:%M UTC")),
        "used" => "all used".to_owned(),
        "expired" => "its time is over".to_owned(),
        "revoked" => format!("ended{by}{why}"),
        _ => format!("ended{why}"),
    };
    format!("Allowed {}; {taken} of {} taken, {how}.", terms.sentence(), terms.runs)
}

/// The same for a channel in which others read than those who decide.
#[must_use]
pub fn bare_standing(allowance: &AllowanceView) -> &'static str {
    if allowance.state == "open" { "It is allowed for a time." } else { "It was allowed for a time, which is over." }
}

/// The button that ends it, while it is open.
#[must_use]
pub fn end_button(view: &RequestView) -> Option<Value> {
    let open = view.allowance.as_ref().is_some_and(|allowance| allowance.state == "open");
    let button = || blocks::button(END, "End this", Some("danger"), view.id.as_str());
    open.then(|| blocks::actions(&format!("allowance:{}", view.id), vec![button()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn what_is_offered_is_between_what_it_touches_and_what_policy_lets() {
        let table = [
            (&ROWS[..], 7, 500, vec![7, 10, 20, 50, 100, 200, 500]),
            (&ROWS[..], 1, 3, vec![1, 2, 3]),
            (&ROWS[..], 5, 5, vec![5]),
            (&MINUTES[..], 5, 30, vec![5, 15, 30]),
            (&RUNS[..], 1, 1, vec![1]),
        ];
        for (of, least, most, expected) in table {
            assert_eq!(choices(of, least, most), expected, "{least} to {most}");
        }
    }

    #[test]
    fn parameters_are_asked_about_only_where_there_are_any_and_they_may_be_free() {
        let most = Terms { minutes: 60, runs: 20, rows: 500, parameters: Parameters::Free };
        let pinned = Terms { parameters: Parameters::Pinned, ..most };
        let view = RequestView { allowable: Some(most), ..samples::view() };
        let bare = RequestView { parameters: Vec::new(), ..view.clone() };
        let carried = Carried { request: view.id.clone(), digest: view.digest, channel: None };
        let asks = |view: &RequestView, most: &Terms| form(view, most, &carried).to_string().contains("any values");
        assert_eq!((asks(&view, &most), asks(&view, &pinned), asks(&bare, &most)), (true, false, false));
        assert_eq!(button(&view).expect("a button")["text"]["text"], "Approve for 30 min…");
        assert_eq!(button(&samples::view()), None, "where policy lets nobody");
        let form = form(&view, &most, &carried);
        let chosen: Vec<&str> = form["blocks"].as_array().expect("blocks")[1..]
            .iter()
            .map(|block| block["element"]["initial_option"]["value"].as_str().expect("a choice"))
            .collect();
        assert_eq!(chosen, ["30", "10", "1", "pinned"]);
    }
}
