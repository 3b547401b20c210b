//! Which Slack account is whose.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::slack::SlackRef;
use crate::bot_token::SlackAccount;

/// `POST /v1/links`: a Slack user wants to be linked.
pub type LinkBody = SlackAccount;

/// Where to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStarted {
    /// A page under the gateway's `url`.
    pub url: String,
    /// When the page ends.
    pub expires_at: DateTime<Utc>,
}

/// `GET /v1/links/{team}/{user}`: who a Slack user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// The Slack account.
    pub slack: SlackRef,
    /// The principal.
    pub principal: String,
    /// Whether it counts; `false` waits for an administrator.
    pub confirmed: bool,
}

/// `GET /v1/links`: a link, with what helps whoever confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedLink {
    /// Which, and whether it counts.
    #[serde(flatten)]
    pub link: LinkView,
    /// What Slack called the account when it was linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_name: Option<String>,
    /// The address that Slack gave for it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_email: Option<String>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// `GET /v1/links/waiting`: a link that waits for an administrator, and whom to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingLink {
    /// Which.
    #[serde(flatten)]
    pub link: ListedLink,
    /// Slack accounts of those who may confirm it.
    pub administrators: Vec<SlackRef>,
}

/// `POST /v1/links/{team}/{user}/confirm` through the bot, and `…/refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChoiceBody {
    /// Whose link it was when it was looked at.
    pub principal: String,
}
