//! At a start: what is there, whether it is what was signed, and the tree that goes on from it.
//!
//! Nothing is written before all of it has been found good. What stops a start: a checkpoint by another key, in
//! the folder or in the state; fewer entries than either says; another tree than either says; an entry in the newest
//! segments that is not the one that was signed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    files::{self, Kept, Leaves},
    key::{LogKey, Signer, read_key},
    lines::{Lines, Place},
    note::{Checkpoint, Signed, Verifier},
    tail::Tail,
    tree::Tree,
};
use crate::log::{disk::Disk, seal::Sealer, segment, source::Folder};

/// So many bytes of the newest segments are compared with what was signed at each start. All of them are by
/// `audit verify`.
const COMPARED: u64 = 256 << 20;

/// What the state knows of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which log.
    pub origin: String,
    /// In which folder of records it was.
    pub records: PathBuf,
    /// Its newest checkpoint.
    pub note: String,
}

/// How a log is signed.
pub struct Chaining {
    /// With which key.
    pub key: LogKey,
    /// How often, where there are new entries.
    pub every: Duration,
    /// What the state knows.
    pub known: Vec<Known>,
    /// Seals entries of some connections.
    pub sealer: Option<Sealer>,
    /// The newest checkpoint that the bucket has.
    pub in_bucket: Option<Signed>,
    /// Segments go on to this bucket, and older ones may be there only. So many bytes may wait for it.
    pub spool: Option<(u64, String)>,
}

/// What was found, good.
pub(in crate::log) struct Recovered {
    pub(super) signer: Signer,
    pub(super) tree: Tree,
    pub(super) newest: Option<Signed>,
    /// How many hashes in `leaves` count, and those that follow.
    leaves: (u64, Vec<u8>),
    /// How many entries were there that nobody had signed.
    pub unsigned: u64,
    /// The newest checkpoint of the log that this state's gateway wrote before, where this one is new.
    pub follows: Option<Checkpoint>,
}

impl Recovered {
    /// Opens the files beside the segments for writing.
    pub fn keep(&self, folder: &Path, disk: &dyn Disk) -> io::Result<Kept> {
        Kept::open(folder, disk, self.leaves.0, &self.leaves.1, &self.signer.text())
    }

    /// Which log it is.
    pub fn origin(&self) -> &str {
        self.signer.origin()
    }
}

const ELSE: &str = "Keep the folder as evidence, and start with another one; `countersign audit verify` says more";

fn bad(folder: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}. {ELSE}", folder.display()))
}

/// Looks at the log in `folder`, whose segments are `numbers` and whose newest entry is `last`.
pub(in crate::log) fn look(folder: &Path, numbers: &[u64], last: u64, chaining: Chaining) -> io::Result<Recovered> {
    let verifier = chaining.key.verifier();
    let newest = newest(folder, &verifier)?;
    let origin = match &newest {
        Some(signed) => signed.checkpoint.origin.clone(),
        None => started(folder, &verifier)?.unwrap_or_else(new_origin),
    };
    let (known, follows) = known(folder, &verifier, &origin, &chaining.known)?;
    let in_bucket = chaining.in_bucket.as_ref().map(|signed| &signed.checkpoint);
    if let Some(theirs) = in_bucket.filter(|theirs| theirs.origin != origin) {
        let why = format!(
            "the bucket has another log there, {} of {} entries, and this is {origin}. Give this gateway a prefix of its \
             own, or the spool that belongs to that log",
            theirs.origin, theirs.size
        );
        return Err(bad(folder, why));
    }
    let targets: Vec<(&str, &Checkpoint)> = newest
        .iter()
        .map(|signed| ("its newest checkpoint", &signed.checkpoint))
        .chain(known.iter().map(|known| ("the checkpoint in the state", known)))
        .chain(in_bucket.map(|known| ("the checkpoint in the bucket", known)))
        .collect();
    for (what, target) in &targets {
        if target.size > last {
            let why = format!("{what} says {} entries, and there are {last}: the log was cut off", target.size);
            return Err(bad(folder, why));
        }
    }
    if let Some(hashes) = Leaves::open(folder)?.map(|leaves| leaves.count).filter(|count| *count > last) {
        return Err(bad(folder, format!("leaves has {hashes} entries, and there are {last}: the log was cut off")));
    }
    let signed = newest.as_ref().map_or(0, |signed| signed.checkpoint.size);
    let mut found = Grown { tree: Tree::default(), signed, targets, elsewhere: chaining.spool.is_some() };
    let from_leaves = found.grow_from_leaves(folder, signed)?;
    if !from_leaves {
        if signed > 0 {
            tracing::warn!(folder = %folder.display(), "the log's hashes are not what was signed; they are made anew");
        }
        found.tree = Tree::default();
    }
    let more = found.grow_from_lines(folder, numbers, last)?;
    let unsigned = last - signed;
    let leaves = (if from_leaves { signed } else { 0 }, more);
    Ok(Recovered { signer: chaining.key.signer(origin), tree: found.tree, newest, leaves, unsigned, follows })
}

