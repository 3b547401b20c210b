//! A held statement: the client waits, and anything that ends the hold refuses it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::Utc;

use super::{
    cancel::Arm,
    extended::Portal,
    park::Parked,
    session::{Ended, Session, unavailable},
};
use crate::{
    config::OnHold,
    impact::{self, Around, Questions},
    metrics::StatementDecision,
    refusal::{Farewell, Refusal, notice},
    runtime::ParkWish,
    sessions::Doing,
    statement::{
        assemble::{Request, Surroundings},
        classify::{Statement, TransactionMove},
        counting::{Part, parts},
        decide::{Asked, Decision, SqlFacts, decide, explain::rules_behind},
        effect::{Action, Effect, Object},
        guard::{Guard, Measured, Tolerance, Touched},
        hold::{Glass, Held, Judged, Look, Permit, Quit, Wish, break_glass, judge, question},
        locks,
        steps::Step,
        understood::Understood,
    },
};
use countersign_shared::{
    api::{Impact, Needed},
    digest::Digest,
    impact::NO_WHERE,
};

/// So long the statements of a list are counted, all of them together.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);
/// So long a card waits for news of the catalog, which is milliseconds where there is any.
const CATALOG_WITHIN: Duration = Duration::from_secs(1);
/// No row more than was counted.
const NONE: Tolerance = Tolerance { rows: 0, percent: 0 };

/// What people read of a statement before they decide, and what it may touch.
pub(super) struct Wished {
    pub impact: Vec<Impact>,
    pub notes: Vec<String>,
    pub guard: Option<Guard>,
}

/// What a session waits with.
#[derive(Clone, Copy)]
pub(super) enum Waits<'a> {
    /// A statement that has not run.
    Statement { request: &'a Request, asked: &'a Asked },
    /// The COMMIT of what has run, in these words, with what it did to rows.
    Commit { sql: &'a str, touched: &'a Touched },
}

/// Why the wait is interrupted.
enum Rung {
    Look,
    Asked,
    Park(ParkWish),
    Withdrawn,
    Moved(Result<(), Ended>),
}

