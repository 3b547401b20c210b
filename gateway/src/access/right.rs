//! Proof that a role may be given, and the giving.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{Outcome, Problem},
    ids::{GrantId, RequestId},
    request::State,
};
use serde_json::json;

use super::book::{Live, Now};
use crate::{
    approval::{
        release::{NotReleased, release},
        say::problem,
    },
    config::values::spelled,
    log::{Entry, Kind},
    policy::Policies,
    runtime::Gateway,
    statement::decide::{Asked, Decision, Wish, decide_by},
    store::{Grant, Request, StoreError, Term},
};

/// The right to give one role once. Only policy's plain yes, or the release of an approved request,
/// makes one.
#[derive(Debug)]
pub struct Right {
    asked: Asked,
    role: String,
    wish: Wish,
    request: Option<RequestId>,
    approved_by: Vec<String>,
}

impl Right {
    /// Where policy permits `asked` without asking anybody. `None` where it says anything else.
    #[must_use]
    pub fn by_policy(policies: &Policies, asked: &Asked, now: DateTime<Utc>) -> Option<Self> {
        let (role, wish) = asked.role()?;
        let (decision, by) = decide_by(policies, asked, &[], &[], now);
        policies.permissions().mark(&by);
        (decision == Decision::Allow).then(|| Self {
            role: role.to_owned(),
            wish: wish.clone(),
            asked: asked.clone(),
            request: None,
            approved_by: Vec::new(),
        })
    }

    /// Releases an approved request: its approvals, its approvers' rights and the requester's are
    /// looked at again, with their groups of now.
    ///
    /// # Errors
    /// Why not; the request is over then.
    pub async fn by_approval(gateway: &Gateway, request: &Request, now: DateTime<Utc>) -> Result<Self, NotReleased> {
        let new = &request.new;
        let mut asked = new.asked.clone();
        let void = |why: &str| NotReleased::Void(why.to_owned());
        let known = gateway.store.person(&asked.asker.human.principal).await?;
        match known {
            Some(known) if known.human == asked.asker.human => asked.asker.groups = known.groups,
            _ => return void_request(gateway, &new.id, void("whoever asked is not known any more")).await,
        }
        let Some((role, wish)) = asked.role() else {
            return void_request(gateway, &new.id, void("it asks for no role")).await;
        };
        let (role, wish) = (role.to_owned(), wish.clone());
        if let Err(problem) = fits(gateway, &asked, &role, &wish, now) {
            return void_request(gateway, &new.id, void(&problem.error)).await;
        }
        let _released = release(gateway, &new.id, new.digest, &asked, now).await?;
        let sealed = request.approvals.iter().filter(|approval| gateway.seal.verify(approval));
        let approved_by = sealed.map(|approval| approval.approver.principal.clone()).collect();
        Ok(Self { asked, role, wish, request: Some(new.id.clone()), approved_by })
    }
}

async fn void_request<T>(gateway: &Gateway, id: &RequestId, why: NotReleased) -> Result<T, NotReleased> {
    let outcome = Outcome { reason: Some(why.to_string()), ..Outcome::default() };
    // Whoever else ended it meanwhile was first; it is over either way.
    let _first =
        gateway.store.move_request(id, &[State::Pending, State::Approved], State::Void, Some(&outcome)).await?;
    Err(why)
}

/// Whether what is wished for can be given now, as the config and the grant that is to last longer stand.
///
/// # Errors
/// Why not.
pub fn fits(gateway: &Gateway, asked: &Asked, role: &str, wish: &Wish, now: DateTime<Utc>) -> Result<(), Problem> {
    let known = gateway.config.roles.iter().find(|known| known.name == role);
    let known = known.filter(|_| gateway.config.connections.contains_key(&asked.connection));
    let known = known.ok_or_else(|| not_for_you(role, &asked.connection))?;
    if wish.seconds > known.max_duration.as_secs() {
        let longest = spelled(known.max_duration);
        return Err(problem("bad_request", format!("{role} is given for at most {longest} at once."), None));
    }
    let Some(extends) = &wish.extends else {
        let Some(live) = gateway.grants.held_by(&asked.asker.human, &asked.connection, role) else { return Ok(()) };
        let until = live.until.wall.format("%Y-%m-%d %H:%M:%S UTC");
        let hint = format!("Extend grant {}, or give it back first.", live.id);
        let error = format!("{role} on {} is given already, until {until}.", asked.connection);
        return Err(problem("conflict", error, Some(&hint)));
    };
    let over = || problem("over", "The grant has ended, so it can't be extended.", Some("Ask for access again."));
    let live = gateway.grants.get(extends).ok_or_else(over)?;
    if live.human != asked.asker.human || live.connection != asked.connection || live.role != role {
        return Err(over());
    }
    if now + seconds(wish) <= live.until.wall {
        return Err(problem("bad_request", "The grant lasts longer than that already.", None));
    }
    Ok(())
}