/// The newest checkpoint in the folder.
fn newest(folder: &Path, verifier: &Verifier) -> io::Result<Option<Signed>> {
    match files::text(&files::checkpoint(folder))? {
        Some(note) => verifier.open(&note).map(Some).map_err(|why| bad(folder, format!("checkpoint: {why}"))),
        // The newest is put there before any other.
        None if files::text(&files::checkpoints(folder))?.is_some_and(|history| !history.is_empty()) => {
            Err(bad(folder, "its newest checkpoint is gone, and older ones are there"))
        }
        None => Ok(None),
    }
}

/// The name of a log that a crash ended before its first checkpoint.
fn started(folder: &Path, verifier: &Verifier) -> io::Result<Option<String>> {
    let key = files::text(&files::vkey(folder))?.and_then(|text| read_key(&text));
    let ours = |key: &Verifier| key.name.as_ref().is_some_and(|name| key.text_for(name) == verifier.text_for(name));
    Ok(key.filter(ours).and_then(|key| key.name))
}

fn new_origin() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("countersign.dev/log/{}", id.get(..16).unwrap_or(&id))
}

/// What the state knows of this log, or the log that came before this one.
fn known(
    folder: &Path,
    verifier: &Verifier,
    origin: &str,
    known: &[Known],
) -> io::Result<(Option<Checkpoint>, Option<Checkpoint>)> {
    let open = |known: &Known| {
        let said = |why| bad(folder, format!("the state's checkpoint of {} does not count: {why}", known.origin));
        verifier.open(&known.note).map(|signed| signed.checkpoint).map_err(said)
    };
    if let Some(ours) = known.iter().find(|known| known.origin == origin) {
        let checkpoint = open(ours)?;
        return if checkpoint.origin == origin {
            Ok((Some(checkpoint), None))
        } else {
            Err(bad(folder, "the state's checkpoint is of another log than it says"))
        };
    }
    let here = fs::canonicalize(folder)?;
    let same =
        |known: &&Known| fs::canonicalize(crate::log::segment::folder_of(&known.records)).is_ok_and(|at| at == here);
    if let Some(gone) = known.iter().find(same) {
        let size = open(gone).map(|checkpoint| checkpoint.size).unwrap_or_default();
        let why = format!(
            "the state knows a log of {size} entries here, {}, and it is not here any more: it was taken away, or \
             rolled back to its beginning",
            gone.origin
        );
        return Err(bad(folder, why));
    }
    // Of another folder, by whichever key it was signed then.
    let before = known.iter().filter_map(|known| open(known).ok()).next_back();
    Ok((None, before))
}

/// A tree on its way, and what it must be at which size.
struct Grown<'a> {
    tree: Tree,
    /// So many entries are signed.
    signed: u64,
    targets: Vec<(&'a str, &'a Checkpoint)>,
    elsewhere: bool,
}

