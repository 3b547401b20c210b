//! Somebody is told in another's place. That gives no right: who is named must have it by policy already, and is
//! asked for it again at each decision.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{DelegateBody, Problem, StandIn},
    duties::{self, Human},
    request::State,
};
use serde_json::json;

use super::right::failed;
use crate::{
    approval::{say::problem, take::may_approve, view::slack_of},
    log::{Entry, Kind},
    runtime::Gateway,
    statement::{
        decide::{Asker, Known, SessionFacts, permits},
        effect::{Action, Effect},
    },
    store::{Request, StoreError, delegations::Delegation},
};

/// The longest time.
const LONGEST: TimeDelta = TimeDelta::days(90);

/// The connections on which policy lets somebody approve.
fn approves_on(gateway: &Gateway, who: &Known) -> Vec<String> {
    let asker = Asker { human: who.human.clone(), groups: who.groups.clone(), roles: Vec::new() };
    let from = SessionFacts { application: "delegate".into(), address: "0.0.0.0".into() };
    let effect = Effect::on_connection(Action::Approve);
    let policies = gateway.policies();
    let may = |name: &str, tags| permits(&policies, &asker, (name, tags), &effect, &from, Utc::now());
    let all = gateway.config.connections.iter();
    all.filter(|(name, config)| may(name, &config.tags)).map(|(name, _)| name.clone()).collect()
}

/// The one whom `typed` names: an address, or what stands before its `@`, where that is one person's.
fn named<'k>(people: &'k [Known], typed: &str) -> Result<&'k Known, Problem> {
    let typed = typed.trim().trim_start_matches('@');
    let fits = |known: &&Known| {
        let name = &known.human.principal;
        let handle = name.split('@').next().unwrap_or_default();
        !known.human.is_agent() && (name.eq_ignore_ascii_case(typed) || handle.eq_ignore_ascii_case(typed))
    };
    match people.iter().filter(fits).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        [] => Err(problem("not_found", "Nobody of that name has signed in yet.", Some("Write their address."))),
        _ => Err(problem("bad_request", "More than one person has that name.", Some("Write their address."))),
    }
}

/// Names somebody who is told in the place of `who`.
///
/// # Errors
/// Where they may not approve everything that `who` may, or log or state can't take it.
pub async fn delegate(
    gateway: &Gateway,
    who: &Human,
    groups: &[String],
    body: &DelegateBody,
) -> Result<StandIn, Problem> {
    let people = gateway.store.people().await.map_err(|error| failed(&error))?;
    let to = named(&people, &body.to)?;
    let now = Utc::now();
    if who.is_agent() || duties::same_human(who, &to.human) {
        return Err(problem("forbidden", "Somebody else has to stand in for you.", None));
    }
    if body.until <= now || body.until - now > LONGEST {
        return Err(problem("bad_request", "`until` is not within the next 90 days.", None));
    }
    let mine = approves_on(gateway, &Known { human: who.clone(), groups: groups.to_vec() });
    if mine.is_empty() {
        return Err(problem("forbidden", "Policy lets you approve nothing, so nobody need stand in for you.", None));
    }
    let theirs = approves_on(gateway, to);
    let lacking: Vec<&str> = mine.iter().filter(|name| !theirs.contains(name)).map(String::as_str).collect();
    if !lacking.is_empty() {
        let error = format!("Policy does not let {} approve on {}.", to.human.principal, lacking.join(", "));
        let hint = Some("Name somebody who may, or have policy permit them: standing in gives nobody a right.");
        return Err(problem("forbidden", error, hint));
    }
    let delegation = Delegation {
        principal: who.principal.clone(),
        delegate: to.human.principal.clone(),
        from: now,
        until: body.until,
    };
    record(gateway, &delegation.principal, "begun", json!({ "to": delegation.delegate, "until": delegation.until }))
        .await?;
    gateway.store.delegate(&delegation).await.map_err(|error| failed(&error))?;
    let slack = slack_of(gateway, &delegation.delegate).await.map_err(|error| failed(&error))?;
    Ok(StandIn { of: delegation.principal, delegate: delegation.delegate, until: delegation.until, slack })
}

/// Ends it. `false` where there is none.
///
/// # Errors
/// Where log or state can't take it.
pub async fn end(gateway: &Gateway, who: &Human) -> Result<bool, Problem> {
    record(gateway, &who.principal, "ended", serde_json::Value::Null).await?;
    gateway.store.end_delegation(&who.principal).await.map_err(|error| failed(&error))
}

async fn record(gateway: &Gateway, principal: &str, outcome: &str, detail: serde_json::Value) -> Result<(), Problem> {
    let entry = Entry {
        principal: Some(principal.to_owned()),
        outcome: Some(outcome.to_owned()),
        detail,
        ..Entry::new(Kind::Delegation)
    };
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, "a delegation was not taken");
        problem("unavailable", "The gateway can't record this right now, so nothing was done.", Some("Try again."))
    })
}

/// Those who `principal` named or who named them.
///
/// # Errors
/// Where the state can't say.
pub async fn of(gateway: &Gateway, principal: &str) -> Result<Vec<StandIn>, StoreError> {
    let all = gateway.store.delegations(Utc::now()).await?;
    let theirs = all
        .into_iter()
        .filter(|one| one.principal.eq_ignore_ascii_case(principal) || one.delegate.eq_ignore_ascii_case(principal));
    let plain = |one: Delegation| StandIn { of: one.principal, delegate: one.delegate, until: one.until, slack: None };
    Ok(theirs.map(plain).collect())
}

/// Who is told of a request that waits, in whose place: where both may decide on it now.
///
/// # Errors
/// Where the state can't say.
pub async fn told(gateway: &Gateway, request: &Request, now: DateTime<Utc>) -> Result<Vec<StandIn>, StoreError> {
    if request.state != State::Pending {
        return Ok(Vec::new());
    }
    let (policies, asked) = (gateway.policies(), &request.new.asked);
    let mut told = Vec::new();
    for Delegation { principal: of, delegate, until, .. } in gateway.store.delegations(now).await? {
        let mut both = true;
        for name in [&of, &delegate] {
            let known = gateway.store.person(name).await?;
            both &= known.is_some_and(|known| {
                !duties::same_human(&known.human, &asked.asker.human)
                    && may_approve(&policies, asked, &known.human, &known.groups, now)
            });
        }
        if both {
            let slack = slack_of(gateway, &delegate).await?;
            told.push(StandIn { of, delegate, until, slack });
        }
    }
    Ok(told)
}
