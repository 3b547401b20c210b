//! Statements that were approved for a time: whether a run stands, and how an allowance ends.
//!
//! What counts is what the approvers sealed. The state counts the runs: each is taken there, in one transaction, before
//! it is forwarded.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    allow::{Parameters, Terms},
    duties::Human,
    ids::{RequestId, SessionId},
    request::State,
};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{count::countersigners, release};
use crate::{
    access::book::Now,
    log::Kind,
    runtime::Gateway,
    statement::{
        decide::{Asked, Asker, Countersigner, Decision, allow::allows, decide, decide_by, permits},
        effect::{Action, Effect},
    },
    store::{
        Request, StoreError,
        allowances::{Allowance, AllowanceEnd, Allowed, Bound, HowEnded, OpenFilter},
    },
};

/// How often it is looked whether what was allowed still holds.
const TICK: Duration = Duration::from_secs(1);

/// Proof that one run was taken. Only [`take`] and a release make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    request: RequestId,
    number: u32,
    left: u32,
    agreed: Agreed,
}

impl Run {
    /// The first, which its release takes.
    pub(super) fn first(request: &RequestId, agreed: Agreed) -> Self {
        let left = agreed.allowed.terms.runs.saturating_sub(1);
        Self { request: request.clone(), number: 1, left, agreed }
    }

    /// The request that was approved.
    #[must_use]
    pub const fn request(&self) -> &RequestId {
        &self.request
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// No run touches more rows.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.agreed.allowed.terms.rows
    }

    /// What the client reads.
    #[must_use]
    pub fn notice(&self) -> String {
        let (by, until) = (self.agreed.by.join(", "), self.agreed.until.format("%H:%M:%S UTC"));
        let left = match self.left {
            0 => "it is the last".to_owned(),
            1 => "1 more is left".to_owned(),
            left => format!("{left} more are left"),
        };
        let Self { request, number, .. } = self;
        format!("run {number} under request {request}, allowed by {by} until {until}; {left}")
    }

    /// What the log keeps of it: under which approvals it runs, and which run it is.
    #[must_use]
    pub fn evidence(&self) -> Value {
        let terms = &self.agreed.allowed.terms;
        json!({
            "run": self.number, "of": terms.runs, "rows": terms.rows, "parameters": terms.parameters,
            "until": self.agreed.until, "approvals": self.agreed.evidence,
        })
    }
}

/// What all who are needed gave alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What.
    pub allowed: Allowed,
    /// From the last of their approvals on.
    pub until: DateTime<Utc>,
    /// Who.
    pub by: Vec<String>,
    counted: Vec<Countersigner>,
    evidence: Vec<Value>,
}

/// What enough people who may approve it allowed alike, as they and policy stand now; nothing where they did not.
///
/// # Errors
/// Where the state can't say.
pub async fn agreed(
    gateway: &Gateway,
    request: &Request,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Option<Agreed>, StoreError> {
    let mut tried: Vec<Allowed> = Vec::new();
    for approval in &request.approvals {
        let Some(allowed) = approval.allow.filter(|allowed| !tried.contains(allowed)) else { continue };
        tried.push(allowed);
        let mut alike = request.clone();
        alike.approvals.retain(|approval| approval.allow == Some(allowed));
        let counted = countersigners(gateway, &alike, now).await?;
        alike.approvals.retain(|approval| counted.iter().any(|one| one.human == approval.approver));
        let policies = gateway.policies();
        let enough = decide(&policies, asked, &counted, &[], now) == Decision::Allow;
        let Some(last) = alike.approvals.iter().map(|approval| approval.at).max() else { continue };
        if enough && allows(&policies, asked, &counted, &allowed.terms, now) {
            let until = last + TimeDelta::minutes(i64::from(allowed.terms.minutes));
            // Kept to the millisecond, and never longer than that.
            let until = DateTime::from_timestamp_millis(until.timestamp_millis()).unwrap_or(last);
            let by = alike.approvals.iter().map(|approval| approval.approver.principal.clone()).collect();
            return Ok(Some(Agreed { allowed, until, by, counted, evidence: release::evidence(&alike) }));
        }
    }
    Ok(None)
}

/// A statement that somebody sends, of which a run may have been allowed.
pub struct Attempt<'a> {
    /// The question, as it stands now.
    pub asked: &'a Asked,
    /// What an allowance of just this would bind.
    pub bound: Bound,
    /// The session.
    pub session: &'a SessionId,
}

/// What becomes of an attempt.
#[derive(Debug)]
pub enum Taken {
    /// It runs.
    Run(Box<Run>),
    /// Nobody allowed just this. What was allowed of the same text and has ended now, with why.
    Not(Vec<(RequestId, String)>),
}

