//! State: people, links, requests, approvals, events, the directory, ended tokens. One trait; SQLite is the embedded default.
//!
//! Every line of SQL that we own is below this module and in `migrations/`.

pub mod allowances;
pub mod checkpoints;
pub mod delegations;
pub mod directory;
pub mod questions;
pub mod reviews;
pub mod sqlite;
pub mod steps;
pub mod tokens;
mod types;
pub mod usage;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_allowances;
#[cfg(test)]
mod conformance_delegations;
#[cfg(test)]
mod conformance_directory;
#[cfg(test)]
mod conformance_questions;
#[cfg(test)]
mod conformance_reviews;
#[cfg(test)]
mod conformance_steps;
#[cfg(test)]
mod conformance_tokens;
#[cfg(test)]
mod conformance_usage;
#[cfg(test)]
pub(crate) mod turns;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{CardRef, Event, Needed, Outcome, SlackRef},
    ids::{GrantId, RequestId},
    request::{Choice, State},
};

use crate::statement::decide::Known;

pub use types::{
    Approval, Grant, GrantEnd, GrantFilter, How, Link, ListedLink, NewRequest, PendingLink, Request, RequestFilter,
    Seen, StoreError, Term,
};

/// The state. Every method either does all of what it says, durably, or nothing.
#[async_trait]
pub trait Store:
    allowances::Allowances
    + checkpoints::Checkpoints
    + delegations::Delegations
    + directory::Directory
    + questions::Questions
    + reviews::Reviews
    + steps::Steps
    + tokens::Tokens
    + usage::UsageStore
    + Send
    + Sync
{
    /// Remembers a login; binds the principal to its first `(issuer, sub)`.
    ///
    /// # Errors
    /// [`StoreError::BoundToAnother`] where another was bound before; [`StoreError::Gone`] where the directory
    /// keeps them out; [`StoreError::TokenEnded`] where their token counts no more.
    async fn seen(&self, seen: &Seen) -> Result<(), StoreError>;

    /// A principal with its groups, as last seen and as the directory has them. Nobody whom the directory keeps
    /// out.
    async fn person(&self, principal: &str) -> Result<Option<Known>, StoreError>;

    /// Every principal, as [`person`](Self::person).
    async fn people(&self) -> Result<Vec<Known>, StoreError>;

    /// Makes a request in `pending`, and the event `request.created`. Its principal was [`seen`](Self::seen) before.
    ///
    /// # Errors
    /// `NotFound` where the principal was never seen with this `(issuer, sub)`; `Refused` where the id
    /// is taken, or the question names another human than it was asked by.
    async fn create_request(&self, new: &NewRequest) -> Result<(), StoreError>;

    /// A request with its approvals.
    async fn request(&self, id: &RequestId) -> Result<Option<Request>, StoreError>;

    /// Requests, newest first.
    async fn requests(&self, filter: &RequestFilter) -> Result<Vec<Request>, StoreError>;

    /// Adds an approval to a `pending` request before its deadline, and the event `request.updated`.
    ///
    /// The approver was [`seen`](Self::seen) before.
    ///
    /// # Errors
    /// `Over`, `SameHuman` (the trigger), `AlreadyDecided`; `NotFound` where there is no such request, or
    /// the approver was never seen with this `(issuer, sub)`; `Refused` for an agent or another digest.
    async fn add_approval(&self, approval: &Approval) -> Result<Request, StoreError>;

    /// Compare and swap: moves a request that is in one of `from` to `to`, with its outcome, and the
    /// event `request.updated`. `false` where it was in none of `from`; then nothing changed.
    /// Committed durably before it returns.
    ///
    /// # Errors
    /// `Refused` where [`State::may_become`] does not allow one of these moves; `NotFound`.
    async fn move_request(
        &self,
        id: &RequestId,
        from: &[State],
        to: State,
        outcome: Option<&Outcome>,
    ) -> Result<bool, StoreError>;

    /// What is needed changed (for the card); if it did, with the event `request.updated`.
    ///
    /// # Errors
    /// `NotFound`.
    async fn set_needed(&self, id: &RequestId, needed: &Needed) -> Result<(), StoreError>;

    /// Remembers where a card was posted. The first one stays; `false` where there is one.
    ///
    /// # Errors
    /// `NotFound`.
    async fn set_card(&self, id: &RequestId, card: &CardRef) -> Result<bool, StoreError>;

    /// After a start: the held statements that nobody waits for any more. `pending`/`approved` → `void`,
    /// `released` → `unknown`, with `reason`. So does what was asked for statement by statement and has begun. A wish for access that was `released` and came to no grant
    /// is `unknown` too. Returns them.
    async fn end_orphans(&self, reason: &str) -> Result<Vec<RequestId>, StoreError>;

    /// Keeps a term of a grant; where it came from a request, that goes `released → done` with it. Makes
    /// the event `grant.created` or `grant.extended`.
    ///
    /// # Errors
    /// `Refused` where the request is not a released wish for just this, or the term does not go on from
    /// the one before; `GrantOver`; `NotFound` where its holder was never seen with this `(issuer, sub)`.
    async fn give(&self, term: &Term) -> Result<(), StoreError>;

    /// Ends a grant, with the event `grant.ended`. `false` where it had ended before.
    ///
    /// # Errors
    /// `NotFound`.
    async fn end_grant(&self, id: &GrantId, end: &GrantEnd) -> Result<bool, StoreError>;

    /// A grant.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError>;

    /// Grants, the newest first. Whoever lets one count verifies its terms' signatures.
    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError>;

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

    /// All links: those that wait for an administrator first, the oldest first.
    async fn links(&self) -> Result<Vec<ListedLink>, StoreError>;

    /// An administrator confirms that a Slack account is `principal`. `false` where there is no such link.
    async fn confirm_link(&self, slack: &SlackRef, principal: &str) -> Result<bool, StoreError>;

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
