//! The entries of a log from a number on, some at a time, as they come. Where it was is remembered, so that what has
//! been read is not read again.

use std::{io, sync::Arc};

use super::{
    Entry,
    chain::Lines,
    entry::Line,
    source::{Records, Source},
};

/// Where reading goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct At {
    segment: u64,
    /// Bytes of it that are read.
    offset: u64,
}

/// Follows a log.
pub struct Follower {
    source: Arc<dyn Source>,
    at: Option<At>,
    /// The newest entry that was taken.
    after: u64,
}

/// Entries that follow one another.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Each with its number.
    pub entries: Vec<(u64, Entry)>,
    /// What the tree has of each.
    pub leaves: Vec<Leaf>,
    at: Option<At>,
}

/// An entry in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// How long its line is.
    pub bytes: u64,
    /// Its hash, in hexadecimal digits, as `leaves` has it.
    pub hash: String,
}

impl Follower {
    /// Those after entry `after`.
    ///
    /// # Errors
    /// Where the log can't be reached.
    pub fn new(records: &Records, after: u64) -> io::Result<Self> {
        Ok(Self { source: records.source()?, at: None, after })
    }

    /// The newest entry that was taken.
    #[must_use]
    pub const fn after(&self) -> u64 {
        self.after
    }

    /// The next ones up to entry `upto`, so many and so many bytes at most; at least one where there is any. Taken
    /// only once [`Follower::taken`] says so.
    ///
    /// # Errors
    /// Where the log can't be read, or an entry is missing.
    pub fn next(&self, upto: u64, most: usize, bytes: u64) -> io::Result<Batch> {
        let mut batch = Batch { at: self.at, ..Batch::default() };
        if self.after >= upto {
            return Ok(batch);
        }
        let numbers = self.source.numbers()?;
        let from = match self.at {
            Some(at) => at,
            None => At { segment: self.segment_of(&numbers, self.after + 1)?, offset: 0 },
        };
        let mut size = 0;
        for number in numbers.into_iter().filter(|number| *number >= from.segment) {
            let mut offset = if number == from.segment { from.offset } else { 0 };
            let mut lines = Lines::starting(Arc::clone(&self.source), number, offset)?;
            while lines.advance()? {
                if !lines.is_whole() {
                    // It is being written.
                    return Ok(batch);
                }
                let line = lines.line();
                let Line { seq, entry } = serde_json::from_slice(line)?;
                let newest = batch.entries.last().map_or(self.after, |(seq, _)| *seq);
                if seq > upto || batch.entries.len() >= most || size >= bytes {
                    return Ok(batch);
                }
                offset += line.len() as u64 + 1;
                if seq > newest {
                    if seq != newest + 1 {
                        return Err(io::Error::other(format!("entry {seq} follows entry {newest}")));
                    }
                    size += line.len() as u64;
                    let hash = lines.leaf().iter().map(|byte| format!("{byte:02x}")).collect();
                    batch.leaves.push(Leaf { bytes: line.len() as u64, hash });
                    batch.entries.push((seq, entry));
                }
                batch.at = Some(At { segment: number, offset });
            }
        }
        Ok(batch)
    }

    /// A batch of [`Follower::next`] was taken.
    pub fn taken(&mut self, batch: &Batch) {
        if let Some((seq, _)) = batch.entries.last() {
            self.after = *seq;
            self.at = batch.at;
        }
    }

    /// The segment in which an entry is: the newest that begins with it or with one before.
    fn segment_of(&self, numbers: &[u64], entry: u64) -> io::Result<u64> {
        for number in numbers.iter().rev() {
            let mut lines = Lines::starting(Arc::clone(&self.source), *number, 0)?;
            if lines.advance()? && lines.is_whole() && lines.number().is_some_and(|first| first <= entry) {
                return Ok(*number);
            }
        }
        Ok(numbers.first().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        Kind, Log,
        disk::RealDisk,
        pack,
        testing::{chaining, open},
    };

    #[test]
    fn every_entry_comes_once_and_in_order_whatever_becomes_of_its_segment() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path();
        let log = Log::open_on(records, chaining(records), || Box::new(RealDisk), 1500).unwrap();
        let entry = |n: u64| Entry { sql: Some(format!("select {n}")), ..Entry::new(Kind::Statement) };
        let mut follower = Follower::new(&records.into(), 3).unwrap();
        let mut seen = Vec::new();
        for n in 1..=60 {
            log.append(&entry(n)).unwrap();
            if n % 7 == 0 {
                let batch = follower.next(n - 1, 4, u64::MAX).unwrap();
                assert!(batch.entries.len() <= 4);
                let again = follower.next(n - 1, 4, u64::MAX).unwrap();
                assert_eq!(again.entries, batch.entries, "not taken yet");
                seen.extend(batch.entries.iter().map(|(seq, _)| *seq));
                follower.taken(&batch);
            }
            if n % 20 == 0 {
                for number in log.closed().unwrap() {
                    pack(log.folder(), number).unwrap();
                }
            }
        }
        drop(log);
        let log = open(records).unwrap();
        log.append(&entry(61)).unwrap();
        loop {
            let batch = follower.next(61, 100, 200).unwrap();
            if batch.entries.is_empty() {
                break;
            }
            seen.extend(batch.entries.iter().map(|(seq, _)| *seq));
            follower.taken(&batch);
        }
        assert_eq!(seen, (4..=61).collect::<Vec<_>>());
        let mut fresh = Follower::new(&records.into(), 30).unwrap();
        let batch = fresh.next(61, 1, 1).unwrap();
        assert_eq!(batch.entries[0].0, 31, "a fresh one finds its place");
        fresh.taken(&batch);
        assert_eq!(fresh.after(), 31);
    }
}
