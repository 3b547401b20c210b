//! A part, made from the lines of its segments. What a connection seals is not read, so that an index has nothing of it.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    part::{BLOCK, Block, Draft, Head, List},
    set::encode,
    words::{GRAMS, grams_of, terms_of, texts_of},
};
use crate::log::{Lookup, ReadError, parsed};

/// What is put together.
struct Building {
    head: Head,
    blocks: Vec<Block>,
    terms: HashMap<String, Vec<u32>>,
    /// The blocks of each gram, and which gram has which place.
    grams: Vec<Vec<u32>>,
    place_of: Vec<u32>,
}

/// The file of a part of these segments. `told`: how many bytes were read more.
///
/// # Errors
/// Where the log can't be read, or is not in order.
pub fn build(
    lookup: &Lookup,
    segments: &[u64],
    origin: Option<&str>,
    mut told: impl FnMut(u64),
) -> Result<Vec<u8>, ReadError> {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(Vec::new()) };
    let mut head = Head::default();
    (head.segments, head.origin) = ((*first, *last), origin.map(str::to_owned));
    let mut building = Building {
        head,
        blocks: Vec::new(),
        terms: HashMap::new(),
        grams: Vec::new(),
        place_of: vec![u32::MAX; GRAMS],
    };
    for segment in segments {
        let mut untold = 0;
        let torn = lookup.each(*segment, |line| {
            let damaged = |why: String| ReadError::Damaged { path: lookup.name(*segment), line: line.line, why };
            let (seq, entry) = parsed(line.bytes()).map_err(|e| damaged(e.to_string()))?;
            if building.head.entries == 0 {
                building.head.first = seq;
            }
            if seq != building.head.next() {
                return Err(damaged(format!("entry {seq} follows entry {}", building.head.next() - 1)));
            }
            let leaf = STANDARD.encode(line.leaf());
            building.head.ends = Some(match building.head.ends.take() {
                Some((first, _)) => (first, leaf),
                None => (leaf.clone(), leaf),
            });
            let length = line.bytes().len() as u64 + 1;
            building.head.bytes += length;
            building.take(entry, *segment, line.offset);
            untold += length;
            if untold >= 1 << 20 {
                told(std::mem::take(&mut untold));
            }
            Ok(true)
        })?;
        if let Some(line) = torn {
            return Err(ReadError::Torn { path: lookup.name(*segment), line });
        }
        told(untold);
    }
    building.end().map_err(|why| ReadError::Io { path: "the index".into(), why })
}

impl Building {
    fn take(&mut self, mut entry: crate::log::Entry, segment: u64, offset: u64) {
        let number = self.head.entries;
        let (Ok(index), micros) = (u32::try_from(number), entry.time.timestamp_micros()) else { return };
        let times = self.head.times.get_or_insert((entry.time, entry.time));
        *times = (times.0.min(entry.time), times.1.max(entry.time));
        let whole = self.blocks.last().is_none_or(|block| block.segment != segment || block.count == BLOCK);
        if whole {
            self.blocks.push(Block { segment, offset, first: number, count: 0, times: (micros, micros) });
        }
        let at = self.blocks.len() as u32 - 1;
        if let Some(block) = self.blocks.last_mut() {
            block.count += 1;
            block.times = (block.times.0.min(micros), block.times.1.max(micros));
        }
        self.head.entries += 1;
        let terms = &mut self.terms;
        terms_of(&entry, |term| match terms.get_mut(term) {
            Some(list) if list.last() == Some(&index) => {}
            Some(list) => list.push(index),
            None => {
                terms.insert(term.to_owned(), vec![index]);
            }
        });
        let (grams, place_of) = (&mut self.grams, &mut self.place_of);
        texts_of(&mut entry, |text| {
            grams_of(text, |gram| {
                let Some(place) = place_of.get_mut(gram as usize) else { return };
                if *place == u32::MAX {
                    *place = grams.len() as u32;
                    grams.push(Vec::new());
                }
                if let Some(list) = grams.get_mut(*place as usize).filter(|list| list.last() != Some(&at)) {
                    list.push(at);
                }
            });
        });
    }

    fn end(self) -> std::io::Result<Vec<u8>> {
        let Self { head, blocks, terms, grams, place_of } = self;
        let mut draft = Draft::new();
        // `orders`, `public.orders` and `shop/public.orders` are mostly the same entries.
        let mut known: HashMap<Vec<u8>, List> = HashMap::new();
        let mut terms: Vec<(&str, &Vec<u32>)> = terms.iter().map(|(term, list)| (term.as_str(), list)).collect();
        terms.sort_unstable();
        let mut at = |list: &[u32], size: usize| {
            let bytes = encode(list, size);
            *known.entry(bytes).or_insert_with_key(|bytes| draft.list(bytes))
        };
        let terms: Vec<_> = terms.into_iter().map(|(term, list)| (term, at(list, head.entries))).collect();
        let mut of_grams = Vec::with_capacity(grams.len());
        for (gram, place) in place_of.iter().enumerate() {
            if let Some(list) = grams.get(*place as usize) {
                of_grams.push((gram as u32, at(list, blocks.len())));
            }
        }
        draft.end(head, &blocks, &terms, &of_grams)
    }
}
