//! `audit prove`, `audit verify --proof` and `audit tiles`: parts of the log that prove themselves to others.

use std::{fs, path::Path, process::ExitCode};

use countersign_gateway::log::{
    Records,
    chain::{Verifier, prove as proof_of, proven, write_tiles},
};
use serde_json::json;

use crate::progress::Bar;

/// The longest proof that is read, in bytes: an entry of the longest kind, in base64.
const LONGEST: u64 = 1 << 30;

/// Prints the proof of an entry.
pub fn prove(records: &Records, key: &Verifier, seq: u64) -> ExitCode {
    let mut bar = Bar::new();
    let proof = proof_of(records, key, seq, |progress| bar.at(progress.read, progress.of));
    drop(bar);
    match proof {
        Ok(Ok(proof)) => {
            crate::say(proof.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Err(bad)) => crate::fail(&format!("entry {seq} is not proven: {bad}"), 1),
        Err(problem) => crate::fail(&format!("the records can't be read: {problem}"), 2),
    }
}

/// Prints the entry that a proof proves.
pub fn believe(file: &Path, key: &Verifier, json: bool) -> ExitCode {
    let text = match fs::metadata(file).map(|file| file.len()) {
        Ok(length) if length > LONGEST => Err(format!("it has {length} bytes, and no proof has")),
        _ => fs::read_to_string(file).map_err(|e| e.to_string()),
    };
    let text = match text {
        Ok(text) => text,
        Err(why) => return crate::fail(&format!("{}: {why}", file.display()), 2),
    };
    match proven(&text, key) {
        Ok(proven) => {
            let checkpoint = &proven.signed.checkpoint;
            if json {
                crate::say_json(&json!({
                    "good": true, "log": checkpoint.origin, "entry": proven.seq, "of": checkpoint.size, "line": proven.line,
                }));
                return ExitCode::SUCCESS;
            }
            crate::say(&proven.line);
            let (seq, size, origin) = (proven.seq, checkpoint.size, &checkpoint.origin);
            crate::say(&format!("proven: this is entry {seq} of {size} of the log {origin}, byte for byte"));
            ExitCode::SUCCESS
        }
        Err(bad) => {
            if json {
                crate::say_json(&json!({ "good": false, "what": bad.what }));
            }
            crate::fail(&format!("{}: {bad}", file.display()), 1)
        }
    }
}

/// Writes the tiles.
pub fn tiles(records: &Records, key: &Verifier, to: &Path, json: bool) -> ExitCode {
    let mut bar = Bar::new();
    let written = write_tiles(records, key, to, |progress| bar.at(progress.read, progress.of));
    drop(bar);
    match written {
        Ok(Ok(signed)) => {
            let (origin, entries) = (&signed.checkpoint.origin, signed.checkpoint.size);
            if json {
                crate::say_json(&json!({ "log": origin, "entries": entries, "folder": to }));
            } else {
                crate::say(&format!("{}: the tiles of {entries} entries of the log {origin}", to.display()));
            }
            ExitCode::SUCCESS
        }
        Ok(Err(bad)) => crate::fail(&format!("the log is bad: {bad}"), 1),
        Err(problem) => crate::fail(&format!("the tiles can't be written: {problem}"), 2),
    }
}
