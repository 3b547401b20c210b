//! For clients that can't wait (`on_hold = "retry"`): a statement that would be held is refused at once with
//! its request's id. Once that is approved, the same principal sends the same statement again, and it runs,
//! once.

use std::time::Duration;

use chrono::Utc;
use countersign_shared::{
    api::{Impact, Needed, RequestKind},
    digest::Digest,
    request::State,
};

use super::{
    session::{Ended, Session},
    wait::Wished,
};
use crate::{
    metrics::StatementDecision,
    refusal::{AskedHow, Refusal},
    statement::{
        assemble::Request,
        classify::Statement,
        counting::parts,
        decide::{Asked, Decision},
        effect::{Effect, Object},
        guard::{Guard, Measured},
        hold::{Held, Permit, Wish, release_again},
        steps::Step,
        understood::Understood,
    },
    store::{self, RequestFilter, StoreError},
};

/// So many open requests of one principal are looked at.
pub(super) const MOST: u32 = 500;

/// A question as it stands now, and the open request for just that, if there is one.
pub(super) struct Earlier {
    pub asked: Asked,
    pub digest: Digest,
    pub known: Option<store::Request>,
}

/// What is made of a request with which no session waits.
pub(super) struct Later {
    pub digest: Digest,
    pub timeout: Duration,
    pub how: AskedHow,
    pub steps: Vec<Step>,
}

impl Session {
    /// Runs what was approved since it was refused; else asks for it, once, and refuses.
    pub(super) async fn hold_for_retry(
        &mut self,
        request: &Request,
        asked: Asked,
        needed: Needed,
        rules: Vec<String>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        match self.asked_earlier(request, asked).await? {
            Err(refusal) => Ok(Err(refusal)),
            Ok(Earlier { asked, digest, known: Some(known) }) if known.state == State::Approved => {
                Ok(self.release_earlier(request, &known, digest, &asked).await)
            }
            Ok(Earlier { known: Some(known), .. }) => {
                let (request, until) = (known.new.id, known.new.expires_at);
                Ok(Err(Refusal::AskedFor { request, until, how: AskedHow::Retry }))
            }
            Ok(Earlier { asked, digest, known: None }) => {
                let timeout = self.gateway.config.gateway.hold_timeout;
                self.ask_for_later(request, &asked, needed, rules, digest, timeout, AskedHow::Retry).await.map(Err)
            }
        }
    }

    /// The question and its digest as they stand now, under the catalog of now, and whether it was asked before.
    pub(super) async fn asked_earlier(
        &mut self,
        request: &Request,
        asked: Asked,
    ) -> Result<Result<Earlier, Refusal>, Ended> {
        if !self.ask_catalog().await {
            let message = "the database's catalog can't be read, so nobody can say what this statement is".to_owned();
            return Ok(Err(Refusal::Unavailable { message }));
        }
        let rows = self.rows;
        let analysis = self.analyse(&request.sql, None).await?;
        self.knows_again(rows, request);
        // Of a group that has not ended, nobody can ask the server what its statements have changed.
        if self.dirty {
            let message = "what was sent before this in the same group may change what it means, so nobody can be \
                           asked for later; end the group before it (Sync)"
                .to_owned();
            return Ok(Err(Refusal::NotSupported { message }));
        }
        if let Some(message) = self.rests_on_this_session(&request.sql, &analysis) {
            return Ok(Err(Refusal::NotSupported { message }));
        }
        let asked = Asked { reason: asked.reason, ..self.asked(&analysis) };
        let digest = self.digest_for_any_session(&request.understood_as(&analysis), &asked);
        match self.asked_before(&asked, digest).await {
            Ok(known) => Ok(Ok(Earlier { asked, digest, known })),
            Err(error) => {
                tracing::error!(%error, "the state can't say whether this was asked before");
                let message = "the gateway can't check this statement now".to_owned();
                Ok(Err(Refusal::Unavailable { message }))
            }
        }
    }

