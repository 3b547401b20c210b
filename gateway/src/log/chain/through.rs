//! The entries that the newest checkpoint vouches for, in one pass, for who makes something of their hashes.

use std::{io, sync::Arc};

use super::{
    lines::Lines,
    note::{Signed, Verifier},
    tree::{Hash, Tree},
    verify::{Bad, Progress, Verdict, newest_in},
};
use crate::log::source::{Records, Source};

/// A log and its newest checkpoint.
pub(super) struct Through {
    source: Arc<dyn Source>,
    /// What vouches for the entries.
    pub newest: Signed,
}

impl Through {
    /// Opens the log in `records`, whose checkpoint `key` signed.
    ///
    /// # Errors
    /// Where it can't be read; then, why the checkpoint does not count.
    pub fn begin(records: &Records, key: &Verifier) -> io::Result<Verdict<Self>> {
        let source = records.source()?;
        Ok(newest_in(&*source, key)?.map(|newest| Self { source, newest }))
    }

    /// Gives `each` the number of an entry (from 0), its line and its hash. What it makes of them may be believed only
    /// once this has said that they are what was signed.
    ///
    /// # Errors
    /// Where the log can't be read, or `each` fails; then, that it is not what was signed.
    pub fn read(
        self,
        mut progress: impl FnMut(Progress),
        mut each: impl FnMut(u64, &[u8], Hash) -> io::Result<()>,
    ) -> io::Result<Verdict<Signed>> {
        let numbers = self.source.numbers()?;
        let of = numbers.iter().map(|number| self.source.size(*number)).sum::<io::Result<u64>>()?;
        let mut lines = Lines::of(Arc::clone(&self.source), &numbers);
        let (mut tree, size) = (Tree::default(), self.newest.checkpoint.size);
        while tree.size() < size && lines.advance()? && lines.is_whole() {
            let leaf = lines.leaf();
            each(tree.size(), lines.line(), leaf)?;
            tree.push(leaf);
            if tree.size().is_multiple_of(4096) {
                progress(Progress { read: lines.bytes.min(of), of });
            }
        }
        if tree.size() == size && tree.root() == self.newest.checkpoint.root {
            return Ok(Ok(self.newest));
        }
        let there = tree.size();
        let what = format!("its first {there} entries are not the {size} that were signed; `audit verify` says which");
        Ok(Err(Bad { place: None, what }))
    }
}
