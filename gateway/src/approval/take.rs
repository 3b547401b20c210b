//! A choice is taken: by a person whom somebody verified, on a request, over the digest they saw.

use chrono::{DateTime, Utc};
use countersign_shared::{
    allow::{Parameters, Terms},
    api::{DecisionBody, DecisionTaken, Needed, Outcome, Problem, RequestKind},
    duties::{self, Human},
    ids::RequestId,
    request::{Assurance, Choice, State},
};
use serde_json::json;

use super::{
    allowance::{self, agreed},
    count::countersigners,
    release::entry,
    say,
    view::view,
};
use crate::{
    access,
    log::Kind,
    policy::Policies,
    runtime::Gateway,
    statement::decide::{Asked, Countersigner, Decision, Known, allow::allows, approvable, approves_by, decide},
    store::{
        Approval, Request, StoreError,
        allowances::{Allowed, Denial, HowEnded},
    },
};

/// The longest reason that is kept, in characters.
const LONGEST_REASON: usize = 2_000;

/// A verified person who chooses, and how we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chooser {
    /// Who.
    pub human: Human,
    /// Their groups now.
    pub groups: Vec<String>,
    /// How they proved it.
    pub assurance: Assurance,
    /// What is kept of the proof: the bot's token, or the digest of a bearer token. Never a token
    /// that somebody could use again.
    pub evidence: String,
}

/// Takes `body`'s choice of `who` on the request `id`.
///
/// # Errors
/// Why it was not taken, for the one who chose. Nothing was changed then.
pub async fn take(
    gateway: &Gateway,
    who: &Chooser,
    id: &RequestId,
    body: &DecisionBody,
) -> Result<DecisionTaken, Problem> {
    let now = Utc::now();
    let failed = |error: StoreError| say::store(&error, id);
    if let Some(how) = gateway.store.gone(&who.human).await.map_err(failed)? {
        return Err(say::store(&StoreError::Gone { principal: who.human.principal.clone(), how }, id));
    }
    let request = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    let request = expire(gateway, request, now).await.map_err(failed)?;
    let message = if let Some(message) = chosen_before(&request, who, body.choice) {
        message
    } else {
        let takes = match body.choice {
            Choice::Approve => request.state == State::Pending,
            Choice::Deny | Choice::Withdraw => matches!(request.state, State::Pending | State::Approved),
        };
        if !takes {
            return Err(say::over(&request));
        }
        if request.new.digest != body.digest {
            return Err(say::digest_mismatch());
        }
        let known = gateway.store.people().await.map_err(failed)?;
        may_choose(gateway, &request, who, body.choice, now)?;
        if body.choice == Choice::Approve && request.denials.iter().any(|denial| denial.by == who.human) {
            return Err(failed(StoreError::AlreadyDecided));
        }
        match (body.choice, body.allow) {
            (Choice::Approve, None) => approve(gateway, &request, who, None, &known, now).await?,
            (Choice::Approve, Some(terms)) => {
                let allow = may_allow(gateway, &request, who, terms, &known, now).await?;
                approve(gateway, &request, who, Some(allow), &known, now).await?
            }
            (_, Some(_)) => return Err(say::allows_nothing()),
            (Choice::Deny, None) => deny(gateway, &request, who, body).await?,
            (Choice::Withdraw, None) => withdraw(gateway, &request, who, body).await?,
        }
    };
    gateway.holds.ring(id);
    let after = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    Ok(DecisionTaken { request: view(gateway, &after).await.map_err(failed)?, message })
}

/// Whether `who` may decide on at least one of the effects of `asked` that wait for approval.
#[must_use]
pub fn may_approve(policies: &Policies, asked: &Asked, who: &Human, groups: &[String], now: DateTime<Utc>) -> bool {
    if !asked.parts.is_empty() {
        return asked.parts.iter().any(|part| may_approve(policies, part, who, groups, now));
    }
    // Assurance is the approval's matter, not the right's.
    let who = Countersigner { human: who.clone(), groups: groups.to_vec(), assurance: Assurance::Cli };
    approvable(policies, asked, &who, now).into_iter().any(|effect| {
        // A right over an effect that needs nobody is no right here.
        let alone = Asked { effects: vec![effect], ..asked.clone() };
        decide(policies, &alone, &[], &[], now) != Decision::Allow
    })
}