    /// Why another session could run something else by the same text.
    pub(super) fn rests_on_this_session(&self, sql: &str, text: &Understood) -> Option<String> {
        /// What shows the session's own settings, statements, cursors or locks.
        const VIEWS: [&str; 6] = [
            "pg_settings",
            "pg_file_settings",
            "pg_prepared_statements",
            "pg_cursors",
            "pg_locks",
            "pg_timezone_abbrevs",
        ];
        /// What the server counts and shows of sessions tells which of them is one's own.
        const COUNTED: &str = "pg_stat_";
        const OF_A_SESSION: [&str; 15] = [
            "pg_catalog.pg_show_all_settings",
            "pg_catalog.pg_prepared_statement",
            "pg_catalog.pg_cursor",
            "pg_catalog.pg_lock_status",
            "pg_catalog.pg_timezone_abbrevs",
            "pg_catalog.current_setting",
            "pg_catalog.currval",
            "pg_catalog.lastval",
            "pg_catalog.pg_backend_pid",
            "pg_catalog.inet_client_addr",
            "pg_catalog.inet_client_port",
            "pg_catalog.pg_my_temp_schema",
            "pg_catalog.pg_listening_channels",
            "pg_catalog.pg_blocking_pids",
            "pg_catalog.pg_get_backend_memory_contexts",
        ];
        let statements = || text.statements.iter();
        let is_own = |name: &&String| {
            OF_A_SESSION.contains(&name.as_str())
                || name.strip_prefix("pg_catalog.").is_some_and(|name| name.starts_with(COUNTED))
        };
        let own = statements().flat_map(|s| &s.functions).find(is_own);
        if let Some(own) = own {
            return Some(format!("{own}() says something else in every session, so nobody can be asked for later"));
        }
        let shows = |effect: &Effect| match &effect.object {
            Object::Table { schema, name } => {
                schema == "pg_catalog" && (VIEWS.contains(&name.as_str()) || name.starts_with(COUNTED))
            }
            _ => false,
        };
        if let Some(Effect { object: Object::Table { name, .. }, .. }) =
            text.effects.iter().find(|effect| shows(effect))
        {
            return Some(format!("{name} says something else in every session, so nobody can be asked for later"));
        }
        let cursors = |s: &Statement| s.of_cursor || s.cursor.is_some() || s.fetches_within || s.opens_within;
        if statements().any(cursors) {
            return Some("a cursor is its session's own, so nobody can be asked for later; name the rows".to_owned());
        }
        let lower = sql.to_ascii_lowercase();
        if lower.contains("pg_temp") || lower.contains("u&\"") {
            return Some("what pg_temp holds is its session's own, so nobody can be asked for later".to_owned());
        }
        if text.statements.iter().any(|statement| !statement.executes.is_empty()) {
            return Some(
                "what EXECUTE runs is known in its session only, so nobody can be asked for later; send the \
                         statement itself"
                    .to_owned(),
            );
        }
        (!self.names.temporary.is_empty()).then(|| {
            "a session with temporary tables can't ask for later, since another session has others; drop them, or ask \
             before they are made"
                .to_owned()
        })
    }

    /// Runs what was approved without a session that waits, guarded by what the card stated.
    pub(super) async fn release_earlier(
        &mut self,
        request: &Request,
        known: &store::Request,
        digest: Digest,
        asked: &Asked,
    ) -> Result<Permit, Refusal> {
        let needed = known.new.needed.clone();
        let strict = self.rests_on_rows(asked, &Decision::Hold(needed)).await;
        let guard = self.guard_as_stated(request, known.new.impact.clone(), strict);
        let released = release_again(&self.gateway, &self.header, &known.new.id, digest, asked).await;
        released.map(|permit| self.guarded_run(permit, guard, request))
    }

    /// Makes a request with which no session waits; what the client is told.
    #[allow(clippy::too_many_arguments, reason = "what a request is made of")]
    pub(super) async fn ask_for_later(
        &mut self,
        request: &Request,
        asked: &Asked,
        needed: Needed,
        rules: Vec<String>,
        digest: Digest,
        timeout: Duration,
        how: AskedHow,
    ) -> Result<Refusal, Ended> {
        let wished = match self.wished(request, asked, &needed, &rules).await? {
            Ok(wished) => wished,
            Err(refusal) => return Ok(refusal),
        };
        let later = Later { digest, timeout, how, steps: Vec::new() };
        self.make_for_later(request, asked, needed, rules, wished, later).await
    }

    /// Makes it, once; what the client is told.
    pub(super) async fn make_for_later(
        &mut self,
        request: &Request,
        asked: &Asked,
        needed: Needed,
        rules: Vec<String>,
        wished: Wished,
        later: Later,
    ) -> Result<Refusal, Ended> {
        let Later { digest, timeout, how, steps } = later;
        let Wished { impact, notes, .. } = wished;
        let asking = self.gateway.asking.lock().await;
        match self.asked_before(asked, digest).await {
            Ok(None) => {}
            Ok(Some(known)) => {
                return Ok(Refusal::AskedFor { request: known.new.id, until: known.new.expires_at, how });
            }
            Err(error) => {
                tracing::error!(%error, "the state can't say whether this was asked before");
                let message = "the gateway can't check this statement now".to_owned();
                return Ok(Refusal::Unavailable { message });
            }
        }
        let allowable = if steps.is_empty() { self.allowable(request, asked, &needed) } else { None };
        let session = None;
        let wish = Wish { request, asked, digest, session, needed, rules, notes, impact, timeout, allowable, steps };
        let held = match Held::open(&self.gateway, &self.header, wish).await {
            Ok(held) => held,
            Err(refusal) => return Ok(refusal),
        };
        drop(asking);
        self.gateway.metrics.statement(&self.connection.name, StatementDecision::Hold);
        let refusal = Refusal::AskedFor { request: held.id.clone(), until: held.expires_at, how };
        let (gateway, header) = (std::sync::Arc::clone(&self.gateway), self.header.clone());
        // No session waits with it; its end comes all the same.
        tokio::spawn(async move { held.outlive(&gateway, &header).await });
        Ok(refusal)
    }

    /// The open request for just this, if there is one; the approved one first.
    pub(super) async fn asked_before(
        &self,
        asked: &Asked,
        digest: Digest,
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
                // What another session is sending is that session's.
                && known.taken.is_empty()
        });
        Ok(open.into_iter().max_by_key(|known| known.state == State::Approved))
    }

    /// The row guard, by the numbers that the card stated.
    pub(super) fn guard_as_stated(&self, request: &Request, stated: Vec<Impact>, strict: bool) -> Option<Guard> {
        let stated = stated.into_iter();
        let mut measured: Vec<Measured> = stated.map(|impact| Measured::again(impact, &self.catalog)).collect();
        self.guard(&parts(&request.sql), &mut measured, strict)
    }
}
