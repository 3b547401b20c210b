//! What was asked for statement by statement: whether one of them may run now, and how the rest of them ends.
//!
//! Each is held to what its approvers sealed, which is the whole list, and all that a release looks at is looked at again
//! for each. The state takes them in order, each once, in one session, before they are forwarded.

use chrono::Utc;
use countersign_shared::{
    api::Outcome,
    digest::Digest,
    ids::{RequestId, SessionId},
    request::State,
};
use serde_json::{Value, json};

use super::{
    count::countersigners,
    release::{entry, evidence},
};
use crate::{
    log::Kind,
    runtime::Gateway,
    statement::{
        decide::{Asked, Decision, decide_by},
        record::End,
        steps::{Step, digest},
    },
    store::{Request, StoreError, steps::StepEnd},
};

/// Proof that one statement was taken, durably and just now. Only [`take`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stepped {
    request: RequestId,
    number: u32,
    of: usize,
    last: bool,
    evidence: Vec<Value>,
}

impl Stepped {
    /// The request that was approved.
    #[must_use]
    pub const fn request(&self) -> &RequestId {
        &self.request
    }

    /// Its number in the text, from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Whether no other comes after it that needs an approval.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.last
    }

    /// What the client reads.
    #[must_use]
    pub fn notice(&self) -> String {
        let Self { request, number, of, .. } = self;
        format!("statement {number} of {of} under request {request}")
    }

    /// What the log keeps of it: which statement it is, and under which approvals it runs.
    #[must_use]
    pub fn told(&self) -> Value {
        json!({ "number": self.number, "of": self.of, "approvals": self.evidence })
    }
}

/// A statement that somebody sends, whose turn it is.
pub struct Attempt<'a> {
    /// The request.
    pub request: &'a RequestId,
    /// Its number in the text, from 1.
    pub number: u32,
    /// What it is now, all but its place in the text.
    pub now: Now,
    /// The question, as it stands now.
    pub asked: &'a Asked,
    /// The session.
    pub session: &'a SessionId,
}

/// What a statement is at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Whether a transaction is open.
    pub within: bool,
    /// [`Step::meaning`].
    pub meaning: Digest,
    /// [`Step::rests`].
    pub rests: Vec<(String, Digest)>,
}

impl Now {
    /// Why it is not what was approved.
    #[must_use]
    pub fn differs(&self, step: &Step) -> Option<String> {
        if self.within != (step.block > 0) {
            let (asked, now) = ("in the transaction that the text begins", "outside a transaction");
            let (asked, now) = if step.block > 0 { (asked, now) } else { (now, "in a transaction") };
            return Some(format!("it was asked for {asked}, and comes {now}"));
        }
        if self.meaning != step.meaning {
            return Some("a setting, the login, or what it does is not what it was when it was asked for".to_owned());
        }
        let same = |object: &(String, Digest)| self.rests.contains(object);
        let other = step.rests.iter().find(|object| !same(object)).map(|(object, _)| object);
        if other.is_some() || self.rests.len() != step.rests.len() {
            let object = other.map_or("something that it touches", String::as_str);
            return Some(format!("{object} is not what it was when it was asked for"));
        }
        None
    }
}

/// Why a statement was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is not what was approved; nothing has changed.
    Other(String),
    /// The request is over.
    Void(String),
    /// The state or the log can't say.
    Unavailable(String),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Takes a statement whose turn it is, if all of it is as it was when its approvers looked.
///
/// # Errors
/// Why it does not run.
pub async fn take(gateway: &Gateway, attempt: &Attempt<'_>) -> Result<Stepped, NotTaken> {
    let now = Utc::now();
    let id = attempt.request;
    let request = gateway.store.request(id).await?;
    let request = request.ok_or_else(|| NotTaken::Void(format!("request {id} is not known")))?;
    if request.state != State::Approved {
        return Err(NotTaken::Void(over(&request)));
    }
    let steps = &request.new.steps;
    let at = usize::try_from(attempt.number).ok().and_then(|number| number.checked_sub(1));
    let step = at.and_then(|at| steps.get(at)).ok_or_else(|| NotTaken::Other("it has no such statement".to_owned()))?;
    if let Some(why) = attempt.now.differs(step) {
        return Err(NotTaken::Other(why));
    }
    if let Err(why) = still_stands(gateway, &request, attempt.asked, now).await? {
        void(gateway, &request, &why).await?;
        return Err(NotTaken::Void(why));
    }
    let last = !(1_u32..).zip(steps).any(|(number, step)| step.needed && number > attempt.number);
    let stepped =
        Stepped { request: id.clone(), number: attempt.number, of: steps.len(), last, evidence: evidence(&request) };
    let unavailable = |down: crate::log::LogDown| NotTaken::Unavailable(down.to_string());
    let mut released = entry(Kind::Released, &request);
    released.session = Some(attempt.session.clone());
    released.detail = json!({ "digest": request.new.digest.to_string(), "step": stepped.told() });
    gateway.log.append_durably(&released).await.map_err(unavailable)?;
    if gateway.store.take_step(id, attempt.number, now, attempt.session).await? {
        gateway.holds.ring(id);
        return Ok(stepped);
    }
    // The log says `released`, so it must also say that nothing came of it.
    let why = "it was ended at the last moment, or another session sends it".to_owned();
    let mut ended = entry(Kind::HoldEnded, &request);
    ended.outcome = Some(format!("statement {}: {why}", attempt.number));
    gateway.log.append_durably(&ended).await.map_err(unavailable)?;
    Err(NotTaken::Void(why))
}

