//! Sessions, put together from their entries. Pure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use countersign_shared::ids::SessionId;
use serde::Serialize;

use crate::log::{Entry, Kind};

/// A session as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub principal: String,
    /// On which connection.
    pub connection: String,
    /// From where.
    pub address: Option<String>,
    /// With which program.
    pub application: Option<String>,
    /// Since when; its first entry.
    pub began_at: DateTime<Utc>,
    /// Until when; its last entry, where it is over.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub end: Option<String>,
    /// How many statements were forwarded.
    pub statements: u64,
    /// How many were held.
    pub held: u64,
    /// How many were denied.
    pub denied: u64,
}

impl Session {
    fn begun(id: SessionId, entry: &Entry) -> Self {
        Self {
            id,
            principal: String::new(),
            connection: String::new(),
            address: None,
            application: None,
            began_at: entry.time,
            ended_at: None,
            end: None,
            statements: 0,
            held: 0,
            denied: 0,
        }
    }

    fn take(&mut self, entry: &Entry) {
        match entry.kind {
            Kind::Statement => self.statements += 1,
            Kind::Held => self.held += 1,
            Kind::Denied => self.denied += 1,
            _ => {}
        }
        self.see(entry);
    }

    /// All of an entry but that it counts.
    fn see(&mut self, entry: &Entry) {
        let text = |key: &str| entry.detail[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match entry.kind {
            Kind::Login => {
                self.address = self.address.take().or_else(|| text("address"));
                self.application = self.application.take().or_else(|| text("application"));
            }
            Kind::AccessEnded => self.end = entry.outcome.clone(),
            Kind::Logout => {
                self.ended_at = Some(entry.time);
                self.end = self.end.take().or_else(|| entry.outcome.clone());
            }
            _ => {}
        }
        // A decision's principal is who decided.
        if entry.kind != Kind::Decision {
            if self.principal.is_empty() {
                self.principal = entry.principal.clone().unwrap_or_default();
            }
            if self.connection.is_empty() {
                self.connection = entry.connection.clone().unwrap_or_default();
            }
        }
    }
}

/// All sessions, in the order in which they began. Those that a gateway's end cut off are over with its next start.
#[derive(Default)]
pub struct Sessions {
    all: Vec<Session>,
    at: HashMap<SessionId, usize>,
}

impl Sessions {
    /// Takes the next entry.
    pub fn take(&mut self, entry: &Entry) {
        if let Some(session) = self.session_of(entry) {
            session.take(entry);
        }
    }

    /// Takes an entry that is counted otherwise.
    pub(super) fn see(&mut self, entry: &Entry) {
        if let Some(session) = self.session_of(entry) {
            session.see(entry);
        }
    }

    /// So many more statements of a session that were forwarded, held, denied.
    pub(super) fn count(&mut self, id: &str, statements: u64, held: u64, denied: u64) {
        let at = id.parse().ok().and_then(|id: SessionId| self.at.get(&id));
        if let Some(session) = at.and_then(|at| self.all.get_mut(*at)) {
            session.statements += statements;
            session.held += held;
            session.denied += denied;
        }
    }

    fn session_of(&mut self, entry: &Entry) -> Option<&mut Session> {
        if entry.kind == Kind::Start {
            for left in self.all.iter_mut().filter(|session| session.ended_at.is_none()) {
                left.ended_at = Some(entry.time);
                left.end = Some("the gateway ended".to_owned());
            }
        }
        let id = entry.session.as_ref()?;
        let at = *self.at.entry(id.clone()).or_insert_with(|| {
            self.all.push(Session::begun(id.clone(), entry));
            self.all.len() - 1
        });
        self.all.get_mut(at)
    }

    /// What they are.
    #[must_use]
    pub fn into_all(self) -> Vec<Session> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sessions_are_put_together_from_their_entries() {
        let entry = |kind: Kind, session: &str, second: u32| {
            let mut entry = Entry::new(kind);
            entry.session = Some(session.parse().unwrap());
            entry.time = format!("2026-11-24T10:00:{second:02}Z").parse().unwrap();
            entry.principal = Some(if kind == Kind::Decision { "priya@acme.dev" } else { "ana@acme.dev" }.into());
            entry.connection = Some("shop".into());
            entry
        };
        let mut login = entry(Kind::Login, "AAAA1111", 0);
        login.detail = json!({ "address": "10.0.0.1", "application": "psql" });
        let mut logout = entry(Kind::Logout, "AAAA1111", 9);
        logout.outcome = Some("closed".into());
        let mut restart = Entry::new(Kind::Start);
        restart.time = "2026-11-24T11:00:00Z".parse().unwrap();
        let mut sessions = Sessions::default();
        for entry in [
            login,
            entry(Kind::Decision, "BBBB2222", 1),
            entry(Kind::Statement, "AAAA1111", 2),
            entry(Kind::Held, "BBBB2222", 3),
            entry(Kind::Denied, "AAAA1111", 4),
            logout,
            restart,
        ] {
            sessions.take(&entry);
        }
        let all = sessions.into_all();
        let [one, two] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.statements, one.denied, one.end.as_deref()), (1, 1, Some("closed")));
        assert_eq!((one.address.as_deref(), one.application.as_deref()), (Some("10.0.0.1"), Some("psql")));
        assert_eq!(
            (two.principal.as_str(), two.held, two.end.as_deref()),
            ("ana@acme.dev", 1, Some("the gateway ended"))
        );
    }
}
