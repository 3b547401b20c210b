//! When grants were last used: noted by sessions with one store, written down now and then.
//!
//! A session that rests on roles uses all of them with each statement; policy is asked about roles as a
//! whole. What a gateway that is killed has noted and not written is lost: ten seconds at most.

use chrono::Utc;
use countersign_shared::{duties::Human, ids::GrantId};

use crate::runtime::Gateway;

/// Writes down what was used since the last time.
pub async fn flush(gateway: &Gateway) {
    let now = Utc::now();
    let mut uses = Vec::new();
    let mut note = |human: &Human, connection: &str, role: &str| {
        if let Some(live) = gateway.grants.held_by(human, connection, role) {
            uses.push((live.id, now));
        }
    };
    for used in gateway.sessions.used() {
        used.roles.iter().for_each(|role| note(&used.human, &used.connection, role));
    }
    uses.sort_by(|(one, _): &(GrantId, _), (other, _)| one.cmp(other));
    uses.dedup();
    if uses.is_empty() {
        return;
    }
    if let Err(error) = gateway.store.record_uses(&uses).await {
        tracing::warn!(%error, "that grants were used could not be written down");
    }
}
