//! The server's frames, through the reply queue: rows pass as they come, control messages are read.

use std::sync::Arc;

use bytes::{Buf as _, BytesMut};

use super::{
    extended::Portal,
    masks::Frame,
    pipe::End,
    session::{Ended, Session, unavailable},
};
use crate::{
    refusal::Farewell,
    sessions::Doing,
    statement::{
        hold::finish,
        record::{End as RunEnd, close},
    },
    wire::{
        Fields, backend, frame,
        replies::{Meaning, Pass, Rows},
    },
};

/// What has come from the server: `shown` up to `read` goes to the client as it is.
struct Come {
    bytes: BytesMut,
    /// Up to here it has gone to the client, or to nobody.
    gone: usize,
    /// Up to here it is understood.
    read: usize,
}

impl Come {
    /// Sends what is understood and not yet gone.
    fn show(&mut self, client: &mut End) {
        client.send(&self.bytes[self.gone..self.read]);
        self.gone = self.read;
    }
}

impl Session {
    /// Takes what has come from the server. What the client is to see leaves in one piece where
    /// nothing of the gateway's own comes between.
    pub(super) async fn relay(&mut self) -> Result<(), Ended> {
        self.answer_due();
        if self.pipe.upstream.input.is_empty() {
            return Ok(());
        }
        let mut come = Come { bytes: std::mem::take(&mut self.pipe.upstream.input), gone: 0, read: 0 };
        let outcome = self.read_frames(&mut come).await;
        let Come { mut bytes, gone, read } = come;
        bytes.advance(gone);
        self.pipe.client.send_from(&mut bytes, read - gone);
        self.pipe.upstream.input = bytes;
        self.answer_due();
        outcome
    }

    async fn read_frames(&mut self, come: &mut Come) -> Result<(), Ended> {
        loop {
            if self.replies.has_due() {
                come.show(&mut self.pipe.client);
                self.answer_due();
            }
            let rest = &come.bytes[come.read..];
            if self.passing.0 > 0 {
                let n = self.passing.0.min(rest.len());
                if n == 0 {
                    return Ok(());
                }
                self.passing.0 -= n;
                self.pass_rows(come, n, self.passing.1);
                continue;
            }
            let rows = matches!(rest.first(), Some(b'D' | b'd'));
            let cap = if rows { usize::MAX } else { frame::SERVER_CAP };
            let Some(head) = frame::head(rest, |_| cap)? else { return Ok(()) };
            if rows {
                let rows = self.replies.rows()?;
                let run = self.replies.run();
                let keeps = rows != Rows::Drop && self.keeps_rows(run);
                if self.masks.reads_rows(run) {
                    let Some(whole) = rest.get(..head.size) else { return Ok(()) };
                    if rows != Rows::Drop {
                        self.pipe.client.send(&come.bytes[come.gone..come.read]);
                        come.gone = come.read;
                        let left = self.mask_row(run, whole, rows)?;
                        if keeps {
                            self.keep_masked(run, left, rows)?;
                        }
                    }
                    self.pass(come, head.size, false);
                    continue;
                }
                if keeps {
                    let Some(whole) = rest.get(..head.size) else { return Ok(()) };
                    if let Some(kept) = run.and_then(|run| self.runs.get_mut(run)?.rows()) {
                        kept.take(whole)?;
                    }
                    self.pass_rows(come, head.size, rows);
                    continue;
                }
                match frame::whole_rows(rest) {
                    0 => self.passing = (head.size, rows),
                    n => self.pass_rows(come, n, rows),
                }
                continue;
            }
            let Some(whole) = rest.get(..head.size) else { return Ok(()) };
            let body = &whole[frame::HEAD..];
            if head.tag == b'S' {
                pinned(body)?;
                if let Some(told) = self.application.reported(body)? {
                    self.pass(come, head.size, false);
                    self.pipe.client.send(told.as_deref().unwrap_or_default());
                    continue;
                }
            }
            if head.tag == b'T' && self.connection.record_rows > 0 {
                self.keep_columns(body)?;
            }
            let instead = if self.connection.classify.is_empty() {
                Frame::AsItIs
            } else {
                self.mask_frame(self.replies.run(), head.tag, body)?
            };
            let (pass, meaning) = self.replies.take(head.tag)?;
            if let Frame::Instead(instead) = instead {
                self.pass(come, head.size, false);
                if pass != Pass::Swallow {
                    self.pipe.client.send(&instead);
                }
                self.understand(meaning, instead.get(frame::HEAD..).unwrap_or_default()).await?;
                continue;
            }
            let body = come.read + frame::HEAD..come.read + head.size;
            match pass {
                Pass::Show => self.pass(come, head.size, true),
                Pass::Swallow => self.pass(come, head.size, false),
                Pass::ShowWithFormats(formats) => {
                    let changed = backend::with_formats(whole, &formats)?;
                    self.pass(come, head.size, false);
                    self.pipe.client.send(&changed);
                }
            }
            self.understand(meaning, &come.bytes[body]).await?;
        }
    }

