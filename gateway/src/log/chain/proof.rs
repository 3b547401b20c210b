//! One entry with the proof that a signed log has it: <https://c2sp.org/tlog-proof>. Whoever has the public key believes
//! it without the rest of the log.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra eyJzZXEiOjEwNDIs…                  the entry's line, in base64
//! index 1041                               which leaf, from 0
//! gSKyXoYZ…=                               the hashes beside its way to the root, from below
//!
//! countersign.dev/log/9f3c2a7b51e04d68     the checkpoint
//! …
//! ```

use std::{io, ops::Range};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    note::{Checkpoint, Signed, Verifier},
    through::Through,
    tree::{Hash, LEAF, Tree, node, prefixed_leaf},
    verify::{Bad, Progress, bad},
};
use crate::log::{Entry, entry::Line, source::Records};

const HEAD: &str = "c2sp.org/tlog-proof@v1";

/// Which leaves make the hashes beside the way from `index` to the root of a tree of `size`, from below (RFC 9162,
/// section 2.1.3.1).
fn beside(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut whole, mut ranges) = (0..size, Vec::new());
    while whole.end - whole.start > 1 {
        let half = (whole.end - whole.start).next_power_of_two() / 2;
        let middle = whole.start + half;
        let (way, other) = if index < middle {
            (whole.start..middle, middle..whole.end)
        } else {
            (middle..whole.end, whole.start..middle)
        };
        ranges.push(other);
        whole = way;
    }
    ranges.reverse();
    ranges
}

/// The root that a leaf and the hashes beside its way come to (RFC 9162, section 2.1.3.2); `None` where there are more
/// or fewer than a tree of that size has.
fn root(index: u64, size: u64, leaf: Hash, hashes: &[Hash]) -> Option<Hash> {
    let ranges = beside(index, size);
    if index >= size || ranges.len() != hashes.len() {
        return None;
    }
    let up = ranges.iter().zip(hashes);
    Some(
        up.fold(leaf, |below, (range, hash)| if range.start > index { node(&below, hash) } else { node(hash, &below) }),
    )
}

/// The proof that entry `seq` (from 1) is in the log, as a text.
///
/// # Errors
/// Where the records can't be read; then, why there is no such proof.
pub fn prove(
    records: &Records,
    key: &Verifier,
    seq: u64,
    progress: impl FnMut(Progress),
) -> io::Result<Result<String, Bad>> {
    let log = match Through::begin(records, key)? {
        Ok(log) => log,
        Err(bad) => return Ok(Err(bad)),
    };
    let size = log.newest.checkpoint.size;
    let Some(index) = seq.checked_sub(1).filter(|index| *index < size) else {
        return Ok(bad(format!("there is no entry {seq} among the {size} that are signed")));
    };
    let ranges = beside(index, size);
    let mut trees = vec![Tree::default(); ranges.len()];
    let mut in_order: Vec<_> = ranges.iter().zip(&mut trees).collect();
    in_order.sort_by_key(|(range, _)| range.start);
    let (mut coming, mut line) = (in_order.into_iter().peekable(), Vec::new());
    let signed = log.read(progress, |at, bytes, leaf| {
        if at == index {
            line = bytes.to_vec();
        }
        while coming.next_if(|(range, _)| range.end <= at).is_some() {}
        if let Some((_, tree)) = coming.peek_mut().filter(|(range, _)| range.contains(&at)) {
            tree.push(leaf);
        }
        Ok(())
    })?;
    let signed = match signed {
        Ok(signed) => signed,
        Err(bad) => return Ok(Err(bad)),
    };
    let hashes: String = trees.iter().map(|tree| format!("{}\n", STANDARD.encode(tree.root()))).collect();
    let proof = format!("{HEAD}\nextra {}\nindex {index}\n{hashes}\n{}", STANDARD.encode(&line), signed.note);
    // Nobody is handed one that proves nothing.
    Ok(proven(&proof, key).map(|_| proof))
}

