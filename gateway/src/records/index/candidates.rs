//! The entries of a part that a search may mean: all that it means are among them.

use std::{collections::HashMap, io};

use chrono::{DateTime, Utc};

use super::{
    Need, Part, Set,
    part::{Block, List},
    words::SEALED,
};
use crate::records::find::Search;

/// What is asked of an index: entries that have all of some needs, of any of these, within a time.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Where none is given, nothing.
    pub any: Vec<Vec<Need>>,
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

impl From<&Search> for Asked {
    fn from(search: &Search) -> Self {
        let (since, until) = search.times();
        Self { any: vec![super::needs_of(search)], since, until }
    }
}

impl Asked {
    /// Entries that have one of these terms.
    pub fn terms(terms: &[String]) -> Self {
        let any = terms.iter().map(|term| vec![Need::Term(term.clone())]).collect();
        Self { any, since: None, until: None }
    }

    /// Whether a span of time, in microseconds, has any of its own.
    fn meets(&self, (earliest, latest): (i64, i64)) -> bool {
        self.since.is_none_or(|since| latest >= since.timestamp_micros())
            && self.until.is_none_or(|until| earliest <= until.timestamp_micros())
    }
}

/// The entries of `part` that may be meant, counted from its first.
///
/// # Errors
/// Where it can't be read, or is damaged.
pub fn candidates(part: &Part, asked: &Asked) -> io::Result<Set> {
    let size = part.head.entries;
    let none = Set::none(size);
    let Some((earliest, latest)) = part.head.times else { return Ok(none) };
    if !asked.meets((earliest.timestamp_micros(), latest.timestamp_micros())) {
        return Ok(none);
    }
    let lists = lists(part, asked)?;
    let mut found = none;
    for needs in &asked.any {
        if let Some(set) = all_of(part, needs, &lists)? {
            found.or(&set);
        }
    }
    if (asked.since.is_some() || asked.until.is_some()) && !found.is_empty() {
        found.and(&of_blocks(part.blocks()?, size, |_, block| asked.meets(block.times)));
    }
    Ok(found)
}

/// Where the list of each term is that is asked for.
fn lists(part: &Part, asked: &Asked) -> io::Result<HashMap<String, List>> {
    let mut wanted: HashMap<&str, Option<List>> = HashMap::from([(SEALED, None)]);
    for need in asked.any.iter().flatten() {
        if let Need::Term(term) = need {
            wanted.insert(term, None);
        }
    }
    part.terms(|term, list| {
        if let Some(found) = wanted.get_mut(term) {
            *found = Some(list);
        }
    })?;
    Ok(wanted.into_iter().filter_map(|(term, list)| Some((term.to_owned(), list?))).collect())
}

fn all_of(part: &Part, needs: &[Need], lists: &HashMap<String, List>) -> io::Result<Option<Set>> {
    let size = part.head.entries;
    let mut found = Set::all(size);
    // The terms first: they are quick, and mostly leave little.
    for need in needs {
        if let Need::Term(term) = need {
            let Some(list) = lists.get(term) else { return Ok(None) };
            found.and(&part.set(list, size)?);
        }
    }
    for need in needs {
        let Need::Grams(grams) = need else { continue };
        if found.is_empty() {
            break;
        }
        let blocks = part.blocks()?;
        let mut has = match part.grams(grams)? {
            Some(lists) => {
                let mut all = Set::all(blocks.len());
                for list in lists {
                    all.and(&part.set(&list, blocks.len())?);
                }
                of_blocks(blocks, size, |at, _| all.has(at))
            }
            None => Set::none(size),
        };
        // What is sealed may have any text, for who can read it.
        if let Some(list) = lists.get(SEALED) {
            has.or(&part.set(list, size)?);
        }
        found.and(&has);
    }
    Ok(Some(found))
}

/// The entries of the blocks that are wanted.
fn of_blocks(blocks: &[Block], size: usize, wanted: impl Fn(usize, &Block) -> bool) -> Set {
    let mut set = Set::none(size);
    for (at, block) in blocks.iter().enumerate() {
        if wanted(at, block) {
            set.insert_all(block.first, block.first + block.count);
        }
    }
    set
}
