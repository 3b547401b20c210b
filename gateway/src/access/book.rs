//! The grants that count now. What is not in here gives nothing, whatever the state says.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{duties::Human, ids::GrantId};
use tokio::sync::Notify;

use crate::{
    approval::seal::SealKey,
    store::{Grant, GrantEnd},
};

/// So far may the clock be behind the beginning of a grant that is read after a start.
const BEHIND: TimeDelta = TimeDelta::minutes(1);

/// A moment by both clocks: the wall's, which may jump, and the machine's, which may sleep.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall's.
    pub wall: DateTime<Utc>,
    /// The machine's.
    pub ticks: Instant,
}

impl Now {
    /// Both clocks, as they are.
    #[must_use]
    pub fn read() -> Self {
        Self { wall: Utc::now(), ticks: Instant::now() }
    }
}

/// An end, by both clocks. It is over as soon as either says so, and so never later than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// By the wall's clock.
    pub wall: DateTime<Utc>,
    /// By the machine's.
    pub ticks: Instant,
}

impl Until {
    /// The end at `wall`, at most `longest` from now.
    #[must_use]
    pub fn at(wall: DateTime<Utc>, longest: TimeDelta, now: Now) -> Self {
        let left = (wall - now.wall).min(longest).to_std().unwrap_or_default();
        // A machine whose clock can't count that far ends it at once.
        Self { wall, ticks: now.ticks.checked_add(left).unwrap_or(now.ticks) }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        now.wall >= self.wall || now.ticks >= self.ticks
    }
}

/// A grant that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Which.
    pub id: GrantId,
    /// Who has it.
    pub human: Human,
    /// Where.
    pub connection: String,
    /// Which role.
    pub role: String,
    /// Until when.
    pub until: Until,
}

impl Live {
    /// What a kept grant comes to: only terms that the gateway sealed, one after the other, for one
    /// holder, place and role. `None` where that is nothing, or it has ended.
    #[must_use]
    pub fn of(grant: &Grant, seal: &SealKey, now: Now) -> Option<Self> {
        let first = &grant.first;
        if grant.end.is_some() {
            return None;
        }
        let mut last = None;
        for (number, term) in (0..).zip(grant.terms()) {
            let ours = term.number == number
                && term.grant == first.grant
                && (&term.human, &term.connection, &term.role) == (&first.human, &first.connection, &first.role)
                && seal.verify_term(term);
            if !ours {
                tracing::warn!(grant = %first.grant, number, "a grant's term does not count: it is not as we sealed it");
                break;
            }
            last = Some(term);
        }
        let last = last?;
        if now.wall + BEHIND < last.from {
            tracing::warn!(grant = %first.grant, "a grant does not count: by this machine's clock it has not begun");
            return None;
        }
        let until = Until::at(last.until, last.until - last.from, now);
        let (connection, role) = (first.connection.clone(), first.role.clone());
        let live = Self { id: first.grant.clone(), human: first.human.clone(), connection, role, until };
        (!until.is_over(now)).then_some(live)
    }
}

/// Somebody's roles on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Their names, sorted.
    pub names: Vec<String>,
    /// When the first of them ends; none where there is no role.
    pub until: Option<Until>,
}

#[derive(Default)]
struct Inner {
    live: HashMap<GrantId, Live>,
    /// What has ended never begins again, whoever still means to add it.
    ended: HashSet<GrantId>,
    /// Ends that count, and that the state does not know yet.
    unwritten: Vec<(GrantId, GrantEnd)>,
}

/// The book of grants.
#[derive(Default)]
pub struct Book {
    inner: Mutex<Inner>,
    version: AtomicU64,
    bell: Notify,
    giving: tokio::sync::Mutex<()>,
}

