//! Access for a time: asked for, given, extended and kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{requests::RequestView, slack::SlackRef};
use crate::ids::{GrantId, RequestId};

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// Who has it.
    pub principal: String,
    /// Who answers for an agent that has it.
    pub owner: Option<String>,
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// Why it was asked for.
    pub reason: String,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// Until when, with its extensions.
    pub expires_at: DateTime<Utc>,
    /// For how long it was given at first, in seconds.
    #[serde(default)]
    pub seconds: u64,
    /// The request that it came from, where somebody was asked.
    #[serde(default)]
    pub request: Option<RequestId>,
    /// Who approved it or an extension; nobody where policy gives it at once.
    pub approved_by: Vec<String>,
    /// `active`, or how it ended: `expired`, `done`, `revoked`.
    pub state: String,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it, if a person did.
    pub ended_by: Option<String>,
    /// Its holder's (or their owner's) Slack account, if linked; for the bot alone.
    #[serde(default)]
    pub slack: Option<SlackRef>,
}

/// What is to be said of a grant, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Not used for long.
    Stale,
    /// Never used, and long enough there to have been.
    NeverUsed,
    /// Its end is as good as none.
    FarEnd,
    /// Given before uses were recorded, and these are too young to tell.
    NoData,
    /// Not used yet, and not long there.
    TooNew,
    /// Used lately.
    InUse,
    /// Somebody wants it kept for now.
    Kept,
}

impl Finding {
    /// Whether somebody should look at it.
    #[must_use]
    pub const fn matters(self) -> bool {
        matches!(self, Self::Stale | Self::NeverUsed | Self::FarEnd)
    }

    /// Its word in JSON and CSV.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NeverUsed => "never_used",
            Self::FarEnd => "far_end",
            Self::NoData => "no_data",
            Self::TooNew => "too_new",
            Self::InUse => "in_use",
            Self::Kept => "kept",
        }
    }
}

/// Who wants a grant kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepView {
    /// Who.
    pub by: String,
    /// Until when it is left alone.
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// `POST /v1/grants/{id}/keep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepBody {
    /// Why.
    pub reason: String,
}

/// `POST /v1/access`: somebody asks for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessBody {
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// For how long: `90m`, `8h`.
    pub duration: String,
    /// Why; approvers read it.
    pub reason: String,
}

/// `GET /v1/access`: a role that the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessOption {
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// The longest time, among some usual ones, that policy does not refuse, in seconds.
    pub longest: u64,
    /// Whether policy gives it without asking anybody.
    pub at_once: bool,
}

/// `POST /v1/grants/{id}/extend`: its holder asks for more time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendBody {
    /// For how long from the moment that it is given: `90m`, `8h`.
    pub duration: String,
    /// Why; approvers read it.
    pub reason: String,
}

/// The answer to a wish for access that was not refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessAnswer {
    /// What came of it, in a sentence.
    pub message: String,
    /// The grant, where policy gives it at once.
    pub grant: Option<GrantView>,
    /// The request that waits for approval otherwise.
    pub request: Option<RequestView>,
}
