//! What the log says, for people: searched, exported, played back, reported. Reads files; asks nobody.
//!
//! | file | job |
//! |---|---|
//! | `find` | the words of a search, and which entries they mean |
//! | [`index`] | where in the log to look |
//! | [`search`](mod@search) | a log searched by it, and without |
//! | `read` | the entries of a log from a time on |
//! | `export` | entries as JSON lines, CSV and OCSF |
//! | `ocsf` | an entry as an event of the Open Cybersecurity Schema Framework |
//! | `sessions` | sessions, put together from their entries |
//! | `play` | a session as it went, for a terminal and as an asciicast |
//! | `approvals` | who asked, who agreed, and how |
//! | `access` | who had access at a time, by which right, and who used it |
//! | `retention` | sealed records that are kept no longer |
//! | `table` | the same rows as Markdown, CSV and JSON |

pub mod access;
pub mod approvals;
pub mod export;
pub mod find;
pub mod index;
mod ocsf;
pub mod play;
mod read;
pub mod retention;
pub mod search;
pub mod sessions;
pub mod table;

pub use read::{Entries, NotRead, entries};
