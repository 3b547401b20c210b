//! A wish for access: the same question as a statement's, about `request` on the role.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{AccessBody, AccessOption, ExtendBody, Needed, Problem, RequestKind},
    digest::{Digest, Fields},
    duties::Human,
    ids::{GrantId, RequestId},
    request::State,
};
use serde_json::json;

use super::right::{Right, failed, fits, give, not_for_you, unavailable};
use crate::{
    approval::say::problem,
    config::values,
    log::{Entry, Kind},
    policy::Policies,
    runtime::Gateway,
    statement::{
        decide::{Asked, Asker, Decision, SessionFacts, SqlFacts, Wish, decide},
        effect::{Action, Effect, Object},
    },
    store::{Grant, NewRequest, Request, RequestFilter, StoreError},
};

/// How long a wish waits for somebody to decide.
pub const WAITS: TimeDelta = TimeDelta::hours(24);
/// The longest reason, in characters.
const LONGEST_REASON: usize = 2_000;
/// The shortest wish, in seconds.
const SHORTEST: u64 = 1;

/// A verified person or agent who asks.
#[derive(Clone, Debug)]
pub struct Petitioner {
    /// Who.
    pub human: Human,
    /// Their groups now.
    pub groups: Vec<String>,
    /// `context.session`.
    pub from: SessionFacts,
}

/// What came of a wish.
#[derive(Debug)]
pub enum Answer {
    /// Policy gives it at once.
    Given(Box<Grant>),
    /// People are asked.
    Waits(Box<Request>),
}

/// Asks for a role.
///
/// # Errors
/// Why it is refused.
pub async fn ask(gateway: &Arc<Gateway>, who: &Petitioner, body: &AccessBody) -> Result<Answer, Problem> {
    let wish = Wish { seconds: duration(&body.duration)?, extends: None };
    let asked = question(gateway, who, &body.connection, &body.role, wish, reason(&body.reason)?)?;
    to_the_end(gateway, asked).await
}

/// Times that somebody is offered to ask for, in seconds.
const USUAL: [u64; 10] = [900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 259_200, 604_800, 2_592_000];

/// What `who` may ask for now: the same question as when they do, with some usual times. An offer and no
/// promise, since policy may read the reason.
///
/// # Errors
/// Where the state can't say who there is to ask.
pub async fn options(gateway: &Gateway, who: &Petitioner) -> Result<Vec<AccessOption>, Problem> {
    let (policies, now) = (gateway.policies(), Utc::now());
    let known = gateway.store.people().await.map_err(|error| failed(&error))?;
    let mut options = Vec::new();
    for connection in gateway.config.connections.keys() {
        for role in &gateway.config.roles {
            let most = role.max_duration.as_secs();
            let times = USUAL.into_iter().filter(|time| *time < most).chain([most]);
            let mut option = None;
            for seconds in times {
                let wish = Wish { seconds, extends: None };
                let asked = question(gateway, who, connection, &role.name, wish, "to see what there is".into())?;
                let answer = decide(&policies, &asked, &[], &known, now);
                if matches!(answer, Decision::Deny(_)) {
                    continue;
                }
                option = Some(AccessOption {
                    connection: connection.clone(),
                    role: role.name.clone(),
                    longest: seconds,
                    at_once: answer == Decision::Allow,
                });
            }
            options.extend(option);
        }
    }
    Ok(options)
}

/// Asks for more time.
///
/// # Errors
/// Why it is refused.
pub async fn extend(
    gateway: &Arc<Gateway>,
    who: &Petitioner,
    id: &GrantId,
    body: &ExtendBody,
) -> Result<Answer, Problem> {
    let wish = Wish { seconds: duration(&body.duration)?, extends: Some(id.clone()) };
    let reason = reason(&body.reason)?;
    let grant = gateway.store.grant(id).await.map_err(|error| failed(&error))?;
    let grant = grant.filter(|grant| grant.first.human == who.human);
    let grant = grant.ok_or_else(|| problem("not_found", "You have no such grant.", Some("List your grants.")))?;
    let asked = question(gateway, who, &grant.first.connection, &grant.first.role, wish, reason)?;
    to_the_end(gateway, asked).await
}

