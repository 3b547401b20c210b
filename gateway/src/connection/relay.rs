//! The server's frames, through the reply queue: rows pass as they come, control messages are read.

use super::session::{Ended, Session, unavailable};
use crate::{
    refusal::Farewell,
    statement::{
        hold::finish,
        record::{End as RunEnd, close},
    },
    wire::{
        Fields, backend, frame,
        replies::{Meaning, Pass},
    },
};

impl Session {
    /// Takes what has come from the server.
    pub(super) async fn relay(&mut self) -> Result<(), Ended> {
        loop {
            self.answer_due();
            if self.passing.0 > 0 {
                let n = self.passing.0.min(self.pipe.upstream.input.len());
                if n == 0 {
                    return Ok(());
                }
                let bytes = self.pipe.upstream.input.split_to(n);
                if self.passing.1 {
                    self.pipe.client.send(&bytes);
                }
                self.passing.0 -= n;
                continue;
            }
            let rows = matches!(self.pipe.upstream.input.first(), Some(b'D' | b'd'));
            let cap = if rows { usize::MAX } else { frame::SERVER_CAP };
            let Some(head) = frame::head(&self.pipe.upstream.input, |_| cap)? else { return Ok(()) };
            if rows {
                self.passing = (head.size, self.replies.rows()?);
                continue;
            }
            if self.pipe.upstream.input.len() < head.size {
                return Ok(());
            }
            let whole = self.pipe.upstream.input.split_to(head.size).freeze();
            let (pass, meaning) = self.replies.take(head.tag)?;
            let body = &whole[frame::HEAD..];
            if head.tag == b'S' {
                pinned(body)?;
            }
            match pass {
                Pass::Show => self.pipe.client.send(&whole),
                Pass::ShowWithFormats(formats) => self.pipe.client.send(&backend::with_formats(&whole, &formats)?),
                Pass::Swallow => {}
            }
            self.understand(meaning, body).await?;
        }
    }

    async fn understand(&mut self, meaning: Meaning, body: &[u8]) -> Result<(), Ended> {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Prepared { name } => {
                if let Some(prepared) = self.prepared.get_mut(&name) {
                    prepared.confirmed = true;
                }
            }
            Meaning::CopyIn => self.copy_in = true,
            Meaning::Suspended { run } => self.end_run(run, RunEnd::Completed(vec!["suspended".into()])).await?,
            Meaning::Completed { run } => {
                let tag = Fields::of(body).text().unwrap_or_default().to_owned();
                if let Some(open) = self.runs.get_mut(&run) {
                    open.tags.push(tag);
                }
                // A simple Query ends with ReadyForQuery, an Execute here.
                if self.unsynced {
                    let tags = self.runs.get(&run).map(|open| open.tags.clone()).unwrap_or_default();
                    self.end_run(run, RunEnd::Completed(tags)).await?;
                }
            }
            Meaning::Failed { run, skipped, sync_sent } => {
                self.copy_in = false;
                self.discarding = !sync_sent;
                // What the server did not confirm does not exist.
                self.prepared.retain(|_, prepared| prepared.confirmed || !prepared.sent);
                let report = backend::report(body)?;
                if report.severity == "FATAL" || report.severity == "PANIC" {
                    self.lose_runs().await;
                    return Err(Ended::Quiet);
                }
                if let Some(run) = run {
                    self.end_run(run, RunEnd::Failed(report)).await?;
                }
                for run in skipped {
                    self.end_run(run, RunEnd::Skipped).await?;
                }
            }
            Meaning::Ready { run } => {
                self.copy_in = false;
                self.unsynced = false;
                let before = self.status;
                self.status = Fields::of(body).u8()?;
                if before != b'I' && self.status == b'I' {
                    // The transaction is over: what it changed is settled, or undone.
                    self.dirty |= self.changed || self.own_catalog;
                    self.changed = false;
                }
                if self.status == b'I' {
                    self.own_catalog = false;
                    self.portals.clear();
                }
                if let Some(run) = run {
                    let tags = self.runs.get(&run).map(|open| open.tags.clone()).unwrap_or_default();
                    self.end_run(run, RunEnd::Completed(tags)).await?;
                }
                self.gateway.sessions.set_state(&self.id, "idle");
            }
        }
        Ok(())
    }

    /// Closes a run's record, once.
    async fn end_run(&mut self, run: u64, end: RunEnd) -> Result<(), Ended> {
        let Some(open) = self.runs.remove(&run) else { return Ok(()) };
        finish(&self.gateway, &open, &end).await;
        close(&self.gateway.log, &self.header, &open, &end).map_err(|down| unavailable(&down))
    }

    /// The session ends with runs that nobody answered.
    pub(super) async fn lose_runs(&mut self) {
        let runs: Vec<u64> = self.runs.keys().copied().collect();
        for run in runs {
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
