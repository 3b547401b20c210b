//! `GET /v1/digest`: what somebody should look at; `POST /v1/grants/{id}/keep`: and leaves as it is.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Json,
};
use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{
        AccessDigest, DigestAgent, DigestGrant, DigestPermission, DigestReview, DigestRole, DigestSecret, DigestToken,
        KeepBody, KeepView, RequestKind,
    },
    duties,
};
use serde_json::json;

use super::{
    App,
    answer::{Exact, Refused},
    caller::Caller,
    grants, sight,
};
use crate::{
    access::{
        digest::{Held, finding, of_watched},
        secrets as standing,
    },
    approval::{say::problem, view::slack_of},
    log::{Entry, Kind},
    runtime::Gateway,
    store::{
        Grant, GrantFilter, RequestFilter, StoreError,
        usage::{Keep, Kind as Watched, Usage, Watch},
    },
};

/// Where the config names none.
const STALE_AFTER: TimeDelta = TimeDelta::days(14);
/// So long a grant that somebody keeps is left alone.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// So long nobody had or used a role or a permission that is told of.
const UNUSED: TimeDelta = TimeDelta::days(30);
/// So long a session lives, and its token, that is told of.
const OLD: TimeDelta = TimeDelta::hours(24);
/// So long a secret has not been changed that is told of: PCI DSS v4.0, 8.3.9 and 8.6.3, and most people's calendars.
const OLD_SECRET: TimeDelta = TimeDelta::days(90);

fn keep_view(keep: &Keep) -> KeepView {
    KeepView { by: keep.by.clone(), until: keep.until, reason: keep.reason.clone() }
}

/// All there is to say, for the bot and for who may read about everybody.
pub(super) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<AccessDigest>, Refused> {
    if !matches!(caller, Caller::Bot) {
        let (who, from) = caller.acts(&[])?;
        if !sight::reads_people(&app.gateway, who, from) {
            return Err(Refused::forbidden("Only who administers or audits every connection reads the digest."));
        }
    }
    let mut digest = digest(&app.gateway, Utc::now()).await?;
    if matches!(caller, Caller::Bot) {
        for found in &mut digest.grants {
            let answerable = found.grant.owner.as_deref().unwrap_or(&found.grant.principal);
            found.grant.slack = slack_of(&app.gateway, answerable).await?;
        }
    }
    Ok(Json(digest))
}

fn stale_after(gateway: &Gateway) -> TimeDelta {
    let config = gateway.config.slack.as_ref().and_then(|slack| slack.digest.as_ref());
    config.and_then(|digest| TimeDelta::from_std(digest.stale_after).ok()).unwrap_or(STALE_AFTER)
}

/// A grant, with what is to be said of its use.
pub(super) fn found(gateway: &Gateway, grant: &Grant, usage: &Usage, now: DateTime<Utc>) -> DigestGrant {
    let view = grants::view(gateway, grant);
    let (uses, keep) = (usage.uses.get(&view.id), usage.keeps.get(&view.id));
    let held = Held { from: view.created_at, until: view.expires_at, uses, keep };
    DigestGrant {
        finding: finding(held, usage.since, stale_after(gateway), now),
        last_used: uses.map(|uses| uses.last),
        kept: keep.map(keep_view),
        grant: view,
    }
}

