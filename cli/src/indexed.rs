//! The index that searches read: brought up to date before one, made anew, left out.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use countersign_gateway::{
    log::Records,
    records::index::{Index, Made, NotMade},
};
use serde_json::json;

use crate::progress::Bar;

/// By which index the records' files are searched.
#[derive(Args, Default)]
pub struct By {
    /// Where the index lies. Default: index, beside the log.
    #[arg(long, conflicts_with = "no_index")]
    index: Option<PathBuf>,
    /// Reads every entry, and believes no index: for who must be sure that nothing was kept from them.
    #[arg(long)]
    no_index: bool,
}

impl By {
    /// The index, up to date where somebody may write there; `None` where none is asked for, or there can't be one.
    pub fn index(&self, records: &Records, all: bool) -> Option<Index> {
        // Who wants everything reads everything.
        let index = found(records, self.index.clone()).filter(|_| !self.no_index && !all)?;
        match updated(&index, records) {
            Ok(_) => {}
            Err(error) if error.is_read_only() => {
                tracing::info!(%error, "what has no index is read whole; --index names a folder that may be written");
            }
            // The log itself: the search meets it too, and says so.
            Err(NotMade::Log(_)) => {}
            Err(error) => tracing::warn!(%error, "what has no index is read whole"),
        }
        Some(index)
    }
}

fn found(records: &Records, named: Option<PathBuf>) -> Option<Index> {
    named.map(Index::at).or_else(|| Index::beside(records))
}

fn updated(index: &Index, records: &Records) -> Result<Made, NotMade> {
    let mut bar = Bar::new();
    index.update(records, None, |done, of| bar.at(done, of))
}

/// Makes it.
pub fn make(records: &Records, named: Option<PathBuf>, rebuild: bool, as_json: bool) -> ExitCode {
    let Some(index) = found(records, named) else {
        return crate::fail("these records are in a bucket only; name a folder for their index with --index", 2);
    };
    let made = if rebuild { index.delete() } else { Ok(()) }.and_then(|()| updated(&index, records));
    match made {
        Ok(Made { made, parts, entries, log, bytes }) => {
            let folder = index.folder().display();
            if as_json {
                crate::say_json(&json!({
                    "folder": folder.to_string(), "made": made, "parts": parts, "entries": entries, "log": log, "bytes": bytes,
                }));
            } else {
                crate::say(&format!(
                    "{made} parts made; {folder} has {parts}, of {entries} entries: {bytes} bytes for {log} of the log. \
                     The newest segment has none before it ends"
                ));
            }
            ExitCode::SUCCESS
        }
        Err(error @ NotMade::Folder { .. }) => crate::fail(&error.to_string(), 2),
        Err(error) => crate::fail(&format!("the log can't be read: {error}; `audit verify` says more"), 1),
    }
}