    /// Whether rows of a run that come now go into its record.
    fn keeps_rows(&mut self, run: Option<u64>) -> bool {
        self.connection.record_rows > 0
            && run.is_some_and(|run| self.runs.get_mut(run).is_some_and(|open| open.rows().is_some()))
    }

    /// Keeps a row as it left under its mask: from `left` on.
    fn keep_masked(&mut self, run: Option<u64>, left: usize, rows: Rows) -> Result<(), Ended> {
        let out = if rows == Rows::Keep { &self.kept } else { &*self.pipe.client.queue() };
        let row = out.get(left..).unwrap_or_default();
        if let Some(kept) = run.and_then(|run| self.runs.get_mut(run)?.rows()) {
            kept.take(row)?;
        }
        Ok(())
    }

    /// The server describes rows that go into a record.
    fn keep_columns(&mut self, body: &[u8]) -> Result<(), Ended> {
        let run = self.replies.run().or_else(|| self.runs.last().filter(|_| self.replies.describes_query()));
        if let Some(kept) = run.and_then(|run| self.runs.get_mut(run)?.rows()) {
            kept.described(body)?;
        }
        Ok(())
    }

    /// The same for rows, which may have to wait.
    fn pass_rows(&mut self, come: &mut Come, n: usize, rows: Rows) {
        if rows == Rows::Keep {
            self.kept.extend_from_slice(&come.bytes[come.read..come.read + n]);
        }
        self.pass(come, n, rows == Rows::Show);
    }

    /// Passes `n` bytes on, or drops them.
    fn pass(&mut self, come: &mut Come, n: usize, shown: bool) {
        if !shown {
            come.show(&mut self.pipe.client);
            come.gone += n;
        }
        come.read += n;
    }

