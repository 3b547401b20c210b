//! `digest`: who holds what they don't use.

use std::{path::Path, process::ExitCode};

use countersign_bot::cards::digest::lines;
use countersign_gateway::service::{NotStarted, load};

use crate::serve::bot_beside;

/// Posts the digest now, or prints it. Beside a gateway that runs, as its bot.
pub async fn run(config: &Path, now: bool, dry_run: bool, json: bool) -> ExitCode {
    if !now {
        return crate::fail("the digest is posted by itself each day; write --now, or --now --dry-run to read it", 2);
    }
    let config = match load(config) {
        Ok(config) => config,
        Err(NotStarted(problems)) => return crate::fail(&problems.join("\n"), 2),
    };
    let bot = match bot_beside(&config) {
        Ok(bot) => bot,
        Err(error) => return crate::fail(&error, 2),
    };
    let digest = if dry_run { bot.digest().await } else { bot.post_digest().await };
    match digest {
        Ok(digest) if json => crate::say_json(&digest),
        Ok(digest) => crate::say(&lines(&digest)),
        Err(error) => return crate::fail(&error.to_string(), 1),
    }
    ExitCode::SUCCESS
}