/// Goes on where the caller hangs up in the middle: what has been written down must also take effect.
async fn to_the_end(gateway: &Arc<Gateway>, asked: Asked) -> Result<Answer, Problem> {
    let gateway = Arc::clone(gateway);
    let work = tokio::spawn(async move { decided(&gateway, asked).await });
    work.await.map_err(|error| {
        tracing::error!(%error, "a wish for access was cut short");
        unavailable()
    })?
}

fn duration(text: &str) -> Result<u64, Problem> {
    let wrong = |error: &str| problem("bad_request", error, Some("Write it like 90m, 8h or 1h30m."));
    match values::seconds(text) {
        None => Err(wrong("`duration` is not a duration.")),
        Some(seconds) if seconds < SHORTEST => Err(wrong("`duration` is no time at all.")),
        // More than this is no time that a calendar has.
        Some(seconds) if seconds > 366 * 86_400 => Err(wrong("`duration` is longer than a year.")),
        Some(seconds) => Ok(seconds),
    }
}

fn reason(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(problem("bad_request", "`reason` is empty.", Some("Say why; approvers read it.")));
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(problem("bad_request", format!("`reason` has more than {LONGEST_REASON} characters."), None));
    }
    Ok(text.to_owned())
}

/// The question. Whoever asks does so without the roles that grants give: no grant makes itself longer.
fn question(
    gateway: &Gateway,
    who: &Petitioner,
    connection: &str,
    role: &str,
    wish: Wish,
    reason: String,
) -> Result<Asked, Problem> {
    let config = gateway.config.connections.get(connection).ok_or_else(|| not_for_you(role, connection))?;
    Ok(Asked {
        asker: Asker { human: who.human.clone(), groups: who.groups.clone(), roles: Vec::new() },
        connection: config.name.clone(),
        tags: config.tags.clone(),
        effects: vec![Effect::new(Action::Request, Object::Role { name: role.to_owned() })],
        sql: SqlFacts::default(),
        session: who.from.clone(),
        reason: Some(reason),
        break_glass: false,
        wish: Some(wish),
        columns: Vec::new(),
        at_commit: false,
        parts: Vec::new(),
    })
}

async fn decided(gateway: &Gateway, asked: Asked) -> Result<Answer, Problem> {
    let now = Utc::now();
    let policies = gateway.policies();
    let Some((role, wish)) = asked.role() else { return Err(unavailable()) };
    if !gateway.config.roles.iter().any(|known| known.name == role) {
        return refused(gateway, &asked, not_for_you(role, &asked.connection)).await;
    }
    let allowed = Right::by_policy(&policies, &asked, now);
    let needed = if allowed.is_some() { Ok(None) } else { needed(gateway, &policies, &asked, now).await? };
    let needed = match needed {
        Ok(needed) => needed,
        Err(problem) => return refused(gateway, &asked, problem).await,
    };
    fits(gateway, &asked, role, wish, now)?;
    match (allowed, needed) {
        (Some(right), _) => {
            record(gateway, &asked, None, "allow").await?;
            give(gateway, right).await.map(|grant| Answer::Given(Box::new(grant)))
        }
        (None, Some(needed)) => waits(gateway, asked, needed, now).await,
        // The two questions are asked one after the other: what rests on time may just have begun.
        (None, None) => Err(problem("conflict", "Policy has just changed; ask again.", None)),
    }
}

