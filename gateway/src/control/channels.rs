//! `PUT /v1/channels/{id}`: the bot says what a channel is called.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use countersign_shared::api::ChannelBody;

use super::{
    App,
    answer::{Body, Refused},
    caller::Caller,
};

/// The longest name that Slack gives a channel, in characters.
const LONGEST: usize = 80;

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(channel): Body<ChannelBody>,
) -> Result<StatusCode, Refused> {
    caller.bot()?;
    let config = &app.gateway.config;
    let ours = config.connections.values().filter_map(|connection| connection.channel.as_deref());
    let mut ours = ours.chain(config.slack.as_ref().map(|slack| slack.channel.as_str()));
    if !ours.any(|known| known == id) {
        return Err(Refused::not_found("channel"));
    }
    // It ends up in a notice in somebody's terminal.
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if channel.name.is_empty() || channel.name.chars().count() > LONGEST || !channel.name.chars().all(plain) {
        let hint = "Send the name as Slack has it, without the #.";
        return Err(Refused::new(StatusCode::BAD_REQUEST, "bad_request", "That is no name of a channel.", hint));
    }
    app.gateway.channels.learn(id, channel.name);
    Ok(StatusCode::NO_CONTENT)
}