fn may_choose(
    gateway: &Gateway,
    request: &Request,
    who: &Chooser,
    choice: Choice,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let asked = &request.new.asked;
    if choice == Choice::Withdraw {
        if request.new.kind == RequestKind::Review {
            return Err(say::review_stays());
        }
        let own = duties::same_human(&who.human, &asked.asker.human);
        return if own { Ok(()) } else { Err(say::not_the_requester()) };
    }
    duties::may_countersign(&who.human, &asked.asker.human).map_err(|conflict| say::own(conflict, choice))?;
    if !may_approve(&gateway.policies(), asked, &who.human, &who.groups, now) {
        return Err(say::not_an_approver(&request.new.needed));
    }
    let policies = gateway.policies();
    policies.permissions().mark(&approves_by(&policies, asked, &who.human, &who.groups, now));
    // A person approves once: an approval that policy would not count must not use that up.
    if choice == Choice::Approve && request.new.needed.step_up && who.assurance != Assurance::StepUp {
        let page = format!("{}/requests/{}", gateway.config.gateway.url.as_str().trim_end_matches('/'), request.new.id);
        return Err(say::step_up(&page));
    }
    Ok(())
}

/// The deadline counts at once, even where no session waits to notice it.
async fn expire(gateway: &Gateway, request: Request, now: DateTime<Utc>) -> Result<Request, StoreError> {
    let open = matches!(request.state, State::Pending | State::Approved);
    if !open || now < request.new.expires_at {
        return Ok(request);
    }
    let id = &request.new.id;
    let _first = gateway.store.move_request(id, &[State::Pending, State::Approved], State::Expired, None).await?;
    gateway.holds.ring(id);
    gateway.store.request(id).await?.ok_or(StoreError::NotFound("request"))
}

/// A double click is no error.
fn chosen_before(request: &Request, who: &Chooser, choice: Choice) -> Option<String> {
    let ended_by_them = || {
        let by = request.outcome.as_ref().and_then(|outcome| outcome.by.as_deref());
        by.is_some_and(|by| by.eq_ignore_ascii_case(&who.human.principal))
    };
    match choice {
        Choice::Approve => {
            let approved = request.approvals.iter().any(|approval| approval.approver == who.human);
            let stands = matches!(request.state, State::Approved | State::Released | State::Done | State::Unknown);
            (approved && stands).then(say::approved_already)
        }
        Choice::Deny => {
            let denied = request.denials.iter().any(|denial| denial.by == who.human);
            let over = request.state == State::Denied && (denied || ended_by_them());
            let open = denied && matches!(request.state, State::Pending | State::Approved);
            over.then(say::ended_already).or_else(|| open.then(say::denied_before))
        }
        Choice::Withdraw => (request.state == State::Withdrawn && ended_by_them()).then(say::ended_already),
    }
}

