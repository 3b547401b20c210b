//! The control API's types, once, for gateway, bot and command line.
//!
//! Times are RFC 3339 in UTC. Ids are those of [`crate::ids`]. Every error body is [`Problem`].

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use crate::impact::Impact;
use crate::{
    allow::Terms,
    bot_token::SlackAccount,
    digest::Digest,
    ids::{GrantId, RequestId, ReviewId, SessionId},
    request::{Assurance, Choice, State},
};

/// What a gateway says of itself to whoever asks: where to sign in, and where it speaks PostgreSQL's
/// protocol. Nothing of connections, nothing that a login page would not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The host to connect to.
    pub host: String,
    /// And its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Where people sign in.
    pub issuers: Vec<AboutIssuer>,
}

/// An issuer whose tokens a gateway takes from people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutIssuer {
    /// Its address, as its tokens carry it.
    pub issuer: String,
    /// Which client signs people in.
    pub client_id: String,
    /// For whom its tokens must be made.
    pub audience: String,
    /// The claim that names the principal.
    pub user_claim: String,
}

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

/// A statement that may run again without anybody being asked, or could until it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowanceView {
    /// What was allowed.
    pub terms: Terms,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Who allowed it.
    pub approved_by: Vec<String>,
    /// `open`, or how it ended: `expired`, `used`, `revoked`, `void`.
    pub state: String,
    /// So many runs were taken.
    pub taken: u32,
    /// The runs, in order.
    pub runs: Vec<AllowedRun>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_why: Option<String>,
}

/// One run of such a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedRun {
    /// Its number; the first is 1.
    pub number: u32,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// In which session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What came of it, once that is known: a command tag, the server's error, that it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The server never ran it; it does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
}

/// A Slack user by its ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlackRef {
    /// Workspace id.
    pub team: String,
    /// User id.
    pub user: String,
}

/// Where a card stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRef {
    /// Channel id.
    pub channel: String,
    /// Slack's message timestamp, its id within the channel.
    pub ts: String,
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

/// The answer to `POST /v1/requests/{id}/park`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParked {
    /// The request that waits in its place.
    pub request: RequestView,
    /// What came of it, in a sentence for the one who parked.
    pub message: String,
}

/// `PUT /v1/requests/{id}/card`: the bot says where it posted.
pub type CardBody = CardRef;

/// `POST /v1/requests/{id}/audience`: the bot says who reads the channel of its card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceBody {
    /// Everybody in the channel but the bot itself.
    pub readers: Vec<SlackRef>,
}

/// What the gateway answers to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceView {
    /// Somebody reads there who neither asked nor may decide.
    pub wider: bool,
}

/// `PUT /v1/channels/{id}`: the bot says what a channel is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelBody {
    /// As Slack has it, without the `#`.
    pub name: String,
}

/// What happened, as a line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one; the SSE `id`.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// `request.created`, `request.updated`, `grant.created`, `grant.extended`, `grant.ended`, `link.created`.
    pub kind: String,
    /// The request that it is about.
    pub request: Option<RequestId>,
    /// The grant that it is about.
    #[serde(default)]
    pub grant: Option<GrantId>,
}

/// `POST /v1/links`: a Slack user wants to be linked.
pub type LinkBody = SlackAccount;

/// Where to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStarted {
    /// A page under the gateway's `url`.
    pub url: String,
    /// When the page ends.
    pub expires_at: DateTime<Utc>,
}

/// `GET /v1/links/{team}/{user}`: who a Slack user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// The Slack account.
    pub slack: SlackRef,
    /// The principal.
    pub principal: String,
    /// Whether it counts; `false` waits for an administrator.
    pub confirmed: bool,
}

/// `GET /v1/links`: a link, with what helps whoever confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedLink {
    /// Which, and whether it counts.
    #[serde(flatten)]
    pub link: LinkView,
    /// What Slack called the account when it was linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_name: Option<String>,
    /// The address that Slack gave for it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_email: Option<String>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// `GET /v1/links/waiting`: a link that waits for an administrator, and whom to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingLink {
    /// Which.
    #[serde(flatten)]
    pub link: ListedLink,
    /// Slack accounts of those who may confirm it.
    pub administrators: Vec<SlackRef>,
}

