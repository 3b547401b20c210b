//! When grants were last used: noted by sessions with one store, written down now and then.
//!
//! A session that rests on roles uses all of them with each statement; policy is asked about roles as a
//! whole. What a gateway that is killed has noted and not written is lost: ten seconds at most.

use std::collections::BTreeSet;

use chrono::Utc;
use countersign_shared::{digest::Digest, duties::Human, ids::GrantId};

use crate::{runtime::Gateway, store::usage::Kind};

/// Watches the roles of the config and the permissions of the policies in force, unless `watched`, the version of
/// those policies, says that they are.
pub async fn watch(gateway: &Gateway, watched: &mut Option<Digest>) {
    let policies = gateway.policies();
    if *watched == Some(policies.version()) {
        return;
    }
    let roles: Vec<String> = gateway.config.roles.iter().map(|role| role.name.clone()).collect();
    let permissions: Vec<String> = policies.permissions().all().iter().map(|one| one.digest.to_string()).collect();
    let now = Utc::now();
    for (kind, names) in [(Kind::Role, &roles), (Kind::Permission, &permissions)] {
        if let Err(error) = gateway.store.watch(kind, names, now).await {
            return tracing::warn!(%error, "what is watched for its use could not be written down");
        }
    }
    *watched = Some(policies.version());
}

/// Writes down which permissions let something happen since the last time.
pub async fn flush_permissions(gateway: &Gateway) {
    let policies = gateway.policies();
    let taken = policies.permissions().take();
    if taken.is_empty() {
        return;
    }
    let used: Vec<String> = taken.iter().map(ToString::to_string).collect();
    if let Err(error) = gateway.store.record_watched(Kind::Permission, &used, Utc::now()).await {
        tracing::warn!(%error, "that permissions were used could not be written down; trying again");
        policies.permissions().give_back(&taken);
    }
}

/// Writes down what was used since the last time.
pub async fn flush(gateway: &Gateway) {
    let now = Utc::now();
    let (mut uses, mut roles) = (Vec::new(), BTreeSet::new());
    let mut note = |human: &Human, connection: &str, role: &str| {
        if let Some(live) = gateway.grants.held_by(human, connection, role) {
            uses.push((live.id, now));
        }
    };
    for used in gateway.sessions.used() {
        used.roles.iter().for_each(|role| note(&used.human, &used.connection, role));
        roles.extend(used.roles);
    }
    // A grant's uses end with it; that its role was used stays known.
    let roles: Vec<String> = roles.into_iter().collect();
    if !roles.is_empty()
        && let Err(error) = gateway.store.record_watched(Kind::Role, &roles, now).await
    {
        tracing::warn!(%error, "that roles were used could not be written down");
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