/// What approvals a wish needs that policy does not simply permit, or its refusal.
///
/// # Errors
/// Where the state can't say who there is to ask.
async fn needed(
    gateway: &Gateway,
    policies: &Policies,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Result<Option<Needed>, Problem>, Problem> {
    let known = gateway.store.people().await.map_err(|error| failed(&error))?;
    Ok(match decide(policies, asked, &[], &known, now) {
        Decision::Allow => Ok(None),
        Decision::Hold(needed) => Ok(Some(needed)),
        Decision::Deny(denial) => Err(denial.message.map_or_else(
            || not_for_you(asked.role().map_or("", |(role, _)| role), &asked.connection),
            |message| problem("forbidden", message, Some("Ask whoever keeps the policy.")),
        )),
    })
}

async fn refused(gateway: &Gateway, asked: &Asked, problem: Problem) -> Result<Answer, Problem> {
    record(gateway, asked, None, &format!("deny: {}", problem.error)).await?;
    Err(problem)
}

async fn waits(gateway: &Gateway, asked: Asked, needed: Needed, now: DateTime<Utc>) -> Result<Answer, Problem> {
    let human = &asked.asker.human;
    if let Some(same) =
        open_wishes(gateway, Some(human)).await.map_err(|error| failed(&error))?.into_iter().find(|open| {
            let before = &open.new.asked;
            before.connection == asked.connection && before.effects == asked.effects
        })
    {
        let error = format!("You have asked for this already: request {} waits.", same.new.id);
        return Err(problem("conflict", error, Some("Withdraw it first to ask for something else.")));
    }
    let id = RequestId::random();
    let digest = digest(&id, &asked);
    record(gateway, &asked, Some((&id, digest)), "hold").await?;
    let new = NewRequest {
        id: id.clone(),
        kind: RequestKind::Access,
        digest,
        session: None,
        sql: String::new(),
        parameters: Vec::new(),
        notes: Vec::new(),
        impact: Vec::new(),
        needed,
        channel: gateway.config.connections.get(&asked.connection).and_then(|config| config.channel.clone()),
        created_at: now,
        expires_at: now + WAITS,
        asked,
        allowable: None,
        steps: Vec::new(),
    };
    gateway.store.create_request(&new).await.map_err(|error| failed(&error))?;
    let made = gateway.store.request(&id).await.map_err(|error| failed(&error))?;
    made.map(|request| Answer::Waits(Box::new(request))).ok_or_else(unavailable)
}

/// The wishes that wait: somebody's, or all.
pub(super) async fn open_wishes(gateway: &Gateway, of: Option<&Human>) -> Result<Vec<Request>, StoreError> {
    let filter = RequestFilter {
        states: vec![State::Pending, State::Approved],
        principal: of.map(|human| human.principal.clone()),
        limit: 10_000,
    };
    let mut open = gateway.store.requests(&filter).await?;
    open.retain(|request| request.new.kind == RequestKind::Access);
    Ok(open)
}

/// What an approval of a wish binds. The request's own id is in it, so that no two wishes share one.
fn digest(id: &RequestId, asked: &Asked) -> Digest {
    let (role, wish) = asked.role().map_or(("", None), |(role, wish)| (role, Some(wish)));
    let human = &asked.asker.human;
    Fields::of("countersign/access/v1")
        .field("request", id.as_str())
        .field("principal", &human.principal)
        .field("issuer", &human.issuer)
        .field("subject", &human.subject)
        .optional("owner", human.owner.as_deref())
        .field("connection", &asked.connection)
        .field("role", role)
        .field("seconds", wish.map(|wish| wish.seconds).unwrap_or_default().to_be_bytes())
        .optional("extends", wish.and_then(|wish| wish.extends.as_ref()).map(GrantId::as_str))
        .optional("reason", asked.reason.as_deref())
        .finish()
}

async fn record(
    gateway: &Gateway,
    asked: &Asked,
    request: Option<(&RequestId, Digest)>,
    outcome: &str,
) -> Result<(), Problem> {
    let (role, wish) = asked.role().map_or(("", None), |(role, wish)| (role, Some(wish)));
    let entry = Entry {
        principal: Some(asked.asker.human.principal.clone()),
        connection: Some(asked.connection.clone()),
        request: request.map(|(id, _)| id.clone()),
        outcome: Some(outcome.to_owned()),
        detail: json!({
            "role": role, "wish": wish, "reason": asked.reason, "address": asked.session.address,
            "application": asked.session.application, "digest": request.map(|(_, digest)| digest.to_string()),
        }),
        ..Entry::new(Kind::Asked)
    };
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, "a wish for access was not taken");
        unavailable()
    })
}
