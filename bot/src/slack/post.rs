//! The calls of Slack's Web API that the bot makes; `manifest.yaml` declares a scope for each.
//!
//! Answers are read leniently: a post whose answer has an odd field was posted, and taking it for
//! a failure would post it twice.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{api::CardRef, ids::RequestId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use slack_morphism::{
    api::SlackApiUsersInfoRequest,
    errors::SlackClientError,
    prelude::{SLACK_TIER4_METHOD_CONFIG, SlackApiMethodRateControlConfig},
};
use tokio::time::{sleep, timeout};

use super::Slack;
use crate::cards::Message;

/// Every method that the bot calls, with the bot scopes that it needs: for public and for private
/// channels, where there are two.
pub const METHODS: [(&str, &[&str]); 16] = [
    // With the app-level token, whose `connections:write` no manifest declares.
    ("apps.connections.open", &[]),
    ("auth.test", &[]),
    ("chat.postMessage", &["chat:write"]),
    ("chat.update", &["chat:write"]),
    ("chat.postEphemeral", &["chat:write"]),
    ("views.open", &[]),
    ("views.update", &[]),
    ("views.publish", &[]),
    ("users.info", &["users:read"]),
    ("conversations.history", &["channels:history", "groups:history", "im:history"]),
    ("conversations.replies", &["channels:history", "groups:history", "im:history"]),
    ("conversations.info", &["channels:read", "groups:read"]),
    ("conversations.members", &["channels:read", "groups:read"]),
    ("conversations.open", &["im:write"]),
    ("files.getUploadURLExternal", &["files:write"]),
    ("files.completeUploadExternal", &["files:write"]),
];

/// Messages of a page of a channel's history, and pages at most. A card that is looked for is among
/// the oldest since its request.
const PAGE: usize = 200;
const PAGES: usize = 10;
/// How much Slack's clock may be behind the gateway's.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// How often a call waits out a 429 before it gives up.
const PATIENCE: usize = 5;
/// The wait where a 429 names none.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Why a call failed. Carries no body, since a body may quote what was posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// Slack answered with an error code.
    #[error("Slack refused: {0}")]
    Refused(String),
    /// Slack asks to slow down.
    #[error("Slack asks to wait {} s", .0.as_secs())]
    Slower(Duration),
    /// Slack did not answer, or not as Slack.
    #[error("Slack did not answer: {0}")]
    Away(String),
}

impl SlackError {
    /// Whether Slack will never take these blocks.
    #[must_use]
    pub fn is_about_blocks(&self) -> bool {
        matches!(self, Self::Refused(code) if code.starts_with("invalid_blocks") || code.contains("too_long"))
    }

    /// Whether the token is no good, so that trying again is in vain.
    #[must_use]
    pub fn is_about_the_token(&self) -> bool {
        let codes = ["invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"];
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
    }

    /// Whether the person can't be written to, now or later.
    #[must_use]
    pub fn is_about_the_person(&self) -> bool {
        let codes = ["user_not_found", "user_disabled", "cannot_dm_bot", "user_not_visible"];
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
    }

    /// Whether the message is gone whose thread it was for.
    #[must_use]
    pub fn is_about_a_lost_thread(&self) -> bool {
        matches!(self, Self::Refused(code) if code == "thread_not_found")
    }

    /// Whether the message is gone, or was never the bot's.
    #[must_use]
    pub fn is_about_a_lost_message(&self) -> bool {
        let codes = ["message_not_found", "cant_update_message", "edit_window_closed", "is_archived"];
        matches!(self, Self::Refused(code) if codes.contains(&code.as_str()))
    }
}

impl From<SlackClientError> for SlackError {
    fn from(error: SlackClientError) -> Self {
        match error {
            SlackClientError::ApiError(error) if error.code == "ratelimited" => Self::Slower(DEFAULT_WAIT),
            SlackClientError::ApiError(error) => Self::Refused(error.code),
            SlackClientError::RateLimitError(error) => Self::Slower(error.retry_after.unwrap_or(DEFAULT_WAIT)),
            SlackClientError::HttpError(error) => Self::Away(format!("status {}", error.status_code)),
            SlackClientError::ProtocolError(error) => Self::Away(format!("not Slack's JSON: {}", error.json_error)),
            SlackClientError::HttpProtocolError(error) => Self::Away(format!("{:?}", error.cause)),
            SlackClientError::SystemError(error) => Self::Away(format!("{:?}", error.cause)),
            SlackClientError::EndOfStream(_) | SlackClientError::SocketModeProtocolError(_) => {
                Self::Away("the connection ended".into())
            }
        }
    }
}

