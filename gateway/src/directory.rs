//! What the directory (SCIM) means for access: who is let in, with which groups, and who no longer is.
//!
//! The state refuses whom the directory keeps out ([`Store::seen`](crate::store::Store::seen)), so no way
//! in can forget to ask. Here is the rest: groups that it adds, and that what changes there counts in
//! sessions that live.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::Utc;
use countersign_shared::duties::Human;

use crate::{
    access::{
        end::{Why, end, end_principal},
        keep, stand,
    },
    identity::Identity,
    runtime::Gateway,
    sessions::{Live, Place},
    store::{
        Seen, StoreError,
        directory::{Gone, UserFields, UserId},
    },
};

/// Remembers a login or a sign-in, and adds the groups that the directory gives.
///
/// # Errors
/// As [`Store::seen`](crate::store::Store::seen).
pub async fn admit(gateway: &Gateway, mut identity: Identity) -> Result<Identity, StoreError> {
    let seen = Seen {
        human: identity.human.clone(),
        groups: identity.groups.clone(),
        at: Utc::now(),
        token: identity.token.clone(),
    };
    keep::seen(gateway, &seen).await?;
    for group in gateway.store.groups_of(&identity.human).await? {
        if !identity.groups.contains(&group) {
            identity.groups.push(group);
        }
    }
    Ok(identity)
}

/// Whom a change of the directory may concern.
#[derive(Debug, Default)]
pub struct Whom {
    principals: HashSet<String>,
    subjects: HashSet<String>,
}

impl Whom {
    /// These users, as they were and as they are.
    pub fn users<'u>(users: impl Iterator<Item = &'u UserFields>) -> Self {
        let mut whom = Self::default();
        for user in users {
            whom.principals.insert(user.principal());
            whom.subjects.extend(user.external_id.clone());
        }
        whom
    }

    /// These users, by id. Where the state can't say who they are, everybody is looked at.
    pub async fn members(gateway: &Gateway, ids: impl Iterator<Item = &UserId>) -> Option<Self> {
        let mut users = Vec::new();
        for id in ids {
            match gateway.store.user(id).await {
                Ok(user) => users.extend(user.map(|user| user.is)),
                Err(error) => {
                    tracing::error!(%error, "the state can't say who is in a group");
                    return None;
                }
            }
        }
        Some(Self::users(users.iter()))
    }

    /// An agent's owner may be known by a subject that the session does not know, so each is looked at.
    fn has(&self, human: &Human) -> bool {
        human.is_agent()
            || self.principals.contains(&human.principal.to_ascii_lowercase())
            || self.subjects.contains(&human.subject)
    }
}

/// Why access ends where the state does not answer.
const UNKNOWN: &str = "the gateway can't check any more who may be here";

/// Makes what the directory says now count in the sessions that it may concern: ends those whose
/// principal is gone or may no longer connect, and takes from the others the groups that they have lost.
pub async fn settle(gateway: &Gateway, whom: Option<&Whom>) {
    let live = gateway.sessions.all(|live| whom.is_none_or(|whom| whom.has(&live.standing().human)));
    let mut known: HashMap<Human, Result<Now, StoreError>> = HashMap::new();
    for live in live {
        let human = &live.standing().human;
        if !known.contains_key(human) {
            known.insert(human.clone(), now(gateway, human).await);
        }
        if let Some(now) = known.get(human) {
            look(gateway, &live, now);
        }
    }
    // Nor do the roles of who is gone wait for them.
    for human in gateway.grants.holders() {
        if whom.is_some_and(|whom| !whom.has(&human)) {
            continue;
        }
        let reason = match gateway.store.gone(&human).await {
            Ok(None) => continue,
            Ok(Some(gone)) => is_gone(&human, gone),
            // As for sessions: who can't be asked about has nothing that could outlive them.
            Err(_) => UNKNOWN.to_owned(),
        };
        if let Err(error) = end_principal(gateway, &human, &reason).await {
            tracing::error!(%error, principal = human.principal, "the end of somebody's grants could not be written down");
        }
    }
    // What is held is asked about again: its requester or its approvers may be others now.
    gateway.holds.ring_all();
}

/// The directory, or another login, may have said something else between a login and the moment from which
/// its session can be found.
pub async fn look_again(gateway: &Gateway, place: &Place) {
    let live = place.live();
    let now = now(gateway, &live.standing().human).await;
    look(gateway, &live, &now);
}

/// The groups of a session's newer token may not be those that it needs.
pub fn look_after_renewal(gateway: &Gateway, live: &Arc<Live>) {
    if !stand::may_go_on(gateway, live) {
        let reason = format!("the groups of {} have changed; connect again", live.standing().human.principal);
        end(gateway, std::slice::from_ref(live), &Why::Gone { reason });
    }
}

/// What is so of somebody now.
enum Now {
    Gone(Gone),
    Has(Vec<String>),
}

async fn now(gateway: &Gateway, human: &Human) -> Result<Now, StoreError> {
    if let Some(gone) = gateway.store.gone(human).await? {
        return Ok(Now::Gone(gone));
    }
    let person = gateway.store.person(&human.principal).await?;
    Ok(Now::Has(person.map(|person| person.groups).unwrap_or_default()))
}

fn look(gateway: &Gateway, live: &Arc<Live>, now: &Result<Now, StoreError>) {
    let human = &live.standing().human;
    let reason = match now {
        Ok(Now::Gone(gone)) => Some(is_gone(human, *gone)),
        Ok(Now::Has(groups)) => {
            live.narrow(groups);
            (!stand::may_go_on(gateway, live))
                .then(|| format!("{} lost a group that this session needs", human.principal))
        }
        Err(error) => {
            tracing::error!(%error, session = %live.id(), "the state can't say whether a session may go on");
            Some(UNKNOWN.to_owned())
        }
    };
    if let Some(reason) = reason {
        end(gateway, std::slice::from_ref(live), &Why::Gone { reason });
    }
}

/// Why access is over, in a sentence.
pub fn is_gone(human: &Human, gone: Gone) -> String {
    match &human.owner {
        None => format!("{} was {}", human.principal, gone.as_str()),
        Some(owner) => format!("{owner}, who answers for {}, was {}", human.principal, gone.as_str()),
    }
}
