//! The one way in which access ends: sessions are told to, with a reason that their clients read as
//! `57P01`; each cancels what it runs, closes both sides, and voids what it holds. A principal loses
//! grants and wishes too.

use std::{fmt, sync::Arc};

use chrono::Utc;
use countersign_shared::{
    api::Outcome,
    duties::Human,
    ids::{GrantId, SessionId},
    request::State,
};
use serde_json::json;

use super::{ask::open_wishes, book::Live as LiveGrant, stand};
use crate::{
    log::{Entry, Kind},
    runtime::Gateway,
    sessions::Live,
    store::{GrantEnd, How, StoreError},
};

/// Why access ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody ended the session.
    Killed {
        /// Who.
        by: String,
    },
    /// The token is no longer good.
    TokenExpired,
    /// Their provider says that they signed out.
    SignedOut,
    /// The token counts no more: denied, or called inactive by its provider.
    TokenEnded,
    /// Policy no longer lets its principal in.
    NotPermitted,
    /// A grant that it rests on has ended.
    Grant(Lost),
    /// The principal is gone: deactivated, deleted.
    Gone {
        /// In a sentence.
        reason: String,
    },
}

/// A grant that has ended, as its holder's sessions are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The role.
    pub role: String,
    /// Where.
    pub connection: String,
    /// How.
    pub how: How,
    /// Who ended it, if a person did.
    pub by: Option<String>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access as {} on {} ", self.role, self.connection)?;
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        match self.how {
            How::Expired => f.write_str("has expired"),
            How::Done => write!(f, "was given back{by}"),
            How::Revoked => write!(f, "was revoked{by}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed { by } => write!(f, "the session was ended by {by}"),
            Self::TokenExpired => f.write_str("the token has expired"),
            Self::SignedOut => f.write_str("you signed out at the identity provider; sign in again"),
            Self::TokenEnded => f.write_str("the token counts no more; sign in again"),
            Self::NotPermitted => f.write_str("policy no longer permits you to connect"),
            Self::Grant(lost) => lost.fmt(f),
            Self::Gone { reason } => f.write_str(reason),
        }
    }
}

/// Ends these sessions now; how many had not been ended before. All are told before anything is
/// written down, so that a slow disk keeps nobody in.
pub fn end(gateway: &Gateway, sessions: &[Arc<Live>], why: &Why) -> usize {
    let reason = why.to_string();
    let ended: Vec<&Arc<Live>> = sessions.iter().filter(|live| live.end(&reason)).collect();
    for live in &ended {
        tracing::info!(session = %live.id(), reason, "a session is ended");
        let entry = Entry {
            session: Some(live.id().clone()),
            principal: Some(live.standing().human.principal.clone()),
            connection: Some(live.connection().to_owned()),
            outcome: Some(reason.clone()),
            ..Entry::new(Kind::AccessEnded)
        };
        if let Err(down) = gateway.log.append(&entry) {
            tracing::error!(%down, session = %live.id(), "the end of a session is not in the log");
        }
    }
    ended.len()
}

/// Ends one session. `false` where it is not there.
pub fn end_session(gateway: &Gateway, id: &SessionId, why: &Why) -> bool {
    let found = gateway.sessions.all(|live| live.id() == id);
    end(gateway, &found, why);
    !found.is_empty()
}

/// Ends a grant, whether it still counts or not: at once in the sessions that rest on it, then in log
/// and state. `false` where it had ended before.
///
/// # Errors
/// Where the state can't write it down. It has ended all the same, and is written as soon as the state
/// answers.
pub async fn end_grant(gateway: &Gateway, id: &GrantId, end: GrantEnd) -> Result<bool, StoreError> {
    let live = cut(gateway, id, &end);
    write(gateway, id, live, end).await
}

/// Ends a grant in memory and in the sessions that rest on it. Waits for nothing.
pub(super) fn cut(gateway: &Gateway, id: &GrantId, end: &GrantEnd) -> Option<LiveGrant> {
    let live = gateway.grants.remove(id)?;
    take_effect(gateway, &live, end);
    Some(live)
}