    async fn understand(&mut self, meaning: Meaning, body: &[u8]) -> Result<(), Ended> {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Prepared { name, of } => {
                // Another may have its name by now.
                if let Some(prepared) = self.prepared.get_mut(&name).filter(|prepared| prepared.parse == of) {
                    Arc::make_mut(prepared).confirmed = true;
                }
            }
            Meaning::CopyIn { run } => {
                self.copy_in = true;
                self.copying = run;
                if let Some(open) = self.runs.get_mut(run) {
                    open.copies();
                }
            }
            Meaning::Parameters { of } => {
                let types = backend::parameter_types(body)?.into();
                self.prepared.values_mut().filter(|prepared| prepared.parse == of).for_each(|prepared| {
                    Arc::make_mut(prepared).types = Arc::clone(&types);
                });
            }
            Meaning::Suspended { run } => self.end_run(run, RunEnd::Completed(vec!["suspended".into()])).await?,
            Meaning::Completed { run, last } => {
                let tag = Fields::of(body).text().unwrap_or_default().to_owned();
                if let Some(open) = self.runs.get_mut(run) {
                    open.completed(tag);
                }
                if last {
                    self.complete_run(run).await?;
                }
            }
            Meaning::Failed { run, skipped, sync_sent, names } => {
                self.steps_fail();
                self.copy_in = false;
                self.discarding = !sync_sent;
                // What the server did not confirm does not exist.
                self.prepared.retain(|_, prepared| prepared.confirmed || !prepared.sent);
                self.dirty |= names;
                for name in std::mem::take(&mut self.bound_now) {
                    self.portals.remove(&name);
                }
                let report = backend::report(body)?;
                if report.severity == "FATAL" || report.severity == "PANIC" {
                    Box::pin(self.lose_runs()).await;
                    return Err(Ended::Quiet);
                }
                // What fails in a Parse or a Bind is the next run's, though that has not begun.
                let mut skipped = skipped.into_iter();
                if let Some(run) = run {
                    self.end_run(run, RunEnd::Failed(report)).await?;
                } else if let Some(run) = skipped.next() {
                    self.end_run(run, RunEnd::Unbegun(report)).await?;
                }
                for run in skipped {
                    self.end_run(run, RunEnd::Skipped).await?;
                }
            }
            Meaning::ReadyForUs => self.ready(body, |portal| !portal.is_sent())?,
            Meaning::Ready { run } => {
                self.ready(body, |_| false)?;
                if let Some(run) = run {
                    self.complete_run(run).await?;
                }
                self.place.is(Doing::Idle);
            }
        }
        Ok(())
    }

    /// The server is ready. Outside a transaction it has no portals any more; `stays` says which are
    /// not the server's.
    pub(super) fn ready(&mut self, body: &[u8], stays: fn(&Portal) -> bool) -> Result<(), Ended> {
        self.copy_in = false;
        self.unsynced = false;
        self.moved = false;
        self.bound_now.clear();
        let before = self.status;
        self.status = Fields::of(body).u8()?;
        if before != b'I' && self.status == b'I' {
            // The transaction is over: what it changed is settled, or undone.
            self.dirty |= self.changed || self.own_catalog.is_changed();
            self.changed = false;
        }
        if std::mem::take(&mut self.settles) || self.status == b'I' && self.own_catalog.is_changed() {
            // Only now do others see what changed; also where another transaction has begun since.
            self.forget_catalog();
        }
        if self.status == b'E' {
            self.steps_fail();
        }
        if self.status == b'I' {
            self.steps_settle();
            self.wrote = false;
            self.put_off = false;
            self.put_off_under = None;
            self.commit_in_doubt = false;
            self.bound_names.clear();
            // What is to be reviewed and has not begun yet is not over: this ends what came before it.
            if before != b'I' || self.block || !self.is_reviewed() {
                self.transaction = None;
            }
            self.masks.end_transaction();
            self.own_catalog.ends();
            self.portals.retain(|_, portal| stays(portal));
        }
        Ok(())
    }

    /// All of a run is completed, with the tags that it has by now.
    pub(super) async fn complete_run(&mut self, run: u64) -> Result<(), Ended> {
        let tags = self.runs.get_mut(run).map(|open| std::mem::take(&mut open.tags)).unwrap_or_default();
        self.end_run(run, RunEnd::Completed(tags)).await
    }

    /// Closes a run's record, once.
    pub(super) async fn end_run(&mut self, run: u64, end: RunEnd) -> Result<(), Ended> {
        self.masks.ended(run);
        if self.approved_commit == Some(run) {
            // Where it failed, the transaction can only be undone, or is held again.
            self.approved_commit = None;
            if matches!(end, RunEnd::Completed(_)) {
                self.transaction = None;
            }
        }
        let Some(open) = self.runs.remove(run) else { return Ok(()) };
        if open.request().is_some() {
            Box::pin(finish(&self.gateway, &open, &end)).await;
        }
        close(&self.gateway.log, &self.header, &open, &end).map_err(|down| unavailable(&down))
    }

    /// The session ends with runs that nobody answered.
    pub(super) async fn lose_runs(&mut self) {
        for run in self.runs.all() {
            let _ended: Result<(), Ended> = self.end_run(run, RunEnd::Lost).await;
        }
    }
}

/// Two settings must stay as they are, whoever changed them: with others, the text that we read is
/// not the text that the server reads.
fn pinned(body: &[u8]) -> Result<(), Ended> {
    let mut fields = Fields::of(body);
    let (name, value) = (fields.text()?, fields.text()?);
    let good = match name {
        "client_encoding" => value == "UTF8",
        "standard_conforming_strings" => value == "on",
        _ => true,
    };
    if good {
        return Ok(());
    }
    let reason = format!("{name} became {value:?}, and the gateway can't read statements under that; the session ends");
    Err(Ended::With(Farewell::Ended { reason }))
}
