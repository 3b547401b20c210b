//! What is said to reach somebody for a request that waits. Its card has the rest.

use chrono::{DateTime, Utc};
use countersign_shared::api::RequestView;
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

fn message(view: &RequestView, first: Option<serde_json::Value>, head: &str, base: &Url) -> Message {
    let mut parts: Vec<_> = first.into_iter().collect();
    parts.push(blocks::bold(head));
    parts.push(blocks::plain(&format!(" {} ", sentence(view))));
    parts.push(blocks::link(&page(base, &view.id), "Read and decide"));
    Message {
        text: escaped(&format!("{head} {}", sentence(view))),
        blocks: vec![blocks::rich(vec![blocks::line(parts)])],
    }
}

/// Before its deadline.
#[must_use]
pub fn reminder(view: &RequestView, base: &Url, now: DateTime<Utc>) -> Message {
    message(view, None, &format!("Ends in {}:", span(view.expires_at - now)), base)
}

/// To somebody who is told in another's place.
#[must_use]
pub fn stand_in(view: &RequestView, of: &str, base: &Url) -> Message {
    message(view, None, &format!("In the place of {}:", short(of, 100)), base)
}

/// On its way, with the group that is mentioned: the config names it, nobody else can.
#[must_use]
pub fn waits(view: &RequestView, usergroup: Option<&str>, base: &Url) -> Message {
    let mention = usergroup.map(|id| serde_json::json!({ "type": "usergroup", "usergroup_id": id }));
    let head = if mention.is_some() { ", somebody is needed:" } else { "Somebody is needed:" };
    message(view, mention, head, base)
}
