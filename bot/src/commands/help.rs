//! `/access help`

use crate::{Bot, cards::answer, press::Ear};

/// Says what there is.
pub(super) async fn run(bot: &Bot, ear: &Ear) {
    ear.reply(bot, &answer::help()).await;
}
