//! What the state keeps, and why it can't answer.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{CardRef, Impact, Needed, Outcome, RequestKind, SlackRef},
    bot_token::SlackAccount,
    digest::Digest,
    duties::Human,
    ids::{GrantId, RequestId, SessionId},
    request::{Assurance, State},
};

use super::{
    allowances::{Allowable, Allowed, Denial},
    steps::StepTaken,
    tokens::TokenFacts,
};
use crate::statement::{decide::Asked, steps::Step};

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
    /// The grant has ended.
    #[error("the grant has ended")]
    GrantOver,
    /// The directory keeps them out.
    #[error("{principal} was {} in the directory", how.as_str())]
    Gone {
        /// The principal.
        principal: String,
        /// Why.
        how: super::directory::Gone,
    },
    /// The token counts no more: signed out, or denied.
    #[error("the token counts no more: {reason}")]
    TokenEnded {
        /// Why, for the log.
        reason: String,
    },
    /// Another user or group of the directory has it.
    #[error("another has this {0} already")]
    Taken(&'static str),
    /// No such row.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Slack account or principal is linked otherwise already.
    #[error("{0}")]
    Linked(String),
    /// The store's rules don't allow what was asked of it: an illegal move, an approval by an agent
    /// or for another digest. Nothing changed.
    #[error("the state refuses: {0}")]
    Refused(String),
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
    /// What it would do to rows.
    pub impact: Vec<Impact>,
    /// What policy asks for at first.
    pub needed: Needed,
    /// The channel for its card.
    pub channel: Option<String>,
    /// Now; kept to the millisecond.
    pub created_at: DateTime<Utc>,
    /// Its deadline; kept to the millisecond.
    pub expires_at: DateTime<Utc>,
    /// What an approver may allow of it beyond one run.
    pub allowable: Option<Allowable>,
    /// Its statements, where it is asked for statement by statement.
    pub steps: Vec<Step>,
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
    /// Who said no, oldest first.
    pub denials: Vec<Denial>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its card.
    pub card: Option<CardRef>,
    /// Which of its statements have been sent, in order.
    pub taken: Vec<StepTaken>,
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
    /// When; kept to the nanosecond, since the signature covers it.
    pub at: DateTime<Utc>,
    /// What they sent: the bot's JWT, or the digest of the bearer token.
    pub evidence: String,
    /// What they allowed beyond one run.
    pub allow: Option<Allowed>,
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
    /// The token; `None` where somebody else vouches for them (the bot, for a linked account).
    pub token: Option<TokenFacts>,
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

/// A link, with what helps whoever confirms it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLink {
    /// The link.
    pub link: Link,
    /// What Slack called the account when it was linked, where that was written down.
    pub name: Option<String>,
    /// The address that Slack gave for it then, if any.
    pub email: Option<String>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
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

impl RequestFilter {
    /// How many are listed at most.
    #[must_use]
    pub const fn most(&self) -> u32 {
        if self.limit == 0 { 100 } else { self.limit }
    }
}

/// So long a grant lasts: its first term, or an extension. Nothing of it ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Of which grant.
    pub grant: GrantId,
    /// 0 for the first, one more for each extension.
    pub number: u32,
    /// Who has it.
    pub human: Human,
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// Why they asked.
    pub reason: String,
    /// The approved request that it came from; `None` where policy gave it without asking anybody.
    pub request: Option<RequestId>,
    /// Who approved.
    pub approved_by: Vec<String>,
    /// When it was given; kept to the millisecond.
    pub from: DateTime<Utc>,
    /// Its end; kept to the millisecond.
    pub until: DateTime<Utc>,
    /// The gateway's Ed25519 signature over all of the above (base64).
    pub signature: String,
}

/// How a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its time was over.
    Expired,
    /// Its holder gave it back.
    Done,
    /// Somebody took it away.
    Revoked,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Done, Self::Revoked];

    /// Its name in the state, the API and the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Done => "done",
            Self::Revoked => "revoked",
        }
    }
}

/// That a grant ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantEnd {
    /// When; kept to the millisecond.
    pub at: DateTime<Utc>,
    /// How.
    pub how: How,
    /// Who ended it, if a person did.
    pub by: Option<String>,
    /// Why, if it was said.
    pub reason: Option<String>,
}

/// A grant as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its first term; it says who has what.
    pub first: Term,
    /// Its extensions, in order.
    pub more: Vec<Term>,
    /// How it ended, once it has.
    pub end: Option<GrantEnd>,
}

impl Grant {
    /// All terms, in order.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// Which grants to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Only those that did not end, though their time may be over.
    pub open: bool,
    /// Of this principal.
    pub principal: Option<String>,
    /// The newest first, so many; 0 for all.
    pub limit: u32,
}