/// Why an allowance does not hold.
enum Fails {
    /// It is about something else.
    Other,
    /// It is over from now on.
    Over(HowEnded, String),
}

/// Takes a run of what was allowed, if all of it is as it was when its approvers looked.
///
/// # Errors
/// Where the state can't say; nothing runs then.
pub async fn take(gateway: &Gateway, attempt: &Attempt<'_>) -> Result<Taken, StoreError> {
    let filter = OpenFilter {
        principal: Some(attempt.asked.asker.human.principal.clone()),
        connection: Some(attempt.asked.connection.clone()),
    };
    let mut over = Vec::new();
    for open in gateway.store.open_allowances(&filter).await? {
        if open.text != attempt.bound.text {
            continue;
        }
        let Some(request) = gateway.store.request(&open.request).await? else { continue };
        let now = Utc::now();
        match stands(gateway, &request, attempt.asked, Some(&attempt.bound), now).await? {
            Ok(agreed) => {
                let (id, runs) = (&request.new.id, agreed.allowed.terms.runs);
                // The row only counts: it must not count further than what was sealed.
                if open.counted() >= runs {
                    continue;
                }
                if let Some((number, counted)) = gateway.store.take_run(id, now, Some(attempt.session)).await? {
                    let left = runs.saturating_sub(counted);
                    let policies = gateway.policies();
                    let (_, by) = decide_by(&policies, attempt.asked, &agreed.counted, &[], now);
                    policies.permissions().mark(&by);
                    return Ok(Taken::Run(Box::new(Run { request: id.clone(), number, left, agreed })));
                }
            }
            Err(Fails::Other) => {}
            Err(Fails::Over(how, why)) => {
                let id = request.new.id.clone();
                end(gateway, &request, how, None, Some(why.clone())).await?;
                over.push((id, why));
            }
        }
    }
    Ok(Taken::Not(over))
}

/// Whether an allowance still holds for `asked`; with `bound`, for just what it was given for.
async fn stands(
    gateway: &Gateway,
    request: &Request,
    asked: &Asked,
    bound: Option<&Bound>,
    now: DateTime<Utc>,
) -> Result<Result<Agreed, Fails>, StoreError> {
    let void = |why: &str| Ok(Err(Fails::Over(HowEnded::Void, why.to_owned())));
    if !matches!(request.state, State::Released | State::Done) {
        return void("what came of its first run is not known");
    }
    let was = &request.new.asked;
    if was.asker.human != asked.asker.human || was.connection != asked.connection {
        return void("somebody else asks now than when it was allowed");
    }
    let Some(agreed) = agreed(gateway, request, asked, now).await? else {
        return void("its approvals no longer allow it: a right, a grant or the policy has changed");
    };
    let Allowed { terms, bound: then } = &agreed.allowed;
    if now >= agreed.until {
        return Ok(Err(Fails::Over(HowEnded::Expired, "its time is over".to_owned())));
    }
    if let Some(now) = bound {
        if then.text != now.text {
            return Ok(Err(Fails::Other));
        }
        if then.free != now.free {
            return void("what it rests on has changed: definitions, search path, role, settings or masks");
        }
        if terms.parameters == Parameters::Pinned && then.pinned != now.pinned {
            return Ok(Err(Fails::Other));
        }
    }
    if rests_on_a_grant_that_ended(gateway, request, asked, &agreed, now).await? {
        return void("a grant that it rests on has ended");
    }
    Ok(Ok(agreed))
}

/// Whether it is permitted by a role alone that the principal lost since it was asked for, though they may have it again.
async fn rests_on_a_grant_that_ended(
    gateway: &Gateway,
    request: &Request,
    asked: &Asked,
    agreed: &Agreed,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    if asked.asker.roles.is_empty() {
        return Ok(false);
    }
    let mut lasting = asked.clone();
    lasting.asker.roles.clear();
    for role in &asked.asker.roles {
        let Some(live) = gateway.grants.held_by(&asked.asker.human, &asked.connection, role) else { continue };
        let grant = gateway.store.grant(&live.id).await?;
        if grant.is_some_and(|grant| grant.first.from <= request.new.created_at) {
            lasting.asker.roles.push(role.clone());
        }
    }
    Ok(decide(&gateway.policies(), &lasting, &agreed.counted, &[], now) != Decision::Allow)
}

/// Ends an allowance; whether it had not ended before.
///
/// # Errors
/// Where the state can't say.
pub async fn end(
    gateway: &Gateway,
    request: &Request,
    how: HowEnded,
    by: Option<&Human>,
    why: Option<String>,
) -> Result<bool, StoreError> {
    let by = by.map(|who| who.principal.clone());
    let ended = AllowanceEnd { at: Utc::now(), how, by: by.clone(), why: why.clone() };
    if !gateway.store.end_allowance(&request.new.id, &ended).await? {
        return Ok(false);
    }
    told(gateway, request, how, by.as_deref(), why.as_deref()).await;
    Ok(true)
}

