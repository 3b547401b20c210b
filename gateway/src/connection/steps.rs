//! A text that was approved statement by statement, in the session that sends it: whose turn it is, whether it is still
//! what was approved, and what ends the rest.
//!
//! What was approved is that each runs on what those before it left. So the rest ends where one of them fails or is undone,
//! and with the session.

use countersign_shared::{api::Impact, ids::RequestId, request::State};

use super::{
    each::BIG,
    session::{Ended, Session},
};
use crate::{
    approval::steps::{self, Attempt, NotTaken, over},
    config::Mode,
    refusal::{NotAStep, Refusal, notice},
    statement::{
        assemble::Request,
        classify::{TransactionMove, off_thread},
        decide::{Asked, Decision},
        hold::{Permit, stepped},
        steps::{Next, Piece, Step, next, sent},
        understood::Understood,
    },
    store::{self, RequestFilter},
};

/// What a session has begun to send.
#[derive(Debug)]
pub struct Begun {
    request: RequestId,
    /// Which have been sent. The state counts them too; a row more or less there must not skip one.
    taken: Vec<u32>,
    /// In which of the transactions that the text begins the last of these stands; see [`Step::block`].
    block: u32,
    /// How many are still to come there.
    left: usize,
    /// One of its statements ran in what is open: a transaction, or a group of messages.
    open: bool,
    /// Why the rest does not run.
    over: Option<String>,
    /// The state has been told.
    told: bool,
    /// The last has been sent.
    sent: bool,
}

