//! What every part of a running gateway shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use countersign_shared::{
    api::SessionView,
    bot_token::BotVerifier,
    ids::{RequestId, SessionId},
};
use tokio::sync::{Notify, watch};

use crate::{
    approval::seal::SealKey, config::Config, identity::Issuers, log::Log, metrics::Metrics, policy::Policies,
    store::Store,
};

/// A running gateway. Made once, shared by all sessions and by the control API.
pub struct Gateway {
    /// The file.
    pub config: Config,
    /// The policies in force; changes when the folder does.
    pub policies: watch::Receiver<Arc<Policies>>,
    /// State.
    pub store: Arc<dyn Store>,
    /// Evidence.
    pub log: Log,
    /// Who vouches for whom.
    pub issuers: Issuers,
    /// The bot's public key.
    pub bot: BotVerifier,
    /// Signs approvals.
    pub seal: SealKey,
    /// What the connections' databases hold.
    pub catalogs: Arc<crate::connection::facts::Catalogs>,
    /// How often DDL has passed; a catalog read before that is old.
    pub changes: std::sync::atomic::AtomicU64,
    /// Live sessions.
    pub sessions: Sessions,
    /// Sessions that wait for a request.
    pub holds: Holds,
    /// Counters.
    pub metrics: Metrics,
}

impl Gateway {
    /// The policies in force now.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.borrow())
    }
}

/// Why somebody ends a session from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// In a sentence, for the client's `57P01` and the log.
    pub reason: String,
    /// Ends it only where no statement runs; a held one does not run.
    pub when_quiet: bool,
}

struct Live {
    view: SessionView,
    kill: watch::Sender<Option<Kill>>,
}

/// The live sessions by id.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<SessionId, Live>>>);

impl Sessions {
    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, Live>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a session; the receiver changes when somebody ends it from outside.
    #[must_use]
    pub fn join(&self, view: SessionView) -> watch::Receiver<Option<Kill>> {
        let (kill, killed) = watch::channel(None);
        self.locked(|live| live.insert(view.id.clone(), Live { view, kill }));
        killed
    }

    /// Tells what a session does now: `idle`, `active`, `held`.
    pub fn set_state(&self, id: &SessionId, state: &str) {
        self.locked(|live| {
            if let Some(session) = live.get_mut(id) {
                state.clone_into(&mut session.view.state);
            }
        });
    }

    /// Removes a session.
    pub fn leave(&self, id: &SessionId) {
        self.locked(|live| live.remove(id));
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<SessionView> {
        let mut all: Vec<_> = self.locked(|live| live.values().map(|session| session.view.clone()).collect());
        all.sort_by_key(|view| view.started_at);
        all
    }

    /// Ends one. `false` where it is not there.
    #[must_use]
    pub fn kill(&self, id: &SessionId, reason: &str) -> bool {
        let kill = Kill { reason: reason.to_owned(), when_quiet: false };
        self.locked(|live| live.get(id).is_some_and(|session| session.kill.send(Some(kill)).is_ok()))
    }

    /// Ends all of them, each as soon as no statement of its runs.
    pub fn drain(&self, reason: &str) {
        let kill = Kill { reason: reason.to_owned(), when_quiet: true };
        self.locked(|live| live.values().for_each(|session| drop(session.kill.send(Some(kill.clone())))));
    }

    /// Ends all of them; returns how many there were.
    pub fn kill_all(&self, reason: &str) -> usize {
        let kill = Kill { reason: reason.to_owned(), when_quiet: false };
        self.locked(|live| live.values().filter(|session| session.kill.send(Some(kill.clone())).is_ok()).count())
    }
}

/// Rings the session that waits for a request. It only says "look again": what counts is in the store.
#[derive(Clone, Default)]
pub struct Holds(Arc<Mutex<HashMap<RequestId, Arc<Notify>>>>);

/// A session's place in [`Holds`]; leaves when it is dropped.
pub struct Waiting {
    holds: Holds,
    id: RequestId,
    bell: Arc<Notify>,
}

impl Holds {
    /// Waits for `id` from now on. Taken before the request is made, so that no ring is missed.
    #[must_use]
    pub fn wait_for(&self, id: &RequestId) -> Waiting {
        let bell = Arc::new(Notify::new());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Arc::clone(&bell));
        Waiting { holds: self.clone(), id: id.clone(), bell }
    }

    /// Says that something about `id` changed.
    pub fn ring(&self, id: &RequestId) {
        if let Some(bell) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            bell.notify_one();
        }
    }
}

impl Holds {
    /// Says that something about all of them changed.
    pub fn ring_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|bell| bell.notify_one());
    }
}

impl Waiting {
    /// Until the next ring; a ring since the last call counts.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.holds.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
