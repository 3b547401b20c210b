//! The message that counts what has no card of its own yet.

use countersign_shared::api::RequestView;
use serde_json::json;

use super::{
    blocks::{self, Message},
    visible::{escaped, short},
};
use crate::cap::MOST;

/// `3 more of ana@acme.dev's session on shop wait.` Never a statement: whoever decides reads it whole elsewhere.
fn message(head: &str, rest: &str, block_id: &str) -> Message {
    let mut block = blocks::rich(vec![blocks::line(vec![blocks::bold(head), blocks::plain(rest)])]);
    block["block_id"] = json!(block_id);
    Message { text: escaped(head), blocks: vec![block] }
}

fn whose(one: &RequestView) -> String {
    let (who, on) = (short(&one.principal, 100), short(&one.connection, 63));
    match &one.session {
        Some(_) => format!("of a session of {who} on {on}"),
        None => format!("by {who} on {on}"),
    }
}

/// While `count` wait behind those that have cards; `one` is any of them.
#[must_use]
pub fn waiting(one: &RequestView, count: usize, block_id: &str) -> Message {
    let verb = if count == 1 { "waits" } else { "wait" };
    let head = format!("{count} more {} {verb}.", whose(one));
    let rest = format!(
        " A session has {MOST} cards at a time; when one of them ends, the next gets its own. All of them are in the home \
         tab of whoever may decide, and in /access requests."
    );
    message(&head, &rest, block_id)
}

/// When none is left.
#[must_use]
pub fn over(block_id: &str) -> Message {
    message("No more wait here.", " Each of those that were counted has got its card, or has ended.", block_id)
}

#[cfg(test)]
mod tests {
    use countersign_shared::ids::SessionId;

    use super::*;
    use crate::cards::samples;

    #[test]
    fn it_says_how_many_of_whom_and_nothing_of_what_they_wrote() {
        let view = samples::view();
        let session = RequestView { session: Some(SessionId::random()), ..view.clone() };
        let hostile = RequestView { principal: "<!channel>\u{202E}".into(), ..view.clone() };
        for (one, count, expected) in [
            (&view, 1, "1 more by ana@acme.dev on shop waits."),
            (&session, 3, "3 more of a session of ana@acme.dev on shop wait."),
            (&hostile, 2, "2 more by &lt;!channel&gt;\\u{202E} on shop wait."),
        ] {
            let message = waiting(one, count, "notice:x");
            assert_eq!(message.text, expected);
            assert!(!format!("{message:?}").contains("DELETE"), "{message:?}");
            assert_eq!(message.blocks[0]["block_id"], "notice:x");
        }
    }
}