/// An entry that is proven.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Its number, from 1.
    pub seq: u64,
    /// Its line, as it is in the log.
    pub line: String,
    /// What it says.
    pub entry: Entry,
    /// What vouches for it.
    pub signed: Signed,
}

/// What a proof proves.
///
/// # Errors
/// Why it proves nothing.
pub fn proven(proof: &str, key: &Verifier) -> Result<Proven, Bad> {
    let form = |what: &str| Bad { place: None, what: format!("it is no proof of an entry: {what}") };
    let (head, note) = proof.split_once("\n\n").ok_or_else(|| form("it has no checkpoint"))?;
    let mut lines = head.split('\n');
    if lines.next() != Some(HEAD) {
        return Err(form(&format!("it does not begin with {HEAD}")));
    }
    let line = lines.next().and_then(|line| STANDARD.decode(line.strip_prefix("extra ")?).ok());
    let line = line.ok_or_else(|| form("its second line is not `extra` and the entry, in base64"))?;
    let index =
        lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|text| Some((text, text.parse().ok()?)));
    let index = index.filter(|(text, index): &(&str, u64)| index.to_string() == **text);
    let (_, index) = index.ok_or_else(|| form("its third line is not `index` and a number"))?;
    let hashes = lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect::<Option<Vec<Hash>>>();
    let hashes = hashes.ok_or_else(|| form("one of its hashes is none"))?;
    let signed = key.open(note).map_err(|why| Bad { place: None, what: format!("its checkpoint: {why}") })?;
    let Checkpoint { size, root: expected, .. } = signed.checkpoint;
    let leaf = prefixed_leaf(&[&[LEAF], line.as_slice()].concat());
    if root(index, size, leaf, &hashes) != Some(expected) {
        return bad(format!(
            "the checkpoint of {size} entries does not vouch for this: the entry, its number or a hash was changed"
        ));
    }
    let text = String::from_utf8(line).map_err(|_| form("the entry is no text"))?;
    let read: Line = serde_json::from_str(&text).map_err(|why| form(&format!("the entry can't be read: {why}")))?;
    if Some(read.seq) != index.checked_add(1) {
        return bad(format!("the entry says that it is number {}, and it is number {}", read.seq, index + 1));
    }
    Ok(Proven { seq: read.seq, line: text, entry: read.entry, signed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::chain::tree::leaf;

    /// RFC 9162, section 2.1.3.1, to the letter.
    fn by_the_book(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let of = |leaves: &[Hash]| {
            let mut tree = Tree::default();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            tree.root()
        };
        let (mut path, other) = if m < k {
            (by_the_book(m, &leaves[..k]), of(&leaves[k..]))
        } else {
            (by_the_book(m - k, &leaves[k..]), of(&leaves[..k]))
        };
        path.push(other);
        path
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_no_other() {
        let leaves: Vec<Hash> = (0..70_u32).map(|n| leaf(&n.to_be_bytes())).collect();
        for size in 1..=leaves.len() {
            let mut tree = Tree::default();
            leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
            for (index, leaf) in leaves[..size].iter().enumerate() {
                let path = by_the_book(index, &leaves[..size]);
                let (at, of) = (index as u64, size as u64);
                assert_eq!(root(at, of, *leaf, &path), Some(tree.root()), "{index} of {size}");
                let other = leaves[(index + 1) % leaves.len()];
                assert_ne!(root(at, of, other, &path), Some(tree.root()), "another entry, {index} of {size}");
                if size > 1 {
                    assert_ne!(
                        root((at + 1) % of, of, *leaf, &path),
                        Some(tree.root()),
                        "another place, {index} of {size}"
                    );
                    assert_eq!(root(at, of, *leaf, &path[1..]), None, "a hash less, {index} of {size}");
                }
                assert_eq!(root(of, of, *leaf, &path), None, "behind the end");
            }
        }
    }
}
