//! Review at commit, in a session: what policy permits for that alone runs in a transaction, and the COMMIT is held.
//!
//! From the first such statement on, nothing ends the transaction but ROLLBACK and an approved COMMIT: a COMMIT in
//! company is refused, what reaches out of a transaction is refused, and the gateway's own transaction
//! ([`guarded`](super::guarded)) is committed by nothing else either. Where a session ends, the server undoes.

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use countersign_shared::digest::Digest;

use super::{
    session::{Ended, Session, unavailable},
    wait::Waits,
};
use crate::{
    config::{Mode, OnHold},
    impact,
    refusal::{Refusal, notice},
    statement::{
        assemble::{Request, Surroundings},
        classify::TransactionMove,
        counting::{Part, parts},
        decide::{Asked, Decision},
        effect::Action,
        guard::{Guard, Limits, Piece, Touched},
        hold::{Held, Permit, Wish, reviewed},
        record::{End as RunEnd, Open},
        review::{Transaction, bars, commit, commits, hinders, impact, looks},
        understood::Understood,
    },
    wire::{backend, frame},
};
use countersign_shared::impact::NO_WHERE;

/// What a client does where a COMMIT comes in company.
const ALONE: &str = "Send COMMIT in a message of its own.";
/// What a client does where a statement can't run before it is approved.
const BEFORE: &str = "Ask whoever keeps the policy to let it be approved before it runs.";

