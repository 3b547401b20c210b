//! What Block Kit permits, as strictly as Slack checks it. Limits are those of
//! <https://docs.slack.dev/reference/block-kit>; the sentences and the JSON pointers are in Slack's style.

mod block;
mod checker;
mod complete;
mod element;
mod object;
mod view;

pub(super) use complete::complete_blocks;
pub(super) use object::all_options;

use serde_json::Value;

use block::check_blocks;
use checker::Checker;

/// Where blocks are shown; some are not allowed everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// A message in a channel.
    Message,
    /// A dialog.
    Modal,
    /// The app's home tab.
    Home,
}

/// What is wrong with `blocks`, one sentence each; empty when nothing is.
pub fn validate_blocks(blocks: &Value, surface: Surface) -> Vec<String> {
    let mut checker = Checker::at("/blocks");
    check_blocks(&mut checker, blocks, surface);
    checker.into_errors()
}

/// What is wrong with a modal or home view, one sentence each; empty when nothing is.
pub fn validate_view(view: &Value) -> Vec<String> {
    let mut checker = Checker::at("/view");
    view::check_view(&mut checker, view);
    checker.into_errors()
}

#[cfg(test)]
mod tests;
