//! hold: yields a [`Permit`] or a [`Refusal`]; nothing else can make a `Permit`.
//!
//! Knows no sockets: the session waits, and asks [`Held::look`] each time something rings.

use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{Impact, Needed, Outcome, RequestKind},
    digest::Digest,
    ids::{RequestId, SessionId},
    question::LONGEST,
    request::State,
};

use super::{
    assemble::Request,
    classify::{Analysis, Doubt},
    decide::{Asked, Decision, Denial, decide},
    guard::Guard,
    record::{self, End, Header, Open},
    review::Transaction,
    steps::Step,
};
use crate::{
    approval::{
        allowance::{self, Run},
        release::{NotReleased, Released, release},
        steps::{self, Stepped},
    },
    config::Mode,
    log::Kind,
    refusal::Refusal,
    runtime::{Gateway, ParkWish, Waiting},
    store::{NewRequest, StoreError, allowances::Allowable, questions::Question},
    visible::visible,
};

/// The right to forward one statement, once.
#[derive(Debug)]
pub struct Permit(Grounds, Option<Box<Guard>>);

#[derive(Debug)]
enum Grounds {
    Allowed,
    Template(String),
    Observed { would_be: &'static str, rules: Vec<String> },
    Released(Released),
    Again(Box<Run>),
    Step(Box<Stepped>),
    BrokenGlass,
    Reviewed,
}

impl Permit {
    /// The released request, for a held statement.
    #[must_use]
    pub const fn request(&self) -> Option<&RequestId> {
        match &self.0 {
            Grounds::Released(released) => Some(released.request()),
            Grounds::Again(run) => Some(run.request()),
            Grounds::Step(step) => Some(step.request()),
            _ => None,
        }
    }

    /// Which run it is, where more than one was allowed.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        match &self.0 {
            Grounds::Released(released) => released.run(),
            Grounds::Again(run) => Some(run),
            _ => None,
        }
    }

    /// Which statement it is of a text that was approved statement by statement.
    #[must_use]
    pub fn step(&self) -> Option<&Stepped> {
        match &self.0 {
            Grounds::Step(step) => Some(step),
            _ => None,
        }
    }

    /// Names the template that it is, where policy lets it pass.
    #[must_use]
    pub fn by_template(mut self, template: Option<String>) -> Self {
        if let (Grounds::Allowed, Some(name)) = (&self.0, template) {
            self.0 = Grounds::Template(name);
        }
        self
    }

    /// The template that it is.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        match &self.0 {
            Grounds::Template(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it runs in a transaction whose COMMIT is held, and for that alone.
    #[must_use]
    pub const fn is_reviewed(&self) -> bool {
        matches!(self.0, Grounds::Reviewed)
    }

    /// Bounds what it may touch.
    #[must_use]
    pub fn guarded(self, guard: Option<Guard>) -> Self {
        Self(self.0, guard.map(Box::new))
    }

    /// Takes what bounds it; whoever does must see to it.
    pub fn take_guard(&mut self) -> Option<Box<Guard>> {
        self.1.take()
    }

    /// Names the policies that would have stopped a statement that is only observed.
    #[must_use]
    pub fn because(mut self, because: Vec<String>) -> Self {
        if let Grounds::Observed { rules, .. } = &mut self.0 {
            *rules = because;
        }
        self
    }

    /// The policies that would have stopped it, where it is only observed.
    #[must_use]
    pub fn rules(&self) -> Option<&[String]> {
        match &self.0 {
            Grounds::Observed { rules, .. } => Some(rules),
            _ => None,
        }
    }

    /// What the record says of it.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match &self.0 {
            Grounds::Allowed | Grounds::Template(_) => "allow",
            Grounds::Observed { would_be, .. } => would_be,
            Grounds::Released(_) | Grounds::Step(_) => "released",
            Grounds::Again(_) => "allowed",
            Grounds::BrokenGlass => "break_glass",
            Grounds::Reviewed => "review at commit",
        }
    }
}

/// What a decision comes to.
#[derive(Debug)]
pub enum Judged {
    /// Forward.
    Pass(Permit),
    /// Hold.
    Ask(Needed),
    /// Refuse.
    No(Refusal),
}

