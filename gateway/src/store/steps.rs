//! What the state keeps of texts that are asked for statement by statement: which of them have been sent.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::{
    ids::{RequestId, SessionId},
    request::State,
};

use super::StoreError;

/// A statement that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTaken {
    /// Its number in the text; the first is 1.
    pub number: u32,
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
    /// In which session.
    pub session: SessionId,
    /// What came of it, once the server has answered.
    pub ended: Option<StepEnd>,
}

/// What came of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEnd {
    /// The command tag, or the error.
    pub outcome: String,
    /// Whether it ran without error.
    pub ran: bool,
}

/// Steps. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Steps: Send + Sync {
    /// Whether a principal has a request that was approved statement by statement, and is not over.
    async fn has_steps(&self, principal: &str) -> Result<bool, StoreError>;

    /// Takes a statement, with the event `request.updated`; with the last, the request goes `approved → released`.
    /// `false` where the request is not approved (any more), its time is over at `now`, it is not this statement's turn,
    /// the one before it has not run, or another session has begun; then nothing changed.
    async fn take_step(
        &self,
        request: &RequestId,
        number: u32,
        now: DateTime<Utc>,
        session: &SessionId,
    ) -> Result<bool, StoreError>;

    /// Writes down what came of a statement, once, with the event `request.updated`. After the last, the request is
    /// `done`, or `unknown` where nobody knows (`known`); where one before it has not run, it is `void`. The state that
    /// it is in then.
    async fn end_step(
        &self,
        request: &RequestId,
        number: u32,
        end: &StepEnd,
        known: bool,
        milliseconds: u64,
    ) -> Result<Option<State>, StoreError>;
}
