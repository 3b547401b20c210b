//! A log searched: by its index where there is one, and line by line where there is none.
//!
//! What is handed on was read from its line, and compared with its hash where one is kept.

use std::{io, path::PathBuf};

use super::{
    find::Search,
    index::{Asked, Block, Index, List, Part, Set, candidates, kind, session},
    sessions::{Session, Sessions},
};
use crate::log::{Entry, Kind, Lookup, ReadError, Records, parsed};

/// How a search was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many segments have no index, and so were read whole.
    pub without_index: usize,
    /// How many entries were read by the index.
    pub looked_at: u64,
    /// Where the last entry is not whole.
    pub torn: Option<(PathBuf, u64)>,
}

/// Hands on each entry that `search` means, in order, until `take` says that it is enough.
///
/// # Errors
/// Where the log can't be read on.
pub fn search(
    records: &Records,
    index: Option<&Index>,
    search: &Search,
    take: impl FnMut(u64, &Entry) -> bool,
) -> Result<Told, ReadError> {
    let asked = Asked::from(search);
    Walk::begin(records, index)?.run(|part| candidates(part, &asked), |entry| search.fits(entry), take)
}

/// The entries of a session, in order; with the starts of gateways, each of which ends those before it.
///
/// # Errors
/// As [`search`].
pub fn of_session(records: &Records, index: Option<&Index>, id: &str) -> Result<Vec<Entry>, ReadError> {
    let asked = Asked::terms(&[session(id), kind(Kind::Start.as_str())]);
    let means = |entry: &Entry| {
        entry.kind == Kind::Start || entry.session.as_ref().is_some_and(|session| session.as_str() == id)
    };
    let mut found = Vec::new();
    Walk::begin(records, index)?.run(
        |part| candidates(part, &asked),
        means,
        |_, entry| {
            found.push(entry.clone());
            true
        },
    )?;
    Ok(found)
}

/// All sessions. Where there is an index, the number of a session's statements is what the index counts; all else is read.
///
/// # Errors
/// As [`search`].
pub fn sessions(records: &Records, index: Option<&Index>) -> Result<Vec<Session>, ReadError> {
    const COUNTED: [Kind; 3] = [Kind::Statement, Kind::Held, Kind::Denied];
    const READ: [Kind; 4] = [Kind::Start, Kind::Login, Kind::Logout, Kind::AccessEnded];
    let mut all = Sessions::default();
    let mut counts: Vec<(String, [u64; 3])> = Vec::new();
    let in_part = |part: &Part| {
        // What can't be read is known before anything of the part counts.
        part.blocks()?;
        let mut of_part = Vec::new();
        let (mut of_kinds, mut of_sessions) = ([None; 7], Vec::<(String, List)>::new());
        let kinds: Vec<String> = COUNTED.iter().chain(&READ).map(|of| kind(of.as_str())).collect();
        part.terms(|term, list| {
            if let Some(at) = kinds.iter().position(|kind| kind == term) {
                of_kinds[at] = Some(list);
            } else if let Some(id) = term.strip_prefix(&session("")) {
                of_sessions.push((id.to_owned(), list));
            }
        })?;
        let size = part.head.entries;
        let mut sets = Vec::with_capacity(of_kinds.len());
        for list in of_kinds {
            sets.push(list.map_or_else(|| Ok(Set::none(size)), |list| part.set(&list, size))?);
        }
        let (counted, read) = sets.split_at(COUNTED.len());
        let mut wanted = Set::none(size);
        read.iter().for_each(|set| wanted.or(set));
        for (id, list) in of_sessions {
            let own = part.set(&list, size)?;
            // Its first entry says whose it is, whatever its kind.
            own.iter().next().into_iter().for_each(|first| wanted.insert(first));
            let mut count = [0; 3];
            count.iter_mut().zip(counted).for_each(|(count, set)| *count = own.shared(set));
            of_part.push((id, count));
        }
        counts.append(&mut of_part);
        Ok(wanted)
    };
    let mut walk = Walk::begin(records, index)?;
    let (all_of_it, read) = (&mut all, |entry: &Entry| entry.kind == Kind::Start || entry.session.is_some());
    walk.walk(in_part, read, |_, entry, indexed| {
        if indexed {
            all_of_it.see(entry)
        } else {
            all_of_it.take(entry)
        }
        true
    })?;
    for (id, [statements, held, denied]) in counts {
        all.count(&id, statements, held, denied);
    }
    Ok(all.into_all())
}

/// A way through a log, segment by segment.
struct Walk {
    lookup: Lookup,
    numbers: Vec<u64>,
    /// The next one last.
    parts: Vec<Part>,
    /// The number that the next entry has, once one was seen.
    next: Option<u64>,
    told: Told,
}