async fn digest(gateway: &Gateway, now: DateTime<Utc>) -> Result<AccessDigest, StoreError> {
    let stale_after = stale_after(gateway);
    let usage = gateway.store.usage().await?;
    let all = gateway.store.grants(&GrantFilter::default()).await?;
    let mut found = Vec::new();
    for grant in all.iter().filter(|grant| gateway.grants.get(&grant.first.grant).is_some()) {
        found.push(self::found(gateway, grant, &usage, now));
    }
    found.sort_by_key(|found| (found.finding, found.last_used, found.grant.created_at));
    let sessions = gateway.sessions.list();
    Ok(AccessDigest {
        at: now,
        stale_after: u64::try_from(stale_after.num_seconds()).unwrap_or_default(),
        recorded_since: usage.since,
        roles: roles(gateway, &all, &usage, now),
        permissions: permissions(gateway, &usage, now),
        tokens: tokens(gateway, now),
        secrets: secrets(gateway, &usage, now).await,
        agents: agents(gateway).await?,
        reviews: reviews(gateway).await?,
        sessions: sessions.into_iter().filter(|session| now - session.started_at > OLD).collect(),
        grants: found,
        checkpoint: gateway.log.checkpoints().newest().map(|signed| signed.note),
    })
}

/// What is watched from now on, where nobody has written that down yet.
fn watch_of(usage: &Usage, kind: Watched, name: &str, now: DateTime<Utc>) -> Watch {
    let new = Watch { since: now, before: false, last: None };
    usage.watched.get(&(kind, name.to_owned())).copied().unwrap_or(new)
}

fn roles(gateway: &Gateway, all: &[Grant], usage: &Usage, now: DateTime<Utc>) -> Vec<DigestRole> {
    let role = |role: &crate::config::RoleConfig| {
        let given = all.iter().filter(|grant| grant.first.role == role.name);
        let last_given = given.clone().filter_map(|grant| grant.terms().map(|term| term.from).max()).max();
        let watch = watch_of(usage, Watched::Role, &role.name, now);
        let of_grants = given.filter_map(|grant| usage.uses.get(&grant.first.grant)).map(|uses| uses.last).max();
        // Also by a grant that has ended since.
        let last_used = of_grants.max(watch.last);
        let finding = of_watched(watch, last_given.max(last_used), UNUSED, now);
        DigestRole { role: role.name.clone(), finding, last_given, last_used }
    };
    let mut roles: Vec<DigestRole> = gateway.config.roles.iter().map(role).collect();
    roles.sort_by_key(|role| role.finding);
    roles
}

fn permissions(gateway: &Gateway, usage: &Usage, now: DateTime<Utc>) -> Vec<DigestPermission> {
    let policies = gateway.policies();
    let permission = |one: &crate::policy::Permission| {
        let watch = watch_of(usage, Watched::Permission, &one.digest.to_string(), now);
        DigestPermission {
            permission: one.id.clone(),
            finding: of_watched(watch, watch.last, UNUSED, now),
            since: watch.since,
            last_used: watch.last,
        }
    };
    let mut permissions: Vec<DigestPermission> = policies.permissions().all().iter().map(permission).collect();
    permissions.sort_by_key(|one| one.finding);
    permissions
}

/// The tokens of age that live sessions rest on, the oldest first.
fn tokens(gateway: &Gateway, now: DateTime<Utc>) -> Vec<DigestToken> {
    let token = |live: &std::sync::Arc<crate::sessions::Live>| {
        Some(DigestToken {
            principal: live.standing().human.principal.clone(),
            connection: live.connection().to_owned(),
            session: live.id().clone(),
            issued_at: live.token()?.issued_at,
            expires_at: live.expires_at(),
        })
    };
    let mut tokens: Vec<DigestToken> = gateway.sessions.all(|_| true).iter().filter_map(token).collect();
    tokens.retain(|token| now - token.issued_at > OLD);
    tokens.sort_by_key(|token| token.issued_at);
    tokens
}

/// The secrets of age, the oldest first. Of those that were there when watching began, it is the least that is known.
async fn secrets(gateway: &Gateway, usage: &Usage, now: DateTime<Utc>) -> Vec<DigestSecret> {
    let secret = |one: standing::Standing| {
        let watch = watch_of(usage, Watched::Secret, &one.hash, now);
        DigestSecret { what: one.what, connection: one.connection, since: watch.since, at_least: watch.before }
    };
    let mut secrets: Vec<DigestSecret> = standing::standing(gateway).await.into_iter().map(secret).collect();
    secrets.retain(|secret| now - secret.since > OLD_SECRET);
    secrets.sort_by_key(|secret| secret.since);
    secrets
}

