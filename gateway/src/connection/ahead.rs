//! Asking ahead: a session with `countersign.ask=on` runs nothing. Its texts are asked about, each as a whole; once
//! one is approved, the same principal sends it in an ordinary session, and it runs there, once.

use countersign_shared::request::State;

use super::{
    retry::Earlier,
    session::{Ended, Session},
};
use crate::{
    refusal::{AskedHow, Refusal},
    statement::{
        assemble::Request,
        decide::{Asked, Decision, explain::rules_behind},
        hold::{Judged, Permit, judge},
    },
    store::RequestFilter,
};

impl Session {
    /// Whether this session only asks. Said at its start, for good: no statement of it may run by mistake.
    pub(super) fn only_asks(&self) -> bool {
        self.own.get("ask").is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "0"))
    }

    /// Asks for a text that is not to run now. There is always a refusal: it says what was asked, or why nothing
    /// need be, or can be.
    pub(super) async fn ask_ahead(&mut self, request: &Request) -> Result<Refusal, Ended> {
        if !request.parameters.is_empty() || !request.types.is_empty() {
            let message = "a session that asks ahead takes texts without parameters".to_owned();
            return Ok(Refusal::NotSupported { message });
        }
        if self.asks_each() {
            return Box::pin(self.ask_each(request)).await;
        }
        if let Some(refusal) = self.wall.against(&request.analysis) {
            self.record_denial(&request.sql, &refusal, &[]).await?;
            return Ok(refusal);
        }
        let _guard = self.count_rows(request).await;
        self.find_template(request);
        let asked = self.strictest(&request.analysis);
        let decision = match self.decision(&asked).await {
            Ok(decision) => decision,
            Err(refusal) => return Ok(refusal),
        };
        if decision == Decision::Allow {
            return Ok(Refusal::NothingToAsk);
        }
        let rules = rules_behind(&self.gateway.policies(), &asked, &decision, chrono::Utc::now());
        match judge(self.connection.mode, decision, &request.analysis, &self.connection.name) {
            Judged::Pass(_) => Ok(Refusal::NothingToAsk),
            Judged::No(refusal) => {
                let refusal = self.with_a_way_out(&asked, refusal).await;
                self.record_denial(&request.sql, &refusal, &rules).await?;
                Ok(refusal)
            }
            Judged::Ask(needed) if needed.at_commit => {
                let why = "nobody can review ahead what has not run".to_owned();
                let refusal = Refusal::NotReviewed { why, hint: "Send it in an ordinary session." };
                self.record_denial(&request.sql, &refusal, &rules).await?;
                Ok(refusal)
            }
            Judged::Ask(needed) => match self.asked_earlier(request, asked).await? {
                Err(refusal) => Ok(refusal),
                Ok(Earlier { known: Some(known), .. }) => {
                    let how = if known.state == State::Approved { AskedHow::Approved } else { AskedHow::Ahead };
                    Ok(Refusal::AskedFor { request: known.new.id, until: known.new.expires_at, how })
                }
                Ok(Earlier { asked, digest, known: None }) => {
                    let timeout = self.gateway.config.gateway.ask_timeout;
                    self.ask_for_later(request, &asked, needed, rules, digest, timeout, AskedHow::Ahead).await
                }
            },
        }
    }

    /// What was asked for ahead, and approved; nothing where it was not, and the hold begins.
    pub(super) async fn approved_ahead(
        &mut self,
        request: &Request,
        asked: &Asked,
    ) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        let filter = RequestFilter {
            states: vec![State::Approved],
            principal: Some(asked.asker.human.principal.clone()),
            limit: super::retry::MOST,
        };
        // Whether anything may be there, before the database is asked anything.
        let maybe = match self.gateway.store.requests(&filter).await {
            Ok(open) => {
                open.iter().any(|known| known.new.session.is_none() && known.new.asked.connection == asked.connection)
            }
            Err(error) => {
                tracing::error!(%error, "the state can't say whether this was asked for ahead");
                false
            }
        };
        if !maybe {
            return Ok(None);
        }
        match self.asked_earlier(request, asked.clone()).await? {
            Ok(Earlier { known: Some(known), digest, asked }) if known.state == State::Approved => {
                Ok(Some(self.release_earlier(request, &known, digest, &asked).await))
            }
            _ => Ok(None),
        }
    }
}