/// How a request came to be over, in a sentence.
#[must_use]
pub fn over(request: &Request) -> String {
    let outcome = request.outcome.clone().unwrap_or_default();
    let by = outcome.by.map(|by| format!(" by {by}")).unwrap_or_default();
    let why = outcome.reason.map(|why| format!(": {why}")).unwrap_or_default();
    format!("it is {}{by}{why}", request.state)
}

/// Whether everything but the statement itself is as it was when the approvers looked.
async fn still_stands(
    gateway: &Gateway,
    request: &Request,
    asked: &Asked,
    now: chrono::DateTime<Utc>,
) -> Result<Result<(), String>, StoreError> {
    let no = |why: &str| Ok(Err(why.to_owned()));
    if now >= request.new.expires_at {
        return no("its time ran out before all of it had run");
    }
    if digest(&request.new.sql, &request.new.steps) != request.new.digest {
        return no("what is kept of it is not what was approved");
    }
    let was = &request.new.asked;
    if was.asker.human != asked.asker.human || was.connection != asked.connection {
        return no("somebody else asks now than when it was approved");
    }
    let counted = countersigners(gateway, request, now).await?;
    let known = gateway.store.people().await?;
    let policies = gateway.policies();
    // What approves the whole list approves each of it; and each is asked as it stands now.
    let (whole, _) = decide_by(&policies, was, &counted, &known, now);
    let (decision, by) = decide_by(&policies, asked, &counted, &known, now);
    policies.permissions().mark(&by);
    Ok(match (decision, whole) {
        (Decision::Allow, Decision::Allow) => Ok(()),
        (Decision::Deny(denial), _) | (_, Decision::Deny(denial)) => {
            Err(denial.message.unwrap_or_else(|| "policy no longer permits it, approved or not".to_owned()))
        }
        _ => Err("its approvals no longer suffice: an approver or the policy has changed".to_owned()),
    })
}

/// Ends the rest; whether there was any.
///
/// # Errors
/// Where the state can't say.
pub async fn void(gateway: &Gateway, request: &Request, why: &str) -> Result<bool, StoreError> {
    let id = &request.new.id;
    let outcome = Outcome { reason: Some(why.to_owned()), ..Outcome::default() };
    if !gateway.store.move_request(id, &[State::Approved], State::Void, Some(&outcome)).await? {
        return Ok(false);
    }
    tell(gateway, request, why);
    gateway.holds.ring(id);
    Ok(true)
}

fn tell(gateway: &Gateway, request: &Request, why: &str) {
    let mut ended = entry(Kind::HoldEnded, request);
    ended.session = request.taken.first().map(|taken| taken.session.clone());
    ended.outcome = Some(format!("void: {why}"));
    if let Err(down) = gateway.log.append(&ended) {
        tracing::error!(%down, request = %request.new.id, "the end of a request is not in the log");
    }
}

/// Ends the rest of a request, in a session that goes on or ends.
pub async fn leave(gateway: &Gateway, id: &RequestId, why: &str) {
    let ended = match gateway.store.request(id).await {
        Ok(Some(request)) if request.state == State::Approved => void(gateway, &request, why).await.map(drop),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        // No other session goes on with it, and it ends with its time.
        tracing::error!(request = %id, %error, "the end of a request could not be written down");
    }
}

/// Writes down what came of a statement. Where it did not run, so ends the rest.
pub async fn ended(gateway: &Gateway, id: &RequestId, number: u32, end: &End, milliseconds: u64) {
    let line = StepEnd { outcome: end.line().into_owned(), ran: matches!(end, End::Completed(_)) };
    match gateway.store.end_step(id, number, &line, !matches!(end, End::Lost), milliseconds).await {
        Ok(Some(State::Void)) => {
            if let Ok(Some(request)) = gateway.store.request(id).await {
                tell(gateway, &request, &format!("statement {number} did not run"));
            }
        }
        Ok(_) => {}
        Err(error) => {
            tracing::error!(request = %id, number, %error, "what came of a statement could not be written down")
        }
    }
    gateway.holds.ring(id);
}

#[cfg(test)]
mod tests {
    use countersign_shared::digest::of_bytes;

    use super::*;

    #[test]
    fn what_is_not_what_was_approved_is_told_apart() {
        let rests = vec![("public.orders".to_owned(), of_bytes(b"orders"))];
        let step = Step {
            before: String::new(),
            after: String::new(),
            text: of_bytes(b"text"),
            block: 0,
            needed: true,
            meaning: of_bytes(b"meaning"),
            rests: rests.clone(),
            does: Vec::new(),
        };
        let now = Now { within: false, meaning: step.meaning, rests };
        assert_eq!(now.differs(&step), None);
        let other = vec![("public.orders".to_owned(), of_bytes(b"others"))];
        let more = [now.rests.clone(), other.clone()].concat();
        for (case, now, says) in [
            ("a transaction", Now { within: true, ..now.clone() }, "comes in a transaction"),
            ("what it means", Now { meaning: of_bytes(b"x"), ..now.clone() }, "what it does"),
            ("a definition", Now { rests: other, ..now.clone() }, "public.orders is not"),
            ("one more object", Now { rests: more, ..now.clone() }, "is not what it was"),
            ("one less", Now { rests: Vec::new(), ..now.clone() }, "public.orders is not"),
        ] {
            assert!(now.differs(&step).is_some_and(|why| why.contains(says)), "{case}");
        }
    }
}
