//! Snapshots of a database's tables, views, functions and the like, read through the gateway's
//! own connection with qualified names only.
//!
//! [`read`] asks the server, [`builder`] puts the answers together, [`Snapshot`] answers lookups,
//! [`version`] says whether what a statement touches has changed, [`fresh`] keeps the newest, [`within`]
//! reads what an open transaction alone sees, [`temporary`] what a session has of its own.

pub mod builder;
pub mod builtins;
pub mod fresh;
pub mod read;
mod read_rows;
#[cfg(test)]
mod read_tests;
mod snapshot;
pub mod temporary;
pub mod version;
pub mod within;

pub use snapshot::{
    Body, Code, Column, Derived, Events, Expression, Function, Hazard, Key, Kind, Memo, Referrer, Relation, Snapshot,
    TypeFacts,
};
pub use temporary::Temporary;
