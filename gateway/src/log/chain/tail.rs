//! What comes after the newest checkpoint: nobody vouches for it, but it can be impossible.

use super::lines::Lines;
use crate::log::{Kind, entry::Line};

/// The entries from the newest signed one on, one after the other.
#[derive(Default)]
pub(super) struct Tail {
    last: Option<Kind>,
    /// How many unsigned ones came.
    unsigned: u64,
}

impl Tail {
    /// Whether an entry may follow those before it.
    ///
    /// A gateway signs what is there before it writes that it starts, and what it wrote when it stops. So none but
    /// the first unsigned entry is a start, and what follows a stop is one.
    pub(super) fn take(&mut self, lines: &Lines, number: u64, unsigned: bool) -> Result<(), String> {
        let read = serde_json::from_slice::<Line>(lines.line()).ok();
        if unsigned {
            let Some(read) = &read else { return Err(format!("this is no entry; entry {number} belongs here")) };
            if read.seq != number {
                return Err(format!("entry {} stands where entry {number} belongs", read.seq));
            }
            let starts = read.entry.kind == Kind::Start;
            if self.last == Some(Kind::Stop) && !starts {
                return Err(format!("entry {number} follows the gateway's stop, and is no start: it was added"));
            }
            if starts && self.unsigned > 0 {
                return Err(format!(
                    "entry {number} is a start, and those before it are not signed, which each start does: the \
                     checkpoints were rolled back, or entries were added"
                ));
            }
            self.unsigned += 1;
        }
        self.last = read.map(|read| read.entry.kind);
        Ok(())
    }
}
