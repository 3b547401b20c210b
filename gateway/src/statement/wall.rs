//! The second wall for readers, as statements meet it: nothing makes a reader's session READ WRITE.
//!
//! The first wall is the decision. This one stands behind it, in the server, for whatever an analysis
//! might have missed. Pure.

use super::classify::{Analysis, NOTE_READ_WRITE, NOTE_RESETS_ALL};
use crate::refusal::Refusal;

/// The setting that new transactions of a walled session begin with.
pub const SETTING: &str = "default_transaction_read_only";

/// A refusal, where a statement would take the wall down. RESET ALL and DISCARD ALL bring back what the
/// session began with; `at_start` says whether that is the wall.
#[must_use]
pub fn taken_down_by(analysis: &Analysis, at_start: bool) -> Option<Refusal> {
    let has = |note: &str| analysis.statements.iter().any(|statement| statement.marks.contains(note));
    let down = has(NOTE_READ_WRITE) || !at_start && has(NOTE_RESETS_ALL);
    down.then(|| Refusal::Denied {
        message: "this session is read only".to_owned(),
        detail: "No policy permits you anything but reading here, so READ WRITE is not for this session.".to_owned(),
    })
}
