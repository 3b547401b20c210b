//! An index over the log, so that a search reads what it may find, and not everything.
//!
//! It is made from the log, and only says where to look: what is found there is read, compared with its hash, and asked
//! itself. It may be deleted at any time. It lies in `records/index`, a file for each 64 MiB of the log, which never changes: a
//! log only grows, so nothing in an index ever needs to be changed either, nor locked, and what a crash leaves half made
//! has no name yet.
//!
//! | file | job |
//! |---|---|
//! | `words` | what an entry is found by, and what a search needs |
//! | `set` | sets of entries, and how they are kept |
//! | `part` | the file |
//! | `build` | a part, made from the lines of its segments |
//! | `plan` | which parts to make |
//! | `folder` | the parts that are there, made and made anew |
//! | `candidates` | the entries of a part that a search may mean |

mod build;
mod candidates;
mod folder;
mod part;
mod plan;
mod set;
mod words;

#[cfg(test)]
mod tests;

pub(super) use candidates::{Asked, candidates};
pub use folder::{Index, Made, NotMade, keep};
pub(super) use part::{Block, List, Part};
pub(super) use set::Set;
pub(super) use words::{Need, kind, needs_of, session};
