//! The server's own functions that add no effect.
//!
//! `builtins.txt` holds the names of `pg_catalog` of which every overload is immutable or stable, or
//! volatile and reviewed as harmless, less those that read files, run a query given as text, write
//! large objects, or reach other backends. Everything else is not harmless.

use std::{collections::HashSet, sync::LazyLock};

static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("builtins.txt").lines().collect());

/// Whether every function `pg_catalog.name` is harmless.
pub fn harmless(name: &str) -> bool {
    NAMES.contains(name)
}

/// Advisory locks: they lock nothing of the database's.
pub fn advisory_lock(name: &str) -> bool {
    name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_")
}
