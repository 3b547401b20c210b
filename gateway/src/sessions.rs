//! The live sessions: what each does now, and the one way to end one from outside.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use chrono::{DateTime, Utc};
use countersign_shared::{api::SessionView, duties::Human, ids::SessionId};
use futures_util::task::AtomicWaker;

use crate::{
    statement::decide::SessionFacts,
    store::tokens::{TokenFacts, Which},
};

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

/// What a session's right to go on rests on, as it was at the login.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Who.
    pub human: Human,
    /// Their groups.
    pub groups: Vec<String>,
    /// What policy is told of the session.
    pub facts: SessionFacts,
    /// The token's end.
    pub expires_at: DateTime<Utc>,
    /// The token.
    pub token: Option<TokenFacts>,
    /// The login at the database.
    pub login: String,
}

/// With so many tokens has a session been renewed at most: it remembers each, since the denial of any ends it.
pub const MOST_RENEWALS: usize = 256;

/// The token that a session rests on.
struct Token {
    now: Option<TokenFacts>,
    /// Those that it rested on before.
    before: Vec<TokenFacts>,
    expires_at: DateTime<Utc>,
}

/// A session as the rest of the gateway sees it: to be looked at, and to be ended.
pub struct Live {
    view: SessionView,
    standing: Standing,
    /// The token that it rests on now.
    token: Mutex<Token>,
    /// Their groups now, where these are others than at the login.
    groups: Mutex<Option<Vec<String>>>,
    /// Whether there are such to be taken over by the session.
    narrowed: AtomicBool,
    /// The roles without which this session would not be what it is.
    rests_on: Mutex<BTreeSet<String>>,
    /// Whether it has used them since somebody asked.
    used: AtomicBool,
    doing: AtomicU8,
    kill: Mutex<Option<Kill>>,
    /// Whether there is a `kill` to look at: a session asks at each step, and must not lock for it.
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Live {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.view.id
    }

    /// Its connection's name.
    #[must_use]
    pub fn connection(&self) -> &str {
        &self.view.connection
    }

    /// What it rests on.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The token that it rests on now.
    #[must_use]
    pub fn token(&self) -> Option<TokenFacts> {
        self.locked_token().now.clone()
    }

    /// That token's end.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.locked_token().expires_at
    }

    fn locked_token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it rests on one of these tokens.
    #[must_use]
    pub fn rests_on_token(&self, issuer: &str, which: &Which) -> bool {
        let token = self.locked_token();
        let is = |token: &TokenFacts| token.issuer == issuer && which.is(token);
        // Whoever came in with one that is denied by name is out, whatever they renewed it with.
        let named = matches!(which, Which::Id(_) | Which::Digest(_));
        token.now.as_ref().is_some_and(is) || named && token.before.iter().any(is)
    }

    /// Whether it has room for one more token, or has rested on this one already.
    #[must_use]
    pub fn may_renew(&self, token: Option<&TokenFacts>) -> bool {
        let rests = self.locked_token();
        let known = |now: &TokenFacts| Some(now) == token || rests.before.contains(now);
        rests.before.len() < MOST_RENEWALS || rests.now.as_ref().is_none_or(known)
    }

    /// Goes on with another token, until its end and with these groups. Only where it
    /// [may](Self::may_renew).
    pub fn renew(&self, token: Option<TokenFacts>, expires_at: DateTime<Utc>, groups: Vec<String>) {
        {
            let mut rests = self.locked_token();
            rests.expires_at = expires_at;
            if rests.now != token
                && let Some(old) = std::mem::replace(&mut rests.now, token)
                && !rests.before.contains(&old)
            {
                rests.before.push(old);
            }
        }
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = Some(groups);
        self.narrowed.store(true, Ordering::Release);
    }

    /// Its principal's groups, as they count here.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let now = self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone();
        now.unwrap_or_else(|| self.standing.groups.clone())
    }

    /// Leaves it those of its groups that `known` has too: a session loses groups, and never gains one
    /// by what somebody else's login says.
    pub fn narrow(&self, known: &[String]) {
        // Under one lock: what somebody else takes meanwhile does not come back.
        let mut now = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups = now.as_ref().unwrap_or(&self.standing.groups).clone();
        let before = groups.len();
        groups.retain(|group| known.contains(group));
        if groups.len() < before {
            *now = Some(groups);
            self.narrowed.store(true, Ordering::Release);
        }
    }

    /// The roles that it rests on.
    #[must_use]
    pub fn rests_on(&self) -> BTreeSet<String> {
        self.rests_on.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has been told to end, whatever it does.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.killed().is_some_and(|kill| !kill.when_quiet)
    }

    /// Ends it now. The first reason stays. `false` where it had been ended before.
    pub fn end(&self, reason: &str) -> bool {
        if self.is_ended() {
            return false;
        }
        self.kill(Kill { reason: reason.to_owned(), when_quiet: false });
        true
    }

    fn kill(&self, kill: Kill) {
        {
            let mut before = self.kill.lock().unwrap_or_else(PoisonError::into_inner);
            // An end that waits for nothing is not put off by one that does.
            if !kill.when_quiet || before.as_ref().is_none_or(|before| before.when_quiet) {
                *before = Some(kill);
            }
        }
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

/// Roles that somebody has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Who.
    pub human: Human,
    /// Where.
    pub connection: String,
    /// Which.
    pub roles: BTreeSet<String>,
}

