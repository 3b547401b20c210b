//! `conversations.history`: what a channel holds, the newest first.

use serde_json::{Value, json};

use super::super::state::State;
use super::{Answer, Arguments, Refused, granted};

/// Messages of a page, where the app names no number, and at most.
const USUAL: usize = 100;
const MOST: usize = 999;

pub(super) fn conversations_history(state: &mut State, arguments: &Arguments) -> Answer {
    let id = readable(state, arguments)?;

    let limit = match arguments.text("limit").map(str::parse::<usize>) {
        None => USUAL,
        Some(Ok(limit @ 1..=MOST)) => limit,
        Some(_) => return Err("invalid_limit".into()),
    };
    let after = match arguments.text("oldest").map(number) {
        None => (0, 0),
        Some(oldest) => oldest.ok_or("invalid_ts_oldest")?,
    };
    // A cursor is opaque to apps; this one is the place of the next message.
    let start = match arguments.text("cursor").filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => cursor.strip_prefix("next:").and_then(|n| n.parse().ok()).ok_or("invalid_cursor")?,
    };
    let there = state.messages.iter().filter(|message| {
        message.channel == id
            && message.visible_to.is_none()
            && message.thread_ts.is_none()
            && number(&message.ts).is_some_and(|ts| ts > after)
    });
    let there: Vec<&_> = there.rev().collect();
    let messages: Vec<Value> =
        there.iter().skip(start).take(limit).map(|message| without_metadata(state.message_json(message))).collect();
    let more = there.len() > start + limit;
    let next = if more { format!("next:{}", start + limit) } else { String::new() };
    Ok(json!({"messages": messages, "has_more": more, "pin_count": 0, "response_metadata": {"next_cursor": next}}))
}

/// A message and the replies to it, the oldest first; of a page alone.
pub(super) fn conversations_replies(state: &mut State, arguments: &Arguments) -> Answer {
    let id = readable(state, arguments)?;
    let ts = arguments.text("ts").ok_or_else(|| Refused::missing("ts"))?;
    state.message(id, ts).ok_or("thread_not_found")?;
    let of_thread = |message: &&super::super::Message| {
        let is = message.ts == ts || message.thread_ts.as_deref() == Some(ts);
        message.channel == id && message.visible_to.is_none() && is
    };
    let messages: Vec<Value> =
        state.messages.iter().filter(of_thread).map(|message| without_metadata(state.message_json(message))).collect();
    Ok(json!({"messages": messages, "has_more": false, "response_metadata": {"next_cursor": ""}}))
}

/// The channel that is named, where the app may read there.
fn readable<'a>(state: &State, arguments: &'a Arguments) -> Result<&'a str, Refused> {
    let id = arguments.text("channel").ok_or_else(|| Refused::missing("channel"))?;
    let channel = state.channel(id).ok_or("channel_not_found")?;
    let scope = match channel {
        channel if channel.direct_with.is_some() => "im:history",
        channel if channel.is_private => "groups:history",
        _ => "channels:history",
    };
    granted(state, scope)?;
    if !channel.has(&state.app().bot_user_id) {
        return Err(if channel.is_private { "channel_not_found" } else { "not_in_channel" }.into());
    }
    Ok(id)
}

/// Metadata is told to those who ask for it, which this stand-in does not know.
fn without_metadata(mut message: Value) -> Value {
    if let Some(message) = message.as_object_mut() {
        message.remove("metadata");
    }
    message
}

/// A timestamp as it orders: seconds, then microseconds.
fn number(ts: &str) -> Option<(u64, u64)> {
    let (seconds, rest) = ts.split_once('.').unwrap_or((ts, "0"));
    Some((seconds.parse().ok()?, rest.parse().ok()?))
}