/// `POST /v1/links/{team}/{user}/confirm` through the bot, and `…/refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChoiceBody {
    /// Whose link it was when it was looked at.
    pub principal: String,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// The client's address.
    pub address: String,
    /// The client's application name.
    pub application: Option<String>,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// `idle`, `active`, `held`.
    pub state: String,
}

/// Somebody whom the gateway or the directory knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// The principal.
    pub principal: String,
    /// `active`; `deactivated` or `deleted` where the directory says so.
    pub state: String,
    /// The name that the directory has.
    pub display_name: Option<String>,
    /// Who answers for it, if it is an agent.
    pub owner: Option<String>,
    /// Groups, from the last token and from the directory.
    pub groups: Vec<String>,
    /// Who vouched for them, once they were seen.
    pub issuer: Option<String>,
    /// Their `sub` there.
    pub subject: Option<String>,
    /// When they were first seen.
    pub first_seen: Option<DateTime<Utc>>,
    /// When they were last seen.
    pub last_seen: Option<DateTime<Utc>>,
    /// Their SCIM id; absent where the directory does not know them.
    pub directory: Option<String>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// Who has it.
    pub principal: String,
    /// Who answers for an agent that has it.
    pub owner: Option<String>,
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// Why it was asked for.
    pub reason: String,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// Until when, with its extensions.
    pub expires_at: DateTime<Utc>,
    /// For how long it was given at first, in seconds.
    #[serde(default)]
    pub seconds: u64,
    /// The request that it came from, where somebody was asked.
    #[serde(default)]
    pub request: Option<RequestId>,
    /// Who approved it or an extension; nobody where policy gives it at once.
    pub approved_by: Vec<String>,
    /// `active`, or how it ended: `expired`, `done`, `revoked`.
    pub state: String,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended it, if a person did.
    pub ended_by: Option<String>,
    /// Its holder's (or their owner's) Slack account, if linked; for the bot alone.
    #[serde(default)]
    pub slack: Option<SlackRef>,
}

/// What is to be said of a grant, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Not used for long.
    Stale,
    /// Never used, and long enough there to have been.
    NeverUsed,
    /// Its end is as good as none.
    FarEnd,
    /// Given before uses were recorded, and these are too young to tell.
    NoData,
    /// Not used yet, and not long there.
    TooNew,
    /// Used lately.
    InUse,
    /// Somebody wants it kept for now.
    Kept,
}

impl Finding {
    /// Whether somebody should look at it.
    #[must_use]
    pub const fn matters(self) -> bool {
        matches!(self, Self::Stale | Self::NeverUsed | Self::FarEnd)
    }

    /// Its word in JSON and CSV.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NeverUsed => "never_used",
            Self::FarEnd => "far_end",
            Self::NoData => "no_data",
            Self::TooNew => "too_new",
            Self::InUse => "in_use",
            Self::Kept => "kept",
        }
    }
}

/// Who wants a grant kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepView {
    /// Who.
    pub by: String,
    /// Until when it is left alone.
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// `POST /v1/grants/{id}/keep`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepBody {
    /// Why.
    pub reason: String,
}

/// A grant in a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestGrant {
    /// The grant.
    pub grant: GrantView,
    /// What is to be said of it.
    pub finding: Finding,
    /// When it was last used, as far as that was recorded.
    pub last_used: Option<DateTime<Utc>>,
    /// Who wanted it kept last.
    pub kept: Option<KeepView>,
}

/// A role of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRole {
    /// Its name.
    pub role: String,
    /// Whether it is used: stale, never used, too new to tell, no data, or in use.
    pub finding: Finding,
    /// When it was last given.
    pub last_given: Option<DateTime<Utc>>,
    /// When it was last used, of the grants that have not ended.
    pub last_used: Option<DateTime<Utc>>,
}