/// What was run by break-glass and nobody has reviewed.
async fn reviews(gateway: &Gateway) -> Result<Vec<DigestReview>, StoreError> {
    let filter =
        RequestFilter { states: vec![countersign_shared::request::State::Pending], principal: None, limit: 1_000 };
    let mut open = gateway.store.requests(&filter).await?;
    open.retain(|request| request.new.kind == RequestKind::Review);
    let view = |request: crate::store::Request| DigestReview {
        request: request.new.id,
        principal: request.new.asked.asker.human.principal,
        connection: request.new.asked.connection,
        reason: request.new.asked.reason.unwrap_or_default(),
        at: request.new.created_at,
    };
    Ok(open.into_iter().rev().map(view).collect())
}

/// Agents for whom nobody answers any more, as far as is known.
async fn agents(gateway: &Gateway) -> Result<Vec<DigestAgent>, StoreError> {
    let mut lost = Vec::new();
    let accounts = gateway.store.accounts().await?;
    for agent in &gateway.config.agents {
        let gone = accounts.iter().find(|account| account.principal.eq_ignore_ascii_case(&agent.owner));
        let known = gateway.store.person(&agent.owner).await?.is_some();
        let why = match gone {
            Some(account) if account.gone.is_some() => "the directory says that they are gone",
            _ if !known => "they have never signed in",
            _ => continue,
        };
        lost.push(DigestAgent { name: agent.name.clone(), owner: agent.owner.clone(), why: why.to_owned() });
    }
    Ok(lost)
}

/// Leaves an unused grant as it is for a while. Whoever could end it may, but never its holder, and nobody
/// who is the same human.
pub(super) async fn keep(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Exact(body, bytes): Exact<KeepBody>,
) -> Result<Json<KeepView>, Refused> {
    let (who, from) = caller.acts(&bytes)?;
    let grant = grants::visible(&app, &caller, &id).await?;
    let holder = &grant.first.human;
    if duties::same_human(&who.human, holder) || who.human.is_agent() {
        let hint = Some("Another person has to.");
        return Err(Refused::from(problem("own_request", "You cannot keep a grant of your own.", hint)));
    }
    if !sight::ends_grant(&app.gateway, who, from, &grant) {
        return Err(Refused::forbidden("Only who approved a grant or administers its connection may keep it."));
    }
    let reason = body.reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        let error = format!("`reason` has between 1 and {LONGEST_REASON} characters.");
        return Err(Refused::from(problem("bad_request", error, Some("Say why it should stay."))));
    }
    if app.gateway.grants.get(&grant.first.grant).is_none() {
        return Err(Refused::from(problem("over", "The grant has ended already.", None)));
    }
    let at = Utc::now();
    let (by, reason) = (who.human.principal.clone(), reason.to_owned());
    let keep = Keep { grant: grant.first.grant.clone(), at, until: at + KEPT_FOR, by, reason };
    // Goes on where the caller hangs up in the middle.
    let gateway = Arc::clone(&app.gateway);
    let kept = tokio::spawn(async move {
        let entry = Entry {
            principal: Some(grant.first.human.principal.clone()),
            connection: Some(grant.first.connection.clone()),
            outcome: Some("kept".to_owned()),
            detail: json!({
                "grant": keep.grant, "role": grant.first.role, "by": keep.by, "reason": keep.reason, "until": keep.until,
            }),
            ..Entry::new(Kind::GrantKept)
        };
        gateway.log.append_durably(&entry).await?;
        gateway.store.keep_grant(&keep).await?;
        Ok::<_, Refused>(keep_view(&keep))
    });
    kept.await.map_err(|error| Refused::unavailable(&error))?.map(Json)
}