impl Live {
    /// What it has used since this was last asked.
    fn take_used(&self) -> Option<Used> {
        let used = self.used.swap(false, Ordering::Relaxed);
        let roles = used.then(|| self.rests_on()).filter(|roles| !roles.is_empty())?;
        Some(Used { human: self.standing.human.clone(), connection: self.view.connection.clone(), roles })
    }
}

/// The live sessions by id.
#[derive(Clone, Default)]
pub struct Sessions {
    live: Arc<Mutex<HashMap<SessionId, Arc<Live>>>>,
    /// What sessions that have left had used.
    left: Arc<Mutex<Vec<Used>>>,
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
    pub fn join(&self, view: SessionView, standing: Standing) -> Place {
        let token = Token { now: standing.token.clone(), before: Vec::new(), expires_at: standing.expires_at };
        let live = Arc::new(Live {
            token: Mutex::new(token),
            standing,
            groups: Mutex::new(None),
            narrowed: AtomicBool::new(false),
            rests_on: Mutex::default(),
            used: AtomicBool::new(false),
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

    /// The roles that were used since this was last asked.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        let mut used = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        used.extend(self.all(|_| true).iter().filter_map(|live| live.take_used()));
        used
    }

    /// Those of them that are `which`.
    #[must_use]
    pub fn all(&self, which: impl Fn(&Live) -> bool) -> Vec<Arc<Live>> {
        self.locked(|all| all.values().filter(|live| which(live)).cloned().collect())
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

    /// Notes that the session would not be what it is without these roles.
    pub fn rests_on(&self, roles: &[String]) {
        self.live.rests_on.lock().unwrap_or_else(PoisonError::into_inner).extend(roles.iter().cloned());
        self.uses_roles();
    }

    /// Notes that it has just used the roles that it rests on, if it rests on any.
    pub fn uses_roles(&self) {
        self.live.used.store(true, Ordering::Relaxed);
    }

    /// The first role that the session rests on and that is not among `roles`.
    #[must_use]
    pub fn has_lost(&self, roles: &[String]) -> Option<String> {
        let rests_on = self.live.rests_on.lock().unwrap_or_else(PoisonError::into_inner);
        rests_on.iter().find(|role| !roles.contains(role)).cloned()
    }

    /// Shows the session to whoever looks whether it may go on.
    pub fn looked_at(&self, look: impl FnOnce(&Arc<Live>)) {
        look(&self.live);
    }

    /// The session as others see it.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// The session's groups, where they have become fewer since it asked last.
    #[must_use]
    pub fn narrowed(&self) -> Option<Vec<String>> {
        // Looked at before each statement: a load, where nothing has happened.
        (self.live.narrowed.load(Ordering::Acquire) && self.live.narrowed.swap(false, Ordering::AcqRel))
            .then(|| self.live.groups())
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
        if let Some(used) = self.live.take_used() {
            self.sessions.left.lock().unwrap_or_else(PoisonError::into_inner).push(used);
        }
        self.sessions.locked(|all| all.remove(&self.live.view.id));
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn standing() -> Standing {
        let human =
            Human { principal: "ana@acme.dev".into(), issuer: "https://idp".into(), subject: "1".into(), owner: None };
        let groups = vec!["dba".to_owned(), "engineering".to_owned()];
        Standing {
            human,
            groups,
            facts: SessionFacts::default(),
            expires_at: Utc::now(),
            token: None,
            login: "app".into(),
        }
    }

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
        let place = sessions.join(view(&id), standing());
        assert_eq!(sessions.list()[0].state, "idle");
        place.is(Doing::Held);
        assert_eq!(sessions.list()[0].state, "held");
        place.is(Doing::Active);
        place.is(Doing::Active);
        assert_eq!(sessions.active(), 1);
        drop(place);
        assert_eq!(sessions.active(), 0, "who leaves in the middle is not counted for ever");
        assert!(sessions.list().is_empty());
        assert!(sessions.all(|live| *live.id() == id).is_empty(), "who left can't be ended");
    }

    #[test]
    fn a_drain_waits_for_what_runs_and_a_kill_does_not() {
        let (sessions, id) = (Sessions::default(), SessionId::random());
        let place = sessions.join(view(&id), standing());
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(place.poll_killed(&cx, true), Poll::Pending);
        sessions.drain("stopping");
        assert_eq!(place.poll_killed(&cx, false), Poll::Pending, "a statement runs");
        assert_eq!(place.poll_killed(&cx, true), Poll::Ready("stopping".to_owned()));
        let live = sessions.all(|live| *live.id() == id).pop().unwrap();
        assert!(live.end("revoked"), "an end does not wait, drained or not");
        assert!(!live.end("again"));
        sessions.drain("stopping");
        assert_eq!(place.poll_killed(&cx, false), Poll::Ready("revoked".to_owned()));
        sessions.drain("stopping");
        assert_eq!(place.poll_killed(&cx, false), Poll::Ready("revoked".to_owned()), "it ends all the same");
        assert!(!place.live().end("again"), "the first reason stays");
    }

    #[test]
    fn a_session_loses_groups_and_never_gains_one() {
        let (sessions, id) = (Sessions::default(), SessionId::random());
        let place = sessions.join(view(&id), standing());
        let live = sessions.all(|_| true).pop().unwrap();
        live.narrow(&["dba".into(), "engineering".into(), "admins".into()]);
        assert_eq!(place.narrowed(), None, "more is nothing to it");
        live.narrow(&["engineering".into(), "admins".into()]);
        assert_eq!(place.narrowed(), Some(vec!["engineering".to_owned()]));
        assert_eq!(place.narrowed(), None, "told once");
        live.narrow(&["dba".into(), "engineering".into()]);
        assert_eq!(place.narrowed(), None);
        assert_eq!(live.groups(), ["engineering"], "what is lost comes back with the next login only");
    }

    #[test]
    fn a_session_remembers_each_token_once_and_so_many_of_them() {
        let of = |number: usize| TokenFacts {
            issuer: "https://idp".into(),
            subject: "1".into(),
            id: Some(number.to_string()),
            sign_in: None,
            digest: countersign_shared::digest::of_bytes(&number.to_be_bytes()),
            issued_at: DateTime::UNIX_EPOCH,
        };
        let (first, second) = (of(0), of(1));
        let place =
            Sessions::default().join(view(&SessionId::random()), Standing { token: Some(first.clone()), ..standing() });
        let live = place.live();
        let renews = |token: &TokenFacts| {
            let may = live.may_renew(Some(token));
            if may {
                live.renew(Some(token.clone()), Utc::now(), vec![]);
            }
            may
        };
        for _ in 0..2 * MOST_RENEWALS {
            assert!(renews(&second) && renews(&first), "two in turn are two");
        }
        assert_eq!(live.locked_token().before.len(), 2);
        let renewed = (2..1000).map(of).take_while(renews).count();
        assert_eq!(live.locked_token().before.len(), MOST_RENEWALS);
        assert_eq!(renewed, MOST_RENEWALS - 1, "of the two, one was the last");
        assert!(renews(&of(renewed + 1)), "the one that it has is no other");
        assert!(live.rests_on_token("https://idp", &Which::Id("0".into())), "the first is not forgotten");
    }

    #[test]
    fn a_session_rests_on_what_it_has_used() {
        let (sessions, id) = (Sessions::default(), SessionId::random());
        let place = sessions.join(view(&id), standing());
        assert_eq!(place.has_lost(&[]), None);
        place.rests_on(&["writer".into()]);
        assert_eq!(place.has_lost(&["writer".into()]), None);
        assert_eq!(place.has_lost(&["reader".into()]).as_deref(), Some("writer"));
    }

    #[test]
    fn a_use_of_roles_is_told_once_also_of_a_session_that_has_left() {
        let sessions = Sessions::default();
        let place = sessions.join(view(&SessionId::random()), standing());
        place.uses_roles();
        assert_eq!(sessions.used(), [], "it rests on none");
        place.rests_on(&["writer".into()]);
        let used =
            Used { human: standing().human, connection: "shop".into(), roles: BTreeSet::from(["writer".to_owned()]) };
        assert_eq!(sessions.used(), std::slice::from_ref(&used));
        assert_eq!(sessions.used(), []);
        place.uses_roles();
        drop(place);
        assert_eq!(sessions.used(), [used]);
        assert_eq!(sessions.used(), []);
    }
}