impl Book {
    /// To be held from the look at what there is until what is given is here: two who ask at once for one
    /// role would have it twice, and lose it once.
    pub(super) async fn giving(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.giving.lock().await
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grows with every change. Read before [`roles_of`](Self::roles_of), it is never newer than that.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// A grant counts from now on, or longer than before. One that has ended stays so.
    pub fn add(&self, live: Live) {
        let mut inner = self.locked();
        if inner.ended.contains(&live.id) {
            return;
        }
        inner.live.insert(live.id.clone(), live);
        self.changed();
    }

    /// A grant counts no more, from the moment that this returns.
    pub fn remove(&self, id: &GrantId) -> Option<Live> {
        let mut inner = self.locked();
        inner.ended.insert(id.clone());
        let live = inner.live.remove(id);
        self.changed();
        live
    }

    /// The roles that `human` has on `connection`.
    #[must_use]
    pub fn roles_of(&self, human: &Human, connection: &str, now: Now) -> Roles {
        let inner = self.locked();
        let counts = |live: &&Live| live.human == *human && live.connection == connection && !live.until.is_over(now);
        let theirs: Vec<&Live> = inner.live.values().filter(counts).collect();
        let names: BTreeSet<&String> = theirs.iter().map(|live| &live.role).collect();
        let until = theirs
            .iter()
            .map(|live| live.until)
            .reduce(|one, other| Until { wall: one.wall.min(other.wall), ticks: one.ticks.min(other.ticks) });
        Roles { names: names.into_iter().cloned().collect(), until }
    }

    /// A grant that counts.
    #[must_use]
    pub fn get(&self, id: &GrantId) -> Option<Live> {
        self.locked().live.get(id).cloned()
    }

    /// The grant that gives `human` a role on a connection.
    #[must_use]
    pub fn held_by(&self, human: &Human, connection: &str, role: &str) -> Option<Live> {
        let inner = self.locked();
        let theirs = |live: &&Live| live.human == *human && live.connection == connection && live.role == role;
        inner.live.values().find(theirs).cloned()
    }

    /// Everybody who has a grant.
    #[must_use]
    pub fn holders(&self) -> HashSet<Human> {
        self.locked().live.values().map(|live| live.human.clone()).collect()
    }

    /// All that somebody holds.
    #[must_use]
    pub fn of(&self, human: &Human) -> Vec<Live> {
        self.locked().live.values().filter(|live| live.human == *human).cloned().collect()
    }

    /// Takes out those whose time is over, all at one moment: one that was made longer before that stays.
    #[must_use]
    pub fn take_over(&self, now: Now) -> Vec<Live> {
        let mut inner = self.locked();
        let over: Vec<Live> = inner.live.values().filter(|live| live.until.is_over(now)).cloned().collect();
        for live in &over {
            inner.live.remove(&live.id);
            inner.ended.insert(live.id.clone());
        }
        if !over.is_empty() {
            self.changed();
        }
        over
    }

    /// How long until the next one ends, by the machine's clock.
    #[must_use]
    pub fn next(&self, now: Now) -> Option<Duration> {
        let inner = self.locked();
        inner.live.values().map(|live| live.until.ticks.saturating_duration_since(now.ticks)).min()
    }

    /// Until the next change; one since the last call counts.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// An end that the state could not take; to be tried again.
    pub fn remember(&self, id: GrantId, end: GrantEnd) {
        self.locked().unwritten.push((id, end));
    }

    /// The ends that the state does not know yet; they are the caller's now.
    #[must_use]
    pub fn unwritten(&self) -> Vec<(GrantId, GrantEnd)> {
        std::mem::take(&mut self.locked().unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn human(name: &str) -> Human {
        Human { principal: name.into(), issuer: "https://idp".into(), subject: name.into(), owner: None }
    }

    fn later(now: Now, wall: i64, ticks: u64) -> Now {
        Now { wall: now.wall + TimeDelta::seconds(wall), ticks: now.ticks + Duration::from_secs(ticks) }
    }

    fn grant(who: &str, connection: &str, role: &str, seconds: i64, now: Now) -> Live {
        let longest = TimeDelta::seconds(seconds);
        let until = Until::at(now.wall + longest, longest, now);
        Live { id: GrantId::random(), human: human(who), connection: connection.into(), role: role.into(), until }
    }

    #[test]
    fn either_clock_ends_a_grant_and_neither_makes_it_longer() {
        let now = Now::read();
        let until = Until::at(now.wall + TimeDelta::seconds(60), TimeDelta::seconds(60), now);
        let table = [
            ("just before", later(now, 59, 59), false),
            ("both say so", later(now, 60, 60), true),
            ("the wall's clock jumps ahead", later(now, 3600, 1), true),
            ("the machine slept", later(now, 61, 2), true),
            ("the wall's clock is set back", later(now, -3600, 60), true),
            ("set back, and its time is not over", later(now, -3600, 59), false),
        ];
        for (case, then, over) in table {
            assert_eq!(until.is_over(then), over, "{case}");
        }
        let after_a_restart = later(now, -3600, 100);
        let again = Until::at(until.wall, TimeDelta::seconds(60), after_a_restart);
        assert!(again.is_over(later(after_a_restart, 60, 60)), "a clock that was set back gives no second hour");
    }

    #[test]
    fn a_role_is_had_by_its_holder_on_its_connection_until_its_end() {
        let (book, now) = (Book::default(), Now::read());
        let writer = grant("ana@acme.dev", "shop", "writer", 60, now);
        book.add(writer.clone());
        book.add(grant("ana@acme.dev", "shop", "reader", 120, now));
        book.add(grant("ana@acme.dev", "shop", "reader", 90, now));
        let names = |who: &str, connection: &str, now| book.roles_of(&human(who), connection, now).names;
        assert_eq!(names("ana@acme.dev", "shop", now), ["reader", "writer"]);
        assert!(names("ana@acme.dev", "crm", now).is_empty(), "another connection");
        assert!(names("ben@acme.dev", "shop", now).is_empty(), "another person");
        let impostor = Human { subject: "other".into(), ..human("ana@acme.dev") };
        assert!(book.roles_of(&impostor, "shop", now).names.is_empty(), "her name under another subject");
        assert_eq!(book.roles_of(&human("ana@acme.dev"), "shop", now).until, Some(writer.until), "the first to end");
        assert_eq!(names("ana@acme.dev", "shop", later(now, 61, 61)), ["reader"]);
        assert_eq!(book.take_over(later(now, 61, 61)), std::slice::from_ref(&writer));
        assert!(book.get(&writer.id).is_none() && book.take_over(later(now, 61, 61)).is_empty(), "once");
    }

    #[test]
    fn what_has_ended_never_begins_again() {
        let (book, now) = (Book::default(), Now::read());
        let writer = grant("ana@acme.dev", "shop", "writer", 60, now);
        book.add(writer.clone());
        let before = book.version();
        assert_eq!(book.remove(&writer.id), Some(writer.clone()));
        assert!(book.version() > before);
        book.add(writer.clone());
        assert!(book.roles_of(&writer.human, "shop", now).names.is_empty());
        let early = grant("ana@acme.dev", "shop", "writer", 60, now);
        assert_eq!(book.remove(&early.id), None);
        book.add(early.clone());
        assert!(book.get(&early.id).is_none(), "revoked before it was added");
    }
}
