//! The entries of a log, in order. What a gateway is just writing, or was when it died, is its end.

use std::path::PathBuf;

use crate::log::{Entry, ReadError, Records, read};

/// Why the log can't be read on.
pub type NotRead = ReadError;

/// The entries; the error, if one comes, is the last.
pub struct Entries<I> {
    inner: I,
    torn: Option<(PathBuf, u64)>,
}

impl<I> Entries<I> {
    /// Where the last entry is not whole, once all are read.
    #[must_use]
    pub const fn torn(&self) -> Option<&(PathBuf, u64)> {
        self.torn.as_ref()
    }
}

/// The entries in `records`, each with its number.
#[must_use]
pub fn entries(records: &Records) -> Entries<impl Iterator<Item = Result<(u64, Entry), NotRead>> + use<>> {
    Entries { inner: read(records.clone()), torn: None }
}

impl<I: Iterator<Item = Result<(u64, Entry), NotRead>>> Iterator for Entries<I> {
    type Item = Result<(u64, Entry), NotRead>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.inner.next()? {
            Err(NotRead::Torn { path, line }) => {
                self.torn = Some((path, line));
                None
            }
            other => Some(other),
        }
    }
}