impl Session {
    /// Holds a statement until it is released or refused.
    pub(super) async fn hold(
        &mut self,
        request: &Request,
        asked: Asked,
        needed: Needed,
        rules: Vec<String>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        if let Some(passed) = Box::pin(self.by_allowance(request, &asked)).await? {
            return Ok(passed);
        }
        if self.connection.on_hold == OnHold::Retry {
            return Box::pin(self.hold_for_retry(request, asked, needed, rules)).await;
        }
        if let Some(passed) = Box::pin(self.approved_ahead(request, &asked)).await? {
            return Ok(passed);
        }
        // What is shown is as of now, and what is compared at its release likewise. Where nobody can say, it is opaque.
        self.doubts_names();
        tokio::time::timeout(CATALOG_WITHIN, self.ask_catalog()).await.ok();
        let rows = self.rows;
        let now = Box::pin(self.analyse(&request.sql, None)).await?;
        self.knows_again(rows, request);
        let (mut asked, mut needed, mut rules, mut request) = (asked, needed, rules, request);
        let as_now;
        if now.effects != request.analysis.effects {
            // Somebody changed what it means since it was looked at: what it is by now is asked about.
            asked = self.strictest(&now);
            match self.decision(&asked).await {
                Ok(Decision::Hold(now)) if !now.at_commit && self.connection.classify.is_empty() => needed = now,
                // What was opaque while nobody could look is no more.
                Ok(Decision::Allow)
                    if request.analysis.is_opaque && self.allowed(&now) && self.connection.classify.is_empty() =>
                {
                    self.runs_by_policy(&asked);
                    if let Judged::Pass(permit) =
                        judge(self.connection.mode, Decision::Allow, &now, &self.connection.name)
                    {
                        return Ok(Ok(permit));
                    }
                    return Err(unavailable(&"what is allowed does not pass"));
                }
                _ => {
                    let message = "what this statement's names mean has changed meanwhile; send it again".to_owned();
                    return Ok(Err(Refusal::Unavailable { message }));
                }
            }
            let decision = Decision::Hold(needed.clone());
            rules = rules_behind(&self.gateway.policies(), &asked, &decision, Utc::now());
            // Whoever forwards it knows what it was; what it is by now counts as well.
            self.runs_text(&now);
            as_now = request.understood_as(&now);
            request = &as_now;
        }
        let digest = self.digest(&request.understood_as(&now), &asked);
        let arm = self.withdraw.arm();
        let Wished { impact, notes, guard } = match Box::pin(self.wished(request, &asked, &needed, &rules)).await? {
            Ok(wished) => wished,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let allowable = self.allowable(request, &asked, &needed);
        let wish = Wish {
            allowable,
            request,
            asked: &asked,
            digest,
            session: Some(&self.id),
            needed,
            rules,
            notes,
            impact,
            timeout: self.hold_timeout(),
            steps: Vec::new(),
        };
        let held = match Box::pin(Held::open(&self.gateway, &self.header, wish)).await {
            Ok(held) => held,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let permit = self.wait(&held, &arm, Waits::Statement { request, asked: &asked }).await?;
        Ok(permit.map(|permit| self.guarded_run(permit, guard, request)))
    }

    /// Waits until a hold is released or refused.
    pub(super) async fn wait(
        &mut self,
        held: &Held,
        arm: &Arm,
        waits: Waits<'_>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        self.place.is(Doing::Held);
        self.gateway.metrics.statement(&self.connection.name, StatementDecision::Hold);
        let slack = self.gateway.config.slack.as_ref();
        let channel = self.connection.channel.clone().or_else(|| slack.map(|slack| slack.channel.clone()));
        let place = channel.map(|id| self.gateway.channels.called(&id));
        self.pipe.client.send(&notice(&held.notice(place.as_deref()), None));
        let deadline = (held.expires_at - Utc::now()).to_std().unwrap_or_default();
        let deadline = tokio::time::Instant::now() + deadline;
        let (mut told, mut asked_of) = (0, 0);
        loop {
            let rung = tokio::select! {
                biased;
                () = arm.rung() => Rung::Withdrawn,
                () = held.rung() => Rung::Look,
                () = held.asked() => Rung::Asked,
                wish = held.park_wished() => Rung::Park(wish),
                () = tokio::time::sleep_until(deadline) => {
                    return Box::pin(self.quit(held, Quit::Expired)).await;
                }
                moved = self.pump() => Rung::Moved(moved),
            };
            match rung {
                Rung::Withdrawn => return Box::pin(self.quit(held, Quit::Withdrawn("withdrawn with Ctrl-C"))).await,
                Rung::Look => {
                    let (asked, digest) = match Box::pin(self.as_it_stands(&waits)).await {
                        Ok(Ok(now)) => now,
                        Ok(Err(why)) => return Box::pin(self.quit(held, Quit::Void(why))).await,
                        Err(ended) => {
                            let why = "the database could not be asked whether all is as it was".to_owned();
                            Box::pin(held.quit(&self.gateway, &self.header, Quit::Void(why))).await;
                            return Err(ended);
                        }
                    };
                    match Box::pin(held.look(&self.gateway, &self.header, digest, &asked)).await {
                        Look::Waiting(by) => {
                            for (at, one) in by.iter().enumerate().skip(told) {
                                self.pipe.client.send(&notice(&held.news(one, at + 1), None));
                            }
                            told = told.max(by.len());
                        }
                        Look::Pass(permit) => return Ok(Ok(permit)),
                        Look::No(refusal) => return Ok(Err(refusal)),
                    }
                }
                Rung::Park(ParkWish { by, answer }) => {
                    let Waits::Statement { request, asked } = waits else {
                        let why = "what it asks about has run in a transaction, which ends with its session";
                        answer.send(Err(why.to_owned())).ok();
                        continue;
                    };
                    // Whoever asked may have gone; then nobody hears of it but the client.
                    match Box::pin(self.park(request, asked, held, &by)).await {
                        Ok(Parked::As(id, refusal)) => {
                            answer.send(Ok(id)).ok();
                            return Ok(Err(refusal));
                        }
                        Ok(Parked::Lost(refusal)) => {
                            answer
                                .send(Err("it ended, and could not be asked for anew; send it again".to_owned()))
                                .ok();
                            return Ok(Err(refusal));
                        }
                        Ok(Parked::Not(why)) => drop(answer.send(Err(why))),
                        Err(ended) => {
                            let why = "the database could not be asked whether all is as it was".to_owned();
                            Box::pin(held.quit(&self.gateway, &self.header, Quit::Void(why))).await;
                            return Err(ended);
                        }
                    }
                }
                Rung::Asked => match self.gateway.store.questions(&held.id).await {
                    Ok(questions) => {
                        for one in questions.iter().skip(asked_of) {
                            self.pipe.client.send(&notice(&question(&held.id, one), None));
                        }
                        asked_of = asked_of.max(questions.len());
                    }
                    // The thread of the card has it all the same.
                    Err(error) => tracing::warn!(request = %held.id, %error, "a question did not reach its session"),
                },
                Rung::Moved(Ok(())) => {
                    if self.pipe.client.closed || self.pipe.client.input.first() == Some(&b'X') {
                        Box::pin(held.quit(&self.gateway, &self.header, Quit::Withdrawn("the client closed"))).await;
                        return Err(Ended::Quiet);
                    }
                }
                Rung::Moved(Err(ended)) => {
                    let why = match &ended {
                        Ended::With(Farewell::Ended { reason }) => reason.clone(),
                        Ended::With(Farewell::Upstream) => "the database closed the session".to_owned(),
                        _ => "the session ended".to_owned(),
                    };
                    Box::pin(held.quit(&self.gateway, &self.header, Quit::Void(why))).await;
                    return Err(ended);
                }
            }
        }
    }

    /// Names are asked for anew, whatever they are thought to be: before somebody is asked what they decide by, and before
    /// what they decided counts. Not where that would end an unnamed statement or portal that the server has.
    pub(super) fn doubts_names(&mut self) {
        let unnamed =
            self.prepared.get("").is_some_and(|prepared| prepared.sent) || self.portals.values().any(Portal::is_sent);
        self.dirty |= self.status != b'E' && self.replies.is_quiet() && !self.unsynced && !unnamed;
    }

    /// The question and the digest as they stand now, under the catalog of now; or why nobody can say.
    async fn as_it_stands(&mut self, waits: &Waits<'_>) -> Result<Result<(Asked, Digest), String>, Ended> {
        match *waits {
            Waits::Statement { request, .. } => {
                self.doubts_names();
                if !Box::pin(self.ask_catalog()).await {
                    let why = "the database's catalog can't be read, so nobody can say whether all is as it was";
                    return Ok(Err(why.to_owned()));
                }
                let rows = self.rows;
                let analysis = Box::pin(self.analyse(&request.sql, None)).await?;
                self.knows_again(rows, request);
                let asked = self.asked(&analysis);
                let digest = self.digest(&request.understood_as(&analysis), &asked);
                Ok(Ok((asked, digest)))
            }
            Waits::Commit { sql, touched } => {
                // It has run, and what it meant then is what it did. Who may keep it can change.
                self.keep_roles();
                Ok(self.commit_as_it_stands(sql, touched).ok_or_else(|| "its transaction is over".to_owned()))
            }
        }
    }

    /// Whether the reason in `countersign.break_glass` would let a statement pass, which is only described yet.
    pub(super) async fn glass_would_do(&self, asked: &Asked) -> bool {
        let Some(reason) = self.own.get("break_glass").filter(|reason| is_readable(reason)) else { return false };
        let asked = Asked { break_glass: true, reason: Some(reason.clone()), ..asked.clone() };
        self.decision(&asked).await == Ok(Decision::Allow)
    }

    /// A statement that policy lets pass at once for the reason in `countersign.break_glass`; nothing where it
    /// does not, or none is set. Either way the reason is used up.
    pub(super) async fn by_break_glass(
        &mut self,
        request: &Request,
        asked: &Asked,
        decision: &Decision,
        counted: Option<Guard>,
    ) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        let Some(reason) = self.own.remove("break_glass") else { return Ok(None) };
        let hint = Some("SET countersign.break_glass = 'why' counts for one statement.");
        if !is_readable(&reason) {
            self.pipe.client.send(&notice("break-glass wants a reason that people can read", hint));
            return Ok(None);
        }
        if request.analysis.statements.len() > 1 {
            self.pipe.client.send(&notice("break-glass counts for one statement, and this text has several", hint));
            return Ok(None);
        }
        let asked = Asked { break_glass: true, reason: Some(reason), ..asked.clone() };
        if self.decision(&asked).await != Ok(Decision::Allow) {
            let told = "policy does not let this statement pass by break-glass";
            self.pipe.client.send(&notice(told, hint));
            return Ok(None);
        }
        let needed = match decision {
            Decision::Hold(needed) => needed.clone(),
            _ => Needed::default(),
        };
        // What passes by its number is held to it.
        let guard = if self.rests_on_rows(&asked, &Decision::Allow).await { counted } else { None };
        let rules = rules_behind(&self.gateway.policies(), &asked, &Decision::Allow, Utc::now());
        let notes = request.analysis.statements.iter().flat_map(|s| s.notes.iter().cloned()).collect();
        let mut notes = with_risks(notes, request, true);
        notes.extend(self.what_executes(request));
        let glass = Glass { digest: self.digest(request, &asked), needed, rules, notes };
        self.runs_by_policy(&asked);
        let passed = break_glass(&self.gateway, &self.header, request, &asked, glass).await;
        Ok(Some(passed.map(|(permit, id)| {
            let told = format!("break-glass: this runs now, and request {id} asks another person to review it");
            self.pipe.client.send(&notice(&told, None));
            permit.guarded(guard)
        })))
    }

    /// Counts the rows that a write would touch, where policy asks; `self.rows` has them from then on. The answer
    /// holds the statement to that number. Nothing where policy does not ask, or nobody can count.
    pub(super) async fn count_rows(&mut self, request: &Request) -> Option<Guard> {
        self.rows = None;
        if !self.counts_rows(&request.analysis) || request.sql.len() > impact::LONGEST {
            return None;
        }
        // What comes as late as the client's COMMIT can't be held to a number.
        if (self.status != b'I' || self.moved || request.analysis.moves_transaction) && self.puts_off(&request.analysis)
        {
            return None;
        }
        let parts = parts(&request.sql);
        let mut measured = self.impact(request, &parts).await;
        // What runs is held to what was counted just now.
        let guard = Guard::of(&parts, &mut measured, NONE)?.strict();
        if mixed(&guard, request).is_some() {
            return None;
        }
        let writes = |(at, statement): (usize, &Statement)| {
            let group = |effect: &Effect| effect.action.group() == Some("write");
            !statement.effects.iter().any(group) || measured.iter().any(|one| one.statement == at)
        };
        if !request.analysis.statements.iter().enumerate().all(writes) {
            return None;
        }
        let rows = |one: &Measured| one.impact.rows.filter(|_| one.impact.counted);
        let rows = measured.iter().map(rows).try_fold(0_u64, |sum, rows| Some(sum.saturating_add(rows?)));
        self.rows = rows;
        rows.map(|_| guard)
    }

    /// What people will read of a statement, and what it may touch.
    pub(super) async fn wished(
        &mut self,
        request: &Request,
        asked: &Asked,
        needed: &Needed,
        rules: &[String],
    ) -> Result<Result<Wished, Refusal>, Ended> {
        let notes = request.analysis.statements.iter().flat_map(|s| s.notes.iter().cloned()).collect::<Vec<_>>();
        let mut notes = with_risks(notes, request, true);
        notes.extend(self.what_executes(request));
        // A longer text is not measured either.
        let parts = if request.sql.len() > impact::LONGEST { Vec::new() } else { parts(&request.sql) };
        let mut measured = self.impact(request, &parts).await;
        let strict = self.rests_on_rows(asked, &Decision::Hold(needed.clone())).await;
        let guard = self.guard(&parts, &mut measured, strict);
        if let Some(why) = guard.as_ref().and_then(|guard| mixed(guard, request)) {
            let refusal = Refusal::Mixed { why };
            self.record_denial(&request.sql, &refusal, rules).await?;
            return Ok(Err(refusal));
        }
        let impact = measured.into_iter().map(|one| one.impact).collect();
        if (self.status == b'T' || self.moved)
            && let Some(pid) = self.backend()
        {
            notes.extend(impact::transaction::of(&self.connection.upstream, pid).await);
        }
        Ok(Ok(Wished { impact, notes, guard }))
    }

    /// What people will read of a text whose statements are sent one by one. Each is held to its own numbers then.
    pub(super) async fn wished_each(&mut self, request: &Request, steps: &[Step], pieces: &[Request]) -> Wished {
        let notes = request.analysis.statements.iter().flat_map(|s| s.notes.iter().cloned()).collect::<Vec<_>>();
        let mut notes = with_risks(notes, request, false);
        let number = |(at, _): (usize, &Step)| (at + 1).to_string();
        let free: Vec<String> = steps.iter().enumerate().filter(|(_, step)| !step.needed).map(number).collect();
        if !free.is_empty() {
            let which = if free.len() == 1 { "Statement" } else { "Statements" };
            notes.insert(0, format!("{which} {} pass without an approval, whenever they come.", free.join(", ")));
        }
        notes.insert(0, format!("{} statements, sent one by one in this order; each runs once.", steps.len()));
        let (mut impact, mut uncounted) = (Vec::new(), Vec::new());
        let until = Instant::now() + COUNTED_WITHIN;
        let mut before = Changed::default();
        for (at, piece) in pieces.iter().enumerate() {
            let known = piece.sql.len() <= impact::LONGEST && Instant::now() < until && !before.meets(&piece.analysis);
            let parts = if known { parts(&piece.sql) } else { Vec::new() };
            before.takes(&piece.analysis);
            let mut measured = self.impact(piece, &parts).await;
            // What each may touch once it is sent.
            drop(self.guard(&parts, &mut measured, false));
            let writes = piece.analysis.effects.iter().filter(|effect| effect.action.group() == Some("write"));
            if parts.is_empty() && writes.clone().next().is_some() {
                uncounted.push((at + 1).to_string());
                impact.extend(writes.filter_map(|effect| not_counted(effect, at)));
            }
            impact.extend(measured.into_iter().map(|one| Impact { statement: at, ..one.impact }));
        }
        if !uncounted.is_empty() {
            notes.insert(0, format!("Not counted, and held to no number of rows: statement {}.", uncounted.join(", ")));
        }
        Wished { impact, notes, guard: None }
    }

    /// What EXECUTE runs, which its own text does not say. Where columns are classified, without its constants.
    pub(super) fn what_executes(&self, request: &Request) -> Vec<String> {
        let executes = request.analysis.statements.iter().flat_map(|statement| &statement.executes);
        let tell = |(name, text): &(String, String)| {
            let text = if self.connection.classify.is_empty() {
                text.clone()
            } else {
                pg_query::normalize(text).unwrap_or_else(|_| "a text that can't be shown here".to_owned())
            };
            format!("EXECUTE {name} runs: {text}")
        };
        executes.map(tell).collect()
    }

    /// Whether policy would say something else if it did not know how many rows a statement touches.
    pub(super) async fn rests_on_rows(&self, asked: &Asked, decision: &Decision) -> bool {
        if asked.sql.rows.is_none() {
            return false;
        }
        let without = Asked { sql: SqlFacts { rows: None, ..asked.sql.clone() }, ..asked.clone() };
        self.decision(&without).await.as_ref() != Ok(decision)
    }

    /// What was stated, as a bound. What policy permits for its number is held to that, without tolerance.
    pub(super) fn guard(&self, parts: &[Part], measured: &mut [Measured], strict: bool) -> Option<Guard> {
        if strict {
            Guard::of(parts, measured, NONE).map(Guard::strict)
        } else {
            Guard::of(parts, measured, self.connection.row_tolerance)
        }
    }

    /// A released statement with its bounds: what was stated, and what its approvers let a run touch.
    pub(super) fn guarded_run(&mut self, permit: Permit, stated: Option<Guard>, request: &Request) -> Permit {
        let Some(run) = permit.run() else { return permit.guarded(stated) };
        self.pipe.client.send(&notice(&run.notice(), None));
        let guard = match stated {
            Some(stated) => stated.and_capped(run.rows()),
            None => Guard::capped(&parts(&request.sql), run.rows()),
        };
        permit.guarded(Some(guard))
    }

    /// What the statement would do to rows, measured on another connection.
    async fn impact(&self, request: &Request, parts: &[Part]) -> Vec<Measured> {
        let around = Around {
            upstream: &self.connection.upstream,
            catalog: &self.catalog,
            names: &self.names,
            settings: &self.settings,
            hidden: self.hides(),
        };
        let policies = self.gateway.policies();
        let permitted =
            |text: &Understood| decide(&policies, &self.asked(text), &[], &[], Utc::now()) == Decision::Allow;
        let questions = Questions::about(request, parts, &around, permitted);
        questions.ask(request, &around).await
    }

    /// Why no other session sees what this one sees.
    pub(super) fn hides(&self) -> Option<&'static str> {
        if self.dirty || !self.catalog.is_known() {
            return Some("what its names mean is not certain");
        }
        let within = self.status != b'I' || self.moved;
        (within && (self.wrote || self.own_catalog.is_changed()))
            .then_some("the transaction has changes of its own, which nobody else can see or count")
    }

