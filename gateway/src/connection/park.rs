//! Parking: what a session waits with becomes a request with which none does, so that the session may end.

use countersign_shared::{ids::RequestId, request::State};

use super::{
    retry::Earlier,
    session::{Ended, Session},
};
use crate::{
    refusal::{AskedHow, Refusal},
    statement::{
        assemble::Request,
        decide::{Asked, Decision, explain::rules_behind},
        hold::Held,
    },
};

/// What becomes of a wish to park.
pub(super) enum Parked {
    /// It waits as this request; what its client reads.
    As(RequestId, Refusal),
    /// The hold is over, and nothing took its place; what its client reads.
    Lost(Refusal),
    /// The hold goes on, for this reason.
    Not(String),
}

impl Session {
    /// Ends the hold in favour of a request that any session of the same principal may run. What can't be asked
    /// ahead can't be parked. The hold ends first, by compare and swap: where it was decided meanwhile, it goes on.
    pub(super) async fn park(
        &mut self,
        request: &Request,
        asked: &Asked,
        held: &Held,
        by: &str,
    ) -> Result<Parked, Ended> {
        if self.status != b'I' || self.moved {
            let why = "its transaction is open, and ends with its session; nobody can be asked for later";
            return Ok(Parked::Not(why.to_owned()));
        }
        let Earlier { asked, digest, known } = match self.asked_earlier(request, asked.clone()).await? {
            Ok(earlier) => earlier,
            Err(Refusal::NotSupported { message } | Refusal::Unavailable { message }) => {
                return Ok(Parked::Not(message));
            }
            Err(_) => return Ok(Parked::Not("nobody can be asked for it later".to_owned())),
        };
        let Ok(Decision::Hold(needed)) = self.decision(&asked).await else {
            return Ok(Parked::Not("policy says something else of it now than when it was held".to_owned()));
        };
        let rules = rules_behind(&self.gateway.policies(), &asked, &Decision::Hold(needed.clone()), chrono::Utc::now());
        match held.park(&self.gateway, &self.header, by).await {
            Ok(true) => {}
            Ok(false) => return Ok(Parked::Not("it was decided meanwhile".to_owned())),
            Err(error) => {
                tracing::error!(%error, request = %held.id, "a hold could not be parked");
                return Ok(Parked::Not("the gateway can't write it down now".to_owned()));
            }
        }
        let refusal = match known {
            Some(known) => {
                let how = if known.state == State::Approved { AskedHow::Approved } else { AskedHow::Parked };
                Refusal::AskedFor { request: known.new.id, until: known.new.expires_at, how }
            }
            None => {
                let timeout = self.gateway.config.gateway.ask_timeout;
                self.ask_for_later(request, &asked, needed, rules, digest, timeout, AskedHow::Parked).await?
            }
        };
        Ok(match &refusal {
            Refusal::AskedFor { request, .. } => Parked::As(request.clone(), refusal),
            _ => Parked::Lost(refusal),
        })
    }
}
