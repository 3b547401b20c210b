//! The last check before forward: everything that the approvals rest on, again.

use chrono::{DateTime, Utc};
use countersign_shared::{api::Outcome, digest::Digest, ids::RequestId, request::State};
use serde_json::json;

use super::{
    allowance::{Run, agreed},
    count::countersigners,
};
use crate::{
    log::{Entry, Kind},
    runtime::Gateway,
    statement::decide::{Asked, Decision, decide_by},
    store::{Request, StoreError, allowances::Allowance},
};

/// Proof that a request went `approved → released`, durably and just now. Only [`release`] makes it.
#[derive(Debug)]
pub struct Released {
    request: RequestId,
    digest: Digest,
    run: Option<Box<Run>>,
}

impl Released {
    /// Which request.
    #[must_use]
    pub const fn request(&self) -> &RequestId {
        &self.request
    }

    /// Its run, where more than one was allowed.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.run.as_deref()
    }

    /// What was approved.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why an approved request is not released. The request has been moved to `void` (or was over).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// Approvals are missing, or no longer count.
    #[error("{0}")]
    Void(String),
    /// The state or the log can't say; refuse.
    #[error("{0}")]
    Unavailable(String),
}

impl From<StoreError> for NotReleased {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Checks the stored, signed approvals, the digest, the approvers' rights and the requester's
/// rights again, and moves the request to `released`.
///
/// # Errors
/// Why it stays where it is.
pub async fn release(
    gateway: &Gateway,
    id: &RequestId,
    digest: Digest,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Released, NotReleased> {
    let request = gateway.store.request(id).await?;
    let request = request.ok_or_else(|| NotReleased::Void(format!("request {id} is not known")))?;
    if request.state != State::Approved {
        return Err(NotReleased::Void(format!("request {id} is {}, not approved", request.state)));
    }
    if let Err(why) = still_stands(gateway, &request, digest, asked, now).await? {
        let outcome = Outcome { reason: Some(why.clone()), ..Outcome::default() };
        // Whoever else ended it meanwhile was first; it is over either way.
        let _ended = gateway.store.move_request(id, &[State::Approved], State::Void, Some(&outcome)).await?;
        return Err(NotReleased::Void(why));
    }
    let agreed = agreed(gateway, &request, asked, now).await?;
    if agreed.as_ref().is_some_and(|agreed| now >= agreed.until) {
        let why = "the time that it was allowed for ran out before it could run".to_owned();
        let outcome = Outcome { reason: Some(why.clone()), ..Outcome::default() };
        let _ended = gateway.store.move_request(id, &[State::Approved], State::Void, Some(&outcome)).await?;
        return Err(NotReleased::Void(why));
    }
    let mut entry = entry(Kind::Released, &request);
    entry.detail = json!({ "digest": digest.to_string(), "approvals": evidence(&request) });
    if let Some(agreed) = &agreed {
        entry.detail["allows"] = json!({ "terms": agreed.allowed.terms, "until": agreed.until });
    }
    gateway.log.append_durably(&entry).await.map_err(|down| NotReleased::Unavailable(down.to_string()))?;
    let session = request.new.session.as_ref();
    let moved = match &agreed {
        None => gateway.store.move_request(id, &[State::Approved], State::Released, None).await?,
        Some(agreed) => {
            let began_at = DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now);
            let allowance = Allowance {
                request: id.clone(),
                principal: asked.asker.human.principal.clone(),
                connection: asked.connection.clone(),
                text: agreed.allowed.bound.text,
                runs: agreed.allowed.terms.runs,
                began_at,
                until: agreed.until,
                end: None,
                taken: Vec::new(),
            };
            gateway.store.release_allowed(&allowance, session).await?
        }
    };
    if moved {
        let run = agreed.map(|agreed| Box::new(Run::first(id, agreed)));
        return Ok(Released { request: id.clone(), digest, run });
    }
    // The log says `released`, so it must also say that nothing came of it.
    let why = "it was ended at the last moment".to_owned();
    let mut entry = self::entry(Kind::HoldEnded, &request);
    entry.outcome = Some(why.clone());
    gateway.log.append_durably(&entry).await.map_err(|down| NotReleased::Unavailable(down.to_string()))?;
    Err(NotReleased::Void(why))
}

/// Whether everything is as it was when the approvers looked.
async fn still_stands(
    gateway: &Gateway,
    request: &Request,
    digest: Digest,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Result<(), String>, StoreError> {
    let no = |why: &str| Ok(Err(why.to_owned()));
    if now >= request.new.expires_at {
        return no("its time ran out before it could run");
    }
    if request.new.digest != digest {
        return no("what would run is not what was approved");
    }
    let was = &request.new.asked;
    if was.asker.human != asked.asker.human || was.connection != asked.connection {
        return no("somebody else asks now than when it was approved");
    }
    let counted = countersigners(gateway, request, now).await?;
    let known = gateway.store.people().await?;
    let policies = gateway.policies();
    let (decision, by) = decide_by(&policies, asked, &counted, &known, now);
    policies.permissions().mark(&by);
    Ok(match decision {
        Decision::Allow => Ok(()),
        Decision::Hold(_) => Err("its approvals no longer suffice: an approver or the policy has changed".to_owned()),
        Decision::Deny(denial) => {
            Err(denial.message.unwrap_or_else(|| "policy no longer permits it, approved or not".to_owned()))
        }
    })
}

/// The approvals as the log names them, so that it needs no state to be checked.
pub(super) fn evidence(request: &Request) -> Vec<serde_json::Value> {
    let one = |approval: &crate::store::Approval| {
        let mut one = json!({
            "approver": approval.approver.principal, "assurance": approval.assurance, "at": approval.at,
            "signature": approval.signature,
        });
        if let Some(allow) = &approval.allow {
            one["allow"] = json!(allow);
        }
        one
    };
    request.approvals.iter().map(one).collect()
}

/// An entry about `request`.
pub(super) fn entry(kind: Kind, request: &Request) -> Entry {
    Entry {
        session: request.new.session.clone(),
        principal: Some(request.new.asked.asker.human.principal.clone()),
        connection: Some(request.new.asked.connection.clone()),
        request: Some(request.new.id.clone()),
        sql: Some(request.new.sql.clone()),
        ..Entry::new(kind)
    }
}
