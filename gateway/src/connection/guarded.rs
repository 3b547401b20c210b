//! The row guard in a session: an approved write runs in a transaction, what it touched is counted, and only
//! then does the client see that it has ended. Too much, and it is undone.
//!
//! Where no transaction is open, the gateway opens one (a *block*) and commits it. The gateway's own messages
//! have names of their own here, since a Query would take the client's unnamed statement and portal away.

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend as build;

use super::session::{Ended, Session, unavailable};
use crate::{
    refusal::Refusal,
    statement::{
        assemble::Request,
        classify::TransactionMove,
        forward::forward,
        guard::{Guard, Limits, Touched},
        hold::Permit,
        record::{End as RunEnd, Recorded},
    },
    wire::{backend, frame, replies::Sent},
};
use countersign_shared::ids::RequestId;

/// No client has a statement or a portal of this name.
const OWN: &str = "countersign counts";

/// So often what was put off may put off something itself.
const MOST_PUT_OFF: usize = 8;

/// What became of one statement.
enum Piece {
    /// The server has answered all of it; its tag.
    Done(String),
    /// It stopped at its row limit.
    Suspended,
    /// It failed; the client has read why.
    Failed,
    /// It was undone; the client has read why.
    Undone,
}

impl Session {
    /// Makes ready for a guarded statement: a transaction is open, and what it has touched so far is known.
    /// Nothing of the statement but its Parse may be on its way.
    pub(super) async fn begin_guard(&mut self, request: Option<&RequestId>) -> Result<Result<Touched, Refusal>, Ended> {
        if self.moved {
            // Whether a transaction is open, the server says when the group has ended for it.
            self.sync_ourselves();
            self.settle().await?;
        }
        if self.status == b'I' {
            if self.own_beside("BEGIN").await?.is_err() {
                return Ok(Err(Refusal::NotMeasured { request: request.cloned() }));
            }
            self.block = true;
        }
        match self.touched().await? {
            Some(touched) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.counts_from(touched.clone());
                }
                Ok(Ok(touched))
            }
            None => {
                self.undo().await?;
                Ok(Err(Refusal::NotMeasured { request: request.cloned() }))
            }
        }
    }

    /// Runs a guarded Query, statement by statement where it has several.
    pub(super) async fn run_query_guarded(
        &mut self,
        permit: Permit,
        guard: &Guard,
        request: &Request,
    ) -> Result<(), Ended> {
        self.holds_to_the_catalog(request);
        let id = permit.request().cloned();
        let id = id.as_ref();
        let (reviewed, begins) = (permit.is_reviewed(), self.status == b'I');
        let recorded = self.open_run(&permit, request).await?;
        let (mut permit, mut run) = (Some((permit, recorded)), 0);
        let last = guard.pieces.len().saturating_sub(1);
        // Where several stand in one text, they are one transaction, unless the first of them begins one.
        let moves = |at: usize| request.analysis.statements.get(at).map(|s| s.transaction).unwrap_or_default();
        let implicit = guard.pieces.len() > 1 && moves(0) != TransactionMove::Begin;
        // Whether the COMMIT of what is reviewed comes within the text: nothing of its answers leaves before that.
        let commits =
            reviewed && begins && (moves(0) != TransactionMove::Begin || moves(last) == TransactionMove::Commit);
        if commits {
            self.pipe.client.keep_back();
        }
        for (at, piece) in guard.pieces.iter().enumerate() {
            let Some(sql) = request.sql.get(piece.range.clone()) else {
                return Err(unavailable(&"a statement is not within its text"));
            };
            let before = if piece.limits.is_some() || implicit && at == 0 {
                match self.begin_guard(id).await? {
                    Ok(before) => before,
                    Err(refusal) => {
                        if reviewed {
                            self.transaction = None;
                        }
                        if let Some((permit, recorded)) = permit.take() {
                            run = self.start(permit, recorded, &Bytes::new());
                        }
                        self.end_run(run, RunEnd::Undone(refusal.line())).await?;
                        self.tell_errors_only();
                        return self.refuse_guarded(&refusal).await;
                    }
                }
            } else {
                Touched::default()
            };
            if commits && moves(at) == TransactionMove::Commit && !Box::pin(self.approve_commit(run, sql)).await? {
                break;
            }
            let mut frames = BytesMut::new();
            build::parse("", sql, [], &mut frames)?;
            bind_nothing("", "", &mut frames)?;
            build::describe(b'P', "", &mut frames)?;
            let ends = at == last && (self.block && moves(at) != TransactionMove::Commit);
            let holds = reviewed && ends;
            build::execute("", i32::from(piece.limits.is_some() && !holds), &mut frames)?;
            let frames = frames.freeze();
            // The first statement may be the BEGIN that is committed nowhere else.
            if reviewed
                && moves(at) != TransactionMove::Begin
                && moves(at) != TransactionMove::Commit
                && !self.is_kept()
            {
                return Err(unavailable(&"what is reviewed at its commit is in no transaction that is held"));
            }
            match permit.take() {
                Some((permit, recorded)) => {
                    self.masks_begin(self.next_run, request, &frames, true)?;
                    run = self.start(permit, recorded, &frames);
                }
                None => self.pipe.upstream.send(&frames),
            }
            self.replies.sent_late(Sent::Parse { name: String::new(), of: u64::MAX });
            self.replies.sent_late(Sent::Bind);
            self.replies.sent(Sent::DescribeQuery);
            if moves(at) == TransactionMove::Commit {
                self.block = false;
            }
            let counted = piece.limits.as_ref().map(|limits| (limits, &before));
            match self.guarded("", run, 0, counted, id, holds).await? {
                Piece::Done(tag) => {
                    if ends && !self.commit_block(Some(run)).await? {
                        break;
                    }
                    if reviewed
                        && moves(at) == TransactionMove::Begin
                        && let Err(refusal) = Box::pin(self.count_from_here()).await?
                    {
                        self.end_run(run, RunEnd::Undone(refusal.line())).await?;
                        self.pipe.client.send(&refusal.frame());
                        break;
                    }
                    if moves(at) == TransactionMove::Commit {
                        self.end_commit(Ok(&tag)).await?;
                    }
                    self.pipe.client.send(&backend::complete(&tag));
                    if at == last {
                        self.complete_run(run).await?;
                    }
                }
                Piece::Suspended | Piece::Failed | Piece::Undone => break,
            }
        }
        self.discarding = false;
        if self.block {
            self.undo().await?;
        }
        self.leave_commit().await?;
        self.tell_errors_only();
        self.pipe.client.send(&backend::ready(self.status));
        self.place.is(crate::sessions::Doing::Idle);
        Ok(())
    }

    /// Runs a guarded Execute; its Bind, and the Describe of its portal, have been sent after `before` was
    /// read.
    pub(super) async fn run_execute_guarded(
        &mut self,
        permit: Permit,
        limits: &Limits,
        before: &Touched,
        request: &Request,
        portal: &str,
    ) -> Result<(), Ended> {
        self.holds_to_the_catalog(request);
        let id = permit.request().cloned();
        let id = id.as_ref();
        let recorded = self.open_run(&permit, request).await?;
        // What is reviewed runs to its end before anybody is asked, and what it says is kept back.
        let holds = self.block && self.is_reviewed();
        if holds {
            self.pipe.client.keep_back();
        }
        let mut frame = BytesMut::new();
        build::execute(portal, i32::from(!holds), &mut frame)?;
        let frame = frame.freeze();
        self.masks_begin(self.next_run, request, &frame, false)?;
        let run = self.start(permit, recorded, &frame);
        self.rows_come_as_bound(run, portal);
        let ends = self.block && self.pipe.client.input.first() == Some(&b'S');
        match self.guarded(portal, run, request.limit, Some((limits, before)), id, holds).await? {
            Piece::Done(tag) => {
                // The client's Sync is here already: its transaction ends before its last word.
                if (ends || holds) && !self.commit_block(Some(run)).await? {
                    self.discarding = true;
                    return Ok(());
                }
                self.pipe.client.send(&backend::complete(&tag));
                self.complete_run(run).await
            }
            Piece::Suspended => Ok(()),
            Piece::Failed | Piece::Undone => {
                self.leave_commit().await?;
                self.tell_errors_only();
                self.discarding = true;
                Ok(())
            }
        }
    }

    /// Runs a portal whose Execute for one row (or, where it is not counted, for all) has just been sent.
    async fn guarded(
        &mut self,
        portal: &str,
        run: u64,
        limit: i32,
        counted: Option<(&Limits, &Touched)>,
        id: Option<&RequestId>,
        holds: bool,
    ) -> Result<Piece, Ended> {
        // Of statements before it in the same text.
        let tags = self.runs.get_mut(run).map_or(0, |open| open.tags.len());
        self.replies.sent(Sent::Guarded { run, first: counted.is_some() && !holds });
        if !self.answered(run).await? {
            return Ok(Piece::Failed);
        }
        let mut kept = 0;
        if let Some((limits, before)) = counted {
            // Whatever follows could have it happen uncounted.
            let after = if self.block {
                match self.happen_now().await? {
                    Ok(after) => after,
                    Err(error) => {
                        // As its commit would: what was put off is checked, and its triggers run, and count.
                        self.fail_run(run, &error).await?;
                        return Ok(Piece::Failed);
                    }
                }
            } else {
                self.touched().await?
            };
            let exceeded = match after {
                Some(after) => limits.exceeded(before, &after).map(|exceeded| {
                    let why = exceeded.sentence();
                    Refusal::TooManyRows { request: id.cloned(), why }
                }),
                None => Some(Refusal::NotMeasured { request: id.cloned() }),
            };
            let exceeded = match (exceeded, id) {
                (None, Some(id)) => Box::pin(self.changed_meanwhile(id)).await,
                (exceeded, _) => exceeded,
            };
            if let Some(refusal) = exceeded {
                self.kept = BytesMut::new();
                self.undo().await?;
                let why = match &refusal {
                    Refusal::TooManyRows { why, .. } => why.clone(),
                    other => other.line(),
                };
                self.end_run(run, RunEnd::Undone(why)).await?;
                self.pipe.client.send(&refusal.frame());
                return Ok(Piece::Undone);
            }
            if holds && !Box::pin(self.approve_commit(run, "COMMIT")).await? {
                return Ok(Piece::Undone);
            }
            let rows = std::mem::take(&mut self.kept);
            kept = u64::from(!rows.is_empty());
            self.pipe.client.send(&rows);
            if self.tag(run, tags, 0).is_none() {
                if limit == 1 {
                    self.pipe.client.send(&backend::portal_suspended());
                    self.end_run(run, RunEnd::Completed(vec!["suspended".into()])).await?;
                    return Ok(Piece::Suspended);
                }
                let mut frame = BytesMut::new();
                build::execute(portal, (limit - 1).max(0), &mut frame)?;
                self.pipe.upstream.send(&frame);
                self.replies.sent(Sent::Guarded { run, first: false });
                if !self.answered(run).await? {
                    return Ok(if self.discarding { Piece::Failed } else { Piece::Suspended });
                }
            } else {
                kept = 0;
            }
        }
        match self.tag(run, tags, kept) {
            Some(tag) => Ok(Piece::Done(tag)),
            None => Ok(Piece::Suspended),
        }
    }

    /// Why what was approved may have met something else than its approvers saw: it may have waited for the locks of somebody
    /// who changed a table and committed that only then.
    async fn changed_meanwhile(&self, id: &RequestId) -> Option<Refusal> {
        let (text, then) = self.guarded_under.as_ref()?;
        // What this session itself has changed is in no catalog but its own.
        if self.own_catalog.is_changed() {
            return None;
        }
        let now = self.catalog_now().await;
        if now.is_some_and(|now| now.version_for(&text.effects, text.runs_code) == *then) {
            return None;
        }
        let why = "what it touches was changed while it ran, so it was undone".to_owned();
        Some(Refusal::Void { request: id.clone(), why })
    }

    /// What is guarded is held to the catalog of now, too.
    fn holds_to_the_catalog(&mut self, request: &Request) {
        let text = &request.analysis;
        let version = self.catalog.version_for(&text.effects, text.runs_code);
        self.guarded_under = Some((std::sync::Arc::clone(text), version));
    }

    /// Waits until the server has answered; whether the run is still there.
    async fn answered(&mut self, run: u64) -> Result<bool, Ended> {
        self.sync_ourselves();
        self.settle().await?;
        Ok(self.runs.get_mut(run).is_some())
    }

    /// The tag that came after `before` others. Its number is that of the rows of its last Execute, and
    /// `kept` came before.
    fn tag(&mut self, run: u64, before: usize, kept: u64) -> Option<String> {
        let tag = self.runs.get_mut(run)?.tags.get_mut(before)?;
        if let Some((verb, rows)) = tag.rsplit_once(' ').filter(|_| kept > 0)
            && let Ok(rows) = rows.parse::<u64>()
        {
            *tag = format!("{verb} {}", rows.saturating_add(kept));
        }
        Some(tag.clone())
    }

    /// Ends the gateway's own transaction; whether it was committed. The client reads why it was not.
    async fn commit_block(&mut self, run: Option<u64>) -> Result<bool, Ended> {
        if self.is_reviewed() && self.approved_commit.is_none() {
            // Nothing comes here that is to be approved. Were it otherwise, it would end so.
            self.roll_back().await?;
            let message = "what is reviewed at its commit was not approved".to_owned();
            let refusal = Refusal::RolledBack(Box::new(Refusal::Unavailable { message }));
            if let Some(run) = run {
                self.end_run(run, RunEnd::Undone(refusal.line())).await?;
            }
            self.pipe.client.send(&refusal.frame());
            return Ok(false);
        }
        // Whoever has lost their access commits nothing more: the end of the session undoes it.
        self.still_stands()?;
        self.block = false;
        let committed = self.own_beside("COMMIT").await?;
        let error = committed.err().map(|error| self.mask_late_error(&error)).transpose()?;
        self.end_commit(error.as_ref().map_or(Ok("COMMIT"), Err)).await?;
        if self.status == b'I' {
            self.masks.end_transaction();
        }
        let Some(error) = error else { return Ok(true) };
        match run {
            Some(run) => self.fail_run(run, &error).await?,
            None => self.pipe.client.send(&error),
        }
        Ok(false)
    }

    /// The client's group is over, and with it the gateway's own transaction that began in it.
    pub(super) async fn end_block(&mut self) -> Result<bool, Ended> {
        if !self.block {
            return Ok(true);
        }
        if self.unsynced {
            self.sync_ourselves();
        }
        self.settle().await?;
        Box::pin(self.commit_block(None)).await
    }

    /// The server's error is the client's, and the run's end.
    async fn fail_run(&mut self, run: u64, error: &Bytes) -> Result<(), Ended> {
        self.pipe.client.send(error);
        self.end_run(run, RunEnd::Failed(backend::report(&error[frame::HEAD..])?)).await
    }

    /// Undoes what a guarded statement did: all of the gateway's own transaction; the client's is left failed.
    async fn undo(&mut self) -> Result<(), Ended> {
        self.steps_fail();
        let block = std::mem::take(&mut self.block);
        let sql = if block { "ROLLBACK".to_owned() } else { Self::failing() };
        let _failed_on_purpose = self.own_beside(&sql).await?;
        // Where it is not undone, the end of the session undoes it.
        let undone = if block { self.status == b'I' } else { self.status != b'T' };
        if undone { Ok(()) } else { Err(unavailable(&"a transaction could not be undone")) }
    }

    async fn refuse_guarded(&mut self, refusal: &Refusal) -> Result<(), Ended> {
        self.pipe.client.send(&refusal.frame());
        self.pipe.client.send(&backend::ready(self.status));
        Ok(())
    }

    pub(super) fn start(&mut self, permit: Permit, recorded: Recorded, frame: &Bytes) -> u64 {
        let run = self.next_run;
        self.next_run += 1;
        let mut open = forward(permit, recorded, frame, self.pipe.upstream.queue());
        open.keeps_rows(self.connection.record_rows, &[]);
        self.runs.insert(run, open);
        run
    }

    /// Has happen what was put off until the COMMIT, and says what the transaction has touched then; nothing where the
    /// server can't say, or there is no end of it. An error is the server's, fit for the client.
    ///
    /// A trigger that happens now may put off anew what it causes. Whatever is put off is a row's that was touched: when
    /// nothing was touched from one look to the next, nothing is left.
    pub(super) async fn happen_now(&mut self) -> Result<Result<Option<Touched>, Bytes>, Ended> {
        let mut before = self.touched().await?;
        for _ in 0..MOST_PUT_OFF {
            if let Err(error) = self.own_beside("SET CONSTRAINTS ALL IMMEDIATE").await? {
                return Ok(Err(self.mask_late_error(&error)?));
            }
            let now = self.touched().await?;
            if now.is_none() || now == before {
                return Ok(Ok(now));
            }
            before = now;
        }
        Ok(Ok(None))
    }

    /// What the open transaction has touched so far; nothing where the server can't say.
    pub(super) async fn touched(&mut self) -> Result<Option<Touched>, Ended> {
        Ok(self.own_beside(Touched::QUERY).await?.ok().and_then(|rows| Touched::read(&rows)))
    }

    /// A statement of the gateway's own beside the client's unnamed statement and portal, while the server is
    /// quiet. It ends the group for the server: only where a transaction is open, or is opened by it.
    pub(super) async fn own_beside(&mut self, sql: &str) -> Result<Result<Vec<Vec<Option<String>>>, Bytes>, Ended> {
        let mut out = BytesMut::new();
        build::parse(OWN, sql, [], &mut out)?;
        bind_nothing(OWN, OWN, &mut out)?;
        build::execute(OWN, 0, &mut out)?;
        build::close(b'P', OWN, &mut out)?;
        build::close(b'S', OWN, &mut out)?;
        build::sync(&mut out);
        self.pipe.upstream.send(&out);
        let before = self.status;
        let answer = self.own_answer().await?;
        // What ends a transaction settles or undoes what it changed, whoever ended it.
        let now = std::mem::replace(&mut self.status, before);
        self.ready(&[now], |portal| !portal.is_sent())?;
        if answer.is_err() {
            // The server skipped the Close.
            let mut out = BytesMut::new();
            build::close(b'P', OWN, &mut out)?;
            build::close(b'S', OWN, &mut out)?;
            build::sync(&mut out);
            self.pipe.upstream.send(&out);
            self.own_answer().await?.ok();
        }
        Ok(answer)
    }
}

fn bind_nothing(portal: &str, statement: &str, out: &mut BytesMut) -> std::io::Result<()> {
    let none = |(), _: &mut BytesMut| Ok(postgres_protocol::IsNull::No);
    build::bind(portal, statement, [], Vec::<()>::new(), none, [], out)
        .map_err(|_| std::io::Error::other("a Bind could not be built"))
}
