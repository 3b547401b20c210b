//! `chat.*`

use serde_json::json;

use super::super::state::State;
use super::content::{blocks, content};
use super::{Answer, Arguments, Refused};

/// The longest `text` that `chat.update` takes; `chat.postMessage` takes ten times that.
const LONGEST_UPDATE: usize = 4_000;

pub(super) fn post_message(state: &mut State, arguments: &Arguments) -> Answer {
    let channel = postable_channel(state, arguments)?;
    let content = content(arguments)?;
    let thread = thread(state, &channel, arguments)?;
    let message = state.post(&channel, thread, content);
    Ok(json!({"channel": channel, "ts": message.ts, "message": state.message_json(&message)}))
}

pub(super) fn post_ephemeral(state: &mut State, arguments: &Arguments) -> Answer {
    let channel = postable_channel(state, arguments)?;
    let user = arguments.text("user").ok_or_else(|| Refused::missing("user"))?.to_owned();
    if state.person(&user).is_none_or(|person| person.deleted) {
        return Err("user_not_found".into());
    }
    if !state.channel(&channel).is_some_and(|channel| channel.has(&user)) {
        return Err("user_not_in_channel".into());
    }
    let content = content(arguments)?;
    let message = state.post_ephemeral(&channel, &user, content);
    Ok(json!({"message_ts": message.ts}))
}

pub(super) fn update(state: &mut State, arguments: &Arguments) -> Answer {
    let (channel, ts) = own_message(state, arguments, "cant_update_message")?;
    let text = arguments.text("text").map(str::to_owned);
    if text.as_ref().is_some_and(|text| text.chars().count() > LONGEST_UPDATE) {
        return Err("msg_too_long".into());
    }
    let blocks = blocks(arguments)?;
    if text.is_none() && blocks.is_none() && !arguments.has("attachments") {
        return Err("no_text".into());
    }
    let edited = state.fresh_ts();
    let Some(message) = state.message_mut(&channel, &ts) else { return Err("message_not_found".into()) };
    if let Some(text) = text {
        message.text = text;
    }
    if let Some(blocks) = blocks {
        message.blocks = blocks;
    }
    message.edited = Some(edited);
    message.edits += 1;
    let message = message.clone();
    Ok(json!({"channel": channel, "ts": ts, "text": message.text, "message": state.message_json(&message)}))
}

pub(super) fn delete(state: &mut State, arguments: &Arguments) -> Answer {
    let (channel, ts) = own_message(state, arguments, "cant_delete_message")?;
    state.messages.retain(|message| message.channel != channel || message.ts != ts);
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn get_permalink(state: &mut State, arguments: &Arguments) -> Answer {
    let channel = named_channel(state, arguments)?;
    let ts = arguments.text("message_ts").ok_or_else(|| Refused::missing("message_ts"))?;
    if state.message(&channel, ts).is_none() {
        return Err("message_not_found".into());
    }
    let link = format!("https://{}.slack.com/archives/{channel}/p{}", state.team().domain, ts.replace('.', ""));
    Ok(json!({"channel": channel, "permalink": link}))
}

/// The message that `channel` and `ts` name, which the app itself must have posted.
fn own_message(state: &State, arguments: &Arguments, foreign: &str) -> Result<(String, String), Refused> {
    let channel = named_channel(state, arguments)?;
    let ts = arguments.text("ts").ok_or_else(|| Refused::missing("ts"))?;
    let message = state.message(&channel, ts).ok_or("message_not_found")?;
    if !message.from_app {
        return Err(foreign.into());
    }
    Ok((channel, ts.to_owned()))
}

/// The channel's id, from an id or, for posting, a name.
fn named_channel(state: &State, arguments: &Arguments) -> Result<String, Refused> {
    let name = arguments.text("channel").ok_or_else(|| Refused::missing("channel"))?;
    let found = state.channel(name).or_else(|| {
        let name = name.strip_prefix('#')?;
        state.config.channels.iter().find(|channel| channel.name == name && channel.direct_with.is_none())
    });
    let channel = found.ok_or("channel_not_found")?;
    if channel.is_private && !channel.has(&state.app().bot_user_id) {
        return Err("channel_not_found".into());
    }
    Ok(channel.id.clone())
}

/// The channel to post to. A user's id opens their direct message with the app.
fn postable_channel(state: &mut State, arguments: &Arguments) -> Result<String, Refused> {
    if let Some(user) = arguments.text("channel").filter(|id| state.person(id).is_some()) {
        let user = user.to_owned();
        return Ok(state.direct_message(&user).0);
    }
    let id = named_channel(state, arguments)?;
    let bot = state.app().bot_user_id.clone();
    match state.channel(&id) {
        Some(channel) if channel.is_archived => Err("is_archived".into()),
        Some(channel) if !channel.has(&bot) => Err("not_in_channel".into()),
        _ => Ok(id),
    }
}

fn thread(state: &State, channel: &str, arguments: &Arguments) -> Result<Option<String>, Refused> {
    match arguments.text("thread_ts") {
        None => Ok(None),
        Some(ts) if state.message(channel, ts).is_some() => Ok(Some(ts.to_owned())),
        // Slack posts it as a message of its own when the thread is gone; an app under test should know.
        Some(_) => Err("thread_not_found".into()),
    }
}