impl Session {
    /// Whether what the open transaction did may stay only by an approved COMMIT.
    pub(super) fn is_reviewed(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.is_reviewed())
    }

    /// Whether what runs now stays only by an approved COMMIT. Nothing that policy permits for its review alone is
    /// forwarded where this does not hold.
    pub(super) fn is_kept(&self) -> bool {
        self.is_reviewed() && (self.block || self.status == b'T')
    }

    /// Whether a text must not simply pass, since the COMMIT of the open transaction is held.
    pub(super) fn is_kept_from(&self, text: &Understood) -> bool {
        self.is_reviewed() && !self.can_only_undo(text) && (commits(text) || bars(text).is_some())
    }

    /// Whether the transaction has failed, and a text can't bring it back before it ends it: then all that it can do
    /// is to undo.
    fn can_only_undo(&self, text: &Understood) -> bool {
        self.status == b'E' && !self.moved && text.statements.len() == 1
    }

    /// What is told of a text that is about to run, where the COMMIT after it may be held.
    pub(super) fn tell_of(&mut self, request: &Request, permit: &Permit) {
        if self.connection.mode != Mode::Enforce {
            return;
        }
        if permit.request().is_some() && commits(&request.analysis) && request.analysis.statements.len() == 1 {
            // That is its end, of which nobody need be told.
            return;
        }
        let not_reviewed = || looks(&request.analysis) || !self.gateway.policies().reviews_at_commit();
        if self.transaction.is_none() && not_reviewed() {
            return;
        }
        let digest = self.digest_of(request);
        let executes = self.what_executes(request);
        let untold = self.wrote;
        let transaction = self.transaction.get_or_insert_with(|| Box::new(Transaction::begun(untold)));
        transaction.runs(request, digest, &executes);
    }

    /// The digest of a text that runs, as part of its transaction's.
    fn digest_of(&self, request: &Request) -> Digest {
        request.digest(&Surroundings {
            session: self.id.as_str(),
            principal: &self.asker.human.principal,
            login: &self.connection.upstream.user,
            database: (&self.connection.name, &self.connection.upstream.database),
            settings: &self.settings,
            transaction: if self.moved { b'?' } else { self.status },
            catalog: self.catalog.version_for(&request.analysis.effects, request.analysis.runs_code),
        })
    }

    /// What of a text is not simply allowed where the open transaction's COMMIT is held; nothing where policy says.
    pub(super) async fn within_review(&mut self, request: &Request) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        if self.is_reviewed() {
            self.know_status().await?;
        }
        let text = &request.analysis;
        if !self.is_reviewed() || self.can_only_undo(text) {
            return Ok(None);
        }
        if let Some(what) = bars(text) {
            let why = format!("the transaction that is open is to be reviewed: {what} can't be part of it");
            let why = why + &noted(text);
            let refusal = Refusal::NotReviewed { why, hint: "COMMIT or ROLLBACK first." };
            self.record_denial(&request.sql, &refusal, &[]).await?;
            return Ok(Some(Err(refusal)));
        }
        if !commits(text) {
            let fits = self.transaction.as_ref().is_none_or(|transaction| transaction.fits(request));
            return Ok((!fits).then(|| Err(too_long())));
        }
        if text.statements.len() > 1 {
            let why = "this text has a COMMIT among others".to_owned();
            return Ok(Some(Err(Refusal::NotReviewed { why, hint: ALONE })));
        }
        if self.status != b'T' || self.block {
            // There is nothing to commit, or it is not the client's.
            let why = "it is not certain what this COMMIT would end".to_owned();
            return Ok(Some(Err(Refusal::NotReviewed { why, hint: "End the group before it (Sync)." })));
        }
        if self.decision(&self.asked(text)).await != Ok(Decision::Allow) {
            let why = "it does not let this session end a transaction".to_owned();
            return Ok(Some(Err(Refusal::NotReviewed { why, hint: "ROLLBACK always passes." })));
        }
        Ok(Some(self.hold_commit(&request.sql).await?))
    }

    /// Whether a transaction is open, the server says when the group has ended for it.
    async fn know_status(&mut self) -> Result<(), Ended> {
        if self.moved {
            self.sync_ourselves();
            self.settle().await?;
        }
        Ok(())
    }

    /// Permits what policy lets run for its COMMIT being reviewed; a refusal, where it can't be.
    pub(super) async fn review(
        &mut self,
        request: &Request,
        asked: Asked,
        rules: Vec<String>,
        counted: Option<Guard>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        let guard = match self.may_be_reviewed(request, &asked, counted).await? {
            Ok(guard) => guard,
            Err(refusal) => {
                self.record_denial(&request.sql, &refusal, &rules).await?;
                return Ok(Err(refusal));
            }
        };
        let before = Box::pin(self.sample_before(request)).await;
        let mut notes: Vec<String> = request.analysis.statements.iter().flat_map(|s| s.notes.iter().cloned()).collect();
        if request.analysis.statements.iter().any(|statement| !statement.has_where) {
            notes.insert(0, NO_WHERE.to_owned());
        }
        let untold = self.wrote;
        let transaction = self.transaction.get_or_insert_with(|| Box::new(Transaction::begun(untold)));
        let is_news = !transaction.is_reviewed();
        if is_news
            && self.status == b'T'
            && let Err(refusal) = self.count_from_here().await?
        {
            return Ok(Err(refusal));
        }
        let Some(transaction) = &mut self.transaction else { return Err(unavailable(&"a transaction is not told of")) };
        transaction.is_to_be_reviewed(asked, rules, notes);
        transaction.shows_before(before);
        let Some(permit) = reviewed(transaction) else { return Err(unavailable(&"a review is not noted")) };
        if is_news && self.status == b'T' {
            let told = "this transaction is reviewed at its COMMIT, which then waits for approval";
            self.pipe.client.send(&notice(told, Some("ROLLBACK ends it at any time.")));
        }
        Ok(Ok(permit.guarded(guard)))
    }

    /// What the open transaction touches from here on is what the approvers of its COMMIT are told.
    pub(super) async fn count_from_here(&mut self) -> Result<Result<(), Refusal>, Ended> {
        match (self.touched().await?, &mut self.transaction) {
            (Some(touched), Some(transaction)) => transaction.counts_from(touched),
            (Some(_), None) => {}
            (None, _) => return Ok(Err(Refusal::NotMeasured { request: None })),
        }
        Ok(Ok(()))
    }

    /// What bounds it, where it may run before it is approved; or why it may not.
    async fn may_be_reviewed(
        &mut self,
        request: &Request,
        asked: &Asked,
        counted: Option<Guard>,
    ) -> Result<Result<Option<Guard>, Refusal>, Ended> {
        let no = |why: &str, hint| Ok(Err(Refusal::NotReviewed { why: why.to_owned(), hint }));
        let text = &request.analysis;
        if self.connection.on_hold == OnHold::Retry {
            return no("this connection keeps no client waiting", BEFORE);
        }
        // It runs before anybody has looked at it: what it is must be what it is now.
        if !Box::pin(self.ask_catalog()).await {
            let message = "the database's catalog can't be read, so nobody can say what this statement is".to_owned();
            return Ok(Err(Refusal::Unavailable { message }));
        }
        let rows = self.rows;
        let now = Box::pin(self.analyse(&request.sql, None)).await?;
        self.knows_again(rows, request);
        if now.effects != text.effects {
            return no("what it does has just changed", "Send it again.");
        }
        if let Some(why) = hinders(&self.gateway.policies(), asked, text, &self.catalog, Utc::now()) {
            return no(&(why + &noted(text)), BEFORE);
        }
        self.know_status().await?;
        if !self.transaction.as_ref().is_none_or(|transaction| transaction.fits(request))
            || !Transaction::default().fits(request)
        {
            return Ok(Err(too_long()));
        }
        let moves: Vec<TransactionMove> = text.statements.iter().map(|statement| statement.transaction).collect();
        let plain = |moves: &[TransactionMove]| moves.iter().all(|moved| *moved == TransactionMove::None);
        match self.status {
            b'T' if self.block => no("it follows others in an open group", "End the group before it (Sync)."),
            b'T' if plain(&moves) => Ok(Ok(counted)),
            b'I' if text.effects.iter().any(|effect| effect.action == Action::CopyOut) => {
                no("its rows come by COPY before anybody is asked", "Send BEGIN, the COPY and COMMIT one by one.")
            }
            b'I' if text.copies_in => {
                no("the data of COPY comes after it", "Send BEGIN, the COPY and COMMIT one by one.")
            }
            b'I' => match moves.as_slice() {
                all if plain(all) => Ok(bounded(request, counted, true).map(Some).ok_or_else(unread)),
                [TransactionMove::Begin, within @ .., TransactionMove::Commit]
                | [TransactionMove::Begin, within @ ..]
                | [within @ .., TransactionMove::Commit]
                    if plain(within) =>
                {
                    Ok(bounded(request, counted, false).map(Some).ok_or_else(unread))
                }
                _ => no("this text begins or ends transactions in between", ALONE),
            },
            b'T' => no("this text begins or ends transactions", ALONE),
            _ => Ok(Err(Refusal::FailedTransaction)),
        }
    }

    /// Whether what runs in the gateway's own transaction in an extended group is all of it: then its COMMIT can be
    /// held before the client has had a word of it. Waits until the client has said what comes next.
    pub(super) async fn is_last_of_its_group(&mut self, limit: i32) -> Result<Result<(), Refusal>, Ended> {
        let no = |why: &str| {
            let hint = "Send it as the last of its group, without a row limit; or BEGIN, it, and COMMIT in groups of their own.";
            Ok(Err(Refusal::NotReviewed { why: why.to_owned(), hint }))
        };
        if limit > 0 {
            return no("it asks for some of its rows only");
        }
        while self.pipe.client.input.is_empty() {
            self.pump().await?;
            if self.pipe.client.closed && self.pipe.client.input.is_empty() {
                return Err(Ended::Quiet);
            }
        }
        match self.pipe.client.input.first() {
            Some(b'S') => Ok(Ok(())),
            _ => no("something else follows it in its group"),
        }
    }

    /// Holds the COMMIT of the open transaction, in the client's words `sql`. A refusal has rolled it back.
    pub(super) async fn hold_commit(&mut self, sql: &str) -> Result<Result<Permit, Refusal>, Ended> {
        match Box::pin(self.ask_for_commit(sql)).await? {
            Ok(permit) => Ok(Ok(permit)),
            Err(refusal) => {
                self.roll_back().await?;
                Ok(Err(Refusal::RolledBack(Box::new(refusal))))
            }
        }
    }

    async fn ask_for_commit(&mut self, sql: &str) -> Result<Result<Permit, Refusal>, Ended> {
        let arm = self.withdraw.arm();
        // Whatever was put off until the COMMIT happens now, and is counted: nothing more happens after the approval.
        let now = match self.happen_now().await? {
            Ok(now) => now,
            Err(error) => {
                let report = backend::report(error.get(frame::HEAD..).unwrap_or_default())?;
                return Ok(Err(Refusal::Late { code: report.code, message: report.message }));
            }
        };
        let touched = now.zip(self.transaction.as_ref()).and_then(|(now, transaction)| transaction.touched(&now));
        let Some(touched) = touched else { return Ok(Err(Refusal::NotMeasured { request: None })) };
        let (mut impact, whole) = impact(&touched);
        let shows = self.transaction.as_ref().is_some_and(|transaction| transaction.can_be_shown());
        if !whole || !shows {
            return Ok(Err(too_long()));
        }
        let Some((asked, digest)) = self.commit_as_it_stands(sql, &touched) else {
            return Err(unavailable(&"a transaction is reviewed of which nothing is known"));
        };
        let needed = match self.decision(&asked).await {
            Ok(Decision::Hold(needed)) => needed,
            Ok(Decision::Allow) => {
                let message = "policy has changed since this ran: nobody need approve it any more".to_owned();
                return Ok(Err(Refusal::Denied { message, detail: "Run it again, and it stays.".to_owned() }));
            }
            Ok(Decision::Deny(denial)) => {
                let why = denial.message.unwrap_or_else(|| "policy no longer permits it, approved or not".to_owned());
                return Ok(Err(Refusal::Denied { message: why, detail: "It was permitted when it ran.".to_owned() }));
            }
            Err(refusal) => return Ok(Err(refusal)),
        };
        Box::pin(self.sample(&touched, &mut impact)).await?;
        let Some(transaction) = &self.transaction else { return Err(unavailable(&"nothing is reviewed")) };
        let (request, mut notes, rules) = (transaction.request(), transaction.notes(), transaction.rules().to_vec());
        let timeout = self.gateway.config.gateway.hold_timeout_in_transaction;
        notes.push(format!(
            "Its locks are held until then, for {} s at most; then it is rolled back.",
            timeout.as_secs()
        ));
        if let Some(pid) = self.backend() {
            notes.extend(impact::transaction::of(&self.connection.upstream, pid).await);
        }
        let session = Some(&self.id);
        let allowable = None;
        let (request, asked) = (&request, &asked);
        let steps = Vec::new();
        let wish = Wish { request, asked, digest, session, needed, rules, notes, impact, timeout, allowable, steps };
        match Held::open(&self.gateway, &self.header, wish).await {
            Ok(held) => self.wait(&held, &arm, Waits::Commit { sql, touched: &touched }).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The question whether the open transaction may be committed, and what an approval of that binds, as both
    /// stand now.
    pub(super) fn commit_as_it_stands(&self, sql: &str, touched: &Touched) -> Option<(Asked, Digest)> {
        let transaction = self.transaction.as_ref()?;
        let asked = transaction.asked(&self.asker)?;
        Some((asked, transaction.digest(self.id.as_str(), sql, touched)))
    }

    /// Ends the open transaction, whoever began it.
    pub(super) async fn roll_back(&mut self) -> Result<(), Ended> {
        self.block = false;
        self.steps_fail();
        let _ended = self.own_beside("ROLLBACK").await?;
        // Where it is not undone, the end of the session undoes it.
        if self.status == b'I' { Ok(()) } else { Err(unavailable(&"a transaction could not be undone")) }
    }

    /// Holds the COMMIT of the gateway's own transaction, or of one that began in the same text; whether it may go.
    /// Where it may not, the client has read why, and `run` is over.
    pub(super) async fn approve_commit(&mut self, run: u64, sql: &str) -> Result<bool, Ended> {
        let kept_back = self.pipe.client.no_longer_kept_back();
        match self.hold_commit(sql).await? {
            Ok(permit) => {
                let request = commit(sql);
                let recorded = self.open_run(&permit, &request).await?;
                self.pipe.client.send(&kept_back);
                self.approved_commit = Some(self.start(permit, recorded, &Bytes::new()));
                Ok(true)
            }
            Err(refusal) => {
                self.kept = BytesMut::new();
                self.end_run(run, RunEnd::Undone(refusal.line())).await?;
                self.pipe.client.send(&refusal.frame());
                Ok(false)
            }
        }
    }

    /// What the server said to the COMMIT that was approved; an error is the server's own.
    pub(super) async fn end_commit(&mut self, said: Result<&str, &Bytes>) -> Result<(), Ended> {
        let Some(run) = self.approved_commit.take() else { return Ok(()) };
        match said {
            Ok(tag) => {
                // What comes after it, by AND CHAIN, is another transaction.
                self.transaction = None;
                if let Some(open) = self.runs.get_mut(run) {
                    Open::completed(open, tag.to_owned());
                }
                self.complete_run(run).await
            }
            Err(error) => self.end_run(run, RunEnd::Failed(backend::report(&error[frame::HEAD..])?)).await,
        }
    }

    /// A COMMIT that was approved, and not sent, since something went wrong before it.
    pub(super) async fn leave_commit(&mut self) -> Result<(), Ended> {
        match self.approved_commit.take() {
            Some(run) => self.end_run(run, RunEnd::Undone("it failed before its COMMIT".to_owned())).await,
            None => Ok(()),
        }
    }

    /// Lets what was kept back leave, where nothing became of it: of it, only what went wrong.
    pub(super) fn tell_errors_only(&mut self) {
        let kept = self.pipe.client.no_longer_kept_back();
        let mut rest = kept.as_ref();
        while let Ok(Some(head)) = frame::head(rest, |_| usize::MAX) {
            let Some(whole) = rest.get(..head.size) else { break };
            if matches!(head.tag, b'E' | b'N' | b'S' | b'A') {
                self.pipe.client.send(whole);
            }
            rest = &rest[head.size..];
        }
    }
}

/// What was noted of a text, after a sentence about it.
fn noted(text: &Understood) -> String {
    let notes: Vec<&str> = text.statements.iter().flat_map(|s| &s.notes).map(String::as_str).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

/// The text and what is known of it do not agree.
fn unread() -> Refusal {
    Refusal::NotReviewed { why: "it is not certain where its statements end".to_owned(), hint: ALONE }
}

fn too_long() -> Refusal {
    Refusal::NotReviewed {
        why: "the transaction does more than approvers can be shown".to_owned(),
        hint: "Split it into smaller transactions.",
    }
}

/// What bounds a text that runs in a transaction of its own: what was counted, or nothing. Its last statement is
/// looked at before the COMMIT, where that is the gateway's.
///
/// Where its statements stand is read from this very text: an analysis may be of another of the same shape, whose
/// constants have other lengths. Nothing where that and the analysis do not agree.
fn bounded(request: &Request, counted: Option<Guard>, ours: bool) -> Option<Guard> {
    let parts = parts(&request.sql);
    if parts.is_empty() || parts.len() != request.analysis.statements.len() {
        return None;
    }
    let piece = |(at, part): (usize, Part)| {
        let limits = counted.as_ref().and_then(|guard| guard.pieces.get(at)).and_then(|piece| piece.limits.clone());
        Piece { range: part.range, limits }
    };
    let mut pieces: Vec<Piece> = parts.into_iter().enumerate().map(piece).collect();
    if ours && let Some(last) = pieces.last_mut() {
        last.limits.get_or_insert_with(Limits::default);
    }
    Some(Guard { pieces })
}