    async fn quit(&self, held: &Held, quit: Quit) -> Result<Result<Permit, Refusal>, Ended> {
        Ok(Err(held.quit(&self.gateway, &self.header, quit).await))
    }

    fn digest(&self, request: &Request, asked: &Asked) -> Digest {
        self.digest_within(self.id.as_str(), request, asked)
    }

    /// The same for what another session of the same principal may run.
    pub(super) fn digest_for_any_session(&self, request: &Request, asked: &Asked) -> Digest {
        self.digest_within("any", request, asked)
    }

    fn digest_within(&self, session: &str, request: &Request, asked: &Asked) -> Digest {
        request.digest(&Surroundings {
            session,
            principal: &self.asker.human.principal,
            login: &self.connection.upstream.user,
            database: (&self.connection.name, &self.connection.upstream.database),
            settings: &self.settings,
            // Whether one is open is not known where the client's own group moves it.
            transaction: if self.moved { b'?' } else { self.status },
            catalog: self.catalog.version_for(&asked.effects, request.analysis.runs_code),
        })
    }
}

/// Why the statements of a text can't be run one by one and still be what the text is.
fn mixed(guard: &Guard, request: &Request) -> Option<&'static str> {
    if guard.pieces.len() < 2 {
        return None;
    }
    if request.analysis.copies_in {
        return Some("it mixes COPY FROM STDIN with a write whose rows are counted");
    }
    let moves: Vec<TransactionMove> = request.analysis.statements.iter().map(|s| s.transaction).collect();
    let plain = |moves: &[TransactionMove]| moves.iter().all(|m| *m == TransactionMove::None);
    match moves.as_slice() {
        all if plain(all) => None,
        [TransactionMove::Begin, within @ .., TransactionMove::Commit] if plain(within) => None,
        [TransactionMove::Begin, within @ ..] if plain(within) => None,
        [within @ .., TransactionMove::Commit] if plain(within) => None,
        _ => Some("it mixes writes whose rows are counted with the beginning or the end of transactions"),
    }
}