/// What `who` may allow of `request` beyond one run; they choose `terms`.
async fn may_allow(
    gateway: &Gateway,
    request: &Request,
    who: &Chooser,
    mut terms: Terms,
    known: &[Known],
    now: DateTime<Utc>,
) -> Result<Allowed, Problem> {
    let fits = request.new.kind == RequestKind::Statement && !request.new.asked.at_commit;
    let allowable = request.new.allowable.filter(|_| fits).ok_or_else(say::not_allowable)?;
    if request.new.parameters.is_empty() {
        terms.parameters = Parameters::Pinned;
    }
    if !terms.are_within(&allowable.most) {
        return Err(say::more_than_policy_lets(&allowable.most));
    }
    let stated: u64 = request.new.impact.iter().filter_map(|one| one.rows).fold(0, u64::saturating_add);
    if stated > terms.rows {
        return Err(say::fewer_rows_than_it_touches(stated));
    }
    let allowed = Allowed { terms, bound: allowable.bound };
    // With this approval, what the others gave, and what they gave that is just this.
    let failed = |error: StoreError| say::store(&error, &request.new.id);
    let own = Countersigner { human: who.human.clone(), groups: who.groups.clone(), assurance: who.assurance };
    let with_own = async |alike: bool| {
        let mut others = request.clone();
        others.approvals.retain(|approval| !alike || approval.allow == Some(allowed));
        let counted = countersigners(gateway, &others, now).await.map_err(failed)?;
        Ok::<_, Problem>(counted.into_iter().chain([own.clone()]).collect::<Vec<_>>())
    };
    let (policies, asked) = (gateway.policies(), &request.new.asked);
    let enough = |counted: &[Countersigner]| decide(&policies, asked, counted, known, now) == Decision::Allow;
    let alike = with_own(true).await?;
    let for_a_time = enough(&alike) && allows(&policies, asked, &alike, &terms, now);
    if !for_a_time && enough(&with_own(false).await?) {
        return Err(say::not_alike());
    }
    Ok(allowed)
}

async fn approve(
    gateway: &Gateway,
    request: &Request,
    who: &Chooser,
    allow: Option<Allowed>,
    known: &[Known],
    now: DateTime<Utc>,
) -> Result<String, Problem> {
    let id = &request.new.id;
    // A second click adds nothing, but it counts what is there once more: the first may have been
    // cut off between being written down and taking effect.
    if request.approvals.iter().any(|approval| approval.approver == who.human) {
        return settle(gateway, request, known, now, |_, _| say::approved_already()).await;
    }
    let approval = gateway.seal.seal(Approval {
        request: id.clone(),
        digest: request.new.digest,
        approver: who.human.clone(),
        assurance: who.assurance,
        at: now,
        evidence: who.evidence.clone(),
        allow,
        signature: String::new(),
    });
    let mut said = json!({ "signature": approval.signature, "evidence": evidence_of(who) });
    if let Some(allow) = allow {
        said["allow"] = json!(allow);
    }
    record(gateway, request, who, "approve", said).await?;
    match gateway.store.add_approval(&approval).await {
        Ok(request) => settle(gateway, &request, known, now, say::more_needed).await,
        Err(error) => {
            // The log holds a decision that the state did not take; it must say so too.
            record(gateway, request, who, "approve, not taken", json!({ "why": error.to_string() })).await?;
            match error {
                StoreError::AlreadyDecided => Ok(say::approved_already()),
                error => Err(say::store(&error, id)),
            }
        }
    }
}

/// Asks policy again with all who have approved, and moves the request on where that is enough.
async fn settle(
    gateway: &Gateway,
    request: &Request,
    known: &[Known],
    now: DateTime<Utc>,
    not_enough: impl FnOnce(&Needed, usize) -> String,
) -> Result<String, Problem> {
    let id = &request.new.id;
    let failed = |error: StoreError| say::store(&error, id);
    if request.new.kind == RequestKind::Review {
        return close(gateway, request).await;
    }
    // Another's approval may have come in after we looked at the clock.
    let counted = countersigners(gateway, request, now.max(Utc::now())).await.map_err(failed)?;
    match decide(&gateway.policies(), &request.new.asked, &counted, known, now) {
        Decision::Allow => {
            let moved = gateway.store.move_request(id, &[State::Pending], State::Approved, None).await;
            // Another's approval, or an end, came in between; the state says which.
            if !moved.map_err(failed)? {
                return after_race(gateway, id).await;
            }
            // A held statement's session releases it; nobody waits for a wish but us.
            if request.new.kind == RequestKind::Access {
                access::right::give_approved(gateway, id).await.map_err(|why| say::not_given(&why))?;
            }
            let agreed = agreed(gateway, request, &request.new.asked, now.max(Utc::now())).await.map_err(failed)?;
            if let Some(agreed) = agreed {
                return Ok(say::allowed(&request.new, &agreed));
            }
            if request.approvals.iter().any(|approval| approval.allow.is_some()) {
                return Ok(say::approved_once(&request.new));
            }
            Ok(say::approved(&request.new))
        }
        Decision::Hold(needed) => {
            gateway.store.set_needed(id, &needed).await.map_err(failed)?;
            Ok(not_enough(&needed, counted.len()))
        }
        Decision::Deny(denial) => {
            let reason = denial.message.unwrap_or_else(say::no_longer_permitted);
            let outcome = Outcome { reason: Some(reason), ..Outcome::default() };
            let _first =
                gateway.store.move_request(id, &[State::Pending], State::Void, Some(&outcome)).await.map_err(failed)?;
            Ok(say::no_longer_permitted())
        }
    }
}

