//! `report`: what the log says of policy.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Subcommand, ValueEnum};
use countersign_gateway::{
    friction::{before, report},
    log::{
        Entry,
        chain::{Found, Progress, verify_and_read},
    },
    records::{access, approvals, find::time, table::Table},
    service::{NotStarted, load},
};
use serde_json::{Value, json};

use crate::{evidence, progress::Bar};

/// The reports.
#[derive(Subcommand)]
pub enum What {
    /// What was held or denied, or would have been in observe mode, and what would end most false holds.
    Friction {
        /// How far back: 90m, 36h, 14d, 2w.
        #[arg(long, default_value = "14d")]
        since: String,
    },
    /// Each request: who asked, who agreed and by what assurance, what came of it; and what a reviewer should look
    /// at. Rests on a log that was verified.
    Approvals {
        /// From when on: 90d, 2026-11-24, or RFC 3339. Default: all.
        #[arg(long)]
        since: Option<String>,
        #[command(flatten)]
        from: Basis,
    },
    /// Everybody who had access at a time, by policy and by grant, and what they did with it. Rests on a log that was
    /// verified.
    Access {
        /// When: a day (its end, in UTC), or RFC 3339. Default: now.
        #[arg(long)]
        as_of: Option<String>,
        #[command(flatten)]
        from: Basis,
    },
}

/// From which log, and in which form.
#[derive(Args)]
pub struct Basis {
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Form::Markdown)]
    format: Form,
    /// The log's public key. Default: the key of the config's gateway.
    #[arg(long)]
    key: Option<PathBuf>,
    /// The folder of records, or s3://bucket/prefix. Default: the config's.
    #[arg(long)]
    records: Option<PathBuf>,
}

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Markdown.
    #[value(alias = "md")]
    Markdown,
    /// RFC 4180.
    Csv,
    /// JSON.
    Json,
}

/// Prints a report.
pub fn run(config: &Path, what: &What, json: bool) -> ExitCode {
    let since = match what {
        What::Friction { since } => since,
        What::Approvals { since, from } => {
            let since = match since.as_ref().map(|text| time(text, Utc::now()).ok_or(text)).transpose() {
                Ok(since) => since,
                Err(text) => return crate::fail(&format!("{text:?} is no time; write 90d, 2026-11-24 or RFC 3339"), 2),
            };
            let mut collected = approvals::Collected::since(since);
            let read = read(config, from, |seq, entry| collected.take(seq, entry));
            return told(read, from, json, || {
                let report = collected.into_report();
                ("# Approvals", report.markdown(), report.table(), serde_json::to_value(&report))
            });
        }
        What::Access { as_of, from } => {
            let now = Utc::now();
            let Some(at) = as_of.as_ref().map_or(Some(now), |text| end_of(text, now)) else {
                return crate::fail("--as-of takes a day, as 2026-11-24, or RFC 3339", 2);
            };
            let mut collected = access::Collected::as_of(at);
            let read = read(config, from, |_, entry| collected.take(entry));
            return told(read, from, json, || {
                let report = collected.into_report();
                ("# Access", report.markdown(), report.table(), serde_json::to_value(&report))
            });
        }
    };
    let Some(since) = before(chrono::Utc::now(), since) else {
        return crate::fail(&format!("{since:?} is no span of time; write 90m, 36h, 14d or 2w"), 2);
    };
    let config = match load(config) {
        Ok(config) => config,
        Err(NotStarted(problems)) => return crate::fail(&problems.join("\n"), 2),
    };
    match report(&config.records(), since) {
        Ok(friction) if json => crate::say_json(&friction),
        Ok(friction) => crate::say(&friction.to_string()),
        Err(error) => return crate::fail(&format!("the log can't be read: {error}"), 1),
    }
    ExitCode::SUCCESS
}

/// The end of a day, or a time; never later than now.
fn end_of(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = match text.parse::<NaiveDate>() {
        Ok(day) => day.succ_opt()?.and_hms_opt(0, 0, 0)?.and_utc() - chrono::TimeDelta::nanoseconds(1),
        Err(_) => DateTime::parse_from_rfc3339(text).ok()?.into(),
    };
    Some(end.min(now))
}

/// Gives the entries that a checkpoint vouches for. What was made of them counts only where all were found to be those
/// that were signed.
fn read(config: &Path, from: &Basis, mut take: impl FnMut(u64, &Entry)) -> Result<Found, (String, u8)> {
    let usage = |problem: String| (problem, 2);
    let records = evidence::records(config, from.records.clone()).map_err(usage)?;
    let key = evidence::key(config, from.key.as_deref()).map_err(usage)?;
    let mut bar = Bar::new();
    // In one pass: what is read a second time may be something else.
    let told = |progress: Progress| bar.at(progress.read, progress.of);
    let verdict = verify_and_read(&records, &key, &[], told, Some(&mut take));
    drop(bar);
    verdict
        .map_err(|e| (format!("the records can't be read: {e}"), 2))?
        .map_err(|bad| (format!("the log is bad, so nothing is reported from it: {bad}"), 1))
}

type Report = (&'static str, String, Table, serde_json::Result<Value>);

/// Prints a report with the checkpoint that it rests on.
fn told(read: Result<Found, (String, u8)>, from: &Basis, json: bool, report: impl FnOnce() -> Report) -> ExitCode {
    let found = match read {
        Ok(found) => found,
        Err((problem, code)) => return crate::fail(&problem, code),
    };
    let (title, markdown, mut table, value) = report();
    let note = &found.newest.note;
    match if json { Form::Json } else { from.format } {
        Form::Json => crate::say_json(&json!({
            "report": value.unwrap_or_default(), "checkpoint": note, "entries": found.newest.checkpoint.size,
        })),
        Form::Csv => {
            // The size and the root: with the origin, what the note signs.
            let rests_on = note.lines().take(3).collect::<Vec<_>>().join(" ");
            table.head.push("checkpoint");
            table.rows.iter_mut().for_each(|row| row.push(rests_on.clone()));
            crate::say(&table.csv());
        }
        Form::Markdown => {
            let rests_on =
                "This rests on all entries that this checkpoint vouches for, which were verified with its key:";
            crate::say(&format!("{title}\n\n{markdown}\n\n{rests_on}\n\n```\n{}\n```", note.trim_end()));
        }
    }
    ExitCode::SUCCESS
}
