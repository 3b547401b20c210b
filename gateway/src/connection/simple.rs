//! A simple Query: one text, decided as a whole, forwarded byte for byte.

use bytes::Bytes;
use countersign_shared::ids::SessionId;

use super::{
    memory::Known,
    session::{Ended, Session, unavailable},
};
use crate::{
    config::Mode,
    refusal::Refusal,
    sessions::Doing,
    statement::{
        assemble::{Masking, Request},
        classify::{CursorMove, TransactionMove},
        decide::{Decision, explain::rules_behind},
        forward::forward,
        hold::{Judged, Permit, judge, rollback},
        record::{self, Recorded},
        review::commits,
        understood::{Changes, Understood},
    },
    wire::{backend, replies::Sent},
};

/// With so many statements under way, their entries are worth writing together.
pub(super) const CROWD: usize = 4;

impl Session {
    pub(super) async fn on_query(&mut self, sql: &str, frame: &Bytes) -> Result<(), Ended> {
        if self.unsynced {
            // A Query in the middle of an extended group: what came before must be answered first.
            self.flush_upstream();
            self.settle().await?;
            if self.discarding {
                // The server drops it too, up to the client's Sync.
                return Ok(());
            }
        }
        if !self.end_block().await? {
            self.discarding = true;
            return Ok(());
        }
        self.executing = None;
        // A Query ends the unnamed ones.
        self.portals.remove("");
        self.prepared.remove("");
        let analysis = self.analyse(sql, None).await?;
        if analysis.statements.is_empty() {
            Box::pin(self.end_group()).await?;
            self.replies.answer(backend::empty_query());
            self.replies.answer(backend::ready(self.status));
            return Ok(());
        }
        if let Some(setting) = &analysis.own_setting {
            return match Box::pin(self.own_setting_or_token(setting)).await? {
                Ok(frames) => {
                    Box::pin(self.end_group()).await?;
                    frames.into_iter().for_each(|frame| self.replies.answer(frame));
                    self.replies.answer(backend::ready(self.status));
                    Ok(())
                }
                Err(refusal) => Box::pin(self.refuse_query(sql, refusal)).await,
            };
        }
        if let Some(refusal) = self.against_its_names(&analysis, "") {
            Box::pin(self.record_denial(sql, &refusal, &[])).await?;
            return Box::pin(self.refuse_query(sql, refusal)).await;
        }
        let mut request = Request {
            sql: sql.into(),
            parameters: vec![],
            formats: vec![],
            types: std::sync::Arc::default(),
            declared: std::sync::Arc::default(),
            limit: 0,
            analysis: std::sync::Arc::clone(&*analysis),
            masking: Masking::news(),
        };
        match self.permit_masked(&mut request, &analysis).await? {
            Ok(mut permit) => match permit.take_guard() {
                Some(guard) => Box::pin(self.run_query_guarded(permit, &guard, &request)).await,
                None => self.run(permit, &request, frame, true).await,
            },
            Err(refusal) => Box::pin(self.refuse_query(sql, refusal)).await,
        }
    }

    /// A function call says an oid and bytes. SQL says the same, and can be read.
    pub(super) async fn on_function_call(&mut self) -> Result<(), Ended> {
        if self.unsynced {
            self.flush_upstream();
            self.settle().await?;
            if self.discarding {
                return Ok(());
            }
        }
        let message = "function calls by message are not supported; use SQL".to_owned();
        Box::pin(self.refuse_query("", Refusal::NotSupported { message })).await
    }

    /// decide, and hold where policy says so.
    pub(super) async fn permit(&mut self, request: &Request, known: &Known) -> Result<Result<Permit, Refusal>, Ended> {
        if let Some(pin) = request.analysis.unpins {
            let refusal = Refusal::from(pin);
            Box::pin(self.record_denial(&request.sql, &refusal, &[])).await?;
            return Ok(Err(refusal));
        }
        if self.only_asks() {
            return Ok(Err(Box::pin(self.ask_ahead(request)).await?));
        }
        // An empty text comes here in the extended protocol only.
        if request.analysis.only_undoes || request.analysis.statements.is_empty() {
            return Ok(Ok(rollback()));
        }
        if let Some(refusal) = self.wall.against(&request.analysis) {
            Box::pin(self.record_denial(&request.sql, &refusal, &[])).await?;
            return Ok(Err(refusal));
        }
        // Of what a session sends one by one each counts, though policy would let it pass by now.
        if self.steps.is_some() {
            if let Some(passed) = Box::pin(self.by_step(request)).await? {
                return Ok(passed);
            }
            if let Some(refusal) = self.against_half(&request.analysis) {
                Box::pin(self.record_denial(&request.sql, &refusal, &[])).await?;
                return Ok(Err(refusal));
            }
        }
        if self.is_reviewed()
            && let Some(permit) = Box::pin(self.within_review(request)).await?
        {
            return Ok(permit);
        }
        if self.allowed(known)
            && let Judged::Pass(permit) =
                judge(self.connection.mode, Decision::Allow, &request.analysis, &self.connection.name)
        {
            return Ok(Ok(permit));
        }
        Box::pin(self.permit_otherwise(request)).await
    }

