//! A stored request as people see it.

use countersign_shared::{
    allow::Terms,
    api::{
        AccessView, AllowanceView, AllowedRun, ApprovalView, DenialView, EffectView, QuestionView, RequestView,
        SlackRef, StepState, StepView,
    },
};

use super::{allowance::sealed, take::denials_needed};
use crate::{
    access::delegate,
    runtime::Gateway,
    statement::steps::Step,
    store::{
        Request, StoreError,
        allowances::{Allowance, Denial, HowEnded, Run},
        questions::Question,
    },
};

/// `request` for the API, cards and pages. Only approvals that we sealed are shown.
///
/// # Errors
/// Where the state can't say who is linked to whom.
pub async fn view(gateway: &Gateway, request: &Request) -> Result<RequestView, StoreError> {
    let (new, asked) = (&request.new, &request.new.asked);
    let mut approvals = Vec::new();
    for approval in request.approvals.iter().filter(|approval| gateway.seal.verify(approval)) {
        approvals.push(ApprovalView {
            approver: approval.approver.principal.clone(),
            assurance: approval.assurance,
            at: approval.at,
            slack: slack_of(gateway, &approval.approver.principal).await?,
            allow: approval.allow.map(|allow| allow.terms),
        });
    }
    let effect = |effect: &crate::statement::effect::Effect| EffectView {
        action: effect.action.to_string(),
        object: effect.object.display(&asked.connection),
    };
    let question = |Question { by, text, at, .. }| QuestionView { by, text, at };
    let denial = |Denial { by, at, reason, .. }: &Denial| DenialView {
        by: by.principal.clone(),
        at: *at,
        reason: reason.clone(),
    };
    Ok(RequestView {
        id: new.id.clone(),
        kind: new.kind,
        state: request.state,
        digest: new.digest,
        connection: asked.connection.clone(),
        principal: asked.asker.human.principal.clone(),
        owner: asked.asker.human.owner.clone(),
        session: new.session.clone(),
        access: asked.role().map(|(role, wish)| AccessView {
            role: role.to_owned(),
            seconds: wish.seconds,
            extends: wish.extends.clone(),
        }),
        sql: new.sql.clone(),
        parameters: new.parameters.clone(),
        effects: asked.effects.iter().map(effect).collect(),
        reason: asked.reason.clone(),
        application: Some(asked.session.application.clone()).filter(|name| !name.is_empty()),
        address: Some(asked.session.address.clone()).filter(|address| !address.is_empty()),
        in_transaction: asked.sql.in_transaction,
        at_commit: asked.at_commit,
        notes: new.notes.clone(),
        impact: new.impact.clone(),
        created_at: new.created_at,
        expires_at: new.expires_at,
        needed: new.needed.clone(),
        approvals,
        allowable: new.allowable.map(|allowable| allowable.most),
        allowance: allowance_of(gateway, request).await?,
        denials: request.denials.iter().map(denial).collect(),
        denials_needed: denials_needed(gateway, request),
        questions: gateway.store.questions(&new.id).await?.into_iter().map(question).collect(),
        steps: steps_of(request),
        outcome: request.outcome.clone(),
        channel: new.channel.clone(),
        card: request.card.clone(),
        requester_slack: slack_of(gateway, asked.asker.human.answerable()).await?,
        stand_ins: delegate::told(gateway, request, chrono::Utc::now()).await?,
        approvers: Vec::new(),
    })
}

/// Its statements, where they are sent one by one.
fn steps_of(request: &Request) -> Vec<StepView> {
    let view = |(number, step): (u32, &Step)| {
        let ended = request.taken.iter().find(|taken| taken.number == number).map(|taken| taken.ended.as_ref());
        let state = match ended {
            None if !step.needed => StepState::Free,
            None => StepState::Waits,
            Some(None) => StepState::Runs,
            Some(Some(end)) if end.ran => StepState::Ran,
            Some(Some(_)) => StepState::Failed,
        };
        let effect =
            |(action, object): &(String, String)| EffectView { action: action.clone(), object: object.clone() };
        let outcome = ended.flatten().map(|end| end.outcome.clone());
        StepView { number, does: step.does.iter().map(effect).collect(), state, outcome }
    };
    (1..).zip(&request.new.steps).map(view).collect()
}

/// What was allowed of a request, once its first run has begun.
async fn allowance_of(gateway: &Gateway, request: &Request) -> Result<Option<AllowanceView>, StoreError> {
    if request.approvals.iter().all(|approval| approval.allow.is_none()) {
        return Ok(None);
    }
    let Some(allowance) = gateway.store.allowance(&request.new.id).await? else { return Ok(None) };
    let Some((terms, approved_by)) = sealed(gateway, request, &allowance) else { return Ok(None) };
    let over = chrono::Utc::now() >= allowance.until;
    let taken = allowance.counted();
    let state = match &allowance.end {
        Some(end) => end.how,
        // Nobody may have noticed yet.
        None if over => HowEnded::Expired,
        None if taken >= allowance.runs => HowEnded::Used,
        None => return Ok(Some(allowance_view(allowance, terms, approved_by, "open"))),
    };
    Ok(Some(allowance_view(allowance, terms, approved_by, state.as_str())))
}

fn allowance_view(allowance: Allowance, terms: Terms, approved_by: Vec<String>, state: &str) -> AllowanceView {
    let taken = allowance.counted();
    let run = |Run { number, at, session, outcome, discarded }| AllowedRun { number, at, session, outcome, discarded };
    let (ended_at, ended_by, ended_why) = match allowance.end {
        Some(end) => (Some(end.at), end.by, end.why),
        None => (None, None, None),
    };
    AllowanceView {
        terms,
        until: allowance.until,
        approved_by,
        state: state.to_owned(),
        taken,
        runs: allowance.taken.into_iter().map(run).collect(),
        ended_at,
        ended_by,
        ended_why,
    }
}

/// The Slack account that counts for `principal`.
///
/// # Errors
/// Where the state can't say.
pub async fn slack_of(gateway: &Gateway, principal: &str) -> Result<Option<SlackRef>, StoreError> {
    let links = gateway.store.links_of(principal).await?;
    Ok(links.into_iter().find(|link| link.confirmed).map(|link| link.slack))
}
