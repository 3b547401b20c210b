//! State: people, links, requests, approvals, events. One trait; SQLite is the embedded default.
//!
//! Every line of SQL that we own is below this module.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{CardRef, Event, Needed, Outcome, RequestKind, SlackRef},
    bot_token::SlackAccount,
    digest::Digest,
    duties::Human,
    ids::{RequestId, SessionId},
    request::{Assurance, Choice, State},
};

use crate::statement::decide::{Asked, Known};

/// Why the state could not answer. Whoever meets it refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The principal is bound to another `(issuer, sub)`.
    #[error("{principal} signed in before as another subject; an administrator must look at it")]
    BoundToAnother {
        /// The principal.
        principal: String,
    },
    /// The store's own wall of separation of duties.
    #[error("the approver and the requester are the same human")]
    SameHuman,
    /// This human has decided already.
    #[error("you have decided on this request already")]
    AlreadyDecided,
    /// The request is over, or past its deadline.
    #[error("the request is over: {state}")]
    Over {
        /// Where it is.
        state: State,
    },
    /// No such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Slack account or principal is linked otherwise already.
    #[error("{0}")]
    Linked(String),
    /// The state itself failed.
    #[error("the state is unavailable: {0}")]
    Unavailable(String),
}

/// A request to be made. It starts as `pending`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// Its id.
    pub id: RequestId,
    /// What it is for.
    pub kind: RequestKind,
    /// What an approval binds.
    pub digest: Digest,
    /// The question, to be asked again with each approval.
    pub asked: Asked,
    /// The asking session.
    pub session: Option<SessionId>,
    /// The statement, exactly.
    pub sql: String,
    /// Bound parameters as text.
    pub parameters: Vec<String>,
    /// Sentences for the card.
    pub notes: Vec<String>,
    /// What policy asks for at first.
    pub needed: Needed,
    /// The channel for its card.
    pub channel: Option<String>,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// Its deadline.
    pub expires_at: DateTime<Utc>,
}

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it was made with.
    pub new: NewRequest,
    /// Where it is.
    pub state: State,
    /// Who said yes, oldest first.
    pub approvals: Vec<Approval>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its card.
    pub card: Option<CardRef>,
}

/// One person's signed yes to one request's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Which request.
    pub request: RequestId,
    /// What it binds.
    pub digest: Digest,
    /// Who.
    pub approver: Human,
    /// How they proved it.
    pub assurance: Assurance,
    /// When.
    pub at: DateTime<Utc>,
    /// What they sent: the bot's JWT, or the digest of the bearer token.
    pub evidence: String,
    /// The gateway's Ed25519 signature over all of the above (base64).
    pub signature: String,
}

/// A login or a sign-in, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who.
    pub human: Human,
    /// Groups in the token.
    pub groups: Vec<String>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A link between a Slack account and a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The Slack account.
    pub slack: SlackRef,
    /// The principal.
    pub principal: String,
    /// Whether it counts.
    pub confirmed: bool,
}

/// A link that somebody started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingLink {
    /// The unguessable part of the page's address.
    pub nonce: String,
    /// Whose.
    pub slack: SlackAccount,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

/// Which requests to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// In these states; empty for all.
    pub states: Vec<State>,
    /// Of this principal.
    pub principal: Option<String>,
    /// The newest first, so many; 0 for 100.
    pub limit: u32,
}

/// The state. Every method either does all of what it says, durably, or nothing.
#[async_trait]
pub trait Store: Send + Sync {
    /// Remembers a login; binds the principal to its first `(issuer, sub)`.
    ///
    /// # Errors
    /// [`StoreError::BoundToAnother`] where another was bound before.
    async fn seen(&self, seen: &Seen) -> Result<(), StoreError>;

    /// A principal and its groups as last seen.
    async fn person(&self, principal: &str) -> Result<Option<Known>, StoreError>;

    /// Every principal.
    async fn people(&self) -> Result<Vec<Known>, StoreError>;

    /// Makes a request in `pending`, and the event `request.created`.
    async fn create_request(&self, new: &NewRequest) -> Result<(), StoreError>;

    /// A request with its approvals.
    async fn request(&self, id: &RequestId) -> Result<Option<Request>, StoreError>;

    /// Requests, newest first.
    async fn requests(&self, filter: &RequestFilter) -> Result<Vec<Request>, StoreError>;

    /// Adds an approval to a `pending` request before its deadline, and the event `request.updated`.
    ///
    /// # Errors
    /// `Over`, `SameHuman` (the trigger), `AlreadyDecided`, `NotFound`.
    async fn add_approval(&self, approval: &Approval) -> Result<Request, StoreError>;

    /// Compare and swap: moves a request that is in one of `from` to `to`, with its outcome, and the
    /// event `request.updated`. `false` where it was in none of `from`; then nothing changed.
    /// Refuses moves that [`State::may_become`] does not allow. Committed durably before it returns.
    async fn move_request(
        &self,
        id: &RequestId,
        from: &[State],
        to: State,
        outcome: Option<&Outcome>,
    ) -> Result<bool, StoreError>;

    /// What is needed changed (for the card).
    async fn set_needed(&self, id: &RequestId, needed: &Needed) -> Result<(), StoreError>;

    /// Remembers where a card was posted. The first one stays; `false` where there is one.
    async fn set_card(&self, id: &RequestId, card: &CardRef) -> Result<bool, StoreError>;

    /// After a start: what nobody waits for any more. `pending`/`approved` → `void`,
    /// `released` → `unknown`, with `reason`. Returns them.
    async fn end_orphans(&self, reason: &str) -> Result<Vec<RequestId>, StoreError>;

    /// Starts a link.
    async fn start_link(&self, link: &PendingLink) -> Result<(), StoreError>;

    /// A started link that has neither ended nor been used.
    async fn pending_link(&self, nonce: &str, now: DateTime<Utc>) -> Result<Option<PendingLink>, StoreError>;

    /// Uses up a started link and makes the link, in one transaction.
    ///
    /// # Errors
    /// `NotFound` where it was used or ended; `Linked` where the Slack account is linked to another
    /// principal, or the principal to another Slack account of that team.
    async fn complete_link(
        &self,
        nonce: &str,
        principal: &str,
        confirmed: bool,
        now: DateTime<Utc>,
    ) -> Result<Link, StoreError>;

    /// The link of a Slack account.
    async fn link_of_slack(&self, slack: &SlackRef) -> Result<Option<Link>, StoreError>;

    /// The links of a principal.
    async fn links_of(&self, principal: &str) -> Result<Vec<Link>, StoreError>;

    /// An administrator confirms. `false` where there is no such link.
    async fn confirm_link(&self, slack: &SlackRef) -> Result<bool, StoreError>;

    /// Removes a link. `false` where there is none.
    async fn unlink(&self, slack: &SlackRef) -> Result<bool, StoreError>;

    /// Events after `seq`, oldest first, at most `limit`.
    async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// The newest event's `seq`; 0 where there is none.
    async fn last_event(&self) -> Result<i64, StoreError>;

    /// Rings at every new event of this process (the value is the newest `seq`).
    fn event_bell(&self) -> tokio::sync::watch::Receiver<i64>;

    /// Whether the state answers, for `/healthz`.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Where the choice `Deny` or `Withdraw` leads.
#[must_use]
pub const fn ending(choice: Choice) -> Option<State> {
    match choice {
        Choice::Approve => None,
        Choice::Deny => Some(State::Denied),
        Choice::Withdraw => Some(State::Withdrawn),
    }
}
