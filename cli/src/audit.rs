//! `audit`: whether the log is what was signed, and what is in it.

use std::{
    fs,
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::Utc;
use clap::{Subcommand, ValueEnum};
use countersign_gateway::{
    log::{
        Entry, Records,
        chain::{Found, NoteError, Signed, Verifier, checkpoints_in, newest, verify},
    },
    records::{
        export::Format,
        find::{Search, time},
        search,
    },
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{plain, with},
    evidence, indexed,
    progress::Bar,
    prove,
};

/// How entries are written.
#[derive(Clone, Copy, ValueEnum)]
pub enum Form {
    /// A JSON object a line.
    Jsonl,
    /// RFC 4180, with a head line.
    Csv,
    /// Events of the Open Cybersecurity Schema Framework, a JSON object a line.
    Ocsf,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::Jsonl => Self::JsonLines,
            Form::Csv => Self::Csv,
            Form::Ocsf => Self::Ocsf,
        }
    }
}

/// What to do with the log.
#[derive(Subcommand)]
pub enum What {
    /// Verifies that nothing in it was changed, taken out, added, moved or forked. Needs the records and the public
    /// key, and nothing else.
    Verify {
        /// The log's public key: log.vkey, kept elsewhere. Default: the key of the config's gateway.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Checkpoints of this log that were kept elsewhere: it must go on from each of them.
        #[arg(long)]
        checkpoint: Vec<PathBuf>,
        /// Fails where entries are newer than the newest checkpoint.
        #[arg(long)]
        all_signed: bool,
        /// A file of `audit prove`, in place of the records: prints the entry that it proves.
        #[arg(long, conflicts_with_all = ["checkpoint", "all_signed", "records"])]
        proof: Option<PathBuf>,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
    /// Writes entries for other programs.
    Export {
        /// As what.
        #[arg(long, value_enum, default_value_t = Form::Jsonl)]
        format: Form,
        /// From when on: 7d, 2026-11-24, or RFC 3339.
        #[arg(long)]
        since: Option<String>,
        /// Only those that a search finds.
        #[arg(long, default_value = "")]
        search: String,
        #[command(flatten)]
        index: indexed::By,
        /// Asks the gateway, which asks policy (`audit`), in place of the files. Needs a login, or a token in
        /// COUNTERSIGN_TOKEN.
        #[arg(long, conflicts_with = "records")]
        gateway: bool,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
    /// Finds entries: 'table:orders action:delete by:ana since:7d'.
    Search {
        /// What: table, action, by, on, kind, session, request, outcome, sql, text, since, until, each with a colon and
        /// a value; or a word that the entry has. All must fit; with - before it, it must not.
        search: String,
        #[command(flatten)]
        index: indexed::By,
        /// Asks the gateway, which asks policy (`audit`), in place of the files. Needs a login, or a token in
        /// COUNTERSIGN_TOKEN.
        #[arg(long, conflicts_with = "records")]
        gateway: bool,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        #[arg(long)]
        records: Option<PathBuf>,
    },
    /// Makes the index that searches read, of what is new since the last time. It is made from the log, and may be
    /// deleted at any time.
    Index {
        /// Deletes it first, and makes all of it anew.
        #[arg(long)]
        rebuild: bool,
        /// Where it lies. Default: index, beside the log.
        #[arg(long)]
        index: Option<PathBuf>,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        #[arg(long)]
        records: Option<PathBuf>,
    },
    /// Tells who is on a connection's database and did not come through the gateway, and which roles could log in.
    /// Asks the gateway, which asks policy (`audit`) and writes what it saw into the log. Exits with 1 where somebody is
    /// there. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Bypass {
        /// The connection. Default: all.
        connection: Option<String>,
    },
    /// Prints the newest checkpoint, to be kept elsewhere.
    Checkpoint {
        /// As for `verify`.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
    /// Prints one entry with the proof that the log has it (c2sp.org/tlog-proof), for somebody who gets no other entry;
    /// `audit verify --proof` believes it by the public key alone.
    Prove {
        /// The entry's number, as `audit search` shows it.
        seq: u64,
        /// As for `verify`.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
    /// Writes the hashes of all entries as tiles, and the checkpoint (c2sp.org/tlog-tiles), for a web server and programs
    /// that watch logs. What the folder has is gone on from.
    Tiles {
        /// The folder.
        #[arg(long)]
        to: PathBuf,
        /// As for `verify`.
        #[arg(long)]
        key: Option<PathBuf>,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
    /// Prints the log's public key, for whoever verifies.
    Key {
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        records: Option<PathBuf>,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    match what {
        What::Verify { key, proof: Some(proof), .. } => match evidence::key(config, key.as_deref()) {
            Ok(key) => prove::believe(&proof, &key, json),
            Err(problem) => crate::fail(&problem, 2),
        },
        What::Verify { key, checkpoint, all_signed, records, proof: None } => {
            match evidence::both(config, key, records) {
                Ok((records, key)) => verified(&records, &key, &checkpoint, all_signed, json),
                Err(problem) => crate::fail(&problem, 2),
            }
        }
        What::Export { format, since, search: words, index, gateway, records } => {
            let parsed = Search::parse(&words, Utc::now()).and_then(|search| {
                let said = |text: &String| format!("{text:?} is no time; write 7d, 2026-11-24 or RFC 3339");
                let since = since.as_ref().map(|text| time(text, Utc::now()).ok_or_else(|| said(text))).transpose()?;
                Ok(search.since(since))
            });
            let format = format.into();
            match parsed {
                Ok(search) => {
                    let from = if gateway { Source::Gateway(words) } else { Source::Files(records, index) };
                    each(config, from, &search, Some(format), |seq, entry| format.line(seq, entry)).await
                }
                Err(problem) => crate::fail(&problem, 2),
            }
        }
        What::Search { search: words, index, gateway, records } => {
            let parsed = Search::parse(&words, Utc::now());
            let from = if gateway { Source::Gateway(words) } else { Source::Files(records, index) };
            match parsed {
                Ok(search) if json => {
                    each(config, from, &search, None, |seq, entry| Format::JsonLines.line(seq, entry)).await
                }
                Ok(search) => each(config, from, &search, None, found).await,
                Err(problem) => crate::fail(&problem, 2),
            }
        }
        What::Index { rebuild, index, records } => match evidence::records(config, records) {
            Ok(records) => indexed::make(&records, index, rebuild, json),
            Err(problem) => crate::fail(&problem, 2),
        },
        What::Bypass { connection } => crate::bypass::run(config, connection, json).await,
        What::Checkpoint { key, records } => {
            let asked = evidence::both(config, key, records)
                .and_then(|(records, key)| newest(&records, &key).map_err(|e| e.to_string()));
            match asked {
                Ok(Ok(signed)) => crate::say(signed.note.trim_end()),
                Ok(Err(bad)) => return crate::fail(&bad.to_string(), 1),
                Err(problem) => return crate::fail(&problem, 2),
            }
            ExitCode::SUCCESS
        }
        What::Prove { seq, key, records } => match evidence::both(config, key, records) {
            Ok((records, key)) => prove::prove(&records, &key, seq),
            Err(problem) => crate::fail(&problem, 2),
        },
        What::Tiles { to, key, records } => match evidence::both(config, key, records) {
            Ok((records, key)) => prove::tiles(&records, &key, &to, json),
            Err(problem) => crate::fail(&problem, 2),
        },
        What::Key { records } => {
            let own = evidence::both(config, None, records)
                .and_then(|(records, key)| Ok((newest(&records, &key).map_err(|e| e.to_string())?, key)));
            match own {
                Ok((Ok(signed), key)) => crate::say(&key.text_for(&signed.checkpoint.origin)),
                Ok((Err(bad), _)) => return crate::fail(&bad.to_string(), 1),
                Err(problem) => return crate::fail(&problem, 2),
            }
            ExitCode::SUCCESS
        }
    }
}

/// Where entries are read.
enum Source {
    /// In the records' files.
    Files(Option<PathBuf>, indexed::By),
    /// At the gateway, with this search.
    Gateway(String),
}

/// Prints each entry that a search finds, as it is read: a log may be long.
async fn each(
    config: &Path,
    from: Source,
    search: &Search,
    format: Option<Format>,
    line: impl Fn(u64, &Entry) -> String,
) -> ExitCode {
    let mut out = BufWriter::new(stdout());
    // Whoever reads only its beginning (`head`) is no failure.
    let mut print = |text: &str| writeln!(out, "{text}").is_ok();
    let head = format.and_then(Format::head);
    let code = match from {
        Source::Files(named, by) => match evidence::records(config, named) {
            Ok(records) => {
                let _closed = head.is_none_or(|head| print(&head));
                in_files(&records, &by, search, |seq, entry| print(&line(seq, entry)))
            }
            Err(problem) => crate::fail(&problem, 2),
        },
        Source::Gateway(words) => {
            let _closed = head.is_none_or(|head| print(&head));
            let words: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
            let take = |text: &str| {
                let read = |e: serde_json::Error| format!("the gateway's answer can't be read: {e}");
                let Numbered { seq, entry } = serde_json::from_str(text).map_err(read)?;
                Ok(!search.fits(&entry) || print(&line(seq, &entry)))
            };
            with(config, async |api| api.lines(&format!("/v1/log?search={words}"), take).await).await
        }
    };
    let _closed = out.flush();
    code
}

/// A line of the gateway's answer.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
    #[serde(flatten)]
    entry: Entry,
}

fn in_files(records: &Records, by: &indexed::By, search: &Search, take: impl FnMut(u64, &Entry) -> bool) -> ExitCode {
    let index = by.index(records, search.is_all());
    match search::search(records, index.as_ref(), search, take) {
        Ok(told) => {
            if let Some((path, line)) = told.torn {
                tracing::warn!(path = %path.display(), line, "the last entry is not whole, and is left out");
            }
            ExitCode::SUCCESS
        }
        Err(error) => crate::fail(&format!("the log can't be read on: {error}; `audit verify` says more"), 1),
    }
}

/// An entry on one line.
fn found(seq: u64, entry: &Entry) -> String {
    let kind = entry.kind.as_str();
    let time = entry.time.format("%Y-%m-%d %H:%M:%S");
    let mut line = format!("{seq:>8}  {time}  {kind}");
    if let Some(session) = &entry.session {
        line.push_str(&format!("  {session}"));
    }
    for part in [&entry.principal, &entry.connection, &entry.outcome, &entry.sql].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&plain(part));
    }
    line
}

/// What of a checkpoint that somebody kept is wrong: its form is a slip, its signature is not.
fn kept(files: &[PathBuf], key: &Verifier) -> Result<Vec<Signed>, (String, u8)> {
    let mut kept = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).map_err(|e| (format!("{}: {e}", file.display()), 2))?;
        let signed = checkpoints_in(&text, key).map_err(|why| {
            let code = if matches!(why, NoteError::Form(_)) { 2 } else { 1 };
            (format!("{}: {why}", file.display()), code)
        })?;
        kept.extend(signed);
    }
    Ok(kept)
}

