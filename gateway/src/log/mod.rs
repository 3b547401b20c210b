//! The log: one entry for each login, statement, decision, approval, outcome, logout.
//!
//! No statement is forwarded before its entry has been handed to the operating system; no write,
//! hold or decision before it is fsynced; a read's entry is fsynced within 50 ms. Entries of
//! concurrent sessions share one fsync. Where the log can't be written, it says so for good, and
//! the gateway stops passing statements.

use chrono::{DateTime, Utc};
use countersign_shared::ids::{RequestId, SessionId};
use serde::{Deserialize, Serialize};

/// What an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The gateway started, with the digests of config and policy.
    Start,
    /// The gateway stopped.
    Stop,
    /// Policy or config was loaded.
    Load,
    /// Somebody logged in.
    Login,
    /// Somebody was refused at login.
    LoginRefused,
    /// A session ended.
    Logout,
    /// A statement is about to be forwarded.
    Statement,
    /// Policy denied a statement.
    Denied,
    /// A statement is held.
    Held,
    /// An approver decided.
    Decision,
    /// A hold was released.
    Released,
    /// A hold ended without release.
    HoldEnded,
    /// How a statement ended.
    Outcome,
    /// A Slack account was linked, confirmed or unlinked.
    Link,
}

/// One entry. Fields that do not apply are null; no field ever holds a token or a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: DateTime<Utc>,
    /// What it speaks of.
    pub kind: Kind,
    /// In which session.
    pub session: Option<SessionId>,
    /// Who.
    pub principal: Option<String>,
    /// On which connection.
    pub connection: Option<String>,
    /// About which request.
    pub request: Option<RequestId>,
    /// The statement, exactly.
    pub sql: Option<String>,
    /// `allow`, `hold`, `deny`, a command tag, a SQLSTATE with its message.
    pub outcome: Option<String>,
    /// What else there is: parameters, effects, digest, address.
    #[serde(default)]
    pub detail: serde_json::Value,
}

impl Entry {
    /// An entry of `kind`, now, with nothing else.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            time: Utc::now(),
            kind,
            session: None,
            principal: None,
            connection: None,
            request: None,
            sql: None,
            outcome: None,
            detail: serde_json::Value::Null,
        }
    }
}

/// The log cannot be written; nothing may pass until it is mended and the gateway restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be written ({0}); no statement passes until it can and the gateway is restarted")]
pub struct LogDown(pub String);

/// How far an entry reaches; handed to [`Log::synced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The one writer. Cheap to clone.
#[derive(Clone)]
pub struct Log {}

impl Log {
    /// Opens the newest segment under `folder`, or starts one; cuts a torn last line and says so.
    ///
    /// # Errors
    /// Where the folder can't be made or written.
    pub fn open(_folder: &std::path::Path) -> std::io::Result<Self> {
        todo!("written with the log")
    }

    /// Hands `entry` to the operating system before it returns.
    ///
    /// # Errors
    /// [`LogDown`], now and ever after.
    pub fn append(&self, _entry: &Entry) -> Result<Position, LogDown> {
        todo!("written with the log")
    }

    /// Waits until everything up to `position` is fsynced.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn synced(&self, _position: Position) -> Result<(), LogDown> {
        todo!("written with the log")
    }

    /// Appends and waits for the fsync.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn append_durably(&self, entry: &Entry) -> Result<(), LogDown> {
        let position = self.append(entry)?;
        self.synced(position).await
    }

    /// Why the log is down, if it is.
    #[must_use]
    pub fn down(&self) -> Option<LogDown> {
        todo!("written with the log")
    }
}