    /// decide, where policy does not simply allow a statement.
    async fn permit_otherwise(&mut self, request: &Request) -> Result<Result<Permit, Refusal>, Ended> {
        if self.steps.is_none()
            && let Some(passed) = Box::pin(self.by_step(request)).await?
        {
            if let Err(refusal) = &passed {
                Box::pin(self.record_denial(&request.sql, refusal, &[])).await?;
            }
            return Ok(passed);
        }
        if self.connection.mode == Mode::Enforce
            && let Some(refusal) = self.executes_what_was_read_otherwise(&request.analysis)
        {
            Box::pin(self.record_denial(&request.sql, &refusal, &[])).await?;
            return Ok(Err(refusal));
        }
        let counted = Box::pin(self.count_rows(request)).await;
        self.find_template(request);
        let asked = self.strictest(&request.analysis);
        let decision = match self.decision(&asked).await {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if decision == Decision::Allow
            && let Some(guard) = counted.clone()
        {
            let judged = judge(self.connection.mode, decision, &request.analysis, &self.connection.name);
            let Judged::Pass(permit) = judged else { return Err(unavailable(&"what is allowed does not pass")) };
            self.runs_by_policy(&asked);
            return Ok(Ok(permit.by_template(self.template.take()).guarded(Some(guard))));
        }
        if decision != Decision::Allow
            && self.connection.mode == Mode::Enforce
            && let Some(passed) = Box::pin(self.by_break_glass(request, &asked, &decision, counted.clone())).await?
        {
            return Ok(passed);
        }
        let rests = self.would_differ_without_roles(&asked, &decision).await;
        let rules = rules_behind(&self.gateway.policies(), &asked, &decision, chrono::Utc::now());
        if decision == Decision::Allow {
            self.runs_by_policy(&asked);
        }
        match judge(self.connection.mode, decision, &request.analysis, &self.connection.name) {
            Judged::Pass(permit) => Ok(Ok(permit.by_template(self.template.take()).because(rules))),
            Judged::Ask(_) if self.server_refuses(request) => Ok(Err(Refusal::FailedTransaction)),
            Judged::Ask(needed) if needed.at_commit => {
                let reviewed = Box::pin(self.review(request, asked, rules, counted)).await?;
                if reviewed.is_ok() && rests {
                    self.place.rests_on(&self.asker.roles);
                }
                Ok(reviewed)
            }
            Judged::Ask(_) if self.asks_together() => {
                let together = Box::pin(self.ask_together(request, asked, rules, counted)).await?;
                if together.is_ok() && rests {
                    self.place.rests_on(&self.asker.roles);
                }
                Ok(together)
            }
            Judged::Ask(needed) => {
                let standing = self.standing;
                let held = self.hold(request, asked, needed, rules).await?;
                // Roles that came while it waited may be why it was released.
                if held.is_ok() && (rests || self.standing != standing) {
                    self.place.rests_on(&self.asker.roles);
                }
                Ok(held)
            }
            Judged::No(refusal) => {
                let refusal = Box::pin(self.with_a_way_out(&asked, refusal)).await;
                self.record_denial(&request.sql, &refusal, &rules).await?;
                Ok(Err(refusal))
            }
        }
    }

    /// Whether the transaction has failed and the statement does not end it: nobody need be asked.
    fn server_refuses(&self, request: &Request) -> bool {
        let first = request.analysis.statements.first();
        self.status == b'E' && !self.moved && first.is_some_and(|s| s.transaction == TransactionMove::None)
    }

    /// record, forward.
    pub(super) async fn run(
        &mut self,
        permit: Permit,
        request: &Request,
        frame: &Bytes,
        simple: bool,
    ) -> Result<(), Ended> {
        let recorded = self.open_run(&permit, request).await?;
        let run = self.next_run;
        self.next_run += 1;
        self.masks_begin(run, request, frame, simple)?;
        if self.is_reviewed() && permit.request().is_some() && commits(&request.analysis) {
            self.approved_commit = Some(run);
        }
        let mut open = forward(permit, recorded, frame, self.pipe.upstream.queue());
        open.keeps_rows(self.connection.record_rows, &[]);
        self.runs.insert(run, open);
        if simple {
            self.replies.sent(Sent::Query { run });
            // It ends with ReadyForQuery, and an open group with it.
            self.unsynced = false;
        } else {
            self.replies.sent(Sent::Execute { run });
        }
        Ok(())
    }

    /// record, and what is known of the session once the statement has been forwarded.
    pub(super) async fn open_run(&mut self, permit: &Permit, request: &Request) -> Result<Recorded, Ended> {
        let held = permit.request().is_some();
        let crowded = self.gateway.sessions.active() >= CROWD;
        let durability = self.connection.durability;
        let recorded = record::open(&self.gateway.log, &self.header, request, permit, durability, crowded)
            .await
            .map_err(|down| unavailable(&down))?;
        if let Err(ended) = self.still_stands() {
            Box::pin(self.leave_unsent(recorded.into_open())).await;
            return Err(ended);
        }
        if !held {
            self.passed.inc();
        }
        self.place.is(Doing::Active);
        // What may change names or the catalog is asked of the server again before the next text; what
        // a transaction's end undoes, when it has ended.
        let text = &request.analysis;
        self.prepares(&request.sql, text);
        self.runs_text(text);
        self.tell_of(request, permit);
        Ok(recorded)
    }

    /// What is known of the session once a text goes to the server.
    pub(super) fn runs_text(&mut self, text: &Understood) {
        self.steps_meet(text);
        let changes = match text.changes_session {
            Changes::Not => false,
            Changes::WithTransaction => self.changed,
            Changes::Always => true,
        };
        if changes {
            self.dirty = true;
            self.changed = true;
        }
        if !text.only_reads && self.puts_off(text) {
            self.put_off = true;
            self.put_off_under.get_or_insert_with(|| self.catalog.version_of_all());
        }
        for statement in &text.statements {
            match &statement.cursor {
                // By that name the server has SQL's cursor from now on, or had something else all the time.
                Some(CursorMove::Declares { name, .. }) => drop(self.portals.remove(name)),
                Some(CursorMove::Closes { name: Some(name) }) => drop(self.portals.remove(name)),
                Some(CursorMove::Closes { name: None }) => self.portals.retain(|_, portal| !portal.is_sent()),
                // Code gives its cursors names; none that is there, and never none.
                _ if statement.opens_within || text.is_opaque => {
                    let runs = self.executing.as_ref();
                    self.portals.retain(|of, portal| !portal.is_sent() || of.is_empty() || runs == Some(of));
                }
                _ => {}
            }
        }
        self.wrote |= !text.only_reads;
        self.settles |= text.moves_transaction && (self.own_catalog.is_changed() || text.changes_catalog);
        if text.moves_transaction {
            self.own_catalog.begins(&self.catalog);
        }
        self.own_catalog.runs(text);
        if text.changes_catalog {
            self.forget_catalog();
        }
    }

    async fn refuse_query(&mut self, _sql: &str, refusal: Refusal) -> Result<(), Ended> {
        self.answer_due();
        self.pipe.client.send(&refusal.frame());
        self.fail_transaction().await?;
        self.pipe.client.send(&backend::ready(self.status));
        Ok(())
    }

    /// A Query that is answered here ends an open group as one that the server answers.
    async fn end_group(&mut self) -> Result<(), Ended> {
        if self.unsynced {
            self.sync_ourselves();
            self.settle().await?;
        }
        Ok(())
    }

    /// A statement that does nothing but fail, in a transaction and outside: nobody can have made a
    /// savepoint of a name that did not exist before.
    pub(super) fn failing() -> String {
        format!("ROLLBACK TO SAVEPOINT \"refused by countersign {}\"", SessionId::random())
    }

    /// Undoes an open group, and puts an open transaction into the failed state, as PostgreSQL's own error would.
    pub(super) async fn fail_transaction(&mut self) -> Result<(), Ended> {
        if self.status == b'T' || self.unsynced {
            self.steps_fail();
            let fails = Self::failing();
            self.own_query(&fails).await?;
        }
        Ok(())
    }
}
