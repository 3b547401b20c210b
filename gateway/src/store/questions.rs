//! What the state keeps of questions that approvers asked about a request.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::ids::RequestId;

use super::StoreError;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// About which request.
    pub request: RequestId,
    /// Who asked.
    pub by: String,
    /// What, at most 500 characters.
    pub text: String,
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is the request's question of this number; the first is 1.
    As(u32),
    /// The same person has asked just this before.
    Before,
    /// The same person has asked as often as one may.
    TooMany,
}

/// Questions. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Questions: Send + Sync {
    /// Keeps a question about a `pending` request before its deadline, at most `most` of one person, and the event
    /// `request.updated`.
    ///
    /// # Errors
    /// `Over`; `NotFound`; `Refused` for a text that is empty or too long.
    async fn keep_question(&self, question: &Question, most: u32) -> Result<Kept, StoreError>;

    /// The questions about a request, in order.
    async fn questions(&self, request: &RequestId) -> Result<Vec<Question>, StoreError>;
}