/// A grant is out of the book: so it is in the sessions.
pub(super) fn take_effect(gateway: &Gateway, live: &LiveGrant, end: &GrantEnd) {
    let (how, by) = (end.how, end.by.clone());
    stand::without(gateway, live, Lost { role: live.role.clone(), connection: live.connection.clone(), how, by });
    // What is held with this role is looked at again, and is void where that was all it had.
    gateway.holds.ring_all();
}

/// Writes down that a grant has ended.
pub(super) async fn write(
    gateway: &Gateway,
    id: &GrantId,
    live: Option<LiveGrant>,
    end: GrantEnd,
) -> Result<bool, StoreError> {
    if let Some(live) = live {
        let entry = Entry {
            principal: Some(live.human.principal.clone()),
            connection: Some(live.connection.clone()),
            outcome: Some(end.how.as_str().to_owned()),
            detail: json!({ "grant": id, "role": live.role, "by": end.by, "reason": end.reason }),
            ..Entry::new(Kind::GrantEnded)
        };
        if let Err(down) = gateway.log.append_durably(&entry).await {
            tracing::error!(%down, grant = %id, "the end of a grant is not in the log");
        }
        void_extensions(gateway, &live.human, id).await;
    }
    let written = gateway.store.end_grant(id, &end).await;
    if let Err(error @ StoreError::Unavailable(_)) = &written {
        tracing::error!(%error, grant = %id, "the end of a grant could not be written down; it is tried again");
        gateway.grants.remember(id.clone(), end);
    }
    written
}

/// Nobody need decide any more on making a grant longer that has ended.
async fn void_extensions(gateway: &Gateway, human: &Human, id: &GrantId) {
    let open = open_wishes(gateway, Some(human)).await.inspect_err(|error| {
        tracing::error!(%error, grant = %id, "wishes to extend a grant that ended could not be looked for");
    });
    let extends = |wish: &crate::statement::decide::Wish| wish.extends.as_ref() == Some(id);
    for request in open.unwrap_or_default() {
        if request.new.asked.wish.as_ref().is_some_and(extends) {
            void(gateway, &request.new.id, "the grant ended before it was extended").await;
        }
    }
}

async fn void(gateway: &Gateway, id: &countersign_shared::ids::RequestId, why: &str) {
    let outcome = Outcome { reason: Some(why.to_owned()), ..Outcome::default() };
    let from = [State::Pending, State::Approved];
    if let Err(error) = gateway.store.move_request(id, &from, State::Void, Some(&outcome)).await {
        tracing::error!(%error, request = %id, "a wish that is void could not be written down");
    }
}

/// Ends all that a principal has: sessions, grants, wishes.
///
/// # Errors
/// Where the state can't say or write down what there was. What lives has ended all the same.
pub async fn end_principal(gateway: &Gateway, human: &Human, reason: &str) -> Result<(), StoreError> {
    let theirs = |live: &Live| live.standing().human == *human;
    let why = Why::Gone { reason: reason.to_owned() };
    end(gateway, &gateway.sessions.all(theirs), &why);
    let revoked = GrantEnd { at: Utc::now(), how: How::Revoked, by: None, reason: Some(reason.to_owned()) };
    // None of them waits for another to be written down.
    let cuts = gateway.grants.of(human).into_iter().map(|live| cut(gateway, &live.id, &revoked)).collect::<Vec<_>>();
    let mut first = Ok(());
    for live in cuts.into_iter().flatten() {
        let id = live.id.clone();
        let ended = write(gateway, &id, Some(live), revoked.clone()).await;
        first = first.and(ended.map(drop));
    }
    // Whoever logged in between the first look and the last grant.
    end(gateway, &gateway.sessions.all(theirs), &why);
    for request in open_wishes(gateway, Some(human)).await? {
        void(gateway, &request.new.id, reason).await;
    }
    first
}
