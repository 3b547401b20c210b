//! All entries of a folder, in order.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    Entry,
    entry::Line,
    seal::Opener,
    segment::read_line,
    source::{Reading, Records, Source},
};

/// Why a log can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or the folder can't be read.
    #[error("{path}: {why}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A line is not an entry, or not the next one.
    #[error("{path}, line {line}: {why}")]
    Damaged {
        /// In which segment.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// What an index says is at a place is not there.
    #[error("{path}, entry {seq}: {why}")]
    Misplaced {
        /// In which segment.
        path: PathBuf,
        /// Which entry.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// An entry is not the one of which a hash is kept.
    #[error("{path}: entry {seq} is not the one whose hash is in `leaves`; one of them was changed")]
    Changed {
        /// In which segment.
        path: PathBuf,
        /// Which entry.
        seq: u64,
    },
    /// The last line has no end: an entry that is being written, or was when the gateway died.
    #[error("{path}, line {line}: the last entry is not whole")]
    Torn {
        /// In which segment.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
}

/// Reads the log in `records`, each entry with its `seq`. Ends at the first error.
pub fn read(records: impl Into<Records>) -> impl Iterator<Item = Result<(u64, Entry), ReadError>> {
    let records = records.into();
    let opener = records.opener();
    let found = records.source().and_then(|source| {
        let mut numbers = source.numbers()?;
        if numbers.is_empty() && source.checkpoint()?.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is none"));
        }
        numbers.reverse();
        Ok((Some(source), numbers))
    });
    let (source, numbers, failed) = match found {
        Ok((source, numbers)) => (source, numbers, None),
        Err(why) => (None, Vec::new(), Some(ReadError::Io { path: "the log".into(), why })),
    };
    Entries { source, opener, numbers, open: None, last: None, failed, over: false }
}

struct Open {
    path: PathBuf,
    file: Reading,
    line: u64,
}

struct Entries {
    source: Option<Arc<dyn Source>>,
    opener: Option<Arc<Opener>>,
    /// What is still to be read, the next one last.
    numbers: Vec<u64>,
    open: Option<Open>,
    last: Option<u64>,
    failed: Option<ReadError>,
    over: bool,
}

impl Entries {
    fn next_entry(&mut self) -> Result<Option<(u64, Entry)>, ReadError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            let Some(open) = &mut self.open else {
                let (Some(source), Some(number)) = (&self.source, self.numbers.pop()) else { return Ok(None) };
                let path = source.name(number);
                let file = source.open(number).map_err(|why| ReadError::Io { path: path.clone(), why })?;
                self.open = Some(Open { path, file, line: 0 });
                continue;
            };
            let mut bytes = Vec::new();
            let read = read_line(&mut open.file, &mut bytes);
            if read.map_err(|why| ReadError::Io { path: open.path.clone(), why })? == 0 {
                self.open = None;
                continue;
            }
            open.line += 1;
            let (path, line) = (open.path.clone(), open.line);
            if bytes.pop() != Some(b'\n') {
                return Err(if self.numbers.is_empty() {
                    ReadError::Torn { path, line }
                } else {
                    ReadError::Damaged { path, line, why: "the entry is not whole".to_owned() }
                });
            }
            return match serde_json::from_slice::<Line>(&bytes) {
                Err(e) => Err(ReadError::Damaged { path, line, why: e.to_string() }),
                Ok(Line { seq, .. }) if self.last.is_some_and(|last| last.checked_add(1) != Some(seq)) => {
                    let why = format!("entry {seq} follows entry {}", self.last.unwrap_or_default());
                    Err(ReadError::Damaged { path, line, why })
                }
                Ok(Line { seq, mut entry }) => {
                    self.last = Some(seq);
                    if let Some(opener) = &self.opener {
                        opener.open(&mut entry);
                    }
                    Ok(Some((seq, entry)))
                }
            };
        }
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Entry), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.next_entry().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