/// `auth.test`: who the bot is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The workspace that the bot is installed in.
    pub team_id: String,
    /// The bot's own user.
    #[serde(default)]
    pub user_id: String,
}

/// `users.info`, as far as it says who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "Slack's own flags")]
pub struct SlackUser {
    /// `U…`.
    pub id: String,
    /// Their own workspace; a stranger's is another than ours.
    pub team_id: Option<String>,
    /// The handle.
    pub name: Option<String>,
    /// The full name.
    pub real_name: Option<String>,
    /// Deactivated.
    pub deleted: bool,
    /// A bot.
    pub is_bot: bool,
    /// A workflow's bot.
    pub is_workflow_bot: bool,
    /// A guest of several channels.
    pub is_restricted: bool,
    /// A guest of one channel.
    pub is_ultra_restricted: bool,
    /// Of another workspace, through Slack Connect.
    pub is_stranger: bool,
    /// Has not accepted the invitation yet.
    pub is_invited_user: bool,
    /// Their time zone, an IANA name.
    pub tz: Option<String>,
    /// E-mail and display name.
    pub profile: Profile,
}

/// Part of [`SlackUser`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// With scope `users:read.email` only.
    pub email: Option<String>,
    /// As chosen by the user.
    pub display_name: Option<String>,
}

#[derive(Deserialize)]
struct UserAnswer {
    user: SlackUser,
}

#[derive(Deserialize)]
struct ConversationAnswer {
    channel: Conversation,
}

#[derive(Deserialize)]
struct Conversation {
    id: String,
}

#[derive(Deserialize)]
struct NamedAnswer {
    channel: Named,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct MembersAnswer {
    members: Vec<String>,
    #[serde(default)]
    response_metadata: Value,
}

#[derive(Deserialize)]
struct HistoryAnswer {
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    response_metadata: Value,
}

#[derive(Deserialize)]
struct ViewAnswer {
    #[serde(default)]
    view: View,
}

#[derive(Default, Deserialize)]
struct View {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct Anything {}

impl Slack {
    /// `auth.test`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn identity(&self) -> Result<Identity, SlackError> {
        let none: [(&str, Option<&String>); 0] = [];
        patiently(|| self.get("auth.test", none.to_vec())).await
    }

    /// `users.info`, always asked afresh.
    ///
    /// # Errors
    /// Where Slack refuses, is away, or answers about another user.
    pub async fn user(&self, id: &str) -> Result<SlackUser, SlackError> {
        let request = SlackApiUsersInfoRequest::new(id.into());
        let id = request.user.0;
        let answer: UserAnswer = patiently(|| self.get("users.info", vec![("user", Some(&id))])).await?;
        if answer.user.id != id {
            return Err(SlackError::Away("it answered about another user".into()));
        }
        Ok(answer.user)
    }

    /// `conversations.info`: a channel's name; `None` for what has none.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn channel_name(&self, id: &str) -> Result<Option<String>, SlackError> {
        let channel = id.to_owned();
        let ask = || self.get("conversations.info", vec![("channel", Some(&channel))]);
        let answer: NamedAnswer = patiently(ask).await?;
        Ok(answer.channel.name)
    }