/// A `permit` of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestPermission {
    /// Its `@id`, or its file and place.
    pub permission: String,
    /// Whether it is used: stale, never used, too new to tell, no data, or in use.
    pub finding: Finding,
    /// Since when it is watched; a text that was changed is watched anew.
    pub since: DateTime<Utc>,
    /// When it last let something happen.
    pub last_used: Option<DateTime<Utc>>,
}

/// A token that was issued long ago, and that a session rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestToken {
    /// Whose.
    pub principal: String,
    /// The session's connection.
    pub connection: String,
    /// The session.
    pub session: SessionId,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A secret of the config that has not been changed for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestSecret {
    /// What it is for; never anything of its value.
    pub what: String,
    /// The connection that it is for, if it is for one.
    #[serde(default)]
    pub connection: Option<String>,
    /// Since when it is what it is.
    pub since: DateTime<Utc>,
    /// It was there when watching began, and may be older.
    pub at_least: bool,
}

/// An agent for whom nobody answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestAgent {
    /// Its name.
    pub name: String,
    /// Who should.
    pub owner: String,
    /// Why they don't.
    pub why: String,
}

/// `GET /v1/digest`: who holds what they don't use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDigest {
    /// When it was drawn up.
    pub at: DateTime<Utc>,
    /// After so many seconds without use a grant is stale.
    pub stale_after: u64,
    /// Since when uses are recorded.
    pub recorded_since: DateTime<Utc>,
    /// Every grant that counts, what matters first.
    pub grants: Vec<DigestGrant>,
    /// Every role, what matters first: what nobody had or used in 30 days.
    pub roles: Vec<DigestRole>,
    /// Every permission of the policies, what matters first: what nobody used in 30 days.
    #[serde(default)]
    pub permissions: Vec<DigestPermission>,
    /// Agents without a living owner.
    pub agents: Vec<DigestAgent>,
    /// Sessions of more than a day.
    pub sessions: Vec<SessionView>,
    /// Tokens of more than a day that sessions rest on.
    #[serde(default)]
    pub tokens: Vec<DigestToken>,
    /// Secrets of the config that have not been changed for more than 90 days.
    #[serde(default)]
    pub secrets: Vec<DigestSecret>,
    /// What was run by break-glass and nobody has reviewed, the oldest first.
    #[serde(default)]
    pub reviews: Vec<DigestReview>,
    /// The log's newest checkpoint, a signed note: kept here, it tells whether the log was rolled back since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// A statement that was run by break-glass and nobody has reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReview {
    /// The review's id.
    pub request: RequestId,
    /// Who ran it.
    pub principal: String,
    /// Where.
    pub connection: String,
    /// Why, as they said.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// `POST /v1/reviews`: begins to review a connection's grants, or goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewBody {
    /// The connection.
    pub connection: String,
}

/// What a reviewer says of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewChoice {
    /// It stays.
    Keep,
    /// It ends now.
    Revoke,
}

/// `POST /v1/reviews/{id}/answers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAnswerBody {
    /// Which grant.
    pub grant: GrantId,
    /// Whether it stays.
    pub choice: ReviewChoice,
    /// Why.
    pub reason: String,
}

/// What was said of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewAnswer {
    /// Whether it stays.
    pub choice: ReviewChoice,
    /// Who said so; never its holder.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A grant in a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewItem {
    /// The grant as it is now.
    pub grant: GrantView,
    /// What is to be said of its use.
    pub finding: Finding,
    /// When it was last used, as far as that was recorded.
    pub last_used: Option<DateTime<Utc>>,
    /// What was said of it.
    pub answer: Option<ReviewAnswer>,
    /// Whether it is the caller's own, or an agent's that they answer for: another person has to look at it.
    #[serde(default)]
    pub own: bool,
}

impl ReviewItem {
    /// Whether somebody still has to look at it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.answer.is_none() && self.grant.state == "active"
    }
}

