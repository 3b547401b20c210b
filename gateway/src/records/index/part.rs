//! A part of the index: the entries of some segments that follow one another, in a file that never changes.
//!
//! | in it | what |
//! |---|---|
//! | lists | which entries have a term, which blocks a gram, each as a [`Set`] |
//! | blocks | up to sixteen entries of a segment: where the first begins, and their times |
//! | terms, grams | where the list of each is |
//! | head | JSON: of which log and segments it is, and where all that is; then its length and check |
//!
//! Each piece has a check, so that a damaged part is noticed, and made anew. Against somebody who writes an index of their own there is
//! none: it could hide entries, though never invent one. Who must be sure reads without it.

use std::{
    cell::OnceCell,
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::set::{Set, decode, put, take};

/// So many entries of a segment are looked through together.
pub const BLOCK: usize = 16;
/// A change of this name makes all parts anew.
const MAGIC: &[u8; 8] = b"csindex1";
/// How many bytes of a hash make a check.
const CHECK: usize = 8;
/// The same of a list, of which there are many.
const LIST_CHECK: usize = 4;

/// The first bytes of a hash.
pub fn check<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut check = [0; N];
    check.copy_from_slice(digest(&SHA256, bytes).as_ref().get(..N).unwrap_or_default());
    check
}

/// Where a piece is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    at: u64,
    length: u64,
    check: [u8; CHECK],
}

/// What a part is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The first and the last segment.
    pub segments: (u64, u64),
    /// Which log, where it was signed.
    pub origin: Option<String>,
    /// The number of its first entry; the next one's where it has none.
    pub first: u64,
    /// How many entries it has.
    pub entries: usize,
    /// How many bytes these are.
    pub bytes: u64,
    /// The hashes of the first and the last one, 32 bytes each in base64.
    pub ends: Option<(String, String)>,
    /// The times of its entries: the earliest, the latest.
    pub times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    blocks: Piece,
    terms: Piece,
    grams: Piece,
}

impl Head {
    /// The number of the entry behind its last one.
    pub fn next(&self) -> u64 {
        self.first + self.entries as u64
    }
}

/// Some entries that stand one after the other in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// In which.
    pub segment: u64,
    /// Where the first begins, in bytes.
    pub offset: u64,
    /// The first, counted from the part's first.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// Their times, in microseconds since 1970: the earliest, the latest.
    pub times: (i64, i64),
}

/// Where a list is, as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct List {
    at: u64,
    length: u64,
    check: [u8; LIST_CHECK],
}

/// A part that is being written.
#[derive(Default)]
pub struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// Begins one.
    pub fn new() -> Self {
        Self { bytes: MAGIC.to_vec() }
    }

    /// Adds a list.
    pub fn list(&mut self, list: &[u8]) -> List {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(list);
        List { at, length: list.len() as u64, check: check(list) }
    }

    fn piece(&mut self, piece: &[u8]) -> Piece {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(piece);
        Piece { at, length: piece.len() as u64, check: check(piece) }
    }

    /// The whole file. `terms` and `grams` in their order.
    pub fn end(
        mut self,
        mut head: Head,
        blocks: &[Block],
        terms: &[(&str, List)],
        grams: &[(u32, List)],
    ) -> io::Result<Vec<u8>> {
        head.blocks = self.piece(&encode_blocks(blocks));
        let (mut out, mut before) = (Vec::new(), "");
        for (term, list) in terms {
            let shared = term.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
            let rest = term.as_bytes().get(shared..).unwrap_or_default();
            put(shared as u64, &mut out);
            put(rest.len() as u64, &mut out);
            out.extend_from_slice(rest);
            list.put(&mut out);
            before = term;
        }
        head.terms = self.piece(&out);
        out.clear();
        let mut before = 0;
        for (gram, list) in grams {
            put(u64::from(gram - before), &mut out);
            list.put(&mut out);
            before = *gram;
        }
        head.grams = self.piece(&out);
        let head = serde_json::to_vec(&head)?;
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(&check::<CHECK>(&head));
        Ok(self.bytes)
    }
}

