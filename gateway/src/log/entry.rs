//! What an entry says.

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
    /// A session went on with a newer token, or was refused that.
    Renewed,
    /// A session ended.
    Logout,
    /// A statement is about to be forwarded.
    Statement,
    /// Policy denied a statement.
    Denied,
    /// A statement is held.
    Held,
    /// A statement passes at once, by break-glass.
    BreakGlass,
    /// An approver decided.
    Decision,
    /// Somebody who may decide asked something about a request.
    Question,
    /// A hold was released.
    Released,
    /// A hold ended without release.
    HoldEnded,
    /// What was allowed of a statement for a time is over.
    AllowanceEnded,
    /// How a statement ended.
    Outcome,
    /// A Slack account was linked, confirmed or unlinked.
    Link,
    /// Access was asked for.
    Asked,
    /// A role was given, or a grant made longer.
    Granted,
    /// A grant ended.
    GrantEnded,
    /// Somebody wants a grant kept that is not used.
    GrantKept,
    /// A review of a connection's grants began or ended, or somebody said in it that a grant stays or goes.
    Review,
    /// Somebody named who is told in their place, or ended that.
    Delegation,
    /// A session was ended by the gateway.
    AccessEnded,
    /// Tokens count no more: signed out, denied, called inactive.
    TokensEnded,
    /// A user or a group of the directory was created, changed or deleted.
    Directory,
    /// Somebody read the log through the gateway.
    Audit,
    /// Somebody looked who is on a connection's database by another way.
    Bypass,
    /// Keys of sealed records are destroyed.
    Retention,
    /// How far this machine's clock is from others.
    Clock,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Start,
        Self::Stop,
        Self::Load,
        Self::Login,
        Self::LoginRefused,
        Self::Renewed,
        Self::Logout,
        Self::Statement,
        Self::Denied,
        Self::Held,
        Self::BreakGlass,
        Self::Decision,
        Self::Question,
        Self::Released,
        Self::HoldEnded,
        Self::AllowanceEnded,
        Self::Outcome,
        Self::Link,
        Self::Asked,
        Self::Granted,
        Self::GrantEnded,
        Self::GrantKept,
        Self::Review,
        Self::Delegation,
        Self::AccessEnded,
        Self::TokensEnded,
        Self::Directory,
        Self::Audit,
        Self::Bypass,
        Self::Retention,
        Self::Clock,
    ];

    /// Its name in entries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Load => "load",
            Self::Login => "login",
            Self::LoginRefused => "login_refused",
            Self::Renewed => "renewed",
            Self::Logout => "logout",
            Self::Statement => "statement",
            Self::Denied => "denied",
            Self::Held => "held",
            Self::BreakGlass => "break_glass",
            Self::Decision => "decision",
            Self::Question => "question",
            Self::Released => "released",
            Self::HoldEnded => "hold_ended",
            Self::AllowanceEnded => "allowance_ended",
            Self::Outcome => "outcome",
            Self::Link => "link",
            Self::Asked => "asked",
            Self::Granted => "granted",
            Self::GrantEnded => "grant_ended",
            Self::GrantKept => "grant_kept",
            Self::Review => "review",
            Self::Delegation => "delegation",
            Self::AccessEnded => "access_ended",
            Self::TokensEnded => "tokens_ended",
            Self::Directory => "directory",
            Self::Audit => "audit",
            Self::Bypass => "bypass",
            Self::Retention => "retention",
            Self::Clock => "clock",
        }
    }
}

/// One entry. Fields that do not apply are left out; no field ever holds a token or a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: DateTime<Utc>,
    /// What it speaks of.
    pub kind: Kind,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// On which connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// About which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The statement, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// `allow`, `hold`, `deny`, a command tag, a SQLSTATE with its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What else there is: parameters, effects, digest, address.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
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

/// What can be appended to the log: an [`Entry`], or what reads back as one.
pub trait Record {
    /// Adds it as a JSON object, without control characters.
    ///
    /// # Errors
    /// Where JSON can't hold it.
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;

    /// Whether it says how something ended that is in the log, or lets nobody do anything: it is taken where nothing new
    /// may begin.
    fn ends(&self) -> bool;
}

impl Record for Entry {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, self)
    }

    fn ends(&self) -> bool {
        matches!(
            self.kind,
            Kind::Outcome
                | Kind::Logout
                | Kind::HoldEnded
                | Kind::AllowanceEnded
                | Kind::AccessEnded
                | Kind::GrantEnded
                | Kind::TokensEnded
                | Kind::LoginRefused
                | Kind::Denied
                | Kind::Stop
                // Without these no gateway starts, no policy changes, and no key ends while a bucket is away.
                | Kind::Start
                | Kind::Load
                | Kind::Retention
                | Kind::Audit
        )
    }
}

/// An entry with its place in the log: one line of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    /// Grows by one over all segments.
    pub seq: u64,
    /// The entry's own fields, beside `seq`.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Adds the line that [`Line`] reads. JSON escapes every control character, so that no entry can hold a
/// line break or a terminal's escape.
pub(super) fn encode(seq: u64, fields: &[u8], line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"seq\":");
    line.extend_from_slice(seq.to_string().as_bytes());
    line.push(b',');
    // `fields` is an object of an entry, which is never empty: its brace gives way to ours.
    line.extend_from_slice(fields.strip_prefix(b"{").unwrap_or(fields));
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_name_that_entries_have() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        // One that is forgotten in `ALL` is one that the last of the names doesn't end with.
        assert_eq!(Kind::ALL.len(), Kind::Clock as usize + 1);
    }
}
