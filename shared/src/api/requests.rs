//! Requests as they are read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    allowances::AllowanceView,
    decisions::QuestionView,
    slack::{CardRef, SlackRef},
};
use crate::{
    allow::Terms,
    digest::Digest,
    ids::{GrantId, RequestId, SessionId},
    impact::Impact,
    request::{Assurance, State},
};

/// One (action, object) pair, as people read it: `delete` on `Table::"shop/public.orders"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectView {
    /// An action's name from DESIGN §3.
    pub action: String,
    /// A Cedar entity id.
    pub object: String,
}

/// What policy still asks for, as far as it can be told without trying everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// How many distinct people in all.
    pub count: usize,
    /// Groups that must each be stood for by one of them.
    pub groups: Vec<String>,
    /// Groups whose members may approve every effect.
    pub from: Vec<String>,
    /// Whether a fresh sign-in is asked for.
    pub step_up: bool,
    /// Whether what is held is the COMMIT: it runs first, and approvers see what it did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_commit: bool,
}

/// One approval that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Who.
    pub approver: String,
    /// How they proved it.
    pub assurance: Assurance,
    /// When.
    pub at: DateTime<Utc>,
    /// Their Slack account where one is linked, to name them on a card.
    pub slack: Option<SlackRef>,
    /// What they allowed beyond the one run that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Terms>,
}

/// A denial that has not ended its request by itself, or the one that has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialView {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Who ended it, if a person did.
    pub by: Option<String>,
    /// Why, in a sentence: the denier's reason, `withdrawn with Ctrl-C`, `the gateway stopped`.
    pub reason: Option<String>,
    /// The server's command tag, `DELETE 1204`.
    pub tag: Option<String>,
    /// SQLSTATE and message of the server's error.
    pub error: Option<String>,
    /// From release to the server's answer.
    pub milliseconds: Option<u64>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// A held statement.
    Statement,
    /// A wish for access.
    Access,
    /// A statement that ran at once, by break-glass, and waits for somebody to look at it.
    Review,
}

/// What access is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessView {
    /// The role.
    pub role: String,
    /// For how long, from the moment that it is given.
    pub seconds: u64,
    /// The grant that is to last longer.
    pub extends: Option<GrantId>,
}

/// One statement of a request whose statements are sent one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Its number in the text, from 1.
    pub number: u32,
    /// What it does.
    pub does: Vec<EffectView>,
    /// Where it is.
    pub state: StepState,
    /// What came of it: its command tag, or its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// Where one statement of several is that are sent one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It needs no approval, and passes whenever it comes.
    Free,
    /// It has not been sent.
    Waits,
    /// It was sent, and the server has not answered.
    Runs,
    /// It ran.
    Ran,
    /// It was sent, and failed, or was never run.
    Failed,
}

/// `2 of the 3 statements that need an approval`: those that ran; nothing where a request has none of its own.
#[must_use]
pub fn steps_so_far(steps: &[StepView]) -> Option<String> {
    let needed = steps.iter().filter(|step| step.state != StepState::Free).count();
    let ran = steps.iter().filter(|step| step.state == StepState::Ran).count();
    let has = if ran == 1 { "has" } else { "have" };
    (!steps.is_empty()).then(|| format!("{ran} of {needed} statements that need an approval {has} run"))
}

/// A request as approvers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    /// Its id.
    pub id: RequestId,
    /// What it is for.
    pub kind: RequestKind,
    /// Where it is in its life.
    pub state: State,
    /// What an approval binds; a decision must name it.
    pub digest: Digest,
    /// The connection's name.
    pub connection: String,
    /// Who asks.
    pub principal: String,
    /// Who answers for an agent that asks.
    pub owner: Option<String>,
    /// The asking session.
    pub session: Option<SessionId>,
    /// What access is asked for, where it is no statement.
    #[serde(default)]
    pub access: Option<AccessView>,
    /// The statement, byte for byte.
    pub sql: String,
    /// Its bound parameters as text, `NULL` where null.
    pub parameters: Vec<String>,
    /// What it does.
    pub effects: Vec<EffectView>,
    /// What was said of it: `countersign.reason`, or the access request's text.
    pub reason: Option<String>,
    /// The client's application name.
    pub application: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// Whether a transaction is open and waits along, with its locks.
    pub in_transaction: bool,
    /// Whether all of it has run in a transaction, and what waits is its COMMIT.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_commit: bool,
    /// Sentences about the risk: no WHERE, opaque, more than one statement.
    pub notes: Vec<String>,
    /// What each of its statements would do to rows, as far as that can be said.
    #[serde(default)]
    pub impact: Vec<Impact>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// What policy asks for.
    pub needed: Needed,
    /// What it has.
    pub approvals: Vec<ApprovalView>,
    /// The most that an approver may allow of it beyond one run; nothing where it is approved once or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowable: Option<Terms>,
    /// What was allowed, once its first run has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<AllowanceView>,
    /// Who said no.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<DenialView>,
    /// How many denials end it.
    #[serde(default = "one")]
    pub denials_needed: u32,
    /// What was asked about it by those who may decide, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<QuestionView>,
    /// Its statements in order, where they are sent one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The channel for its card, if the connection names one.
    pub channel: Option<String>,
    /// Its card.
    pub card: Option<CardRef>,
    /// The requester's (or their owner's) Slack account, if linked.
    pub requester_slack: Option<SlackRef>,
    /// Who is told in the place of somebody who could decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<StandIn>,
    /// Some who may decide on it, whoever is asked first in front; for the bot alone, and while it waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<SlackRef>,
}

const fn one() -> u32 {
    1
}

/// Somebody is told of requests in another's place. They decide by a right of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandIn {
    /// Who is away.
    pub of: String,
    /// Who is told.
    pub delegate: String,
    /// Until when.
    pub until: DateTime<Utc>,
    /// The Slack account of who is told, if linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackRef>,
}

/// The answer to `POST /v1/requests/{id}/park`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParked {
    /// The request that waits in its place.
    pub request: RequestView,
    /// What came of it, in a sentence for the one who parked.
    pub message: String,
}