/// Turns a decision into what happens, by the connection's mode.
#[must_use]
pub fn judge(mode: Mode, decision: Decision, analysis: &Analysis, connection: &str) -> Judged {
    match (decision, mode) {
        (Decision::Allow, _) => Judged::Pass(Permit(Grounds::Allowed, None)),
        (Decision::Hold(_), Mode::Observe) => Judged::Pass(Permit(observed("observed: would be held"), None)),
        (Decision::Deny(_), Mode::Observe) => Judged::Pass(Permit(observed("observed: would be denied"), None)),
        (Decision::Hold(needed), Mode::Enforce) => Judged::Ask(needed),
        (Decision::Deny(denial), Mode::Enforce) => Judged::No(refusal(denial, analysis, connection)),
    }
}

const fn observed(would_be: &'static str) -> Grounds {
    Grounds::Observed { would_be, rules: Vec::new() }
}

/// What policy permits for being reviewed at its COMMIT runs in a transaction of which just that is noted.
#[must_use]
pub fn reviewed(transaction: &Transaction) -> Option<Permit> {
    transaction.is_reviewed().then_some(Permit(Grounds::Reviewed, None))
}

/// A run that was taken of what somebody allowed. Nothing else makes such a run.
#[must_use]
pub fn allowed(run: Box<Run>) -> Permit {
    Permit(Grounds::Again(run), None)
}

/// One statement that was taken of a text that was approved. Nothing else makes such a proof.
#[must_use]
pub fn stepped(step: Stepped) -> Permit {
    Permit(Grounds::Step(Box::new(step)), None)
}

/// ROLLBACK always passes: it can only undo. So does a text without any statement.
#[must_use]
pub const fn rollback() -> Permit {
    Permit(Grounds::Allowed, None)
}

fn refusal(denial: Denial, analysis: &Analysis, connection: &str) -> Refusal {
    match (&analysis.doubt, &denial.message) {
        (Some(Doubt::Syntax { message, position }), None) => {
            return Refusal::Syntax { message: message.clone(), position: *position };
        }
        (Some(Doubt::UnknownRelation { name }), None) => return Refusal::UnknownRelation { name: name.clone() },
        (Some(Doubt::UnknownFunction { name }), None) => return Refusal::UnknownFunction { name: name.clone() },
        _ => {}
    }
    let what = denial.effect.as_ref().map_or_else(
        || "this statement".to_owned(),
        |effect| format!("{} on {}", effect.action, effect.object.display(connection)),
    );
    let message = denial.message.unwrap_or_else(|| format!("policy denies {what}"));
    let rules = if denial.rules.is_empty() {
        "no policy permits it, with or without approvals".to_owned()
    } else {
        format!("forbidden by policy {}", denial.rules.join(", "))
    };
    let notes: String = analysis.statements.iter().flat_map(|s| &s.notes).map(|note| format!("; {note}")).collect();
    Refusal::Denied { message, detail: format!("{what}: {rules}{notes}.") }
}

/// A statement that waits for approval.
pub struct Held {
    /// The request's id.
    pub id: RequestId,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// What was shown and must still be so at release.
    pub digest: Digest,
    /// Who it waits for, for the notice.
    pub needed: Needed,
    waiting: Waiting,
    since: std::time::Instant,
}

/// The sentence that the client reads of a question about its request, on one line.
#[must_use]
pub fn question(id: &RequestId, question: &Question) -> String {
    let line = question.text.split(['\n', '\t']).collect::<Vec<_>>().join(" ");
    let text: String = visible(&line).chars().take(LONGEST).collect();
    format!("{} asks about request {id}: {text}", visible(&question.by))
}

/// Why a hold ends without release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quit {
    /// Ctrl-C, the button, a closed client.
    Withdrawn(&'static str),
    /// The deadline.
    Expired,
    /// Anything that it rests on.
    Void(String),
}

/// What a look at the request shows.
#[derive(Debug)]
pub enum Look {
    /// Nothing decided. These have approved by now, the oldest first.
    Waiting(Vec<String>),
    /// Go.
    Pass(Permit),
    /// It is over.
    No(Refusal),
}

/// What a request is made of.
pub struct Wish<'a> {
    /// The statement.
    pub request: &'a Request,
    /// The question.
    pub asked: &'a Asked,
    /// What an approval binds.
    pub digest: Digest,
    /// The session that waits; nothing where none does.
    pub session: Option<&'a SessionId>,
    /// What policy asks for.
    pub needed: Needed,
    /// The policies that ask for it.
    pub rules: Vec<String>,
    /// Sentences for the card.
    pub notes: Vec<String>,
    /// What it would do to rows.
    pub impact: Vec<Impact>,
    /// How long it waits.
    pub timeout: Duration,
    /// What an approver may allow of it beyond one run.
    pub allowable: Option<Allowable>,
    /// Its statements, where it is asked for statement by statement.
    pub steps: Vec<Step>,
}

