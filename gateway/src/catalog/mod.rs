//! Snapshots of a database's tables, views, functions and the like, read through the gateway's
//! own connection with qualified names only.

/// One database's catalog at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {}
