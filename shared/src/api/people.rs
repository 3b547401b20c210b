//! Sessions, and whoever was seen.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::SessionId;

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// The client's address.
    pub address: String,
    /// The client's application name.
    pub application: Option<String>,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// `idle`, `active`, `held`.
    pub state: String,
}

/// Somebody whom the gateway or the directory knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// The principal.
    pub principal: String,
    /// `active`; `deactivated` or `deleted` where the directory says so.
    pub state: String,
    /// The name that the directory has.
    pub display_name: Option<String>,
    /// Who answers for it, if it is an agent.
    pub owner: Option<String>,
    /// Groups, from the last token and from the directory.
    pub groups: Vec<String>,
    /// Who vouched for them, once they were seen.
    pub issuer: Option<String>,
    /// Their `sub` there.
    pub subject: Option<String>,
    /// When they were first seen.
    pub first_seen: Option<DateTime<Utc>>,
    /// When they were last seen.
    pub last_seen: Option<DateTime<Utc>>,
    /// Their SCIM id; absent where the directory does not know them.
    pub directory: Option<String>,
}