impl Held {
    /// Makes the request: durably in the log, then in the state, which tells the bot.
    ///
    /// # Errors
    /// A refusal, where log or state can't take it.
    pub async fn open(gateway: &Gateway, header: &Header, wish: Wish<'_>) -> Result<Self, Refusal> {
        let id = RequestId::random();
        let now = Utc::now();
        let expires_at = now + chrono::Duration::from_std(wish.timeout).unwrap_or(chrono::Duration::minutes(15));
        let connection = &wish.asked.connection;
        let waiting = gateway.holds.wait_for(&id);

        let mut entry = header.entry(Kind::Held);
        entry.request = Some(id.clone());
        entry.sql = Some(wish.request.sql.to_string());
        entry.outcome = Some("hold".to_owned());
        entry.detail = record::held(wish.request, header, wish.digest, &wish.rules);
        if let Some(reason) = &wish.asked.reason {
            entry.detail["reason"] = serde_json::json!(reason);
        }
        if !wish.impact.is_empty() {
            entry.detail["impact"] = serde_json::json!(wish.impact);
        }
        if !wish.steps.is_empty() {
            let step = |step: &Step| serde_json::json!({ "text": step.text, "needed": step.needed });
            entry.detail["steps"] = wish.steps.iter().map(step).collect();
        }
        gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))?;

        let channel = gateway.config.connections.get(connection).and_then(|c| c.channel.clone());
        let new = NewRequest {
            id: id.clone(),
            kind: RequestKind::Statement,
            digest: wish.digest,
            asked: wish.asked.clone(),
            session: wish.session.cloned(),
            sql: wish.request.sql_on_a_card().to_owned(),
            parameters: wish.request.parameters_on_a_card(),
            notes: wish.notes,
            impact: wish.impact,
            needed: wish.needed.clone(),
            channel,
            created_at: now,
            expires_at,
            allowable: wish.allowable,
            steps: wish.steps,
        };
        gateway.store.create_request(&new).await.map_err(|error| unavailable(&error))?;
        gateway.metrics.hold_began();
        let since = std::time::Instant::now();
        Ok(Self { id, expires_at, digest: wish.digest, needed: wish.needed, waiting, since })
    }

    /// One for a request that is there already.
    #[cfg(test)]
    pub(crate) fn of(gateway: &Gateway, new: &NewRequest) -> Self {
        let (id, needed, waiting) = (new.id.clone(), new.needed.clone(), gateway.holds.wait_for(&new.id));
        let since = std::time::Instant::now();
        Self { id, expires_at: new.expires_at, digest: new.digest, needed, waiting, since }
    }

    /// Until something about the request changes.
    pub async fn rung(&self) {
        self.waiting.rung().await;
    }

    /// The sentence that the client reads at once.
    #[must_use]
    pub fn notice(&self, channel: Option<&str>) -> String {
        let by = match (self.needed.count, self.needed.from.as_slice()) {
            (0 | 1, []) => "somebody who may".to_owned(),
            (0 | 1, groups) => groups.join(" or "),
            (n, []) => format!("{n} people who may"),
            (n, groups) => format!("{n} people of {}", groups.join(" or ")),
        };
        let place = channel.map(|channel| format!(" in {channel}")).unwrap_or_default();
        format!("held for approval {} by {by}{place}; press Ctrl-C to withdraw", self.id)
    }

    /// The sentence that the client reads when somebody has approved, and more are needed.
    #[must_use]
    pub fn news(&self, by: &str, approvals: usize) -> String {
        let still = self.needed.count.saturating_sub(approvals);
        let still = match still {
            0 => "other approvals are still needed".to_owned(),
            1 => "one more is needed".to_owned(),
            n => format!("{n} more are needed"),
        };
        format!("request {} was approved by {by}; {still}", self.id)
    }

    /// Until somebody who may decide asks something.
    pub async fn asked(&self) {
        self.waiting.asked().await;
    }

    /// Until its requester wants it parked.
    pub async fn park_wished(&self) -> ParkWish {
        self.waiting.park_wished().await
    }

    /// Ends the hold, so that another request may take its place; `false` where it was decided before.
    ///
    /// # Errors
    /// Where the state can't say; then nothing has changed.
    pub async fn park(&self, gateway: &Gateway, header: &Header, by: &str) -> Result<bool, StoreError> {
        let reason = "parked: it waits as another request now, and runs when it is sent again".to_owned();
        let outcome = Outcome { by: Some(by.to_owned()), reason: Some(reason), ..Outcome::default() };
        let moved = gateway.store.move_request(&self.id, &[State::Pending], State::Withdrawn, Some(&outcome)).await?;
        if moved {
            self.ended(gateway, header, State::Withdrawn);
        }
        Ok(moved)
    }

    /// Looks at the stored request: released, refused, or still waiting. `asked` is the question as
    /// it stands now; `digest` likewise.
    pub async fn look(&self, gateway: &Gateway, header: &Header, digest: Digest, asked: &Asked) -> Look {
        let request = match gateway.store.request(&self.id).await {
            Ok(Some(request)) => request,
            Ok(None) => return Look::No(self.void("the request is gone")),
            Err(error) => return Look::No(unavailable(&error)),
        };
        let outcome = request.outcome.clone().unwrap_or_default();
        match request.state {
            State::Pending => {
                let by = request.approvals.into_iter().map(|approval| approval.approver.principal).collect();
                return self.may_still_be_approved(gateway, header, asked, by).await;
            }
            State::Approved => match release(gateway, &self.id, digest, asked, Utc::now()).await {
                Ok(released) => {
                    self.ended(gateway, header, State::Released);
                    return Look::Pass(Permit(Grounds::Released(released), None));
                }
                Err(NotReleased::Void(why)) => {
                    self.ended(gateway, header, State::Void);
                    return Look::No(self.void(&why));
                }
                Err(NotReleased::Unavailable(why)) => return Look::No(Refusal::Unavailable { message: why }),
            },
            _ => {}
        }
        self.ended(gateway, header, request.state);
        let id = self.id.clone();
        Look::No(match request.state {
            State::Denied => Refusal::DeniedBy {
                request: id,
                by: outcome.by.unwrap_or_else(|| "an approver".to_owned()),
                reason: outcome.reason,
            },
            State::Withdrawn => Refusal::Withdrawn { request: id },
            State::Expired => Refusal::Expired { request: id },
            _ => self.void(&outcome.reason.unwrap_or_else(|| "it was decided elsewhere".to_owned())),
        })
    }

    /// A hold whose decision has become a denial, since policy, roles or the catalog changed, is void:
    /// nobody need decide on it any more.
    async fn may_still_be_approved(&self, gateway: &Gateway, header: &Header, asked: &Asked, by: Vec<String>) -> Look {
        let known = match gateway.store.people().await {
            Ok(known) => known,
            Err(error) => {
                // Nobody is to approve what runs no more.
                let refusal = unavailable(&error);
                let why = "the state can't say who may approve it".to_owned();
                drop(self.quit(gateway, header, Quit::Void(why)).await);
                return Look::No(refusal);
            }
        };
        match decide(&gateway.policies(), asked, &[], &known, Utc::now()) {
            Decision::Allow => Look::Waiting(by),
            Decision::Hold(needed) if needed.at_commit == asked.at_commit => Look::Waiting(by),
            Decision::Hold(_) => {
                let why = "policy permits it by now only where its COMMIT is reviewed; send it again".to_owned();
                Look::No(self.quit(gateway, header, Quit::Void(why)).await)
            }
            Decision::Deny(denial) => {
                let why = denial.message.unwrap_or_else(|| "policy no longer permits it, approved or not".to_owned());
                Look::No(self.quit(gateway, header, Quit::Void(why)).await)
            }
        }
    }

    /// Waits for the end of a request with which no session waits, and sees to it.
    pub async fn outlive(self, gateway: &Gateway, header: &Header) {
        let left = (self.expires_at - Utc::now()).to_std().unwrap_or_default();
        let over = async {
            loop {
                self.rung().await;
                match gateway.store.request(&self.id).await {
                    Ok(Some(request)) if matches!(request.state, State::Pending | State::Approved) => {}
                    Ok(Some(request)) => return Some(request.state),
                    Ok(None) => return None,
                    Err(error) => tracing::warn!(request = %self.id, %error, "the state can't say how a request is"),
                }
            }
        };
        match tokio::time::timeout(left, over).await {
            Ok(Some(end)) => self.ended(gateway, header, end),
            Ok(None) => {}
            Err(_) => drop(self.quit(gateway, header, Quit::Expired).await),
        }
    }

    /// Ends the hold without release. If somebody else ended it first, that is what counts.
    pub async fn quit(&self, gateway: &Gateway, header: &Header, quit: Quit) -> Refusal {
        let (state, reason, refusal) = match quit {
            Quit::Withdrawn(how) => (State::Withdrawn, how.to_owned(), Refusal::Withdrawn { request: self.id.clone() }),
            Quit::Expired => {
                (State::Expired, "nobody decided in time".to_owned(), Refusal::Expired { request: self.id.clone() })
            }
            Quit::Void(why) => (State::Void, why.clone(), self.void(&why)),
        };
        let outcome = Outcome { reason: Some(reason), ..Outcome::default() };
        let moved =
            gateway.store.move_request(&self.id, &[State::Pending, State::Approved], state, Some(&outcome)).await;
        if let Err(error) = moved {
            tracing::error!(request = %self.id, %error, "a hold that ended could not be written down");
        }
        self.ended(gateway, header, state);
        refusal
    }

    fn void(&self, why: &str) -> Refusal {
        Refusal::Void { request: self.id.clone(), why: why.to_owned() }
    }

    fn ended(&self, gateway: &Gateway, header: &Header, end: State) {
        let connection = header.entry.connection.as_deref().unwrap_or_default();
        gateway.metrics.hold_ended(connection, end, self.since.elapsed().as_secs_f64());
        if end == State::Released {
            return;
        }
        let mut entry = header.entry(Kind::HoldEnded);
        entry.request = Some(self.id.clone());
        entry.outcome = Some(end.to_string());
        if let Err(down) = gateway.log.append(&entry) {
            tracing::error!(%down, "the end of a hold is not in the log");
        }
    }
}

