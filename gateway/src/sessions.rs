//! The live sessions: what each does now, and the one way to end one from outside.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use countersign_shared::{api::SessionView, ids::SessionId};
use futures_util::task::AtomicWaker;

/// Why somebody ends a session from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// In a sentence, for the client's `57P01` and the log.
    pub reason: String,
    /// Ends it only where no statement runs; a held one does not run.
    pub when_quiet: bool,
}

/// What a session does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// Nothing.
    Idle,
    /// A statement runs.
    Active,
    /// A statement waits for approval.
    Held,
}

impl Doing {
    const ALL: [Self; 3] = [Self::Idle, Self::Active, Self::Held];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Held => "held",
        }
    }
}

struct Live {
    view: SessionView,
    doing: AtomicU8,
    kill: Mutex<Option<Kill>>,
    /// Whether there is a `kill` to look at: a session asks at each step, and must not lock for it.
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Live {
    fn kill(&self, kill: Kill) {
        *self.kill.lock().unwrap_or_else(PoisonError::into_inner) = Some(kill);
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn killed(&self) -> Option<Kill> {
        if !self.rung.load(Ordering::Acquire) {
            return None;
        }
        self.kill.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn view(&self) -> SessionView {
        let doing = self.doing.load(Ordering::Relaxed);
        let doing = Doing::ALL.into_iter().find(|d| *d as u8 == doing).unwrap_or(Doing::Idle);
        SessionView { state: doing.as_str().to_owned(), ..self.view.clone() }
    }
}

/// The live sessions by id.
#[derive(Clone, Default)]
pub struct Sessions {
    live: Arc<Mutex<HashMap<SessionId, Arc<Live>>>>,
    active: Arc<AtomicUsize>,
}

/// A session's place among the live ones; leaves when it is dropped.
pub struct Place {
    sessions: Sessions,
    live: Arc<Live>,
}

impl Sessions {
    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, Arc<Live>>) -> T) -> T {
        work(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a session, idle.
    #[must_use]
    pub fn join(&self, view: SessionView) -> Place {
        let live = Arc::new(Live {
            doing: AtomicU8::new(Doing::Idle as u8),
            kill: Mutex::new(None),
            rung: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            view,
        });
        self.locked(|all| all.insert(live.view.id.clone(), Arc::clone(&live)));
        Place { sessions: self.clone(), live }
    }

    /// How many have a statement that runs.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// All of them, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<SessionView> {
        let mut all: Vec<_> = self.locked(|all| all.values().map(|live| live.view()).collect());
        all.sort_by_key(|view| view.started_at);
        all
    }

    /// Ends one. `false` where it is not there.
    #[must_use]
    pub fn kill(&self, id: &SessionId, reason: &str) -> bool {
        let live = self.locked(|all| all.get(id).cloned());
        live.inspect(|live| live.kill(Kill { reason: reason.to_owned(), when_quiet: false })).is_some()
    }

    /// Ends all of them, each as soon as no statement of its runs.
    pub fn drain(&self, reason: &str) {
        let kill = Kill { reason: reason.to_owned(), when_quiet: true };
        self.locked(|all| all.values().for_each(|live| live.kill(kill.clone())));
    }

    /// Ends all of them; returns how many there were.
    pub fn kill_all(&self, reason: &str) -> usize {
        let kill = Kill { reason: reason.to_owned(), when_quiet: false };
        self.locked(|all| {
            all.values().for_each(|live| live.kill(kill.clone()));
            all.len()
        })
    }
}

impl Place {
    /// Tells what the session does now.
    pub fn is(&self, doing: Doing) {
        let before = self.live.doing.swap(doing as u8, Ordering::Relaxed) == Doing::Active as u8;
        match (before, doing == Doing::Active) {
            (false, true) => self.sessions.active.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.sessions.active.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Why the session must end, if it must.
    #[must_use]
    pub fn killed(&self) -> Option<Kill> {
        self.live.killed()
    }

    /// Until the session must end; the reason. `quiet`: no statement of it runs.
    pub fn poll_killed(&self, cx: &Context<'_>, quiet: bool) -> Poll<String> {
        self.live.waker.register(cx.waker());
        match self.live.killed() {
            Some(kill) if quiet || !kill.when_quiet => Poll::Ready(kill.reason),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is(Doing::Idle);
        self.sessions.locked(|all| all.remove(&self.live.view.id));
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn view(id: &SessionId) -> SessionView {
        SessionView {
            id: id.clone(),
            principal: "ana@acme.dev".into(),
            connection: "shop".into(),
            address: "127.0.0.1".into(),
            application: None,
            started_at: chrono::Utc::now(),
            state: String::new(),
        }
    }

    #[test]
    fn a_session_is_listed_until_it_leaves() {
        let (sessions, id) = (Sessions::default(), SessionId::random());
        let place = sessions.join(view(&id));
        assert_eq!(sessions.list()[0].state, "idle");
        place.is(Doing::Held);
        assert_eq!(sessions.list()[0].state, "held");
        place.is(Doing::Active);
        place.is(Doing::Active);
        assert_eq!(sessions.active(), 1);
        drop(place);
        assert_eq!(sessions.active(), 0, "who leaves in the middle is not counted for ever");
        assert!(sessions.list().is_empty());
        assert!(!sessions.kill(&id, "gone"), "who left can't be ended");
    }

    #[test]
    fn a_drain_waits_for_what_runs_and_a_kill_does_not() {
        let (sessions, id) = (Sessions::default(), SessionId::random());
        let place = sessions.join(view(&id));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(place.poll_killed(&cx, true), Poll::Pending);
        sessions.drain("stopping");
        assert_eq!(place.poll_killed(&cx, false), Poll::Pending, "a statement runs");
        assert_eq!(place.poll_killed(&cx, true), Poll::Ready("stopping".to_owned()));
        assert!(sessions.kill(&id, "revoked"));
        assert_eq!(place.poll_killed(&cx, false), Poll::Ready("revoked".to_owned()));
    }
}
