//! Who reached a database by another way.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who is on a connection's database, and how they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassView {
    /// The connection.
    pub connection: String,
    /// When it was looked.
    pub at: DateTime<Utc>,
    /// How many backends the gateway has opened, for sessions and for itself.
    pub ours: usize,
    /// The others.
    pub backends: Vec<BypassBackend>,
    /// Roles that can log in there.
    pub roles: Vec<BypassRole>,
    /// Of some backends the gateway's login may see little.
    pub restricted: bool,
    /// What looking like this can't see.
    pub misses: Vec<String>,
}

/// A backend that came by another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassBackend {
    /// Its process id.
    pub pid: i32,
    /// Its login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What it says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// From where; none for a Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `client backend` or `walsender`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Since when, as the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A role that can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassRole {
    /// Its name.
    pub name: String,
    /// The config names it as a login of the gateway's.
    pub gateway: bool,
    /// `rolsuper`.
    pub superuser: bool,
    /// `rolreplication`.
    pub replication: bool,
    /// `rolbypassrls`.
    pub bypasses_row_security: bool,
    /// `rolvaliduntil` is over.
    pub expired: bool,
}