/// Whether people can read a reason at all.
pub(super) fn is_readable(reason: &str) -> bool {
    reason.chars().any(char::is_alphanumeric)
}

/// A line for what nobody has counted.
fn not_counted(effect: &Effect, statement: usize) -> Option<Impact> {
    let Object::Table { schema, name } = &effect.object else { return None };
    Some(Impact {
        action: effect.action.to_string(),
        table: format!("{schema}.{name}"),
        unknown: Some("statements before it may change that, or it is too long to be counted".to_owned()),
        statement,
        ..Impact::default()
    })
}

/// What statements before another one have changed by the time that it comes.
#[derive(Default)]
struct Changed {
    objects: BTreeSet<Object>,
    /// Nobody can say what.
    any: bool,
}

impl Changed {
    fn meets(&self, text: &Understood) -> bool {
        self.any || text.effects.iter().any(|effect| self.objects.contains(&effect.object))
    }

    fn takes(&mut self, text: &Understood) {
        for effect in &text.effects {
            match (effect.action.group(), &effect.object) {
                (Some("read"), _) => {}
                _ if matches!(effect.action, Action::Lock | Action::Notify) => {}
                (Some("write"), object @ Object::Table { .. }) => drop(self.objects.insert(object.clone())),
                _ => self.any = true,
            }
        }
    }
}

/// Adds what an approver should see at once. `as_one`: its statements are sent as one text.
fn with_risks(mut notes: Vec<String>, request: &Request, as_one: bool) -> Vec<String> {
    let statements = &request.analysis.statements;
    if statements.iter().any(|s| !s.has_where) {
        notes.insert(0, NO_WHERE.to_owned());
    }
    if statements.len() > 1 && as_one {
        notes.insert(0, format!("{} statements in one text; one approval runs them all.", statements.len()));
    }
    let locks =
        |effect: &Effect| matches!(effect.action.group(), Some("ddl" | "admin")) || effect.action == Action::Lock;
    if request.sql.len() <= impact::LONGEST && request.analysis.effects.iter().any(locks) {
        notes.extend(locks::notes(&request.sql));
    }
    notes.extend(request.read_otherwise());
    notes
}
