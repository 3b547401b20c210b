//! Allowances, in a session: what of a statement could be allowed for a time, and the runs that somebody allowed.
//!
//! An allowance is of one write, outside a transaction, whose rows the server counts. What rests on the session alone
//! can't be allowed: another session of the same principal would run something else by the same text.

use countersign_shared::api::Needed;

use super::session::{Ended, Session};
use crate::{
    approval::allowance::{Attempt, Taken, take},
    impact,
    refusal::{Refusal, notice},
    statement::{
        assemble::{Request, Surroundings},
        classify::{TransactionMove, is_one_write},
        counting::parts,
        decide::{Asked, allow::most_allowed},
        guard::Guard,
        hold::{Permit, allowed},
        understood::Understood,
    },
    store::allowances::{Allowable, Bound},
};

impl Session {
    /// What an approver may allow of a statement beyond one run, and what that would bind.
    pub(super) fn allowable(&self, request: &Request, asked: &Asked, needed: &Needed) -> Option<Allowable> {
        if needed.at_commit || !self.could_be_allowed(request, &request.analysis) {
            return None;
        }
        let most = most_allowed(&self.gateway.policies(), asked, chrono::Utc::now())?;
        Some(Allowable { most, bound: self.bound(request, asked) })
    }

    /// Whether a statement, as it stands here, is of a kind that can be allowed at all.
    fn could_be_allowed(&self, request: &Request, text: &Understood) -> bool {
        let [statement] = text.statements.as_slice() else { return false };
        let shown_whole = request.masking.hidden.is_empty() && request.masking.shown.is_none();
        // What is certain of names, and where: not in the midst of what may change them.
        let certain = !self.dirty && !self.moved && self.status == b'I' && !self.is_reviewed();
        certain
            && shown_whole
            && self.masks.revealing.is_empty()
            && text.doubt.is_none()
            && !text.copies_in
            && statement.transaction == TransactionMove::None
            && request.sql.len() <= impact::LONGEST
            && self.rests_on_this_session(&request.sql, text).is_none()
            && is_one_write(&request.sql)
    }

    /// What an allowance of just this binds.
    fn bound(&self, request: &Request, asked: &Asked) -> Bound {
        let masks = format!("{:?} {:?}", self.connection.classify, request.masking.told);
        let around = Surroundings {
            session: "any",
            principal: &self.asker.human.principal,
            login: &self.connection.upstream.user,
            database: (&self.connection.name, &self.connection.upstream.database),
            settings: &self.settings,
            transaction: self.status,
            catalog: self.catalog.version_for(&asked.effects, request.analysis.runs_code),
        };
        Bound {
            text: request.text_digest(),
            free: request.allowance_digest(&around, &masks, false),
            pinned: request.allowance_digest(&around, &masks, true),
        }
    }

    /// A statement of which somebody allowed runs, and one is left; nothing where nobody did, and the hold begins.
    pub(super) async fn by_allowance(
        &mut self,
        request: &Request,
        asked: &Asked,
    ) -> Result<Option<Result<Permit, Refusal>>, Ended> {
        // Whether anything may be there, before the database is asked anything.
        if !self.could_be_allowed(request, &request.analysis) {
            return Ok(None);
        }
        let open = crate::store::allowances::OpenFilter {
            principal: Some(asked.asker.human.principal.clone()),
            connection: Some(asked.connection.clone()),
        };
        let text = request.text_digest();
        match self.gateway.store.open_allowances(&open).await {
            Ok(open) if open.iter().any(|one| one.text == text) => {}
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::error!(%error, "the state can't say whether a run of this was allowed");
                return Ok(None);
            }
        }
        self.doubts_names();
        if !self.ask_catalog().await {
            return Ok(None);
        }
        let rows = self.rows;
        let analysis = self.analyse(&request.sql, None).await?;
        self.knows_again(rows, request);
        if !self.could_be_allowed(request, &analysis) {
            return Ok(None);
        }
        let now = Request { analysis: std::sync::Arc::clone(&*analysis), ..request.clone() };
        let asked = Asked { reason: asked.reason.clone(), ..self.asked(&analysis) };
        let attempt = Attempt { asked: &asked, bound: self.bound(&now, &asked), session: &self.id };
        let taken = match take(&self.gateway, &attempt).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(%error, "a run could not be taken");
                let message = "the gateway can't check this statement now".to_owned();
                return Ok(Some(Err(Refusal::Unavailable { message })));
            }
        };
        match taken {
            Taken::Run(run) => {
                self.pipe.client.send(&notice(&run.notice(), None));
                // What policy permits for its number alone is held to that number, too.
                let most = run.rows().min(asked.sql.rows.unwrap_or(u64::MAX));
                let guard = Guard::capped(&parts(&request.sql), most);
                Ok(Some(Ok(allowed(run).guarded(Some(guard)))))
            }
            Taken::Not(over) => {
                for (id, why) in over {
                    let told = format!("what was allowed under request {id} has ended: {why}");
                    self.pipe.client.send(&notice(&told, None));
                }
                Ok(None)
            }
        }
    }
}
