//! What was approved for a time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{allow::Terms, ids::SessionId};

/// A statement that may run again without anybody being asked, or could until it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceView {
    /// What was allowed.
    pub terms: Terms,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Who allowed it.
    pub approved_by: Vec<String>,
    /// `open`, or how it ended: `expired`, `used`, `revoked`, `void`.
    pub state: String,
    /// So many runs were taken.
    pub taken: u32,
    /// The runs, in order.
    pub runs: Vec<AllowedRun>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_why: Option<String>,
}

/// One run of such a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedRun {
    /// Its number; the first is 1.
    pub number: u32,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What came of it, once that is known: a command tag, the server's error, that it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The server never ran it; it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
}
