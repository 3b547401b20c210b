//! The second wall for readers, kept up on the session's own connection: see [`crate::statement::wall`].

use countersign_shared::digest::Digest;

use super::session::{Ended, Session};
use crate::{
    config::{ConnectionConfig, Mode},
    policy::Policies,
    refusal::Refusal,
    statement::{classify::Analysis, decide::Asker, wall},
};

/// How a session stands to the wall.
#[derive(Debug)]
pub struct Wall {
    /// The policies that were asked, and for which groups and roles.
    asked: (Digest, u64),
    /// Policy permits nothing but reading.
    stands: bool,
    /// The server makes new transactions read only for it.
    built: bool,
    /// It was built with the login, so that RESET ALL brings it back.
    at_start: bool,
}

impl Wall {
    /// As it is to be at the login. Observed sessions are kept from nothing.
    pub fn at_login(policies: &Policies, asker: &Asker, connection: &ConnectionConfig) -> Self {
        let stands = connection.mode == Mode::Enforce && !policies.could_write(asker, &connection.name);
        Self { asked: (policies.version(), 0), stands, built: stands, at_start: stands }
    }

    /// What the login says to the server for it.
    pub fn parameter(&self) -> Option<(String, String)> {
        self.stands.then(|| (wall::SETTING.to_owned(), "on".to_owned()))
    }

    /// A refusal, where a statement would take the wall down.
    pub fn against(&self, analysis: &Analysis) -> Option<Refusal> {
        if self.stands { wall::taken_down_by(analysis, self.at_start) } else { None }
    }
}

impl Session {
    /// Asks anew whether the wall is to stand, where policies or grants are others than before, and
    /// builds it or takes it down as soon as the server is quiet between transactions.
    pub(super) async fn keep_wall(&mut self) -> Result<(), Ended> {
        let policies = self.gateway.policies();
        if self.wall.asked != (policies.version(), self.standing) {
            let now = Wall::at_login(&policies, &self.asker, &self.connection);
            (self.wall.asked, self.wall.stands) = ((policies.version(), self.standing), now.stands);
        }
        if self.wall.built == self.wall.stands || !self.replies.is_quiet() || self.unsynced {
            return Ok(());
        }
        match self.status {
            b'I' => {
                let value = if self.wall.stands { "on" } else { "off" };
                if self.own_query(&format!("SET SESSION {} = {value}", wall::SETTING)).await?.is_some() {
                    self.wall.built = self.wall.stands;
                }
            }
            // What is undone would undo the setting too; this transaction at least writes no more.
            b'T' if self.wall.stands => drop(self.own_query("SET TRANSACTION READ ONLY").await?),
            _ => {}
        }
        Ok(())
    }
}