impl Grown<'_> {
    /// What it is not, at its size.
    fn missed(&self) -> Option<&str> {
        let here = self.targets.iter().filter(|(_, target)| target.size == self.tree.size());
        let mut missed = here.filter(|(_, target)| target.root != self.tree.root());
        missed.next().map(|(what, _)| *what)
    }

    /// The first `signed` entries, by their hashes. Whether these are there and are what was signed.
    fn grow_from_leaves(&mut self, folder: &Path, signed: u64) -> io::Result<bool> {
        let Some(mut leaves) = Leaves::open(folder)? else { return Ok(signed == 0) };
        while self.tree.size() < signed {
            let Some(leaf) = leaves.next()? else { return Ok(false) };
            self.tree.push(leaf);
            if self.missed().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The entries that follow, by their lines, up to `last`; and that the lines before, as far back as is looked, are
    /// those whose hashes were there. The hashes of those that follow.
    fn grow_from_lines(&mut self, folder: &Path, numbers: &[u64], last: u64) -> io::Result<Vec<u8>> {
        let had = self.tree.size();
        let (numbers, mut index) = tail(folder, numbers, had, self.elsewhere)?;
        let mut leaves = Leaves::open(folder)?;
        if let Some(leaves) = leaves.as_mut().filter(|_| index < had) {
            leaves.seek(index)?;
        }
        let mut lines = Lines::of(Arc::new(Folder(folder.to_owned())), numbers);
        let (mut more, mut tail) = (Vec::new(), Tail::default());
        while index < last && lines.advance()? {
            let place = lines.place();
            if lines.number() != Some(index + 1) {
                return Err(bad(folder, follows_not(place, index + 1)));
            }
            let leaf = lines.leaf();
            // A log from before logs were signed has as many starts as it had.
            if self.signed > 0
                && index + 1 >= self.signed
                && let Err(why) = tail.take(&lines, index + 1, index >= self.signed)
            {
                return Err(bad(folder, format!("{place}: {why}")));
            }
            if index < had {
                if leaves.as_mut().map(Leaves::next).transpose()?.flatten() != Some(leaf) {
                    return Err(bad(folder, format!("{place}: entry {} was changed after it was signed", index + 1)));
                }
            } else {
                self.tree.push(leaf);
                more.extend_from_slice(&leaf);
                if let Some(what) = self.missed() {
                    let why = format!("{what} is of other entries than the first {} here", self.tree.size());
                    return Err(bad(folder, why));
                }
            }
            index += 1;
        }
        if index < last || self.tree.size() != last {
            return Err(bad(folder, format!("it ends after entry {index}, and has entry {last}")));
        }
        Ok(more)
    }
}

fn follows_not(place: &Place, number: u64) -> String {
    format!("{place}: this should be entry {number}, and is not; entries were taken out, added or moved")
}

/// The segments to read: back to where entry `had + 1` is, and at least [`COMPARED`] bytes. And how many entries
/// come before them. `elsewhere`: the oldest here need not be the first that was written.
fn tail<'a>(folder: &Path, numbers: &'a [u64], had: u64, elsewhere: bool) -> io::Result<(&'a [u64], u64)> {
    let (mut bytes, mut from, mut before, mut seen) = (0, numbers.len(), had, false);
    for (at, number) in numbers.iter().enumerate().rev() {
        if bytes >= COMPARED && before <= had {
            break;
        }
        bytes += segment::size(folder, *number)?;
        let mut lines = Lines::starting(Arc::new(Folder(folder.to_owned())), *number, 0)?;
        if lines.advance()? {
            // A torn first line has no number that counts; then the segment before has the last one.
            if let Some(first) = lines.number().filter(|_| lines.is_whole()) {
                before = first.saturating_sub(1);
                seen = true;
            }
        }
        from = at;
    }
    if from == 0 && !(elsewhere && seen) {
        before = 0;
    }
    Ok((numbers.get(from..).unwrap_or_default(), before))
}
