//! For clients that can't wait (`on_hold = "retry"`): a statement that would be held is refused at once with
//! its request's id. Once that is approved, the same principal sends the same statement again, and it runs,
//! once.

use chrono::Utc;
use countersign_shared::{
    api::{Needed, RequestKind},
    request::State,
};

use super::{
    session::{Ended, Session},
    wait::Wished,
};
use crate::{
    metrics::StatementDecision,
    refusal::Refusal,
    statement::{
        assemble::Request,
        counting::parts,
        decide::Asked,
        guard::{Guard, Measured},
        hold::{Held, Permit, release_again},
    },
    store::{self, RequestFilter, StoreError},
};

/// So many open requests of one principal are looked at.
const MOST: u32 = 500;

impl Session {
    /// Runs what was approved since it was refused; else asks for it, once, and refuses.
    pub(super) async fn hold_for_retry(
        &mut self,
        request: &Request,
        asked: Asked,
        needed: Needed,
        rules: Vec<String>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        // As it stands now, under the catalog of now.
        if !self.ask_catalog().await {
            let message = "the database's catalog can't be read, so nobody can say what this statement is".to_owned();
            return Ok(Err(Refusal::Unavailable { message }));
        }
        let rows = self.rows;
        let analysis = self.analyse(&request.sql, None).await?;
        self.rows = rows;
        let asked = Asked { reason: asked.reason, ..self.asked(&analysis) };
        let digest = self.digest_for_any_session(request, &asked);
        let before = match self.asked_before(&asked, digest).await {
            Ok(before) => before,
            Err(error) => {
                tracing::error!(%error, "the state can't say whether this was asked before");
                let message = "the gateway can't check this statement now".to_owned();
                return Ok(Err(Refusal::Unavailable { message }));
            }
        };
        match before {
            Some(known) if known.state == State::Approved => {
                let guard = self.guard_as_stated(request, &known);
                let released = release_again(&self.gateway, &self.header, &known.new.id, digest, &asked).await;
                Ok(released.map(|permit| permit.guarded(guard)))
            }
            Some(known) => Ok(Err(Refusal::AskedFor { request: known.new.id, until: known.new.expires_at })),
            None => self.ask_for_retry(request, asked, needed, rules, digest).await,
        }
    }

    async fn ask_for_retry(
        &mut self,
        request: &Request,
        asked: Asked,
        needed: Needed,
        rules: Vec<String>,
        digest: countersign_shared::digest::Digest,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        let wished = match self.wished(request, &rules).await? {
            Ok(Wished { impact, notes, .. }) => (impact, notes),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (impact, notes) = wished;
        let timeout = self.gateway.config.gateway.hold_timeout;
        let wish = crate::statement::hold::Wish {
            request,
            asked: &asked,
            digest,
            session: None,
            needed,
            rules,
            notes,
            impact,
            timeout,
        };
        let held = match Held::open(&self.gateway, &self.header, wish).await {
            Ok(held) => held,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.gateway.metrics.statement(&self.connection.name, StatementDecision::Hold);
        let refusal = Refusal::AskedFor { request: held.id.clone(), until: held.expires_at };
        let (gateway, header) = (std::sync::Arc::clone(&self.gateway), self.header.clone());
        // No session waits with it; its end comes all the same.
        tokio::spawn(async move { held.outlive(&gateway, &header).await });
        Ok(Err(refusal))
    }

    /// The open request for just this, if there is one; the approved one first.
    async fn asked_before(
        &self,
        asked: &Asked,
        digest: countersign_shared::digest::Digest,
    ) -> Result<Option<store::Request>, StoreError> {
        let filter = RequestFilter {
            states: vec![State::Approved, State::Pending],
            principal: Some(asked.asker.human.principal.clone()),
            limit: MOST,
        };
        let mut open = self.gateway.store.requests(&filter).await?;
        let now = Utc::now();
        open.retain(|known| {
            known.new.kind == RequestKind::Statement
                && known.new.session.is_none()
                && known.new.digest == digest
                && known.new.asked.asker.human == asked.asker.human
                && known.new.asked.connection == asked.connection
                && known.new.expires_at > now
        });
        Ok(open.into_iter().max_by_key(|known| known.state == State::Approved))
    }

    /// The row guard, by the numbers that the card stated.
    fn guard_as_stated(&self, request: &Request, known: &store::Request) -> Option<Guard> {
        let stated = known.new.impact.iter().cloned();
        let mut measured: Vec<Measured> = stated.map(|impact| Measured::again(impact, &self.catalog)).collect();
        Guard::of(&parts(&request.sql), &mut measured, self.connection.row_tolerance)
    }
}
