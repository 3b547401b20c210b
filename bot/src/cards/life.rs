//! The messages that the holder of a grant gets: it has begun, it ends soon, it has ended.

use chrono::{DateTime, Utc};
use countersign_shared::api::GrantView;
use serde_json::Value;

use super::{
    access::{span, what},
    blocks::{self, Message},
    visible::{escaped, short},
};

/// Whose it is, where it is an agent's that the reader answers for.
fn whose(grant: &GrantView) -> String {
    if grant.owner.is_some() { format!("Agent {} has", short(&grant.principal, 100)) } else { "You have".into() }
}

fn buttons(grant: &GrantView) -> Value {
    let id = grant.id.as_str();
    let mut row = Vec::new();
    // Only an agent itself asks for more of its time.
    if grant.owner.is_none() {
        row.push(blocks::button("extend", "Extend", Some("primary"), id));
    }
    row.push(blocks::button("revoke", "Give back", None, id));
    blocks::actions(&format!("grant:{id}"), row)
}

fn message(text: String, lines: Vec<Value>, buttons: Option<Value>) -> Message {
    let blocks = std::iter::once(blocks::rich(lines)).chain(buttons).collect();
    Message { text, blocks }
}

/// It has begun.
#[must_use]
pub fn begun(grant: &GrantView) -> Message {
    let head = format!("{} {}", whose(grant), what(grant));
    let lines = vec![blocks::line(vec![
        blocks::bold(&head),
        blocks::plain(" until "),
        blocks::date(grant.expires_at),
        blocks::plain(&format!(" ({}).", grant.id)),
    ])];
    message(escaped(&format!("{head}.")), lines, Some(buttons(grant)))
}

/// It ends soon.
#[must_use]
pub fn ends(grant: &GrantView, now: DateTime<Utc>) -> Message {
    let left = span(grant.expires_at - now);
    let head = format!("{} {} for {left} more", whose(grant), what(grant));
    let lines = vec![
        blocks::line(vec![blocks::bold(&head), blocks::plain(", until "), blocks::date(grant.expires_at)]),
        blocks::line(vec![blocks::plain(
            "What runs with it then is cancelled. Extend asks for as long again, for the same reason.",
        )]),
    ];
    message(escaped(&format!("{head}.")), lines, Some(buttons(grant)))
}

/// How it ended, as a part of a sentence.
#[must_use]
pub fn how(grant: &GrantView) -> String {
    let by = grant.ended_by.as_deref().map(|by| format!(" by {}", short(by, 100))).unwrap_or_default();
    match grant.state.as_str() {
        "expired" => "has expired".into(),
        "done" => format!("was given back{by}"),
        _ => format!("was revoked{by}"),
    }
}

/// It has ended.
#[must_use]
pub fn ended(grant: &GrantView) -> Message {
    let of = if grant.owner.is_some() {
        format!("Access of {}", short(&grant.principal, 100))
    } else {
        "Your access".into()
    };
    let text = format!("{of} as {} {}.", what(grant), how(grant));
    let lines = vec![
        blocks::line(vec![blocks::bold(&text)]),
        blocks::line(vec![blocks::plain("/access request asks for it again.")]),
    ];
    message(escaped(&text), lines, None)
}

/// Where a grant stands, for the card of its request.
#[must_use]
pub fn standing(grant: &GrantView) -> Vec<Value> {
    if grant.state == "active" {
        return vec![blocks::plain("Until "), blocks::date(grant.expires_at), blocks::plain(".")];
    }
    vec![blocks::plain(&format!("The access {}.", how(grant)))]
}
