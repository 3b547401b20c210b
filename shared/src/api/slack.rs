//! Where requests are on Slack, and what the bot is told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{GrantId, RequestId};

/// A Slack user by its ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlackRef {
    /// Workspace id.
    pub team: String,
    /// User id.
    pub user: String,
}

/// Where a card stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRef {
    /// Channel id.
    pub channel: String,
    /// Slack's message timestamp, its id within the channel.
    pub ts: String,
}

/// `PUT /v1/requests/{id}/card`: the bot says where it posted.
pub type CardBody = CardRef;

/// `POST /v1/requests/{id}/audience`: the bot says who reads the channel of its card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceBody {
    /// Everybody in the channel but the bot itself.
    pub readers: Vec<SlackRef>,
}

/// What the gateway answers to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceView {
    /// Somebody reads there who neither asked nor may decide.
    pub wider: bool,
}

/// `PUT /v1/channels/{id}`: the bot says what a channel is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelBody {
    /// As Slack has it, without the `#`.
    pub name: String,
}

/// What happened, as a line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one; the SSE `id`.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// `request.created`, `request.updated`, `grant.created`, `grant.extended`, `grant.ended`, `link.created`.
    pub kind: String,
    /// The request that it is about.
    pub request: Option<RequestId>,
    /// The grant that it is about.
    #[serde(default)]
    pub grant: Option<GrantId>,
}

/// `POST /v1/notices/claim`, `POST /v1/notices/posted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeBody {
    /// What is posted once.
    pub name: String,
    /// Which bot asks, as it calls itself since its start.
    pub by: String,
}

/// How long a claim holds from when it was made last, in seconds: longer than a call of Slack's takes. After that
/// another bot may take over.
pub const CLAIM_HOLDS: u32 = 90;

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Post it.
    Yours,
    /// Post it, unless whoever had it before did: nobody knows.
    InDoubt,
    /// Another bot is about to.
    Taken,
    /// It is posted.
    Done,
}