impl Session {
    /// A statement whose turn it is in a text that was approved; nothing where it is no such statement, and what policy
    /// says counts.
    pub(super) async fn by_step(&mut self, request: &Request) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        if self.connection.mode != Mode::Enforce || self.is_reviewed() || !could_be(request) {
            return Ok(None);
        }
        // Nobody was asked to reveal anything by it.
        if !self.masks.revealing.is_empty() {
            return Ok(None);
        }
        // A failed transaction runs nothing, and the server says so. What is on its way comes first.
        if self.status == b'E' && !self.moved || !self.replies.is_quiet() {
            return Ok(None);
        }
        let begun = self.steps.as_ref().map(|begun| begun.request.clone());
        if begun.is_none() {
            // Until something happens to any request, nothing was approved meanwhile.
            let rung = *self.gateway.store.event_bell().borrow();
            if self.no_steps_at == Some(rung) {
                return Ok(None);
            }
            match self.gateway.store.has_steps(&self.asker.human.principal).await {
                Ok(true) => {}
                Ok(false) => {
                    self.no_steps_at = Some(rung);
                    return Ok(None);
                }
                Err(error) => {
                    tracing::error!(%error, "the state can't say whether this was approved");
                    return Ok(None);
                }
            }
        }
        let Some(sent) = Box::pin(read(&request.sql)).await else { return Ok(None) };
        match begun {
            Some(id) => self.goes_on(request, &sent, &id).await,
            None => self.begins(request, &sent).await,
        }
    }

    /// The next of what this session has begun.
    async fn goes_on(
        &mut self,
        request: &Request,
        sent: &Piece,
        id: &RequestId,
    ) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        let known = match self.gateway.store.request(id).await {
            Ok(Some(known)) => known,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(Err(unavailable(&error)))),
        };
        let is_one = known.new.steps.iter().any(|step| step.needed && step.is(sent));
        if !is_one {
            return Ok(None);
        }
        let ended = self.steps.as_ref().and_then(|begun| begun.over.clone());
        let why = match known.state {
            State::Approved => ended,
            // All were sent, and what they did may have been undone.
            State::Released | State::Done | State::Unknown => ended.or_else(|| Some(over(&known))),
            _ => Some(over(&known)),
        };
        if let Some(why) = why {
            return Ok(Some(Err(Refusal::Step(NotAStep::Over { request: id.clone(), why }))));
        }
        let taken = self.steps.as_ref().map(|begun| begun.taken.clone()).unwrap_or_default();
        match next(&known.new.steps, &taken, sent) {
            Next::Due(number) => match self.take_step(request, sent, &known, number).await? {
                Ok(permit) => Ok(Some(Ok(permit))),
                Err(refusal) => Ok(Some(Err(refusal))),
            },
            Next::Not { number, due } => {
                Ok(Some(Err(Refusal::Step(NotAStep::Turn { request: id.clone(), number, due }))))
            }
            Next::Other => Ok(None),
        }
    }

    /// The first of something that nobody has begun. What does not fit is a statement like any other; its client reads
    /// why.
    async fn begins(&mut self, request: &Request, sent: &Piece) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        let filter = RequestFilter {
            states: vec![State::Approved],
            principal: Some(self.asker.human.principal.clone()),
            limit: super::retry::MOST,
        };
        let mut open = match self.gateway.store.requests(&filter).await {
            Ok(open) => open,
            Err(error) => return Ok(Some(Err(unavailable(&error)))),
        };
        let now = chrono::Utc::now();
        open.retain(|known| {
            !known.new.steps.is_empty()
                && known.taken.is_empty()
                && known.new.asked.connection == self.connection.name
                && known.new.asked.asker.human == self.asker.human
                && known.new.expires_at > now
        });
        // The oldest first.
        for known in open.into_iter().rev() {
            match next(&known.new.steps, &[], sent) {
                Next::Due(number) => match self.take_step(request, sent, &known, number).await? {
                    Ok(permit) => return Ok(Some(Ok(permit))),
                    Err(refusal) => self.pipe.client.send(&notice(&refusal.line(), None)),
                },
                Next::Not { number, due } => {
                    let turn = Refusal::Step(NotAStep::Turn { request: known.new.id.clone(), number, due });
                    self.pipe.client.send(&notice(&turn.line(), None));
                }
                Next::Other => {}
            }
        }
        Ok(None)
    }

    /// Takes a statement whose turn it is, if it is what was approved.
    async fn take_step(
        &mut self,
        request: &Request,
        sent: &Piece,
        known: &store::Request,
        number: u32,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        let id = known.new.id.clone();
        let other = |why: String| Ok(Err(Refusal::Step(NotAStep::Other { request: id.clone(), number, why })));
        let Some(step) = step(known, number) else { return other("it has no such statement".to_owned()) };
        // What stands in one transaction runs in one, and what stands in two in two.
        if let Some(begun) = &self.steps
            && (begun.open && self.status == b'T' || step.block == begun.block && step.block > 0)
            && (step.block, true) != (begun.block, begun.open)
        {
            return other("it was asked for in another transaction than this".to_owned());
        }
        self.doubts_names();
        if !self.ask_catalog().await {
            let message = "the database's catalog can't be read, so nobody can say what this statement is".to_owned();
            return Ok(Err(Refusal::Unavailable { message }));
        }
        let text = self.analyse(&request.sql, None).await?;
        let counted = Box::pin(self.count_rows(request)).await;
        drop(counted);
        self.find_template(request);
        // Of a group that has not ended, nobody can ask the server what its statements have changed.
        if self.dirty || self.moved {
            return other(
                "what was sent before it in the same group may change what it means; end that first (Sync)".into(),
            );
        }
        if let Some(why) = self.rests_on_this_session(&request.sql, &text) {
            return other(why);
        }
        if step.block > 0 && self.status == b'T' && !self.is_as_begun_plainly().await? {
            return other("its transaction has another isolation level than BEGIN alone gives".to_owned());
        }
        let now = self.as_a_step(&sent.text, &text, self.status != b'I');
        let asked = self.asked(&text);
        // What it was asked for with is what its approvers read.
        let asked = Asked { reason: asked.reason.clone().or_else(|| known.new.asked.reason.clone()), ..asked };
        let rests = self.rests_on_grants(&asked).await;
        let strict = match self.decision(&asked).await {
            Ok(decision) => self.rests_on_rows(&asked, &decision).await,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let attempt = Attempt { request: &id, number, now, asked: &asked, session: &self.id };
        let taken = match steps::take(&self.gateway, &attempt).await {
            Ok(taken) => taken,
            Err(NotTaken::Other(why)) => return other(why),
            Err(NotTaken::Void(why)) => return Ok(Err(Refusal::Step(NotAStep::Over { request: id, why }))),
            Err(NotTaken::Unavailable(why)) => return Ok(Err(unavailable(&why))),
        };
        if rests {
            self.place.rests_on(&self.asker.roles);
        }
        let last = taken.is_last();
        let mut numbers = self.steps.take().map(|begun| begun.taken).unwrap_or_default();
        numbers.push(number);
        let (block, later) = (step.block, usize::try_from(number).unwrap_or(usize::MAX));
        let rest = known.new.steps.iter().skip(later);
        let left = rest.filter(|step| step.needed && step.block == block && block > 0).count();
        let (over, told) = (None, last);
        let begun = Begun { request: id, taken: numbers, block, left, open: true, over, told, sent: last };
        self.steps = Some(Box::new(begun));
        self.pipe.client.send(&notice(&taken.notice(), None));
        let guard = self.guard_as_stated(request, stated(known, number), strict);
        Ok(Ok(stepped(taken).guarded(guard)))
    }

    /// Whether policy would say something else of it without the roles that grants give.
    async fn rests_on_grants(&self, asked: &Asked) -> bool {
        match self.decision(asked).await {
            Ok(decision @ Decision::Hold(_)) => self.would_differ_without_roles(asked, &decision).await,
            _ => !self.asker.roles.is_empty(),
        }
    }

    /// Whether the open transaction is one that a plain BEGIN begins.
    async fn is_as_begun_plainly(&mut self) -> Result<bool, Ended> {
        const SAME: &str = "SELECT pg_catalog.current_setting('transaction_isolation') = \
                            pg_catalog.current_setting('default_transaction_isolation')";
        let rows = self.own_beside(SAME).await?;
        let said = rows.ok().and_then(|mut rows| rows.pop()?.into_iter().next()?);
        Ok(said.as_deref() == Some("t"))
    }

    /// Why a text must not run: it would keep a part of what was approved to stay or go as a whole.
    pub(super) fn against_half(&self, text: &Understood) -> Option<Refusal> {
        let begun = self.steps.as_ref().filter(|begun| begun.open && begun.left > 0 && self.status == b'T')?;
        let commits = text.statements.iter().any(|statement| statement.transaction == TransactionMove::Commit);
        let (request, left) = (begun.request.clone(), begun.left);
        commits.then_some(Refusal::Step(NotAStep::Half { request, left }))
    }

    /// A text goes to the server: what it undoes, was not to be undone.
    pub(super) fn steps_meet(&mut self, text: &Understood) {
        let status = self.status;
        let Some(begun) = self.steps.as_mut().filter(|begun| begun.open) else { return };
        let undoes = text.statements.iter().any(|statement| match statement.transaction {
            TransactionMove::Rollback => true,
            // Of a failed transaction the server makes a ROLLBACK; of PREPARE TRANSACTION nobody knows what comes.
            TransactionMove::Commit => status == b'E' || statement.effects.len() > 1,
            _ => false,
        });
        if undoes {
            begun.ends("what it did was rolled back");
        }
    }

    /// The server, or the gateway in its place, said no in what is open.
    pub(super) fn steps_fail(&mut self) {
        if let Some(begun) = self.steps.as_mut().filter(|begun| begun.open) {
            begun.ends("an error undid what it did, or ended its transaction");
        }
    }

    /// What was open is over, and stays.
    pub(super) fn steps_settle(&mut self) {
        if let Some(begun) = &mut self.steps {
            begun.open = false;
            if begun.sent && begun.over.is_none() {
                self.steps = None;
            }
        }
    }

    /// Tells the state what has ended, where that is not told.
    pub(super) async fn tell_steps(&mut self) {
        let Some(begun) = self.steps.as_mut().filter(|begun| !begun.told) else { return };
        let Some(why) = begun.over.clone() else { return };
        begun.told = true;
        let id = begun.request.clone();
        steps::leave(&self.gateway, &id, &why).await;
    }

    /// Whether there is something to tell.
    pub(super) fn steps_are_over(&self) -> bool {
        self.steps.as_ref().is_some_and(|begun| begun.over.is_some() && !begun.told)
    }

    /// The session ends, and the rest with it.
    pub(super) async fn leave_steps(&mut self) {
        if let Some(begun) = &mut self.steps {
            begun.ends("its session ended before all of it had run");
        }
        self.tell_steps().await;
    }
}

impl Begun {
    fn ends(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
    }
}

/// The statement that somebody sends. A big one is read off the threads that carry sessions.
async fn read(sql: &str) -> Option<Piece> {
    if sql.len() < BIG {
        return sent(sql);
    }
    let sql = sql.to_owned();
    off_thread(move || sent(&sql)).await?
}

/// Whether a statement is of a kind that is sent one by one.
fn could_be(request: &Request) -> bool {
    request.analysis.statements.len() == 1 && request.parameters.is_empty() && request.limit == 0
}

fn step(known: &store::Request, number: u32) -> Option<&Step> {
    known.new.steps.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// What the card stated of one statement, as of a text of its own.
fn stated(known: &store::Request, number: u32) -> Vec<Impact> {
    let of = |impact: &&Impact| u32::try_from(impact.statement).is_ok_and(|at| at + 1 == number);
    known.new.impact.iter().filter(of).map(|impact| Impact { statement: 0, ..impact.clone() }).collect()
}

fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "the state can't say whether a statement was approved");
    Refusal::Unavailable { message: "the gateway can't check this statement now".to_owned() }
}
