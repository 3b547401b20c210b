//! What people choose, and what they ask before.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::requests::RequestView;
use crate::{allow::Terms, digest::Digest, request::Choice};

/// `PUT /v1/delegation`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegateBody {
    /// Their address, or what stands before its `@`.
    pub to: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// `POST /v1/requests/{id}/decisions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionBody {
    /// The choice.
    pub choice: Choice,
    /// The digest that the chooser saw.
    pub digest: Digest,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Of an approval: what is allowed beyond the one run that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Terms>,
}

/// The answer to a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionTaken {
    /// The request afterwards.
    pub request: RequestView,
    /// What came of it, in a sentence for the one who chose.
    pub message: String,
}

/// Something that somebody who may decide asked about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionView {
    /// Who.
    pub by: String,
    /// What, at most [`LONGEST`](crate::question::LONGEST) characters.
    pub text: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// `POST /v1/requests/{id}/questions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionBody {
    /// What.
    pub question: String,
}

/// The answer to a question's delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAsked {
    /// The request afterwards.
    pub request: RequestView,
    /// What came of it, in a sentence for the one who asked.
    pub message: String,
}