/// `GET /v1/reviews/{id}`: a review of a connection's grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewView {
    /// Its id.
    pub id: ReviewId,
    /// Of which connection.
    pub connection: String,
    /// Who began it.
    pub opened_by: String,
    /// When.
    pub opened_at: DateTime<Utc>,
    /// The log's newest checkpoint then, a signed note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// When nothing was left to look at.
    pub closed_at: Option<DateTime<Utc>>,
    /// The grants that counted when it began, the oldest first.
    pub items: Vec<ReviewItem>,
}

/// `POST /v1/notices/claim`, `POST /v1/notices/posted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeBody {
    /// What is posted once.
    pub name: String,
    /// Which bot asks, as it calls itself since its start.
    pub by: String,
}

/// How long a claim holds from when it was made last, in seconds: longer than a call of Slack's takes. After that
/// another bot may take over.
pub const CLAIM_HOLDS: u32 = 90;

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Post it.
    Yours,
    /// Post it, unless whoever had it before did: nobody knows.
    InDoubt,
    /// Another bot is about to.
    Taken,
    /// It is posted.
    Done,
}

/// `POST /v1/access`: somebody asks for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessBody {
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// For how long: `90m`, `8h`.
    pub duration: String,
    /// Why; approvers read it.
    pub reason: String,
}

/// `GET /v1/access`: a role that the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessOption {
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// The longest time, among some usual ones, that policy does not refuse, in seconds.
    pub longest: u64,
    /// Whether policy gives it without asking anybody.
    pub at_once: bool,
}

/// `POST /v1/grants/{id}/extend`: its holder asks for more time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendBody {
    /// For how long from the moment that it is given: `90m`, `8h`.
    pub duration: String,
    /// Why; approvers read it.
    pub reason: String,
}

/// The answer to a wish for access that was not refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessAnswer {
    /// What came of it, in a sentence.
    pub message: String,
    /// The grant, where policy gives it at once.
    pub grant: Option<GrantView>,
    /// The request that waits for approval otherwise.
    pub request: Option<RequestView>,
}

/// `POST /v1/tokens/denied`: an administrator denies a token. It is named, and not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyTokenBody {
    /// Whose it is; may be absent where there is one issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The SHA-256 of what is signed of it: of its text before the last dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Why; the log keeps it.
    pub reason: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyTokenAnswer {
    /// What is denied from now on.
    pub denied: Vec<DeniedToken>,
    /// How many sessions ended.
    pub sessions: usize,
}

/// Who is on a connection's database, and how they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassView {
    /// The connection.
    pub connection: String,
    /// When it was looked.
    pub at: DateTime<Utc>,
    /// How many backends the gateway has opened, for sessions and for itself.
    pub ours: usize,
    /// The others.
    pub backends: Vec<BypassBackend>,
    /// Roles that can log in there.
    pub roles: Vec<BypassRole>,
    /// Of some backends the gateway's login may see little.
    pub restricted: bool,
    /// What looking like this can't see.
    pub misses: Vec<String>,
}

/// A backend that came by another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassBackend {
    /// Its process id.
    pub pid: i32,
    /// Its login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What it says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// From where; none for a Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `client backend` or `walsender`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Since when, as the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A role that can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassRole {
    /// Its name.
    pub name: String,
    /// The config names it as a login of the gateway's.
    pub gateway: bool,
    /// `rolsuper`.
    pub superuser: bool,
    /// `rolreplication`.
    pub replication: bool,
    /// `rolbypassrls`.
    pub bypasses_row_security: bool,
    /// `rolvaliduntil` is over.
    pub expired: bool,
}

/// A token that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedToken {
    /// Whose it is.
    pub issuer: String,
    /// Its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The SHA-256 of what is signed of it: of its text before the last dot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Why.
    pub reason: String,
    /// Who denied it; absent where its provider called it inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// Since when.
    pub denied_at: DateTime<Utc>,
}

/// The body of every error: what happened, why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Problem {
    /// A stable word: `not_linked`, `own_request`, `not_an_approver`, `over`, `digest_mismatch`,
    /// `not_signed_in`, `forbidden`, `not_found`, `bad_request`, `repeated`, `unavailable`.
    pub code: String,
    /// What happened, in a sentence.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