/// A review is over with the first who has looked.
async fn close(gateway: &Gateway, request: &Request) -> Result<String, Problem> {
    let id = &request.new.id;
    let failed = |error: StoreError| say::store(&error, id);
    let moved = gateway.store.move_request(id, &[State::Pending], State::Approved, None).await;
    if !moved.map_err(failed)? {
        return after_race(gateway, id).await;
    }
    gateway.store.move_request(id, &[State::Approved], State::Released, None).await.map_err(failed)?;
    let outcome = Outcome { tag: Some("reviewed".to_owned()), ..Outcome::default() };
    gateway.store.move_request(id, &[State::Released], State::Done, Some(&outcome)).await.map_err(failed)?;
    Ok(say::approved(&request.new))
}

async fn after_race(gateway: &Gateway, id: &RequestId) -> Result<String, Problem> {
    let now = gateway.store.request(id).await.map_err(|error| say::store(&error, id))?;
    match now {
        Some(request) if matches!(request.state, State::Approved | State::Released | State::Done) => {
            Ok(say::approved(&request.new))
        }
        Some(request) => Err(say::over(&request)),
        None => Err(say::not_found(id)),
    }
}

/// The reason in a choice, cut to what is kept.
fn reason_of(body: &DecisionBody) -> Option<String> {
    let reason = body.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    reason.map(|reason| reason.chars().take(LONGEST_REASON).collect())
}

async fn withdraw(gateway: &Gateway, request: &Request, who: &Chooser, body: &DecisionBody) -> Result<String, Problem> {
    let id = &request.new.id;
    let reason = reason_of(body);
    record(gateway, request, who, "withdraw", json!({ "reason": reason, "evidence": evidence_of(who) })).await?;
    let outcome = Outcome { by: Some(who.human.principal.clone()), reason, ..Outcome::default() };
    let open = [State::Pending, State::Approved];
    let moved = gateway.store.move_request(id, &open, State::Withdrawn, Some(&outcome)).await;
    if moved.map_err(|error| say::store(&error, id))? {
        return Ok(say::withdrawn(request.new.kind));
    }
    not_taken(gateway, request, who, "withdraw").await
}

/// How many denials end a request.
#[must_use]
pub fn denials_needed(gateway: &Gateway, request: &Request) -> u32 {
    let connection = gateway.config.connections.get(&request.new.asked.connection);
    // What has run is found wrong by the first who finds so.
    let several = connection.filter(|_| request.new.kind != RequestKind::Review);
    several.map_or(1, |connection| connection.denials)
}