fn verified(records: &Records, key: &Verifier, files: &[PathBuf], all_signed: bool, json: bool) -> ExitCode {
    let kept = match kept(files, key) {
        Ok(kept) => kept,
        Err((problem, code)) => return crate::fail(&problem, code),
    };
    let written = records.is_written();
    let mut bar = Bar::new();
    let verdict = verify(records, key, &kept, |progress| bar.at(progress.read, progress.of));
    drop(bar);
    match verdict {
        Err(problem) => crate::fail(&format!("the records can't be read: {problem}"), 2),
        Ok(Err(bad)) => {
            if json {
                let place = bad.place.as_ref().map(|place| json!({ "segment": place.segment, "line": place.line }));
                crate::say_json(&json!({ "good": false, "what": bad.what, "place": place }));
            }
            crate::fail(&format!("the log is bad: {bad}"), 1)
        }
        Ok(Ok(found)) => {
            let good = !(all_signed && found.unsigned > 0);
            if json {
                let Found { newest, checkpoints, unsigned, torn, bytes, sealed, destroyed } = &found;
                let (origin, entries) = (&newest.checkpoint.origin, newest.checkpoint.size);
                crate::say_json(&json!({
                    "good": good, "log": origin, "entries": entries, "unsigned": unsigned, "torn": torn, "bytes": bytes,
                    "checkpoints": checkpoints, "checkpoint": newest.note, "end_is_proven": !kept.is_empty(), "sealed": sealed, "destroyed": destroyed,
                }));
            } else {
                crate::say(&told(&found, &kept, written));
            }
            if good { ExitCode::SUCCESS } else { crate::fail("not all entries are signed", 1) }
        }
    }
}