    /// `conversations.members`: who is in a channel; `None` where they are more than are asked for.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn members(&self, channel: &str) -> Result<Option<Vec<String>>, SlackError> {
        let (channel, limit, mut cursor) = (channel.to_owned(), PAGE.to_string(), None::<String>);
        let mut members = Vec::new();
        for _ in 0..PAGES {
            let query = || vec![("channel", Some(&channel)), ("limit", Some(&limit)), ("cursor", cursor.as_ref())];
            let page: MembersAnswer = patiently(|| self.get("conversations.members", query())).await?;
            members.extend(page.members);
            let next = page.response_metadata["next_cursor"].as_str().unwrap_or_default();
            if next.is_empty() {
                return Ok(Some(members));
            }
            cursor = Some(next.to_owned());
        }
        Ok(None)
    }

    /// `conversations.history`: the card of `request` that `us`, the bot, posted into `channel` since
    /// `created_at`. Nothing but its place is kept of what is read.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn find(
        &self,
        channel: &str,
        us: &str,
        request: &RequestId,
        created_at: DateTime<Utc>,
    ) -> Result<Option<CardRef>, SlackError> {
        let found = self.find_message(channel, created_at, |message| is_card(message, us, request)).await?;
        let ts = found.as_ref().and_then(|message| message["ts"].as_str());
        Ok(ts.map(|ts| CardRef { channel: channel.to_owned(), ts: ts.to_owned() }))
    }

    /// `conversations.history`: the first message since `since` that is `wanted`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn find_message(
        &self,
        channel: &str,
        since: DateTime<Utc>,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, SlackError> {
        let oldest = format!("{}.000000", (since - CLOCK_SKEW).timestamp());
        Ok(self.look_through(channel, &oldest, 1, wanted).await?.pop())
    }

    /// `conversations.history`: the messages since `since` that are `wanted`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn find_messages(
        &self,
        channel: &str,
        since: DateTime<Utc>,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, SlackError> {
        let oldest = format!("{}.000000", (since - CLOCK_SKEW).timestamp());
        self.look_through(channel, &oldest, usize::MAX, wanted).await
    }

    /// `conversations.history`: the message at `ts`, where it is `wanted`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn message_at(
        &self,
        channel: &str,
        ts: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, SlackError> {
        // Slack leaves out the oldest itself unless it is asked not to.
        let seconds = ts.split('.').next().and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or_default();
        Ok(self.look_through(channel, &format!("{}.000000", seconds - 1), 1, wanted).await?.pop())
    }

    /// `conversations.replies`: the first message of the thread of the one at `ts` that is `wanted`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn find_reply(
        &self,
        channel: &str,
        ts: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, SlackError> {
        let (channel, ts, limit) = (channel.to_owned(), ts.to_owned(), PAGE.to_string());
        let query = || vec![("channel", Some(&channel)), ("ts", Some(&ts)), ("limit", Some(&limit))];
        let page: HistoryAnswer = patiently(|| self.get("conversations.replies", query())).await?;
        Ok(page.messages.into_iter().find(|message| wanted(message)))
    }

    async fn look_through(
        &self,
        channel: &str,
        oldest: &str,
        most: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, SlackError> {
        let (channel, oldest) = (channel.to_owned(), oldest.to_owned());
        let (limit, mut cursor, mut found) = (PAGE.to_string(), None::<String>, Vec::new());
        for _ in 0..PAGES {
            let query = || {
                vec![
                    ("channel", Some(&channel)),
                    ("oldest", Some(&oldest)),
                    ("limit", Some(&limit)),
                    ("cursor", cursor.as_ref()),
                ]
            };
            let page: HistoryAnswer = patiently(|| self.get("conversations.history", query())).await?;
            found.extend(page.messages.into_iter().filter(|message| wanted(message)).take(most - found.len()));
            if found.len() >= most {
                break;
            }
            let next = page.response_metadata["next_cursor"].as_str().unwrap_or_default();
            if next.is_empty() {
                break;
            }
            cursor = Some(next.to_owned());
        }
        Ok(found)
    }

    /// `chat.postMessage`. One try: who calls it must know whether it may be repeated.
    ///
    /// # Errors
    /// Where Slack refuses, is away or asks to wait.
    pub async fn post(&self, channel: &str, message: &Message) -> Result<CardRef, SlackError> {
        self.post_in(channel, None, message).await
    }

    /// `chat.postMessage`, into the thread of the message at `thread`, if there is one.
    ///
    /// # Errors
    /// As [`Slack::post`].
    pub async fn post_in(&self, channel: &str, thread: Option<&str>, message: &Message) -> Result<CardRef, SlackError> {
        let mut body = content(message);
        body["channel"] = json!(channel);
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
        }
        body["unfurl_links"] = json!(false);
        body["unfurl_media"] = json!(false);
        self.call("chat.postMessage", &body).await
    }

    /// `chat.update`.
    ///
    /// # Errors
    /// As [`Slack::post`].
    pub async fn update(&self, card: &CardRef, message: &Message) -> Result<(), SlackError> {
        let mut body = content(message);
        body["channel"] = json!(card.channel);
        body["ts"] = json!(card.ts);
        self.call("chat.update", &body).await.map(|_: Anything| ())
    }

    /// `chat.postEphemeral`: for one pair of eyes.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn whisper(&self, channel: &str, user: &str, text: &str) -> Result<(), SlackError> {
        let body = json!({ "channel": channel, "user": user, "text": text });
        patiently(|| self.call("chat.postEphemeral", &body)).await.map(|_: Anything| ())
    }

    /// `conversations.open`: the channel of direct messages with `user`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn direct_channel(&self, user: &str) -> Result<String, SlackError> {
        let body = json!({ "users": user });
        let answer: ConversationAnswer = patiently(|| self.call("conversations.open", &body)).await?;
        Ok(answer.channel.id)
    }

    /// `views.open`: the view's id. Not repeated: a trigger is good for three seconds.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn open_form(&self, trigger: &str, view: &Value) -> Result<String, SlackError> {
        let body = json!({ "trigger_id": trigger, "view": view });
        let answer: ViewAnswer = self.call("views.open", &body).await?;
        Ok(answer.view.id)
    }

    /// `views.update`.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn update_form(&self, id: &str, view: &Value) -> Result<(), SlackError> {
        let body = json!({ "view_id": id, "view": view });
        patiently(|| self.call("views.update", &body)).await.map(|_: Anything| ())
    }

    /// `views.publish`: somebody's home tab.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn publish_home(&self, user: &str, view: &Value) -> Result<(), SlackError> {
        let body = json!({ "user_id": user, "view": view });
        patiently(|| self.call("views.publish", &body)).await.map(|_: Anything| ())
    }

    /// Answers privately through the URL that came with an interaction.
    ///
    /// # Errors
    /// Where Slack refuses or is away.
    pub async fn respond(&self, response_url: &str, text: &str) -> Result<(), SlackError> {
        let body = json!({ "response_type": "ephemeral", "replace_original": false, "text": text });
        let answer = self.plain.post(response_url).json(&body).send().await;
        // A response URL is a secret of a kind: whoever has it can post.
        let answer = answer.map_err(|error| SlackError::Away(error.without_url().to_string()))?;
        if answer.status().is_success() { Ok(()) } else { Err(SlackError::Away(format!("status {}", answer.status()))) }
    }

    /// Tells one person something, by the first way that works.
    pub async fn tell(&self, user: &str, channel: Option<&str>, response_url: Option<&str>, text: &str) {
        if let Some(channel) = channel {
            match self.whisper(channel, user, text).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, user, "no ephemeral message; trying the response URL"),
            }
        }
        if let Some(url) = response_url {
            match self.respond(url, text).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, user, "no answer by response URL; trying a direct message"),
            }
        }
        let message = Message { text: text.to_owned(), blocks: Vec::new() };
        let sent = match self.direct_channel(user).await {
            Ok(channel) => self.post(&channel, &message).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, user, "somebody could not be told what came of their press or command");
        }
    }

    pub(super) async fn get<T: DeserializeOwned + Send>(
        &self,
        method: &'static str,
        query: Vec<(&'static str, Option<&String>)>,
    ) -> Result<T, SlackError> {
        let session = self.client.open_session(&self.token);
        let limit: &SlackApiMethodRateControlConfig = &SLACK_TIER4_METHOD_CONFIG;
        in_time(session.http_session_api.http_get(method, &query, Some(limit))).await
    }

    pub(super) async fn call<T: DeserializeOwned + Send>(
        &self,
        method: &'static str,
        body: &Value,
    ) -> Result<T, SlackError> {
        let session = self.client.open_session(&self.token);
        in_time(session.http_session_api.http_post(method, body, None)).await
    }
}