/// The end of an allowance is an entry of the log. It has ended, also where that can't be written.
async fn told(gateway: &Gateway, request: &Request, how: HowEnded, by: Option<&str>, why: Option<&str>) {
    let mut entry = release::entry(Kind::AllowanceEnded, request);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    entry.outcome = Some(format!("{}{why}", how.as_str()));
    entry.sql = None;
    entry.detail = json!({ "by": by });
    if let Err(down) = gateway.log.append_durably(&entry).await {
        tracing::error!(%down, request = %request.new.id, "the end of an allowance is not in the log");
    }
}

/// Writes down what came of a run; `discarded` where the server never ran it.
pub async fn ran(gateway: &Gateway, id: &RequestId, number: u32, outcome: &str, discarded: bool) {
    match gateway.store.end_run(id, number, outcome, discarded).await {
        Ok(false) => {}
        Ok(true) => match gateway.store.request(id).await {
            Ok(Some(request)) => told(gateway, &request, HowEnded::Used, None, None).await,
            other => tracing::error!(?other, request = %id, "the end of an allowance is not in the log"),
        },
        Err(error) => tracing::error!(request = %id, number, %error, "what came of a run could not be written down"),
    }
}

/// Ends what does not hold any more, whether or not anybody tries to use it.
///
/// # Errors
/// Where the state can't say.
pub async fn look_at_all(gateway: &Gateway) -> Result<(), StoreError> {
    for open in gateway.store.open_allowances(&OpenFilter::default()).await? {
        look_at(gateway, &open).await?;
    }
    Ok(())
}

/// Looks at all of them each second, and whenever policy changes, until it is dropped.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut policies = gateway.policies.clone();
    policies.mark_unchanged();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
                policies.mark_unchanged();
            }
            _ = ticks.tick() => {}
        }
        let looked = look_at_all(&gateway).await;
        if let (Err(error), false) = (&looked, failed) {
            tracing::error!(%error, "the state can't say what is allowed for a time; nothing of it runs");
        }
        failed = looked.is_err();
    }
}

async fn look_at(gateway: &Gateway, open: &Allowance) -> Result<(), StoreError> {
    let Some(request) = gateway.store.request(&open.request).await? else { return Ok(()) };
    let now = Utc::now();
    let over = match as_it_stands(gateway, &request.new.asked, now).await? {
        None => Some((HowEnded::Void, "whoever asked may not connect any more".to_owned())),
        Some(asked) => match stands(gateway, &request, &asked, None, now).await? {
            Err(Fails::Over(how, why)) => Some((how, why)),
            Err(Fails::Other) | Ok(_) => None,
        },
    };
    if let Some((how, why)) = over {
        end(gateway, &request, how, None, Some(why)).await?;
    }
    Ok(())
}

/// The question with the groups and roles that its asker has now; nothing where they may not connect.
async fn as_it_stands(gateway: &Gateway, asked: &Asked, now: DateTime<Utc>) -> Result<Option<Asked>, StoreError> {
    let human = &asked.asker.human;
    let Some(known) = gateway.store.person(&human.principal).await?.filter(|known| known.human == *human) else {
        return Ok(None);
    };
    let live = gateway.grants.roles_of(human, &asked.connection, Now::read()).names;
    // What they got since gives nothing to what was allowed before.
    let roles = asked.asker.roles.iter().filter(|role| live.contains(role)).cloned().collect();
    let asker = Asker { human: human.clone(), groups: known.groups, roles };
    let connect = Effect::on_connection(Action::Connect);
    let on = (asked.connection.as_str(), &asked.tags);
    let may = gateway.config.connections.contains_key(&asked.connection)
        && permits(&gateway.policies(), &asker, on, &connect, &asked.session, now);
    Ok(may.then(|| Asked { asker, ..asked.clone() }))
}

/// The terms that the approvers of an allowance sealed, and who they are.
#[must_use]
pub fn sealed(gateway: &Gateway, request: &Request, allowance: &Allowance) -> Option<(Terms, Vec<String>)> {
    let ours = request.approvals.iter().filter(|approval| gateway.seal.verify(approval));
    let given = ours.filter_map(|approval| Some((approval.allow?, &approval.approver.principal)));
    let given: Vec<_> =
        given.filter(|(allow, _)| allow.bound.text == allowance.text && allow.terms.runs == allowance.runs).collect();
    let (first, _) = given.first()?;
    let by = given.iter().filter(|(allow, _)| allow == first).map(|(_, who)| (*who).clone()).collect();
    Some((first.terms, by))
}
