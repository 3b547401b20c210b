//! The lines of all segments as bytes, one after the other, without a copy.

use std::{fmt, io, path::PathBuf, sync::Arc};

use super::tree::{Hash, LEAF, prefixed_leaf};
use crate::log::{
    segment::read_line,
    source::{Reading, Source},
};

/// Where a line stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// In which segment.
    pub segment: PathBuf,
    /// Which line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.segment.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{name}, line {}", self.line)
    }
}

/// Names the line that is too long.
fn said_where(error: io::Error, place: &Place) -> io::Error {
    if error.kind() != io::ErrorKind::FileTooLarge {
        return error;
    }
    let at = Place { line: place.line + 1, ..place.clone() };
    io::Error::new(error.kind(), format!("{at}: {error}"))
}

/// A cursor over the lines.
pub(in crate::log) struct Lines {
    source: Arc<dyn Source>,
    /// What is still to be read, the next one last.
    numbers: Vec<u64>,
    open: Option<Reading>,
    place: Place,
    /// [`LEAF`], then the line with its line break.
    buffer: Vec<u8>,
    /// How many bytes have been read.
    pub bytes: u64,
}

impl Lines {
    /// The lines of the segments `numbers`, oldest first.
    pub fn of(source: Arc<dyn Source>, numbers: &[u64]) -> Self {
        let numbers = numbers.iter().rev().copied().collect();
        Self { source, numbers, open: None, place: Place::default(), buffer: Vec::new(), bytes: 0 }
    }

    /// The lines of one segment, from a byte on that begins one.
    pub fn starting(source: Arc<dyn Source>, number: u64, offset: u64) -> io::Result<Self> {
        let open = Some(source.open_at(number, offset)?);
        let place = Place { segment: source.name(number), line: 0 };
        Ok(Self { source, numbers: Vec::new(), open, place, buffer: Vec::new(), bytes: offset })
    }

    /// Goes to the next line; `false` where there is none.
    pub fn advance(&mut self) -> io::Result<bool> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(number) = self.numbers.pop() else { return Ok(false) };
                self.open = Some(self.source.open_through(number)?);
                self.place = Place { segment: self.source.name(number), line: 0 };
                continue;
            };
            self.buffer.clear();
            self.buffer.push(LEAF);
            let read = read_line(open, &mut self.buffer);
            let length = read.map_err(|e| said_where(e, &self.place))?;
            if length > 0 {
                self.place.line += 1;
                self.bytes += length as u64;
                return Ok(true);
            }
            self.open = None;
        }
    }

    /// Where this line stands.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it has its line break.
    pub fn is_whole(&self) -> bool {
        self.buffer.len() > 1 && self.buffer.ends_with(b"\n")
    }

    /// It, without its line break.
    pub fn line(&self) -> &[u8] {
        let line = self.buffer.get(1..).unwrap_or_default();
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// The same, with [`LEAF`] before it.
    pub fn prefixed(&self) -> &[u8] {
        self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer)
    }

    /// Its hash in the tree.
    pub fn leaf(&self) -> Hash {
        prefixed_leaf(self.prefixed())
    }

    /// The number that it says it has. Only the beginning is looked at: that is how the writer begins a line.
    pub fn number(&self) -> Option<u64> {
        let digits = self.line().strip_prefix(b"{\"seq\":")?;
        let end = digits.iter().position(|byte| *byte == b',')?;
        std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
    }
}
