//! The direct message to the one who asks. Graphical clients hide notices, so it says what holds.

use countersign_shared::{api::RequestView, request::State};
use url::Url;

use super::{
    allow,
    blocks::{self, Message},
    outcome,
    request::{block_id, page},
    visible::{escaped, short},
};

/// "Your statement is held", with Withdraw; later, how it ended.
#[must_use]
pub fn direct(view: &RequestView, base: &Url) -> Message {
    let connection = short(&view.connection, 63);
    let what = view.access.as_ref().map_or_else(|| short(&view.sql, 300), outcome::access);
    let head = match (view.state, &view.access) {
        (State::Pending, None) => format!("Your statement on {connection} is held ({}).", view.id),
        (State::Pending, Some(_)) => format!("Your wish for access to {connection} waits ({}).", view.id),
        (state, None) => format!("{}: your statement on {connection} ({}).", outcome::heading(state), view.id),
        (state, Some(_)) => format!("{}: your wish for access to {connection} ({}).", outcome::heading(state), view.id),
    };
    let standing = outcome::standing(view);
    let mut lines = vec![
        blocks::line(vec![blocks::bold(&head)]),
        blocks::code(&what),
        blocks::line(vec![blocks::plain(&standing)]),
    ];
    if let Some(allowance) = &view.allowance {
        lines.push(blocks::line(vec![blocks::bold(&allow::standing(allowance))]));
    }
    lines.push(blocks::line(vec![blocks::link(&page(base, &view.id), "The request's page")]));
    let mut blocks = vec![blocks::rich(lines)];
    if view.state == State::Pending {
        let withdraw = blocks::button("withdraw", "Withdraw", None, view.id.as_str());
        blocks.push(blocks::actions(&block_id(&view.id, &view.digest), vec![withdraw]));
    }
    blocks.extend(allow::end_button(view));
    Message { text: escaped(&format!("{head} {}", outcome::pushed(view))), blocks }
}
