//! Attaching a file: an address to send it to, the bytes, and where it shall appear
//! (<https://docs.slack.dev/messaging/working-with-files#upload>).

use countersign_shared::api::CardRef;
use serde::Deserialize;
use serde_json::json;

use super::{Slack, SlackError};

#[derive(Deserialize)]
struct Address {
    upload_url: String,
    file_id: String,
}

#[derive(Deserialize)]
struct Anything {}

impl Slack {
    /// Attaches a file of text to the thread of a message.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn attach(&self, card: &CardRef, name: &str, text: &str) -> Result<(), SlackError> {
        let (name, length) = (name.to_owned(), text.len().to_string());
        let query = vec![("filename", Some(&name)), ("length", Some(&length))];
        let address: Address = self.get("files.getUploadURLExternal", query).await?;
        // This address is a secret of a kind, and needs no token.
        let sent = self.plain.post(&address.upload_url).body(text.to_owned()).send().await;
        let sent = sent.map_err(|error| SlackError::Away(error.without_url().to_string()))?;
        if !sent.status().is_success() {
            return Err(SlackError::Away(format!("status {}", sent.status())));
        }
        let body = json!({
            "files": [{ "id": address.file_id, "title": name }], "channel_id": card.channel, "thread_ts": card.ts,
        });
        self.call("files.completeUploadExternal", &body).await.map(|_: Anything| ())
    }
}