/// The same words for what is not there and for what policy denies without a word.
pub(super) fn not_for_you(role: &str, connection: &str) -> Problem {
    let error = format!("You may not ask for {role:?} on {connection:?}, or there is no such role or connection.");
    problem("forbidden", error, Some("Check both names, or ask whoever keeps the policy."))
}

fn seconds(wish: &Wish) -> TimeDelta {
    i64::try_from(wish.seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or_default()
}

/// Times are kept to the millisecond, and signed as they are kept.
fn kept(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

/// Gives the role: in the log, then in the state, then in the sessions that run.
///
/// # Errors
/// Why nothing was given.
pub async fn give(gateway: &Gateway, right: Right) -> Result<Grant, Problem> {
    let Right { asked, role, wish, request, approved_by } = right;
    let _one_at_a_time = gateway.grants.giving().await;
    let now = Now::read();
    fits(gateway, &asked, &role, &wish, now.wall)?;
    let before = match &wish.extends {
        Some(id) => gateway.store.grant(id).await.map_err(|error| failed(&error))?,
        None => None,
    };
    let from = kept(now.wall);
    let number = before.as_ref().map_or(0, |grant| 1 + grant.more.len());
    let term = gateway.seal.seal_term(Term {
        grant: wish.extends.clone().unwrap_or_else(GrantId::random),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        human: asked.asker.human.clone(),
        connection: asked.connection.clone(),
        role,
        reason: asked.reason.clone().unwrap_or_default(),
        request,
        approved_by,
        from,
        until: from + seconds(&wish),
        signature: String::new(),
    });
    record(gateway, &term, "granted").await?;
    if let Err(error) = gateway.store.give(&term).await {
        // The log says that it was given, so it must also say that nothing came of it.
        record(gateway, &term, "not granted").await?;
        return Err(failed(&error));
    }
    let id = &term.grant;
    let grant = gateway.store.grant(id).await.map_err(|error| failed(&error))?;
    let grant = grant.ok_or_else(|| failed(&StoreError::NotFound("grant")))?;
    if let Some(live) = Live::of(&grant, &gateway.seal, now) {
        gateway.grants.add(live);
    }
    Ok(grant)
}

/// Gives what was approved: releases the request, and gives the role.
///
/// # Errors
/// Why nothing was given, as a part of a sentence.
pub async fn give_approved(gateway: &Gateway, id: &RequestId) -> Result<Grant, String> {
    let down = |error: &StoreError| {
        tracing::error!(%error, request = %id, "an approved wish for access came to nothing");
        "the gateway can't record it right now".to_owned()
    };
    let request = gateway.store.request(id).await.map_err(|error| down(&error))?;
    let request = request.ok_or_else(|| "the request is gone".to_owned())?;
    // After the last approval, which must not be from the future.
    let right = match Right::by_approval(gateway, &request, Utc::now()).await {
        Ok(right) => right,
        Err(why) => {
            tracing::warn!(request = %id, %why, "an approved wish for access came to nothing");
            return Err(why.to_string());
        }
    };
    match give(gateway, right).await {
        Ok(grant) => Ok(grant),
        Err(problem) => {
            let outcome = Outcome { reason: Some(problem.error.clone()), ..Outcome::default() };
            let moved = gateway.store.move_request(id, &[State::Released], State::Unknown, Some(&outcome)).await;
            if let Err(error) = moved {
                tracing::error!(%error, request = %id, "the end of a wish could not be written down");
            }
            Err(problem.error.trim_end_matches('.').to_owned())
        }
    }
}

async fn record(gateway: &Gateway, term: &Term, outcome: &str) -> Result<(), Problem> {
    let entry = Entry {
        principal: Some(term.human.principal.clone()),
        connection: Some(term.connection.clone()),
        request: term.request.clone(),
        outcome: Some(outcome.to_owned()),
        detail: json!({
            "grant": term.grant, "role": term.role, "reason": term.reason, "from": term.from, "until": term.until,
            "extension": term.number > 0, "approved_by": term.approved_by, "signature": term.signature,
        }),
        ..Entry::new(Kind::Granted)
    };
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, "a role was not given");
        unavailable()
    })
}

pub(super) fn unavailable() -> Problem {
    let error = "The gateway can't record access right now, so none was given.";
    problem("unavailable", error, Some("Try again in a moment."))
}

pub(super) fn failed(error: &StoreError) -> Problem {
    match error {
        StoreError::GrantOver => problem("over", "The grant has ended.", Some("Ask for access again.")),
        StoreError::Unavailable(_) => {
            tracing::error!(%error, "a role was not given");
            unavailable()
        }
        error => problem("conflict", format!("Nothing was given: {error}."), None),
    }
}