/// What is proven of a good log, and what is not.
fn told(found: &Found, kept: &[Signed], written: bool) -> String {
    let entries = found.newest.checkpoint.size;
    let mut lines = vec![format!(
        "the log is good: {entries} entries are those that were signed ({} bytes, {} checkpoints, {})",
        found.bytes, found.checkpoints, found.newest.checkpoint.origin
    )];
    if found.unsigned > 0 {
        let why =
            if written { "the gateway runs, and signs them soon" } else { "the next start of the gateway signs them" };
        lines.push(format!("not proven: the newest {} entries are not signed yet; {why}", found.unsigned));
    }
    if found.torn {
        lines.push("not proven: behind them is the beginning of an entry, as a crash leaves it".to_owned());
    }
    if found.sealed > 0 {
        let (sealed, destroyed) = (found.sealed, found.destroyed);
        lines.push(format!("{sealed} entries are sealed; of {destroyed} of them, retention destroyed the key"));
    }
    lines.push(match kept.iter().map(|kept| kept.checkpoint.size).max() {
        Some(size) => format!("it goes on from the given checkpoint of {size} entries: none of these were cut off"),
        None => {
            "not proven: whether its newest entries were cut off, with their checkpoints. Only a checkpoint that was \
                 kept elsewhere tells (--checkpoint FILE; the state and the daily digest have one)"
                .to_owned()
        }
    });
    lines.join("\n")
}
