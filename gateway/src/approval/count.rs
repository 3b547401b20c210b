//! Which stored approvals count, as the people who gave them stand now.

use chrono::{DateTime, Utc};
use countersign_shared::duties::same_human;

use crate::{
    runtime::Gateway,
    statement::decide::Countersigner,
    store::{Request, StoreError},
};

/// The people whose approval of `request` counts: sealed by us, over this request and digest, not
/// from the future, by somebody who is still known as the same human, with their groups of today, and has not denied it since.
///
/// # Errors
/// Where the state can't say; nothing counts then.
pub async fn countersigners(
    gateway: &Gateway,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Vec<Countersigner>, StoreError> {
    let mut counted = Vec::new();
    for approval in &request.approvals {
        let ours = approval.request == request.new.id
            && approval.digest == request.new.digest
            && approval.at <= now
            && gateway.seal.verify(approval);
        if !ours {
            tracing::warn!(request = %request.new.id, "an approval in the state does not count: it is not as we sealed it");
            continue;
        }
        // Whoever has said no since does not say yes.
        if request.denials.iter().any(|denial| same_human(&denial.by, &approval.approver)) {
            continue;
        }
        let person = gateway.store.person(&approval.approver.principal).await?;
        match person {
            Some(known) if known.human == approval.approver => {
                counted.push(Countersigner { human: known.human, groups: known.groups, assurance: approval.assurance })
            }
            _ => {
                tracing::warn!(request = %request.new.id, "an approval does not count: its giver is not known any more")
            }
        }
    }
    Ok(counted)
}
