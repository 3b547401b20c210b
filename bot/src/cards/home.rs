//! The App Home tab. Nothing in it is parsed by Slack.

use chrono::{DateTime, Utc};
use countersign_shared::api::{GrantView, RequestView};
use serde_json::{Value, json};
use url::Url;

use super::{
    access::{span, what},
    blocks, effects, outcome,
    request::page,
    visible::short,
};

/// How many of each it shows; a view has a hundred blocks at most.
const SHOWN: usize = 15;

fn tab(rows: Vec<Value>) -> Value {
    json!({ "type": "home", "blocks": rows })
}

/// A tab that says why there is nothing else in it.
#[must_use]
pub fn closed(why: &str) -> Value {
    tab(vec![blocks::rich(vec![blocks::line(vec![blocks::plain(why)])])])
}

fn text(text: &str) -> Value {
    blocks::rich(vec![blocks::line(vec![blocks::plain(text)])])
}

fn more(rows: &mut Vec<Value>, count: usize, nothing: &str) {
    match count {
        0 => rows.push(text(nothing)),
        count if count > SHOWN => rows.push(text(&format!("and {} more", count - SHOWN))),
        _ => {}
    }
}

fn grant(grant: &GrantView, now: DateTime<Utc>) -> [Value; 2] {
    let id = grant.id.as_str();
    let of = grant.owner.as_ref().map(|_| format!(", of {}", short(&grant.principal, 100))).unwrap_or_default();
    let left = span(grant.expires_at - now);
    let mut row = Vec::new();
    if grant.owner.is_none() {
        row.push(blocks::button("extend", "Extend", None, id));
    }
    row.push(blocks::button("revoke", "Give back", None, id));
    [
        blocks::rich(vec![blocks::line(vec![
            blocks::bold(&what(grant)),
            blocks::plain(&format!("{of}: {left} left, until ")),
            blocks::date(grant.expires_at),
        ])]),
        blocks::actions(&format!("grant:{id}"), row),
    ]
}

fn request(view: &RequestView, base: &Url) -> Value {
    let what = match (&view.access, view.effects.first()) {
        (Some(access), _) => outcome::access(access),
        (None, Some(first)) => effects::effect(first, &view.connection),
        (None, None) => "a statement".into(),
    };
    let (who, on) = (short(&view.principal, 100), short(&view.connection, 63));
    blocks::rich(vec![blocks::line(vec![
        blocks::link(&page(base, &view.id), view.id.as_str()),
        blocks::plain(&format!(" {who} on {on}: {what}; waits for {}", outcome::needed(&view.needed))),
    ])])
}

/// The tab: grants, requests of one's own, requests that wait for one.
#[must_use]
pub fn view(
    principal: &str,
    (grants, asked, waits): (&[GrantView], &[RequestView], &[RequestView]),
    base: &Url,
    now: DateTime<Utc>,
) -> Value {
    let mut rows = vec![blocks::header("Waits for you")];
    rows.extend(waits.iter().take(SHOWN).map(|view| request(view, base)));
    more(&mut rows, waits.len(), "Nothing.");
    rows.push(blocks::header("You have"));
    rows.extend(grants.iter().take(SHOWN).flat_map(|found| grant(found, now)));
    more(&mut rows, grants.len(), "No role for now. /access request asks for one.");
    rows.push(blocks::header("You have asked for"));
    rows.extend(asked.iter().take(SHOWN).map(|view| request(view, base)));
    more(&mut rows, asked.len(), "Nothing that waits.");
    let stamp = now.format("%Y-%m-%d %H:%M UTC");
    rows.push(text(&format!("You are {}. As of {stamp}; open this tab again for what is now.", short(principal, 200))));
    tab(rows)
}
