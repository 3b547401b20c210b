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
//! | `read` | all entries of a folder, in order |
//! | [`chain`] | the Merkle tree over them, and signed checkpoints |

pub mod chain;
mod disk;
mod entry;
mod line;
mod read;
mod segment;
mod writer;

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod faults;
#[cfg(test)]
pub(crate) mod testing;

pub use entry::{Entry, Kind, Record};
pub use line::{Line, Of, Which};
pub use read::{ReadError, read};
pub use writer::{Log, Opened, Position};

/// The log cannot be written; nothing may pass until it is mended and the gateway restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be written ({0}); no statement passes until it can and the gateway is restarted")]
pub struct LogDown(pub String);
