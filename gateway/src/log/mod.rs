//! The log: one entry for each login, statement, decision, approval, outcome, logout.
//!
//! No statement is forwarded before its entry has been handed to the operating system; no write,
//! hold or decision before it is fsynced; a read's entry is fsynced within 50 ms. Entries of
//! concurrent sessions share one fsync. Where the log can't be written, it says so for good, and
//! the gateway stops passing statements.
//!
//! | file | job |
//! |---|---|
//! | `entry` | what an entry says, and its line |
//! | `line` | the entries that every statement has, put together from what a session encodes once |
//! | `disk` | the few calls that touch a file, so that tests can let them fail |
//! | `segment` | the segments of a folder: names, the end of the newest, what a crash tore |
//! | `writer` | the one writer, and the thread that fsyncs |
//! | [`seal`] | entries of some connections, encrypted, and the end of their keys |
//! | `source` | where a log is read: a folder, a bucket, or both |
//! | `pack` | segments that are over, compressed |
//! | `frames` | how they are, so that what is in the middle can be read |
//! | `follow` | entries from a number on, some at a time |
//! | `read` | all entries, in order |
//! | `lookup` | lines here and there, each compared with its hash |
//! | [`chain`] | the Merkle tree over them, and signed checkpoints |

mod ahead;
pub mod chain;
mod disk;
mod entry;
mod follow;
mod frames;
mod line;
mod lookup;
mod pack;
mod read;
pub mod seal;
mod segment;
mod source;
mod writer;

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod faults;
#[cfg(test)]
pub(crate) mod testing;

pub use entry::{Entry, Kind, Record};
pub use follow::{Batch, Follower, Leaf};
pub use line::{Line, Of, Which};
pub(crate) use lookup::{Lookup, parsed};
pub use pack::{pack, same_when_unpacked};
pub use read::{ReadError, read};
pub(crate) use segment::{LONGEST, last_entry, number_of, size as segment_size};
pub use source::Records;
pub use writer::{Checkpoints, Log, Opened, Position};

/// The log takes no entry, so nothing may pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogDown {
    /// It cannot be written, for good.
    #[error("the log cannot be written ({0}); no statement passes until it can and the gateway is restarted")]
    Broken(String),
    /// Too much of it waits for the bucket.
    #[error("the log's spool is full ({0}); no statement passes until the bucket has taken some of it")]
    Full(String),
    /// One entry is larger than any that is read again.
    #[error(
        "what the log would have to keep of this has {0} bytes, which is too much for one entry; send less at once"
    )]
    TooLong(usize),
}