/// Lets a statement pass at once, and asks for a review of it: in the log and in the state before it runs.
/// The answer is the review's id.
///
/// # Errors
/// A refusal, where log or state can't take it.
pub async fn break_glass(
    gateway: &Gateway,
    header: &Header,
    request: &Request,
    asked: &Asked,
    wish: Glass,
) -> Result<(Permit, RequestId), Refusal> {
    let id = RequestId::random();
    let now = Utc::now();
    let mut entry = header.entry(Kind::BreakGlass);
    entry.request = Some(id.clone());
    entry.sql = Some(request.sql.to_string());
    entry.outcome = Some("break_glass".to_owned());
    entry.detail = record::held(request, header, wish.digest, &wish.rules);
    entry.detail["reason"] = serde_json::json!(asked.reason);
    gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))?;
    let connection = &asked.connection;
    let new = NewRequest {
        id: id.clone(),
        kind: RequestKind::Review,
        digest: wish.digest,
        // What is reviewed is asked as what it was: not permitted without it.
        asked: Asked { break_glass: false, ..asked.clone() },
        session: header.entry.session.clone(),
        sql: request.sql_on_a_card().to_owned(),
        parameters: request.parameters_on_a_card(),
        notes: wish.notes,
        impact: Vec::new(),
        needed: Needed { count: 1, ..wish.needed },
        channel: gateway.config.connections.get(connection).and_then(|c| c.channel.clone()),
        created_at: now,
        // It waits for as long as it takes.
        expires_at: now + chrono::TimeDelta::days(REVIEWED_WITHIN),
        allowable: None,
        steps: Vec::new(),
    };
    gateway.store.create_request(&new).await.map_err(|error| unavailable(&error))?;
    Ok((Permit(Grounds::BrokenGlass, None), id))
}

