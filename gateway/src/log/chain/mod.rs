//! The chain: a Merkle tree over all entries, and signed checkpoints of it.
//!
//! Beside the segments lie, each made from them and checked against them:
//!
//! | file | what |
//! |---|---|
//! | `checkpoint` | the newest checkpoint |
//! | `checkpoints` | older ones, one after the other: of each end of a segment, each stop, and some between |
//! | `leaves` | the hash of each entry, 32 bytes each, so that what is wrong can be named |
//! | `log.vkey` | the public key, for whoever verifies |
//!
//! | module | job |
//! |---|---|
//! | `tree` | the hashes |
//! | `note` | checkpoints as signed notes |
//! | `key` | the log key |
//! | `lines` | the lines of all segments, as bytes |
//! | `files` | what lies beside the segments |
//! | `recover` | what is there at a start, and whether it is what was signed |
//! | `keeper` | the thread that hashes and signs |
//! | `verify` | the same for an auditor, offline |
//! | `through` | the signed entries in one pass, for the two below |
//! | `tiles` | the tree as files that other programs know |
//! | `proof` | one entry, proven without the rest |

pub(super) mod files;
mod keeper;
pub(super) mod key;
mod lines;
mod note;
mod proof;
mod recover;
mod tail;
mod through;
mod tiles;
pub(super) mod tree;
mod verify;

#[cfg(test)]
mod mutations;
#[cfg(test)]
mod recover_tests;

pub(crate) use files::goes_on_from;
pub(super) use files::write_all;
pub(super) use keeper::{Keeper, Tell, Work};
pub use key::{LogKey, read_key};
pub(super) use lines::Lines;
pub use note::{Checkpoint, NoteError, Signed, Verifier};
pub use proof::{Proven, prove, proven};
pub use recover::{Chaining, Known};
pub(super) use recover::{Recovered, look};
pub use tiles::write_tiles;
pub use verify::{Bad, Found, Progress, Take, checkpoints_in, newest, verify, verify_and_read};