async fn deny(gateway: &Gateway, request: &Request, who: &Chooser, body: &DecisionBody) -> Result<String, Problem> {
    let (id, needed) = (&request.new.id, denials_needed(gateway, request));
    let reason = reason_of(body);
    // With several, which one ends it is known only when it has been counted.
    let word = if needed == 1 { "deny".to_owned() } else { format!("deny, one of {needed}") };
    record(gateway, request, who, &word, json!({ "reason": reason, "evidence": evidence_of(who) })).await?;
    let outcome = Outcome { by: Some(who.human.principal.clone()), reason: reason.clone(), ..Outcome::default() };
    let denial = Denial { request: id.clone(), by: who.human.clone(), at: Utc::now(), reason };
    match gateway.store.deny(&denial, needed, &outcome).await {
        Ok(true) => {
            if needed > 1 && request.new.kind == RequestKind::Access {
                // No session says how it ended.
                let mut ended = entry(Kind::HoldEnded, request);
                ended.outcome = Some(State::Denied.to_string());
                gateway.log.append_durably(&ended).await.map_err(|_| say::unavailable())?;
            }
            Ok(say::denied(request.new.kind))
        }
        Ok(false) => {
            let now = gateway.store.request(id).await.map_err(|error| say::store(&error, id))?;
            let have = now.map_or(1, |request| request.denials.len());
            Ok(say::more_denials(needed, have))
        }
        Err(StoreError::Over { .. }) => not_taken(gateway, request, who, &word).await,
        Err(error) => {
            record(gateway, request, who, &format!("{word}, not taken"), json!({ "why": error.to_string() })).await?;
            match error {
                StoreError::AlreadyDecided => Ok(say::denied_before()),
                error => Err(say::store(&error, id)),
            }
        }
    }
}

/// The log holds a choice that came too late; it must say so too.
async fn not_taken(gateway: &Gateway, request: &Request, who: &Chooser, word: &str) -> Result<String, Problem> {
    let id = &request.new.id;
    record(gateway, request, who, &format!("{word}, not taken"), json!({ "why": "it was over" })).await?;
    match gateway.store.request(id).await.map_err(|error| say::store(&error, id))? {
        Some(request) => Err(say::over(&request)),
        None => Err(say::not_found(id)),
    }
}

/// Ends what was allowed of a request: whoever asked, allowed it or may approve it, or administers its connection
/// (`administers`).
///
/// # Errors
/// Why it did not end now.
pub async fn end_allowance(
    gateway: &Gateway,
    who: &Human,
    groups: &[String],
    administers: bool,
    id: &RequestId,
) -> Result<DecisionTaken, Problem> {
    let failed = |error: StoreError| say::store(&error, id);
    if let Some(how) = gateway.store.gone(who).await.map_err(failed)? {
        return Err(say::store(&StoreError::Gone { principal: who.principal.clone(), how }, id));
    }
    let request = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    let asked = &request.new.asked;
    let may = administers
        || duties::acts_for(who, &asked.asker.human)
        || request.approvals.iter().any(|approval| approval.approver == *who)
        || duties::may_countersign(who, &asked.asker.human).is_ok()
            && may_approve(&gateway.policies(), asked, who, groups, Utc::now());
    if !may {
        return Err(say::not_theirs_to_end());
    }
    if !allowance::end(gateway, &request, HowEnded::Revoked, Some(who), None).await.map_err(failed)? {
        return Err(say::nothing_to_end());
    }
    let after = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    Ok(DecisionTaken { request: view(gateway, &after).await.map_err(failed)?, message: say::allowance_ended() })
}

/// What the log keeps of the proof: its digest, since a click's token names people and e-mails.
fn evidence_of(who: &Chooser) -> String {
    countersign_shared::digest::of_bytes(who.evidence.as_bytes()).to_string()
}

/// The decision is on disk before it counts.
async fn record(
    gateway: &Gateway,
    request: &Request,
    who: &Chooser,
    outcome: &str,
    more: serde_json::Value,
) -> Result<(), Problem> {
    let mut entry = entry(Kind::Decision, request);
    entry.principal = Some(who.human.principal.clone());
    entry.outcome = Some(outcome.to_owned());
    entry.detail = json!({
        "requester": request.new.asked.asker.human.principal, "digest": request.new.digest.to_string(),
        "assurance": who.assurance, "more": more,
    });
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, request = %request.new.id, "a decision was not taken");
        say::unavailable()
    })
}