/// As good as without an end, in days.
const REVIEWED_WITHIN: i64 = 36_500;

/// What a review is made of, beside the statement.
#[derive(Debug)]
pub struct Glass {
    /// What was run.
    pub digest: Digest,
    /// Who may review it.
    pub needed: Needed,
    /// The policies that let it pass.
    pub rules: Vec<String>,
    /// Sentences for the card.
    pub notes: Vec<String>,
}

/// Releases what was approved while nobody waited for it, if all is as it was.
///
/// # Errors
/// Why it does not run.
pub async fn release_again(
    gateway: &Gateway,
    header: &Header,
    id: &RequestId,
    digest: Digest,
    asked: &Asked,
) -> Result<Permit, Refusal> {
    let released = release(gateway, id, digest, asked, Utc::now()).await;
    gateway.holds.ring(id);
    match released {
        Ok(released) => Ok(Permit(Grounds::Released(released), None)),
        Err(NotReleased::Void(why)) => {
            let mut entry = header.entry(Kind::HoldEnded);
            entry.request = Some(id.clone());
            entry.outcome = Some(why.clone());
            if let Err(down) = gateway.log.append(&entry) {
                tracing::error!(%down, "the end of a hold is not in the log");
            }
            Err(Refusal::Void { request: id.clone(), why })
        }
        Err(NotReleased::Unavailable(why)) => Err(Refusal::Unavailable { message: why }),
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a statement was refused, since it could not be checked or recorded");
    Refusal::Unavailable { message: "the gateway can't check or record this statement now".to_owned() }
}

/// Writes a released statement's outcome onto its request: `released → done`, or `unknown`.
pub async fn finish(gateway: &Gateway, open: &Open, end: &End) {
    let Some(id) = open.request() else { return };
    if let Some(number) = open.run() {
        let discarded = matches!(end, End::Skipped | End::Unsent | End::Unbegun(_));
        allowance::ran(gateway, id, number, &end.line(), discarded).await;
        if number > 1 {
            return;
        }
    }
    if let Some(number) = open.step() {
        steps::ended(gateway, id, number, end, open.milliseconds()).await;
        return;
    }
    let mut outcome = Outcome { milliseconds: Some(open.milliseconds()), ..Outcome::default() };
    let state = match end {
        End::Completed(tags) => {
            outcome.tag = Some(tags.join("; "));
            State::Done
        }
        End::Failed(_) | End::Unbegun(_) | End::Skipped | End::Unsent | End::Undone(_) => {
            outcome.error = Some(end.line().into_owned());
            State::Done
        }
        End::Lost => {
            outcome.error = Some(end.line().into_owned());
            State::Unknown
        }
    };
    match gateway.store.move_request(id, &[State::Released], state, Some(&outcome)).await {
        Ok(true) => {}
        Ok(false) => tracing::error!(request = %id, "an outcome came for a request that was not released"),
        Err(error) => tracing::error!(request = %id, %error, "an outcome could not be written down"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::effect::{Action, Effect};

    fn denial(message: Option<&str>) -> Decision {
        Decision::Deny(Denial {
            effect: Some(Effect::on_connection(Action::Opaque)),
            message: message.map(str::to_owned),
            rules: vec![],
        })
    }

    fn code(decision: Decision, doubt: Option<Doubt>) -> String {
        match judge(Mode::Enforce, decision, &Analysis { doubt, ..Analysis::default() }, "shop") {
            Judged::No(refusal) => refusal.code().to_owned(),
            _ => "passed".to_owned(),
        }
    }

    #[test]
    fn a_denial_carries_the_code_of_its_cause() {
        let syntax = Doubt::Syntax { message: "syntax error at or near \"selct\"".into(), position: Some(1) };
        let unknown = Doubt::UnknownRelation { name: "ordrs".into() };
        assert_eq!(code(denial(None), None), "42501", "policy");
        assert_eq!(code(denial(None), Some(syntax.clone())), "42601", "not SQL");
        assert_eq!(code(denial(None), Some(unknown)), "42P01", "no such relation");
        assert_eq!(code(denial(Some("no")), Some(syntax)), "42501", "a rule that says why comes first");
    }

    #[test]
    fn a_question_is_read_on_one_line_with_nothing_hidden_in_it() {
        let long = "\u{202E}".repeat(500);
        let table = [
            ("why now?", "why now?"),
            ("why\n\tnow?\r", "why  now?\\u{D}"),
            ("is it \u{202E}safe\u{200B}?\u{1b}[2J", "is it \\u{202E}safe\\u{200B}?\\u{1B}[2J"),
            (long.as_str(), &"\\u{202E}".repeat(63)[..500]),
        ];
        for (text, shown) in table {
            let (request, by): (RequestId, _) = ("K7Q2AB9X".parse().unwrap(), "priya@acme.dev".to_owned());
            let asked = Question { request: request.clone(), by, text: text.into(), at: Utc::now() };
            let expected = format!("priya@acme.dev asks about request K7Q2AB9X: {shown}");
            assert_eq!(question(&request, &asked), expected, "{text:?}");
        }
    }

    #[test]
    fn observing_passes_and_says_what_would_be() {
        let judged = judge(Mode::Observe, denial(None), &Analysis::default(), "shop");
        assert!(matches!(judged, Judged::Pass(permit) if permit.outcome() == "observed: would be denied"));
    }
}
