//! What a session need not work out twice: a text's analysis, for as long as the catalog and the
//! session's names are the same; and that policy allows it, for as long as everything that the
//! decision rests on is. Only a yes without approvals is remembered, and never one that may rest on
//! the time.

use std::{collections::HashMap, sync::Arc};

use countersign_shared::digest::Digest;

use crate::{catalog::Snapshot, statement::classify::Analysis};

/// No more texts than this are remembered; then all are forgotten.
const MOST: usize = 256;

/// What a decision rests on, beside the text, its meaning and the session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether a transaction is open.
    pub in_transaction: bool,
    /// `countersign.reason`.
    pub reason: Option<String>,
    /// The policies in force.
    pub policies: Digest,
}

struct Remembered {
    catalog: Arc<Snapshot>,
    analysis: Arc<Analysis>,
    allowed: Option<Circumstances>,
}

/// The texts that a session said before.
#[derive(Default)]
pub struct Memory(HashMap<String, Remembered>);

impl Memory {
    /// What a text is, if nothing that it rests on has changed.
    pub fn analysis(&self, sql: &str, catalog: &Arc<Snapshot>) -> Option<Arc<Analysis>> {
        let known = self.0.get(sql).filter(|known| Arc::ptr_eq(&known.catalog, catalog))?;
        Some(Arc::clone(&known.analysis))
    }

    /// Remembers what a text is.
    pub fn remember(&mut self, sql: &str, catalog: &Arc<Snapshot>, analysis: &Arc<Analysis>) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let known = Remembered { catalog: Arc::clone(catalog), analysis: Arc::clone(analysis), allowed: None };
        self.0.insert(sql.to_owned(), known);
    }

    /// Whether this very analysis was allowed under these circumstances.
    pub fn allowed(&self, sql: &str, analysis: &Arc<Analysis>, now: &Circumstances) -> bool {
        self.0
            .get(sql)
            .is_some_and(|known| Arc::ptr_eq(&known.analysis, analysis) && known.allowed.as_ref() == Some(now))
    }

    /// Remembers that it is.
    pub fn allow(&mut self, sql: &str, analysis: &Arc<Analysis>, now: Circumstances) {
        if let Some(known) = self.0.get_mut(sql).filter(|known| Arc::ptr_eq(&known.analysis, analysis)) {
            known.allowed = Some(now);
        }
    }

    /// Names may mean something else from now on.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_forgotten_with_anything_that_it_rests_on() {
        let (catalog, analysis) = (Arc::new(Snapshot::default()), Arc::new(Analysis::default()));
        let now = Circumstances {
            in_transaction: false,
            reason: None,
            policies: countersign_shared::digest::of_bytes(b"one"),
        };
        let mut memory = Memory::default();
        memory.remember("SELECT 1", &catalog, &analysis);
        assert!(!memory.allowed("SELECT 1", &analysis, &now), "nothing was allowed yet");
        memory.allow("SELECT 1", &analysis, now.clone());
        assert!(memory.allowed("SELECT 1", &analysis, &now));
        let others = [
            ("a transaction is open", Circumstances { in_transaction: true, ..now.clone() }),
            ("another reason", Circumstances { reason: Some("x".into()), ..now.clone() }),
            ("other policies", Circumstances { policies: countersign_shared::digest::of_bytes(b"two"), ..now.clone() }),
        ];
        for (case, other) in others {
            assert!(!memory.allowed("SELECT 1", &analysis, &other), "{case}");
        }
        assert!(!memory.allowed("SELECT 1", &Arc::new(Analysis::default()), &now), "another analysis");
        assert!(memory.analysis("SELECT 1", &Arc::new(Snapshot::default())).is_none(), "another catalog");
        memory.forget();
        assert!(memory.analysis("SELECT 1", &catalog).is_none(), "other names");
    }
}
