//! What grants give a session, and what it rests on.
//!
//! A session may go on as long as it may connect and has the roles that it has used. Whether one was
//! used is asked of policy: where the answer would be another without roles, all that the session has
//! count as used. What ends a grant looks at that mark, so the order matters: the mark is set first, and
//! the book of grants is looked at once more before anything is forwarded.

use chrono::Utc;

use super::session::{Ended, Session};
use crate::{
    access::{
        book::{Now, Until},
        end::{Lost, Why},
    },
    policy::Policies,
    refusal::Farewell,
    statement::{
        decide::{Asked, Decision, decide},
        hold,
        record::{self, End, Open},
    },
    store::How,
};

/// Which state of the book of grants the session's roles are from.
#[derive(Debug, Default)]
pub struct RolesRead {
    version: Option<u64>,
    until: Option<Until>,
}

impl RolesRead {
    fn is_fresh(&self, version: u64) -> bool {
        self.version == Some(version) && self.until.is_none_or(|until| !until.is_over(Now::read()))
    }
}

impl Session {
    /// Takes over the groups and roles that the principal has now.
    pub(super) fn keep_roles(&mut self) {
        if let Some(groups) = self.place.narrowed() {
            self.asker.groups = groups;
            self.standing += 1;
        }
        let version = self.gateway.grants.version();
        if self.roles_read.is_fresh(version) {
            return;
        }
        let roles = self.gateway.grants.roles_of(&self.asker.human, &self.connection.name, Now::read());
        self.roles_read = RolesRead { version: Some(version), until: roles.until };
        if self.asker.roles != roles.names {
            self.asker.roles = roles.names;
            self.standing += 1;
        }
    }

    /// Marks the roles as used, where policy would not simply allow one of these without them.
    pub(super) fn rests_on_roles(&self, policies: &Policies, mut questions: impl Iterator<Item = Asked>) {
        if self.asker.roles.is_empty() {
            return;
        }
        let needs = |asked: Asked| decide(policies, &without_roles(asked), &[], &[], Utc::now()) != Decision::Allow;
        if questions.any(needs) {
            self.place.rests_on(&self.asker.roles);
        }
    }

    /// Whether policy would say something else of a statement that it does not simply allow, if the
    /// session had no roles.
    pub(super) async fn would_differ_without_roles(&self, asked: &Asked, decision: &Decision) -> bool {
        if self.asker.roles.is_empty() {
            return false;
        }
        let without = self.decision(&without_roles(asked.clone())).await;
        without.as_ref() != Ok(decision)
    }

    /// The last look before a statement is forwarded: nobody has ended the session, and it has the roles
    /// that it rests on.
    pub(super) fn still_stands(&mut self) -> Result<(), Ended> {
        let ended = |reason| Err(Ended::With(Farewell::Ended { reason }));
        if let Some(kill) = self.place.killed()
            && !kill.when_quiet
        {
            return ended(kill.reason);
        }
        if !self.asker.roles.is_empty() {
            self.place.uses_roles();
        }
        if self.roles_read.is_fresh(self.gateway.grants.version()) {
            return Ok(());
        }
        let now = self.gateway.grants.roles_of(&self.asker.human, &self.connection.name, Now::read());
        match self.place.has_lost(&now.names) {
            None => Ok(()),
            Some(role) => {
                let connection = self.connection.name.clone();
                ended(Why::Grant(Lost { role, connection, how: How::Expired, by: None }).to_string())
            }
        }
    }

    /// A statement that was recorded, and then not forwarded.
    pub(super) async fn leave_unsent(&self, open: Open) {
        if let Err(down) = record::close(&self.gateway.log, &self.header, &open, &End::Unsent) {
            tracing::error!(%down, "that a statement was not forwarded is not in the log");
        }
        hold::finish(&self.gateway, &open, &End::Unsent).await;
    }
}

fn without_roles(mut asked: Asked) -> Asked {
    asked.asker.roles.clear();
    asked
}
