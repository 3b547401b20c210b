//! What is said to reach somebody for a request that waits. Its card has the rest.

use chrono::{DateTime, Utc};
use countersign_shared::api::RequestView;
use serde_json::{Value, json};
use url::Url;

use super::{
    access::span,
    blocks::{self, Message},
    outcome,
    request::page,
    visible::{escaped, short},
};

/// `K7Q2AB9X by ana@acme.dev on shop waits for 1 approval by members of dba.`
#[must_use]
pub fn sentence(view: &RequestView) -> String {
    let (who, on) = (short(&view.principal, 100), short(&view.connection, 63));
    format!("{} by {who} on {on} waits for {}.", view.id, outcome::needed(&view.needed))
}

fn message(view: &RequestView, mentions: Vec<Value>, head: &str, base: &Url) -> Message {
    let mut parts = Vec::new();
    for mention in mentions {
        if !parts.is_empty() {
            parts.push(blocks::plain(" "));
        }
        parts.push(mention);
    }
    parts.push(blocks::bold(head));
    parts.push(blocks::plain(&format!(" {} ", sentence(view))));
    parts.push(blocks::link(&page(base, &view.id), "Read and decide"));
    Message {
        text: escaped(&format!("{} {}", head.trim_start_matches([',', ' ']), sentence(view))),
        blocks: vec![blocks::rich(vec![blocks::line(parts)])],
    }
}

/// Before its deadline, with those who may decide: the group that the config names, or else some of them.
#[must_use]
pub fn reminder(view: &RequestView, usergroup: Option<&str>, base: &Url, now: DateTime<Utc>) -> Message {
    let left = span(view.expires_at - now);
    let mut mentions: Vec<Value> = usergroup.map(group).into_iter().collect();
    if mentions.is_empty() {
        mentions = view.approvers.iter().map(|one| blocks::user(&one.user)).collect();
    }
    let space = if mentions.is_empty() { "" } else { " " };
    message(view, mentions, &format!("{space}Ends in {left}:"), base)
}

fn group(id: &str) -> Value {
    json!({ "type": "usergroup", "usergroup_id": id })
}

/// To somebody who is told in another's place.
#[must_use]
pub fn stand_in(view: &RequestView, of: &str, base: &Url) -> Message {
    message(view, Vec::new(), &format!("In the place of {}:", short(of, 100)), base)
}

/// On its way, with the group that is mentioned: the config names it, nobody else can.
#[must_use]
pub fn waits(view: &RequestView, usergroup: Option<&str>, base: &Url) -> Message {
    let head = if usergroup.is_some() { ", somebody is needed:" } else { "Somebody is needed:" };
    message(view, usergroup.map(group).into_iter().collect(), head, base)
}