/// Whether a message is ours and has a button for `request`. Anybody could write its id.
fn is_card(message: &Value, us: &str, request: &RequestId) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let blocks = list(&message["blocks"]);
    let mut buttons = blocks.iter().flat_map(|block| list(&block["elements"]));
    !us.is_empty() && message["user"] == us && buttons.any(|button| button["value"] == request.as_str())
}

fn content(message: &Message) -> Value {
    let mut body = json!({ "text": message.text, "parse": "none", "link_names": false });
    if !message.blocks.is_empty() {
        body["blocks"] = json!(message.blocks);
    }
    body
}

async fn in_time<T>(call: impl Future<Output = Result<T, SlackClientError>>) -> Result<T, SlackError> {
    match timeout(Slack::deadline(), call).await {
        Ok(answer) => answer.map_err(SlackError::from),
        Err(_) => Err(SlackError::Away("no answer in time".into())),
    }
}

/// Repeats a call that Slack asks to repeat later. slack-morphism's own rate control would sleep
/// inside our deadline; here each try has its own.
async fn patiently<T, F, C>(call: C) -> Result<T, SlackError>
where
    C: Fn() -> F,
    F: Future<Output = Result<T, SlackError>>,
{
    for _ in 0..PATIENCE {
        match call().await {
            Err(SlackError::Slower(wait)) => sleep(wait).await,
            answer => return answer,
        }
    }
    call().await
}
