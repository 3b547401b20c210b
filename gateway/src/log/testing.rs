//! A log for tests, signed with a key that lies beside its records.

use std::{io, path::Path, time::Duration};

use super::{
    Log,
    chain::{Chaining, LogKey},
    disk::RealDisk,
};

/// How a log in `records` is signed, for a state that knows nothing of it.
pub(crate) fn chaining(records: &Path) -> Chaining {
    let key = LogKey::load_or_create(&records.join("test.key")).unwrap();
    Chaining { key, every: Duration::from_millis(10), known: Vec::new(), sealer: None, in_bucket: None, spool: None }
}

/// Opens it.
pub(crate) fn open(records: &Path) -> io::Result<Log> {
    Log::open(records, chaining(records))
}

/// Opens it with segments of so many bytes.
pub(crate) fn open_in_small(records: &Path, chaining: Chaining, bytes: u64) -> Log {
    Log::open_on(records, chaining, || Box::new(RealDisk), bytes).unwrap()
}