impl Walk {
    fn begin(records: &Records, index: Option<&Index>) -> Result<Self, ReadError> {
        let lookup = Lookup::begin(records)?;
        let numbers = lookup.segments().map_err(|why| ReadError::Io { path: "the log".into(), why })?;
        let parts = index.map(|index| index.parts(&lookup)).transpose();
        let mut parts = match parts {
            Ok(parts) => parts.map(|(parts, _)| parts).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the index can't be read; all of the log is");
                Vec::new()
            }
        };
        parts.reverse();
        Ok(Self { lookup, numbers, parts, next: None, told: Told::default() })
    }

    fn run(
        mut self,
        in_part: impl FnMut(&Part) -> io::Result<Set>,
        fits: impl Fn(&Entry) -> bool,
        mut take: impl FnMut(u64, &Entry) -> bool,
    ) -> Result<Told, ReadError> {
        self.walk(in_part, fits, |seq, entry, _| take(seq, entry))?;
        Ok(self.told)
    }

    fn walk(
        &mut self,
        mut in_part: impl FnMut(&Part) -> io::Result<Set>,
        fits: impl Fn(&Entry) -> bool,
        mut take: impl FnMut(u64, &Entry, bool) -> bool,
    ) -> Result<(), ReadError> {
        let numbers = std::mem::take(&mut self.numbers);
        let mut numbers = numbers.into_iter().peekable();
        while let Some(number) = numbers.next() {
            while self.parts.last().is_some_and(|part| part.head.segments.0 < number) {
                self.parts.pop();
            }
            if let Some(part) = self.parts.pop_if(|part| part.head.segments.0 == number)
                && let Some((set, blocks)) = self.of(&part, &mut in_part)
            {
                while numbers.next_if(|next| *next <= part.head.segments.1).is_some() {}
                self.next = Some(part.head.next());
                if !self.by_index(&part, &set, &blocks, &fits, &mut take)? {
                    return Ok(());
                }
                continue;
            }
            self.told.without_index += 1;
            if !self.line_by_line(number, numbers.peek().is_none(), &fits, &mut take)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What to read of a part; `None` where it is not to be used.
    fn of(&self, part: &Part, in_part: &mut impl FnMut(&Part) -> io::Result<Set>) -> Option<(Set, Vec<Block>)> {
        if self.next.is_some_and(|next| next != part.head.first && part.head.entries > 0) {
            tracing::warn!("a part of the index is of another log; that of the log is read");
            return None;
        }
        let found = in_part(part).and_then(|set| {
            let blocks = if set.is_empty() { Vec::new() } else { part.blocks()?.to_vec() };
            Ok((set, blocks))
        });
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!(%error, "a part of the index can't be read; that of the log is");
                None
            }
        }
    }

    /// Whether it goes on.
    fn by_index(
        &mut self,
        part: &Part,
        set: &Set,
        blocks: &[Block],
        fits: &impl Fn(&Entry) -> bool,
        take: &mut impl FnMut(u64, &Entry, bool) -> bool,
    ) -> Result<bool, ReadError> {
        let (mut at, mut lines, mut read) = (0, Vec::new(), usize::MAX);
        for number in set.iter() {
            while blocks.get(at).is_some_and(|block| block.first + block.count <= number) {
                at += 1;
            }
            let Some(block) = blocks.get(at) else { break };
            if read != at {
                let lines = self.lookup.lines_at(block.segment, block.offset, block.count, &mut lines);
                lines.map_err(|why| ReadError::Io { path: self.lookup.name(block.segment), why })?;
                read = at;
            }
            let Some(line) = number.checked_sub(block.first).and_then(|at| lines.get(at)) else { break };
            let seq = part.head.first + number as u64;
            let entry = self.lookup.entry(block.segment, seq, line)?;
            self.told.looked_at += 1;
            if fits(&entry) && !take(seq, &entry, true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it goes on. Only the last segment may have an end that is torn.
    fn line_by_line(
        &mut self,
        segment: u64,
        is_last: bool,
        fits: &impl Fn(&Entry) -> bool,
        take: &mut impl FnMut(u64, &Entry, bool) -> bool,
    ) -> Result<bool, ReadError> {
        let (lookup, next, mut goes_on) = (&self.lookup, &mut self.next, true);
        let torn = lookup.each(segment, |line| {
            let damaged = |why: String| ReadError::Damaged { path: lookup.name(segment), line: line.line, why };
            let (seq, entry) = parsed(line.bytes()).map_err(|e| damaged(e.to_string()))?;
            if next.is_some_and(|next| next != seq) {
                return Err(damaged(format!("entry {seq} follows entry {}", next.unwrap_or_default() - 1)));
            }
            *next = Some(seq + 1);
            let entry = lookup.opened(entry);
            if fits(&entry) {
                lookup.compare(segment, seq, || line.leaf())?;
                goes_on = take(seq, &entry, false);
            }
            Ok(goes_on)
        })?;
        match torn {
            Some(line) if is_last => self.told.torn = Some((lookup.name(segment), line)),
            Some(line) => {
                let why = "the entry is not whole".to_owned();
                return Err(ReadError::Damaged { path: lookup.name(segment), line, why });
            }
            None => {}
        }
        Ok(goes_on)
    }
}
