//! Tells the gateway what the channels are called that its notices speak of.

use crate::Bot;

/// Asks Slack for each name and passes it on. A courtesy: where either is away, notices name the id,
/// and the next time that the gateway is followed it is tried again.
pub(crate) async fn introduce(bot: &Bot) {
    for id in bot.channels() {
        match bot.slack().channel_name(id).await {
            Ok(Some(name)) => {
                if let Err(error) = bot.control().put_channel(id, &name).await {
                    tracing::warn!(%error, channel = id, "the gateway could not be told what a channel is called");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, channel = id, "Slack does not say what a channel is called"),
        }
    }
}
