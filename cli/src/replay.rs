//! `replay`: a session as it went.

use std::{
    io::{BufRead, IsTerminal, Write, stderr, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use clap::Args;
use countersign_gateway::{
    log::{Entry, Records},
    records::{
        NotRead,
        play::{Moment, cast, moments, seconds},
        search,
    },
};
use countersign_shared::ids::SessionId;

use crate::{evidence, indexed::By};

/// How to play it.
#[derive(Args)]
pub struct How {
    /// The session's id.
    session: SessionId,
    /// So many times as fast as it was.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Waits no longer than so many seconds, however long the session did.
    #[arg(long)]
    idle: Option<u32>,
    /// Stops before each statement, until Enter.
    #[arg(long, conflicts_with = "cast")]
    step: bool,
    /// Writes an asciicast (version 2) in place of playing it.
    #[arg(long)]
    cast: bool,
    /// The folder of records, or s3://bucket/prefix. Default: the config's.
    #[arg(long)]
    records: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("it is more than 0".to_owned()) }
}

/// Runs it.
pub fn run(config: &Path, how: &How) -> ExitCode {
    let records = match evidence::records(config, how.records.clone()) {
        Ok(records) => records,
        Err(problem) => return crate::fail(&problem, 2),
    };
    let found = match of_session(&records, &how.session) {
        Ok(found) => found,
        Err(error) => return crate::fail(&format!("the log can't be read: {error}"), 1),
    };
    let shown = moments(&found);
    let Some(first) = shown.first() else {
        return crate::fail(&format!("the log has no session {}; `sessions list --ended` names them", how.session), 1);
    };
    if how.cast {
        let who = found.iter().find_map(|entry| entry.principal.as_deref()).unwrap_or_default();
        let on = found.iter().find_map(|entry| entry.connection.as_deref()).unwrap_or_default();
        let title = format!("{who} on {on}, session {}, {}", how.session, first.at.format("%Y-%m-%d %H:%M:%S UTC"));
        cast(&title, &shown).iter().for_each(|line| crate::say(line));
    } else {
        play(&shown, how);
    }
    ExitCode::SUCCESS
}

fn of_session(records: &Records, id: &SessionId) -> Result<Vec<Entry>, NotRead> {
    let mut found = search::of_session(records, By::default().index(records, false).as_ref(), id.as_str())?;
    found.retain(|entry| entry.session.as_ref() == Some(id));
    Ok(found)
}

fn play(shown: &[Moment], how: &How) {
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return };
    let watched = stderr().is_terminal() && stdout().is_terminal();
    let whole = seconds(first.at, last.at);
    let mut before = first.at;
    for moment in shown {
        if how.step && moment.step {
            bar(watched, "press Enter");
            let _line = stdin().lock().lines().next();
        } else {
            let wait = Duration::from_secs_f64((seconds(before, moment.at) / how.speed).min(1e9));
            let most = how.idle.map_or(wait, |idle| wait.min(Duration::from_secs(idle.into())));
            let part = (seconds(first.at, before), whole);
            bar(watched && !most.is_zero(), &format!("{} of {}", clock(part.0), clock(part.1)));
            sleep(most);
        }
        bar(watched, "");
        before = before.max(moment.at);
        // Whoever reads only its beginning is no failure.
        let _closed = stdout().write_all(moment.text.as_bytes()).and_then(|()| stdout().flush());
    }
}

/// How far it is, on the line that comes next; gone with an empty text.
fn bar(watched: bool, text: &str) {
    if watched {
        let shown = if text.is_empty() { "\r\u{1b}[K".to_owned() } else { format!("\u{1b}[2m[{text}]\u{1b}[0m") };
        let _unseen = write!(stderr(), "{shown}");
    }
}

fn clock(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds).as_secs();
    format!("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}
