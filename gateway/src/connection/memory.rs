//! What a session need not work out twice: what a text is, for as long as the catalog and the
//! session's names are the same; and that policy allows it, for as long as everything that the
//! decision rests on is. Only a yes without approvals is remembered, and never one that may rest on
//! the time.
//!
//! A text is known by its [`shape`], where the analysis says that no constant's value mattered;
//! otherwise by its own bytes.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use countersign_shared::digest::Digest;

use crate::{
    catalog::Snapshot,
    statement::{shape::shape, understood::Understood},
};

/// No more texts than this are remembered of each kind; then all of that kind are forgotten.
const MOST: usize = 128;

/// What a decision rests on, beside the text, its meaning and the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// Whether a transaction is open.
    pub in_transaction: bool,
    /// `countersign.reason`.
    pub reason: Option<&'a str>,
    /// The policies in force.
    pub policies: Digest,
    /// The session's groups and roles: grows with each change of them.
    pub standing: u64,
}

struct Allowed {
    in_transaction: bool,
    reason: Option<String>,
    policies: Digest,
    standing: u64,
    /// The places of the permissions that the yes rests on.
    by: Box<[usize]>,
}

impl Allowed {
    fn is(&self, now: &Circumstances<'_>) -> bool {
        self.in_transaction == now.in_transaction
            && self.policies == now.policies
            && self.standing == now.standing
            && self.reason.as_deref() == now.reason
    }
}

/// A text that is understood, and under which circumstances policy was found to simply allow it.
#[derive(Clone)]
pub struct Known {
    text: Arc<Understood>,
    allowed: Arc<Mutex<Vec<Allowed>>>,
    /// Whether it may give or use classified columns.
    guarded: Arc<OnceLock<bool>>,
}

impl Deref for Known {
    type Target = Arc<Understood>;

    fn deref(&self) -> &Arc<Understood> {
        &self.text
    }
}

impl From<Understood> for Known {
    fn from(text: Understood) -> Self {
        Self { text: Arc::new(text), allowed: Arc::default(), guarded: Arc::default() }
    }
}

impl Known {
    fn locked(&self) -> MutexGuard<'_, Vec<Allowed>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may give or use classified columns, which `find` says once.
    #[must_use]
    pub fn is_guarded(&self, find: impl FnOnce(&Understood) -> bool) -> bool {
        *self.guarded.get_or_init(|| find(&self.text))
    }

    /// Whether it was allowed under these circumstances; `by` is told the places of the permissions that this rests on.
    pub fn was_allowed(&self, now: &Circumstances<'_>, by: impl FnOnce(&[usize])) -> bool {
        let all = self.locked();
        let allowed = all.iter().find(|allowed| allowed.is(now));
        allowed.map(|allowed| by(&allowed.by)).is_some()
    }

    /// Remembers that it is, and by which permissions.
    pub fn allow(&self, now: Circumstances<'_>, by: Vec<usize>) {
        let mut all = self.locked();
        // In a transaction and outside: no more is worth keeping.
        all.retain(|allowed| {
            allowed.in_transaction != now.in_transaction
                && allowed.policies == now.policies
                && allowed.standing == now.standing
        });
        all.push(Allowed {
            in_transaction: now.in_transaction,
            reason: now.reason.map(ToOwned::to_owned),
            policies: now.policies,
            standing: now.standing,
            by: by.into(),
        });
    }
}

/// A prepared statement's text as it was understood. It need not be looked up again while nothing that
/// it rests on has changed.
#[derive(Clone)]
pub struct Reading {
    known: Known,
    catalog: Arc<Snapshot>,
    names: u64,
}

type Texts = HashMap<Box<[u8]>, (Arc<Snapshot>, Known)>;

/// The texts that a session said before.
#[derive(Default)]
pub struct Memory {
    shapes: Texts,
    texts: Texts,
    /// How often names or prepared statements have become others.
    names: u64,
    /// Where the shape of a text is put together.
    scratch: Vec<u8>,
}

impl Memory {
    /// What a text is, if nothing that it rests on has changed.
    pub fn known(&mut self, sql: &str, catalog: &Arc<Snapshot>) -> Option<Known> {
        let by_shape = if shape(sql, &mut self.scratch) { self.shapes.get(self.scratch.as_slice()) } else { None };
        let (of, known) = by_shape.or_else(|| self.texts.get(sql.as_bytes()))?;
        Arc::ptr_eq(of, catalog).then(|| known.clone())
    }

    /// Remembers what a text is.
    pub fn remember(&mut self, sql: &str, catalog: &Arc<Snapshot>, text: Understood) -> Known {
        let by_shape = !text.literal_sensitive() && shape(sql, &mut self.scratch);
        let (texts, key) =
            if by_shape { (&mut self.shapes, self.scratch.as_slice()) } else { (&mut self.texts, sql.as_bytes()) };
        if texts.len() >= MOST {
            texts.clear();
        }
        let known = Known::from(text);
        texts.insert(key.into(), (Arc::clone(catalog), known.clone()));
        known
    }

