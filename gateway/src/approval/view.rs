//! A stored request as people see it.

use countersign_shared::api::{AccessView, ApprovalView, EffectView, QuestionView, RequestView, SlackRef};

use crate::{
    access::delegate,
    runtime::Gateway,
    store::{Request, StoreError, questions::Question},
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
        });
    }
    let effect = |effect: &crate::statement::effect::Effect| EffectView {
        action: effect.action.to_string(),
        object: effect.object.display(&asked.connection),
    };
    let question = |Question { by, text, at, .. }| QuestionView { by, text, at };
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
        questions: gateway.store.questions(&new.id).await?.into_iter().map(question).collect(),
        outcome: request.outcome.clone(),
        channel: new.channel.clone(),
        card: request.card.clone(),
        requester_slack: slack_of(gateway, asked.asker.human.answerable()).await?,
        stand_ins: delegate::told(gateway, request, chrono::Utc::now()).await?,
        approvers: Vec::new(),
    })
}

/// The Slack account that counts for `principal`.
///
/// # Errors
/// Where the state can't say.
pub async fn slack_of(gateway: &Gateway, principal: &str) -> Result<Option<SlackRef>, StoreError> {
    let links = gateway.store.links_of(principal).await?;
    Ok(links.into_iter().find(|link| link.confirmed).map(|link| link.slack))
}