impl List {
    fn put(&self, out: &mut Vec<u8>) {
        put(self.at, out);
        put(self.length, out);
        out.extend_from_slice(&self.check);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (at, length) = (take(bytes)?, take(bytes)?);
        let (check, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(Self { at, length, check: *check })
    }
}

fn encode_blocks(blocks: &[Block]) -> Vec<u8> {
    let zigzag = |number: i64| (number << 1 ^ number >> 63).cast_unsigned();
    let (mut out, mut before) = (Vec::new(), Block::default());
    for block in blocks {
        put(block.segment - before.segment, &mut out);
        let from = if block.segment == before.segment { before.offset } else { 0 };
        put(block.offset - from, &mut out);
        put(block.count as u64, &mut out);
        put(zigzag(block.times.0 - before.times.0), &mut out);
        put((block.times.1 - block.times.0).unsigned_abs(), &mut out);
        before = *block;
    }
    out
}

fn decode_blocks(mut bytes: &[u8], entries: usize) -> Option<Vec<Block>> {
    let (mut blocks, mut before, mut first) = (Vec::new(), Block::default(), 0);
    while !bytes.is_empty() {
        let segment = before.segment.checked_add(take(&mut bytes)?)?;
        let from = if segment == before.segment { before.offset } else { 0 };
        let offset = from.checked_add(take(&mut bytes)?)?;
        let count = usize::try_from(take(&mut bytes)?).ok().filter(|count| (1..=BLOCK).contains(count))?;
        let zigzag = take(&mut bytes)?;
        let earliest = before.times.0.checked_add((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())?;
        let latest = earliest.checked_add_unsigned(take(&mut bytes)?)?;
        before = Block { segment, offset, first, count, times: (earliest, latest) };
        first += count;
        blocks.push(before);
    }
    (first == entries).then_some(blocks)
}

/// A part, as it is read. Whatever is not as it was written is [`ErrorKind::InvalidData`].
pub struct Part {
    path: PathBuf,
    file: File,
    size: u64,
    blocks: OnceCell<Vec<Block>>,
    /// What it is of.
    pub head: Head,
}

impl Part {
    /// Reads the head of one.
    pub fn open(path: &Path) -> io::Result<Self> {
        const TAIL: u64 = 8 + CHECK as u64;
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut part = Self { path: path.to_owned(), file, size, blocks: OnceCell::new(), head: Head::default() };
        let tail_at = size.checked_sub(TAIL).ok_or_else(|| part.damaged())?;
        let (magic, tail) = (part.read(0, MAGIC.len() as u64)?, part.read(tail_at, TAIL)?);
        let (length, checked) = tail.split_first_chunk().ok_or_else(|| part.damaged())?;
        let length = u64::from_le_bytes(*length);
        let at = tail_at.checked_sub(length).ok_or_else(|| part.damaged())?;
        let head = part.read(at, length)?;
        if magic != MAGIC || check::<CHECK>(&head) != checked {
            return Err(part.damaged());
        }
        part.head = serde_json::from_slice(&head).map_err(|_| part.damaged())?;
        Ok(part)
    }

    /// How many bytes it takes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn damaged(&self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("{}: it is damaged", self.path.display()))
    }

    fn read(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        // No piece is longer than the file, whatever is written somewhere.
        if length > self.size {
            return Err(self.damaged());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| self.damaged())?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn piece(&self, piece: Piece) -> io::Result<Vec<u8>> {
        let bytes = self.read(piece.at, piece.length)?;
        if check(&bytes) == piece.check { Ok(bytes) } else { Err(self.damaged()) }
    }

    /// Its blocks.
    pub fn blocks(&self) -> io::Result<&[Block]> {
        if self.blocks.get().is_none() {
            let read = decode_blocks(&self.piece(self.head.blocks)?, self.head.entries);
            let _first = self.blocks.set(read.ok_or_else(|| self.damaged())?);
        }
        Ok(self.blocks.get().map_or(&[], Vec::as_slice))
    }

    /// The set of a list among so many.
    pub fn set(&self, list: &List, size: usize) -> io::Result<Set> {
        let bytes = self.read(list.at, list.length)?;
        if check(&bytes) != list.check {
            return Err(self.damaged());
        }
        decode(&bytes, size).ok_or_else(|| self.damaged())
    }

    /// Hands on each of its terms, in order, with its list.
    pub fn terms(&self, mut each: impl FnMut(&str, List)) -> io::Result<()> {
        let bytes = self.piece(self.head.terms)?;
        let (mut rest, mut term) = (bytes.as_slice(), Vec::new());
        let mut next = || -> Option<()> {
            let shared = usize::try_from(take(&mut rest)?).ok().filter(|shared| *shared <= term.len())?;
            let length = usize::try_from(take(&mut rest)?).ok()?;
            let (own, after) = rest.split_at_checked(length)?;
            term.truncate(shared);
            term.extend_from_slice(own);
            rest = after;
            let list = List::take(&mut rest)?;
            each(str::from_utf8(&term).ok()?, list);
            Some(())
        };
        while next().is_some() {}
        if rest.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }

    /// The grams of its texts.
    #[cfg(test)]
    pub fn all_grams(&self) -> io::Result<Vec<u64>> {
        let bytes = self.piece(self.head.grams)?;
        let (mut rest, mut gram, mut all) = (bytes.as_slice(), 0, Vec::new());
        while let Some(further) = take(&mut rest) {
            gram += further;
            List::take(&mut rest).ok_or_else(|| self.damaged())?;
            all.push(gram);
        }
        Ok(all)
    }

    /// Where the lists of these grams are, given in order; `None` where one of them is in none of its texts.
    pub fn grams(&self, wanted: &[u32]) -> io::Result<Option<Vec<List>>> {
        let bytes = self.piece(self.head.grams)?;
        let (mut rest, mut gram, mut found) = (bytes.as_slice(), 0_u64, Vec::new());
        let mut wanted = wanted.iter().map(|gram| u64::from(*gram)).peekable();
        while !rest.is_empty() {
            gram += take(&mut rest).ok_or_else(|| self.damaged())?;
            let list = List::take(&mut rest).ok_or_else(|| self.damaged())?;
            if wanted.next_if_eq(&gram).is_some() {
                found.push(list);
            }
        }
        Ok(wanted.next().is_none().then_some(found))
    }
}
