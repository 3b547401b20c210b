//! A simple Query: one text, decided as a whole, forwarded byte for byte.

use std::sync::Arc;

use bytes::Bytes;

use super::session::{Ended, Session, unavailable};
use crate::{
    metrics::StatementDecision,
    refusal::Refusal,
    sessions::Doing,
    statement::{
        assemble::Request,
        classify::TransactionMove,
        decide::Decision,
        effect::Action,
        forward::forward,
        hold::{Judged, Permit, judge, rollback},
        record,
    },
    wire::{backend, replies::Sent},
};

impl Session {
    pub(super) async fn on_query(&mut self, sql: String, frame: Bytes) -> Result<(), Ended> {
        if self.unsynced {
            // A Query in the middle of an extended group: what came before must be answered first.
            self.flush_upstream();
            self.settle().await?;
            if self.discarding {
                // The server drops it too, up to the client's Sync.
                return Ok(());
            }
        }
        self.portals.remove("");
        let analysis = self.analyse(&sql).await?;
        if analysis.statements.is_empty() {
            self.replies.answer(backend::empty_query());
            self.replies.answer(backend::ready(self.status));
            return Ok(());
        }
        if let Some(setting) = &analysis.own_setting {
            return match self.own_setting(setting) {
                Ok(frames) => {
                    frames.into_iter().for_each(|frame| self.replies.answer(frame));
                    self.replies.answer(backend::ready(self.status));
                    Ok(())
                }
                Err(refusal) => self.refuse_query(&sql, refusal).await,
            };
        }
        let request = Request { sql: sql.as_str().into(), parameters: vec![], formats: vec![], limit: 0, analysis };
        match self.permit(&request).await? {
            Ok(permit) => self.run(permit, &request, &[frame], true).await,
            Err(refusal) => self.refuse_query(&sql, refusal).await,
        }
    }

    /// decide, and hold where policy says so.
    pub(super) async fn permit(&mut self, request: &Request) -> Result<Result<Permit, Refusal>, Ended> {
        let only_rollback =
            matches!(request.analysis.statements.as_slice(), [one] if one.transaction == TransactionMove::Rollback);
        if only_rollback {
            return Ok(Ok(rollback()));
        }
        if self.allowed(&request.sql, &request.analysis)
            && let Judged::Pass(permit) =
                judge(self.connection.mode, Decision::Allow, &request.analysis, &self.connection.name)
        {
            return Ok(Ok(permit));
        }
        let asked = self.strictest(&request.analysis);
        let decision = match self.decision(&asked).await {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match judge(self.connection.mode, decision, &request.analysis, &self.connection.name) {
            Judged::Pass(permit) => Ok(Ok(permit)),
            Judged::Ask(needed) => self.hold(request, asked, needed).await,
            Judged::No(refusal) => {
                self.record_denial(&request.sql, &refusal).await?;
                Ok(Err(refusal))
            }
        }
    }

    /// record, forward.
    pub(super) async fn run(
        &mut self,
        permit: Permit,
        request: &Request,
        frames: &[Bytes],
        simple: bool,
    ) -> Result<(), Ended> {
        let effects: Vec<_> = request.analysis.statements.iter().flat_map(|s| s.effects.iter().cloned()).collect();
        let held = permit.request().cloned();
        let recorded =
            record::open(&self.gateway.log, &self.header, request, &effects, &permit, self.connection.durability)
                .await
                .map_err(|down| unavailable(&down))?;
        if held.is_none() {
            self.gateway.metrics.statement(&self.connection.name, StatementDecision::Allow);
        }
        self.place.is(Doing::Active);
        // What may change names or the catalog is asked of the server again before the next text.
        let plain = |action: Action| {
            use Action::{CopyIn, CopyOut, Delete, Insert, Listen, Lock, Merge, Notify, Select, Update};
            matches!(
                action,
                Select
                    | Insert
                    | Update
                    | Delete
                    | Merge
                    | CopyIn
                    | CopyOut
                    | Lock
                    | Listen
                    | Notify
                    | Action::Transaction
            )
        };
        let statements = &request.analysis.statements;
        // What a transaction's end undoes is asked again when it has ended.
        let changes = statements.iter().any(|s| {
            s.prepares.is_some() || s.changes_session && (s.transaction == TransactionMove::None || self.changed)
        });
        if changes || !effects.iter().all(|e| plain(e.action)) {
            self.dirty = true;
            self.changed = true;
        }
        let ddl = |action: Action| matches!(action.group(), Some("ddl" | "admin")) || action == Action::Temp;
        if effects.iter().any(|e| ddl(e.action)) {
            self.own_catalog = true;
            self.forget_catalog();
        }
        let run = self.next_run;
        self.next_run += 1;
        let open = forward(permit, recorded, frames, &mut self.pipe.upstream.output);
        self.runs.insert(run, open);
        self.replies.sent(if simple { Sent::Query { run } } else { Sent::Execute { run } });
        Ok(())
    }

    async fn refuse_query(&mut self, _sql: &str, refusal: Refusal) -> Result<(), Ended> {
        self.answer_due();
        self.pipe.client.send(&refusal.frame());
        self.fail_transaction().await?;
        self.pipe.client.send(&backend::ready(self.status));
        Ok(())
    }

    /// A statement that does nothing but fail, in a transaction and outside.
    pub(super) fn failing(&self) -> String {
        format!("ROLLBACK TO SAVEPOINT \"refused by countersign in {}\"", self.id)
    }

    /// Puts an open transaction into the failed state, as PostgreSQL's own error would.
    pub(super) async fn fail_transaction(&mut self) -> Result<(), Ended> {
        if self.status == b'T' {
            let fails = self.failing();
            self.own_query(&fails).await?;
        }
        Ok(())
    }
}

/// The text of a request, shared.
pub(super) fn shared(sql: &str) -> Arc<str> {
    sql.into()
}