    /// Keeps what a text is, for a prepared statement.
    #[must_use]
    pub fn reading(&self, known: &Known, catalog: &Arc<Snapshot>) -> Reading {
        Reading { known: known.clone(), catalog: Arc::clone(catalog), names: self.names }
    }

    /// What it is, if nothing that it rests on has changed.
    #[must_use]
    pub fn still(&self, reading: &Reading, catalog: &Arc<Snapshot>) -> Option<Known> {
        let same = reading.names == self.names && Arc::ptr_eq(&reading.catalog, catalog);
        same.then(|| reading.known.clone())
    }

    /// Names may mean something else from now on.
    pub fn forget(&mut self) {
        self.names += 1;
        self.shapes.clear();
        self.texts.clear();
    }

    /// Prepared statements are others from now on. What EXECUTE means is never known by shape.
    pub fn forget_prepared(&mut self) {
        self.names += 1;
        self.texts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::classify::{Analysis, Statement};

    fn understood(literal_sensitive: bool) -> Understood {
        let statement = Statement { blind_to_literals: !literal_sensitive, ..Statement::default() };
        Analysis { statements: vec![statement], ..Analysis::default() }.into()
    }

    #[test]
    fn a_yes_holds_under_the_very_circumstances_only() {
        let policies = countersign_shared::digest::of_bytes(b"one");
        let now = Circumstances { in_transaction: false, reason: None, policies, standing: 0 };
        let known = Known::from(understood(false));
        assert!(!known.was_allowed(&now, |_| ()), "nothing was allowed yet");
        known.allow(now, vec![3]);
        let mut by = Vec::new();
        known.was_allowed(&now, |places| by.extend_from_slice(places));
        assert_eq!(by, [3], "and says by which permissions");
        assert!(known.was_allowed(&now, |_| ()));
        let others = [
            ("a transaction is open", Circumstances { in_transaction: true, ..now }),
            ("another reason", Circumstances { reason: Some("x"), ..now }),
            ("other groups or roles", Circumstances { standing: 1, ..now }),
            ("other policies", Circumstances { policies: countersign_shared::digest::of_bytes(b"two"), ..now }),
        ];
        for (case, other) in others {
            assert!(!known.was_allowed(&other, |_| ()), "{case}");
        }
        let within = Circumstances { in_transaction: true, ..now };
        known.allow(within, vec![]);
        assert!(known.was_allowed(&now, |_| ()) && known.was_allowed(&within, |_| ()), "both");
        assert!(!Known::from(understood(false)).was_allowed(&now, |_| ()), "another analysis");
    }

    #[test]
    fn what_a_text_is_is_forgotten_with_what_it_rests_on() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        memory.remember("SELECT 1", &catalog, understood(false));
        assert!(memory.known("SELECT 1", &catalog).is_some());
        assert!(memory.known("SELECT 1", &Arc::new(Snapshot::default())).is_none(), "another catalog");
        memory.forget();
        assert!(memory.known("SELECT 1", &catalog).is_none(), "other names");
    }

    #[test]
    fn a_prepared_statement_stands_until_what_it_rests_on_changes() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        let known = Known::from(understood(true));
        let reading = memory.reading(&known, &catalog);
        assert!(memory.still(&reading, &catalog).is_some());
        assert!(memory.still(&reading, &Arc::new(Snapshot::default())).is_none(), "another catalog");
        memory.forget_prepared();
        assert!(memory.still(&reading, &catalog).is_none(), "it may be an EXECUTE");
        let reading = memory.reading(&known, &catalog);
        memory.forget();
        assert!(memory.still(&reading, &catalog).is_none(), "other names");
    }

    #[test]
    fn only_a_text_whose_constants_do_not_matter_is_known_by_its_shape() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        memory.remember("SELECT a FROM t WHERE id = 1", &catalog, understood(false));
        assert!(memory.known("SELECT a FROM t WHERE id = 2", &catalog).is_some(), "another constant");
        assert!(memory.known("SELECT a FROM t WHERE id = '2'", &catalog).is_none(), "another kind of constant");
        memory.remember("SELECT nextval('a')", &catalog, understood(true));
        assert!(memory.known("SELECT nextval('a')", &catalog).is_some(), "the very text");
        assert!(memory.known("SELECT nextval('b')", &catalog).is_none(), "the constant is an object's name");
    }

    #[test]
    fn other_prepared_statements_change_nothing_that_is_known_by_shape() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        memory.remember("SELECT 1", &catalog, understood(false));
        memory.remember("EXECUTE p", &catalog, understood(true));
        memory.forget_prepared();
        assert!(memory.known("SELECT 1", &catalog).is_some());
        assert!(memory.known("EXECUTE p", &catalog).is_none());
    }
}
