//! Lines at known places, each compared with its hash before it is believed.
//!
//! What says where a line is (an index) proves nothing. What is found there is the entry that it says only where
//! its number is right and `leaves` has its hash; that `leaves` is what was signed, `audit verify` shows.

use std::{
    io::{self, Read as _},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Entry, ReadError,
    chain::{
        Lines,
        files::Leaves,
        tree::{Hash, LEAF, prefixed_leaf},
    },
    entry::Line,
    seal::Opener,
    segment::read_line,
    source::{Reading, Records, Source},
};

/// What lies at most so many bytes further on is read up to, and not opened anew; and the same of what is packed, where
/// that costs more.
const NEAR: u64 = 16 << 10;
const NEAR_PACKED: u64 = 2 << 20;

/// Reads a log here and there.
pub(crate) struct Lookup {
    source: Arc<dyn Source>,
    opener: Option<Arc<Opener>>,
    leaves: Option<Leaves>,
    at: Option<At>,
}

/// Where it is.
struct At {
    segment: u64,
    offset: u64,
    reading: Reading,
}

/// A line of a segment that is read from its beginning.
pub(crate) struct Stands<'a> {
    /// Which line of it, from 1.
    pub line: u64,
    /// Where in it, in bytes.
    pub offset: u64,
    /// [`LEAF`], then its bytes.
    prefixed: &'a [u8],
}

impl Stands<'_> {
    /// Its bytes, without the line break.
    pub fn bytes(&self) -> &[u8] {
        self.prefixed.get(1..).unwrap_or_default()
    }

    /// Its hash.
    pub fn leaf(&self) -> Hash {
        prefixed_leaf(self.prefixed)
    }
}

/// Reads a line, as it stands.
pub(crate) fn parsed(line: &[u8]) -> serde_json::Result<(u64, Entry)> {
    serde_json::from_slice::<Line>(line).map(|Line { seq, entry }| (seq, entry))
}

impl Lookup {
    /// Looks what is there.
    pub fn begin(records: &Records) -> Result<Self, ReadError> {
        let failed = |why| ReadError::Io { path: "the log".into(), why };
        let source = records.source().map_err(failed)?;
        if source.numbers().map_err(failed)?.is_empty() && source.checkpoint().map_err(failed)?.is_none() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "there is none")));
        }
        // A log of which somebody took `leaves` away is read, and `verify` says that it is gone.
        let leaves = source.leaves().ok().flatten();
        Ok(Self { source, opener: records.opener(), leaves, at: None })
    }

    /// Another one on the same log, for another thread.
    pub fn beside(&self) -> Self {
        Self { source: Arc::clone(&self.source), opener: None, leaves: None, at: None }
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> io::Result<Vec<u64>> {
        self.source.numbers()
    }

    /// How many bytes a segment takes where it is kept, and whether it is as it was written.
    pub fn size(&self, segment: u64) -> io::Result<u64> {
        self.source.size(segment)
    }

    /// How a segment is called.
    pub fn name(&self, segment: u64) -> PathBuf {
        self.source.name(segment)
    }

    /// Which log it is, where it was signed.
    pub fn origin(&self) -> io::Result<Option<String>> {
        Ok(self.source.checkpoint()?.and_then(|note| note.lines().next().map(str::to_owned)))
    }

    /// The hash that an entry had when it was written; `None` where none is kept, or not yet.
    pub fn hash_of(&self, seq: u64) -> io::Result<Option<Hash>> {
        let at = seq.checked_sub(1);
        self.leaves.as_ref().zip(at).map_or(Ok(None), |(leaves, at)| leaves.at(at))
    }

    /// Hands on each whole line of a segment, until one says that it is enough; whether its end is torn.
    pub fn each(
        &self,
        segment: u64,
        mut take: impl FnMut(&Stands<'_>) -> Result<bool, ReadError>,
    ) -> Result<Option<u64>, ReadError> {
        let failed = |why| ReadError::Io { path: self.source.name(segment), why };
        let mut lines = Lines::starting(Arc::clone(&self.source), segment, 0).map_err(failed)?;
        let mut offset = 0;
        while lines.advance().map_err(failed)? {
            let line = lines.place().line;
            if !lines.is_whole() {
                return Ok(Some(line));
            }
            if !take(&Stands { line, offset, prefixed: lines.prefixed() })? {
                break;
            }
            offset = lines.bytes;
        }
        Ok(None)
    }

    /// So many lines from a place on, into `lines`: each as its bytes without the line break, with [`LEAF`] before them.
    pub fn lines_at(&mut self, segment: u64, offset: u64, count: usize, lines: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut at = match self.at.take() {
            Some(at) if at.segment == segment && self.is_near(segment, at.offset, offset) => at,
            _ => At { segment, offset, reading: self.source.open_at(segment, offset)? },
        };
        if at.offset < offset {
            io::copy(&mut (&mut at.reading).take(offset - at.offset), &mut io::sink())?;
            at.offset = offset;
        }
        lines.resize_with(count, Vec::new);
        for line in lines.iter_mut() {
            line.clear();
            line.push(LEAF);
            at.offset += read_line(&mut at.reading, line)? as u64;
            if line.pop_if(|last| *last == b'\n').is_none() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before the index says"));
            }
        }
        self.at = Some(at);
        Ok(())
    }

    fn is_near(&self, segment: u64, at: u64, offset: u64) -> bool {
        let near = |most| (at..=at + most).contains(&offset);
        near(NEAR) || near(NEAR_PACKED) && !self.source.name(segment).exists()
    }

    /// Entry `seq` from a line of [`Lookup::lines_at`], opened where it can be.
    pub fn entry(&self, segment: u64, seq: u64, prefixed: &[u8]) -> Result<Entry, ReadError> {
        let path = || self.source.name(segment);
        let why =
            || "it is not the entry that the index has there: `countersign audit index --rebuild`, or `audit verify`";
        let damaged = |why: String| ReadError::Misplaced { path: path(), seq, why };
        let (found, mut entry) = parsed(prefixed.get(1..).unwrap_or_default()).map_err(|e| damaged(e.to_string()))?;
        if found != seq {
            return Err(damaged(why().to_owned()));
        }
        self.compare(segment, seq, || prefixed_leaf(prefixed))?;
        if let Some(opener) = &self.opener {
            opener.open(&mut entry);
        }
        Ok(entry)
    }

    /// Entry `seq` from a line of [`Lookup::each`], opened where it can be.
    pub fn opened(&self, mut entry: Entry) -> Entry {
        if let Some(opener) = &self.opener {
            opener.open(&mut entry);
        }
        entry
    }

    /// Whether an entry is the one of which a hash is kept.
    pub fn compare(&self, segment: u64, seq: u64, leaf: impl FnOnce() -> Hash) -> Result<(), ReadError> {
        let failed = |why| ReadError::Io { path: "leaves".into(), why };
        match self.hash_of(seq).map_err(failed)? {
            Some(known) if known != leaf() => Err(ReadError::Changed { path: self.source.name(segment), seq }),
            _ => Ok(()),
        }
    }
}
