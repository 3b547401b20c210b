//! What a session need not work out twice: what a text is, for as long as the catalog and the
//! session's names are the same; and that policy allows it, for as long as everything that the
//! decision rests on is. Only a yes without approvals is remembered, and never one that may rest on
//! the time.
//!
//! A text is known by its [shape], where the analysis says that no constant's value mattered;
//! otherwise by its own bytes.

use std::{collections::HashMap, sync::Arc};

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
}

struct Allowed {
    in_transaction: bool,
    reason: Option<String>,
    policies: Digest,
}

impl Allowed {
    fn is(&self, now: &Circumstances<'_>) -> bool {
        self.in_transaction == now.in_transaction
            && self.policies == now.policies
            && self.reason.as_deref() == now.reason
    }
}

struct Remembered {
    catalog: Arc<Snapshot>,
    understood: Arc<Understood>,
    allowed: Vec<Allowed>,
}

type Texts = HashMap<Box<[u8]>, Remembered>;

/// The texts that a session said before.
#[derive(Default)]
pub struct Memory {
    shapes: Texts,
    texts: Texts,
    /// Where the shape of a text is put together.
    scratch: Vec<u8>,
}

impl Memory {
    fn find(&mut self, sql: &str) -> Option<&mut Remembered> {
        if shape(sql, &mut self.scratch)
            && let Some(known) = self.shapes.get_mut(self.scratch.as_slice())
        {
            return Some(known);
        }
        self.texts.get_mut(sql.as_bytes())
    }

    /// What a text is, if nothing that it rests on has changed.
    pub fn understood(&mut self, sql: &str, catalog: &Arc<Snapshot>) -> Option<Arc<Understood>> {
        let known = self.find(sql).filter(|known| Arc::ptr_eq(&known.catalog, catalog))?;
        Some(Arc::clone(&known.understood))
    }

    /// Remembers what a text is.
    pub fn remember(&mut self, sql: &str, catalog: &Arc<Snapshot>, understood: &Arc<Understood>) {
        let by_shape = !understood.literal_sensitive() && shape(sql, &mut self.scratch);
        let (texts, key) =
            if by_shape { (&mut self.shapes, self.scratch.as_slice()) } else { (&mut self.texts, sql.as_bytes()) };
        if texts.len() >= MOST {
            texts.clear();
        }
        let (catalog, understood) = (Arc::clone(catalog), Arc::clone(understood));
        texts.insert(key.into(), Remembered { catalog, understood, allowed: Vec::new() });
    }

    /// Whether this very analysis was allowed under these circumstances.
    pub fn allowed(&mut self, sql: &str, understood: &Arc<Understood>, now: &Circumstances<'_>) -> bool {
        self.find(sql).is_some_and(|known| {
            Arc::ptr_eq(&known.understood, understood) && known.allowed.iter().any(|allowed| allowed.is(now))
        })
    }

    /// Remembers that it is.
    pub fn allow(&mut self, sql: &str, understood: &Arc<Understood>, now: Circumstances<'_>) {
        if let Some(known) = self.find(sql).filter(|known| Arc::ptr_eq(&known.understood, understood)) {
            // In a transaction and outside: no more is worth keeping.
            known
                .allowed
                .retain(|allowed| allowed.in_transaction != now.in_transaction && allowed.policies == now.policies);
            known.allowed.push(Allowed {
                in_transaction: now.in_transaction,
                reason: now.reason.map(ToOwned::to_owned),
                policies: now.policies,
            });
        }
    }

    /// Names may mean something else from now on.
    pub fn forget(&mut self) {
        self.shapes.clear();
        self.texts.clear();
    }

    /// Prepared statements are others from now on. What EXECUTE means is never known by shape.
    pub fn forget_prepared(&mut self) {
        self.texts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::classify::{Analysis, Statement};

    fn understood(literal_sensitive: bool) -> Arc<Understood> {
        let statement = Statement { blind_to_literals: !literal_sensitive, ..Statement::default() };
        Arc::new(Analysis { statements: vec![statement], ..Analysis::default() }.into())
    }

    #[test]
    fn a_yes_is_forgotten_with_anything_that_it_rests_on() {
        let (catalog, known) = (Arc::new(Snapshot::default()), understood(false));
        let policies = countersign_shared::digest::of_bytes(b"one");
        let now = Circumstances { in_transaction: false, reason: None, policies };
        let mut memory = Memory::default();
        memory.remember("SELECT 1", &catalog, &known);
        assert!(!memory.allowed("SELECT 1", &known, &now), "nothing was allowed yet");
        memory.allow("SELECT 1", &known, now);
        assert!(memory.allowed("SELECT 1", &known, &now));
        let others = [
            ("a transaction is open", Circumstances { in_transaction: true, ..now }),
            ("another reason", Circumstances { reason: Some("x"), ..now }),
            ("other policies", Circumstances { policies: countersign_shared::digest::of_bytes(b"two"), ..now }),
        ];
        for (case, other) in others {
            assert!(!memory.allowed("SELECT 1", &known, &other), "{case}");
        }
        let within = Circumstances { in_transaction: true, ..now };
        memory.allow("SELECT 1", &known, within);
        assert!(memory.allowed("SELECT 1", &known, &now) && memory.allowed("SELECT 1", &known, &within), "both");
        assert!(!memory.allowed("SELECT 1", &understood(false), &now), "another analysis");
        assert!(memory.understood("SELECT 1", &Arc::new(Snapshot::default())).is_none(), "another catalog");
        memory.forget();
        assert!(memory.understood("SELECT 1", &catalog).is_none(), "other names");
    }

    #[test]
    fn only_a_text_whose_constants_do_not_matter_is_known_by_its_shape() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        memory.remember("SELECT a FROM t WHERE id = 1", &catalog, &understood(false));
        assert!(memory.understood("SELECT a FROM t WHERE id = 2", &catalog).is_some(), "another constant");
        assert!(memory.understood("SELECT a FROM t WHERE id = '2'", &catalog).is_none(), "another kind of constant");
        memory.remember("SELECT nextval('a')", &catalog, &understood(true));
        assert!(memory.understood("SELECT nextval('a')", &catalog).is_some(), "the very text");
        assert!(memory.understood("SELECT nextval('b')", &catalog).is_none(), "the constant is an object's name");
    }

    #[test]
    fn other_prepared_statements_change_nothing_that_is_known_by_shape() {
        let catalog = Arc::new(Snapshot::default());
        let mut memory = Memory::default();
        memory.remember("SELECT 1", &catalog, &understood(false));
        memory.remember("EXECUTE p", &catalog, &understood(true));
        memory.forget_prepared();
        assert!(memory.understood("SELECT 1", &catalog).is_some());
        assert!(memory.understood("EXECUTE p", &catalog).is_none());
    }
}
