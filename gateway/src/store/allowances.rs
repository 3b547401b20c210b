//! What the state keeps of statements that were approved for a time, and of denials.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::{
    allow::Terms,
    api::Outcome,
    digest::Digest,
    duties::Human,
    ids::{RequestId, SessionId},
};
use serde::{Deserialize, Serialize};

use super::StoreError;

/// What an allowance binds, beside who asks and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The statement as it is sent: its text, and how many parameters of which types it has.
    pub text: Digest,
    /// All that an approval binds (DESIGN §5) but the session and the parameters' values.
    pub free: Digest,
    /// The same with the parameters' values.
    pub pinned: Digest,
}

/// What an approver may allow of a request beyond one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowable {
    /// The most, by policy.
    pub most: Terms,
    /// What it would bind.
    pub bound: Bound,
}

/// What one approver allowed; their approval's seal covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// For how long, how often, how much.
    pub terms: Terms,
    /// Of what.
    pub bound: Bound,
}

/// How an allowance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowEnded {
    /// Its time was over.
    Expired,
    /// Its runs were used up.
    Used,
    /// Somebody ended it.
    Revoked,
    /// Something that it rests on changed.
    Void,
}

impl HowEnded {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Expired, Self::Used, Self::Revoked, Self::Void];

    /// Its name in the state, the API and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Void => "void",
        }
    }
}

/// That an allowance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowanceEnd {
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
    /// How.
    pub how: HowEnded,
    /// Who ended it, if a person did.
    pub by: Option<String>,
    /// Why, in a sentence.
    pub why: Option<String>,
}

/// One run that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number; the first is 1.
    pub number: u32,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// In which session.
    pub session: Option<SessionId>,
    /// What came of it.
    pub outcome: Option<String>,
    /// The server never ran it; it does not count.
    pub discarded: bool,
}

/// An allowance as it is kept: its count, and how it ended. What it allows is what its approvers sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The request that was approved so.
    pub request: RequestId,
    /// Whose statement.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// [`Bound::text`].
    pub text: Digest,
    /// So many runs.
    pub runs: u32,
    /// When its first run was taken.
    pub began_at: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// How it ended.
    pub end: Option<AllowanceEnd>,
    /// What was taken, in order.
    pub taken: Vec<Run>,
}

impl Allowance {
    /// How many runs count.
    #[must_use]
    pub fn counted(&self) -> u32 {
        u32::try_from(self.taken.iter().filter(|run| !run.discarded).count()).unwrap_or(u32::MAX)
    }
}

/// Which open allowances to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenFilter {
    /// Of this principal.
    pub principal: Option<String>,
    /// On this connection.
    pub connection: Option<String>,
}

/// One person's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// To which request.
    pub request: RequestId,
    /// Who.
    pub by: Human,
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
}

/// Allowances and denials. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Allowances: Send + Sync {
    /// Moves a request `approved → released`, begins its allowance, and takes the first run, with the event
    /// `request.updated`. `false` where the request was not approved any more; then nothing changed.
    ///
    /// # Errors
    /// `Refused` where nobody allowed anything of it; `NotFound`.
    async fn release_allowed(&self, allowance: &Allowance, session: Option<&SessionId>) -> Result<bool, StoreError>;

    /// Takes a run, with the event `request.updated`: its number, and how many have been taken with it. `None` where it
    /// has ended, its time is over at `now`, or its runs are used up; then nothing changed.
    async fn take_run(
        &self,
        request: &RequestId,
        now: DateTime<Utc>,
        session: Option<&SessionId>,
    ) -> Result<Option<(u32, u32)>, StoreError>;

    /// Writes down what came of a run, once. `discarded`: the server never ran it, so it does not count. Where the last
    /// run that counts has ended so, the allowance ends as used up; whether it did.
    async fn end_run(
        &self,
        request: &RequestId,
        number: u32,
        outcome: &str,
        discarded: bool,
    ) -> Result<bool, StoreError>;

    /// Ends an allowance, with the event `request.updated`. `false` where it had ended before, or never began.
    async fn end_allowance(&self, request: &RequestId, end: &AllowanceEnd) -> Result<bool, StoreError>;

    /// The allowance of a request, if its first run has begun.
    async fn allowance(&self, request: &RequestId) -> Result<Option<Allowance>, StoreError>;

    /// Those that have not ended, the oldest first.
    async fn open_allowances(&self, filter: &OpenFilter) -> Result<Vec<Allowance>, StoreError>;

    /// Keeps a denial. Where it is the request's `needed`-th, the request becomes `denied` with `outcome`, and `true` is
    /// answered. Makes the event `request.updated`.
    ///
    /// # Errors
    /// `Over`, `SameHuman`, `AlreadyDecided`; `NotFound`; `Refused` for an agent.
    async fn deny(&self, denial: &Denial, needed: u32, outcome: &Outcome) -> Result<bool, StoreError>;
}
