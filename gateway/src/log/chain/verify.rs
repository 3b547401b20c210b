//! Whether a log is what was signed: offline, with the public key alone, in one pass.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    sync::Arc,
};

use memchr::memmem;

use super::{
    files::Leaves,
    lines::{Lines, Place},
    note::{Checkpoint, NoteError, Signed, Verifier, split},
    tail::Tail,
    tree::Tree,
};
use crate::log::{
    Entry,
    entry::Line,
    source::{Records, Source},
};

/// How far it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So many are read.
    pub read: u64,
    /// Of so many.
    pub of: u64,
}

/// A good log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its newest checkpoint, which vouches for all entries but the last `unsigned`.
    pub newest: Signed,
    /// How many checkpoints it was compared with, those from elsewhere included.
    pub checkpoints: usize,
    /// How many entries are newer than the newest checkpoint.
    pub unsigned: u64,
    /// Behind them is the beginning of one more.
    pub torn: bool,
    /// How many bytes of entries there are.
    pub bytes: u64,
    /// How many entries are sealed.
    pub sealed: u64,
    /// Of how many of these the key was destroyed, as the log says.
    pub destroyed: u64,
}

/// What is wrong with a log, first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where, if it is with a line.
    pub place: Option<Place>,
    /// What.
    pub what: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

impl std::error::Error for Bad {}

pub(super) type Verdict<T> = Result<T, Bad>;

pub(super) fn bad<T>(what: impl Into<String>) -> Verdict<T> {
    Err(Bad { place: None, what: what.into() })
}

/// The newest checkpoint in `records`, if `key` signed it.
///
/// # Errors
/// Where it can't be read; then, why it does not count.
pub fn newest(records: &Records, key: &Verifier) -> io::Result<Result<Signed, Bad>> {
    newest_in(&*records.source()?, key)
}

pub(super) fn newest_in(source: &dyn Source, key: &Verifier) -> io::Result<Verdict<Signed>> {
    let Some(note) = text("checkpoint", source.checkpoint())? else {
        return Ok(bad("there is no file `checkpoint`: nothing vouches for what is here"));
    };
    Ok(note.and_then(|note| key.open(&note).or_else(|why| bad(format!("checkpoint: {why}")))))
}

/// A text; what is no text was not written by us.
fn text(name: &str, read: io::Result<Option<String>>) -> io::Result<Option<Verdict<String>>> {
    match read {
        Ok(text) => Ok(text.map(Ok)),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(Some(bad(format!("{name}: it is no text")))),
        Err(e) => Err(e),
    }
}

/// The signed checkpoints in a text, one after the other.
///
/// # Errors
/// Where there is none, or something else, or one that `key` did not sign.
pub fn checkpoints_in(text: &str, key: &Verifier) -> Result<Vec<Signed>, NoteError> {
    let (notes, rest) = split(text);
    if notes.is_empty() || !rest.trim().is_empty() {
        return Err(NoteError::Form("a checkpoint has three lines, a blank one and a signature"));
    }
    notes.into_iter().map(|note| key.open(note)).collect()
}

/// Verifies the log in `records` under `key`, and that it goes on from the checkpoints `kept` elsewhere.
///
/// # Errors
/// Where files can't be read; then, what is wrong with the log.
pub fn verify(
    records: &Records,
    key: &Verifier,
    kept: &[Signed],
    progress: impl FnMut(Progress),
) -> io::Result<Result<Found, Bad>> {
    verify_and_read(records, key, kept, progress, None)
}

/// The same, and gives each entry that the newest checkpoint vouches for to `take`, with its number, from the very
/// bytes that are hashed. What was taken may be believed only once all is found good.
///
/// # Errors
/// As of [`verify`].
pub fn verify_and_read(
    records: &Records,
    key: &Verifier,
    kept: &[Signed],
    mut progress: impl FnMut(Progress),
    take: Take<'_>,
) -> io::Result<Result<Found, Bad>> {
    let opener = records.opener();
    let source = records.source()?;
    let mut audit = match Audit::begin(source, key, kept)? {
        Ok(audit) => audit,
        Err(bad) => return Ok(Err(bad)),
    };
    let mut of = 0;
    for number in &audit.numbers {
        of += audit.source.size(*number)?;
    }
    let mut take = take.map(|take| {
        move |seq: u64, mut entry: Entry| {
            if let Some(opener) = &opener {
                opener.open(&mut entry);
            }
            take(seq, &entry);
        }
    });
    let mut given: Given<'_> = take.as_mut().map(|take| take as &mut dyn FnMut(u64, Entry));
    let found = audit.run(move |read| progress(Progress { read: read.min(of), of }), &mut given);
    match found {
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Ok(bad(e.to_string())),
        // Where a packed segment was changed, there is no line to name.
        Err(e) if is_damage(&e) => Ok(bad(format!("a packed segment can't be unpacked: {e}"))),
        found => found,
    }
}

/// Whom entries are given to, if to anybody.
pub type Take<'a> = Option<&'a mut dyn FnMut(u64, &Entry)>;
type Given<'a> = Option<&'a mut dyn FnMut(u64, Entry)>;

/// What an unpacker says of bytes that no packer wrote.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other)
        && error.raw_os_error().is_none()
}

/// A verification under way.
struct Audit {
    source: Arc<dyn Source>,
    numbers: Vec<u64>,
    key: Verifier,
    newest: Signed,
    /// What it must be at which size, the smallest first; and where that is said.
    targets: Vec<(String, Checkpoint)>,
    /// A bucket has none: it has more checkpoints.
    leaves: Option<Leaves>,
}

impl Audit {
    /// What a gateway that runs writes last is read first, and so is never newer than what is read after it.
    fn begin(source: Arc<dyn Source>, key: &Verifier, kept: &[Signed]) -> io::Result<Verdict<Self>> {
        let history = text("checkpoints", source.checkpoints())?;
        let newest = match newest_in(&*source, key)? {
            Ok(newest) => newest,
            Err(bad) => return Ok(Err(bad)),
        };
        let Some(history) = history else {
            return Ok(bad("there is no file `checkpoints`: somebody took it away"));
        };
        let elsewhere = match source.elsewhere().map(|note| key.open(&note)).transpose() {
            Ok(elsewhere) => elsewhere.map(|signed| signed.checkpoint),
            Err(why) => return Ok(bad(format!("the bucket's newest checkpoint: {why}"))),
        };
        // It was read before the one here, which is always put down first.
        if let Some(theirs) = elsewhere.as_ref().filter(|theirs| theirs.size > newest.checkpoint.size) {
            let (size, theirs) = (newest.checkpoint.size, theirs.size);
            return Ok(bad(format!(
                "checkpoint: it is of {size} entries, and the bucket has {theirs}: it was rolled back"
            )));
        }
        let older = match history.and_then(|history| older(&history, key, &newest.checkpoint)) {
            Ok(older) => older,
            Err(bad) => return Ok(Err(bad)),
        };
        let mut targets: Vec<_> = older.into_iter().map(|checkpoint| ("checkpoints".to_owned(), checkpoint)).collect();
        targets.push(("checkpoint".to_owned(), newest.checkpoint.clone()));
        let kept = kept.iter().map(|signed| ("the given checkpoint", &signed.checkpoint));
        for (said, checkpoint) in kept.chain(elsewhere.iter().map(|theirs| ("the bucket's checkpoint", theirs))) {
            if checkpoint.origin != newest.checkpoint.origin {
                let theirs = &checkpoint.origin;
                return Ok(bad(format!("{said} is of {theirs}, and this is {}", newest.checkpoint.origin)));
            }
            targets.push((said.to_owned(), checkpoint.clone()));
        }
        targets.sort_by_key(|(_, checkpoint)| checkpoint.size);
        let leaves = match source.leaves() {
            Ok(leaves) => leaves,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Ok(bad(e.to_string())),
            Err(e) => return Err(e),
        };
        if let Some(leaves) = leaves.as_ref().filter(|leaves| leaves.odd || leaves.count < newest.checkpoint.size) {
            let (has, size) = (leaves.count, newest.checkpoint.size);
            return Ok(bad(format!("leaves: it ends within {has} hashes, and the checkpoint is of {size}")));
        }
        let numbers = source.numbers()?;
        Ok(Ok(Self { source, numbers, key: key.clone(), newest, targets, leaves }))
    }

    fn run(&mut self, mut told: impl FnMut(u64), take: &mut Given<'_>) -> io::Result<Verdict<Found>> {
        let signed = self.newest.checkpoint.size;
        let mut lines = Lines::of(Arc::clone(&self.source), &self.numbers);
        let (mut tree, mut tail, mut torn, mut next) = (Tree::default(), Tail::default(), false, 0);
        let mut seals = Seals::default();
        while lines.advance()? {
            let index = tree.size();
            if !lines.is_whole() {
                let last = self.numbers.last().map(|number| self.source.name(*number));
                if index < signed || last.as_ref() != Some(&lines.place().segment) {
                    return Ok(self.at(&lines, format!("entry {} is cut in the middle", index + 1)));
                }
                torn = true;
                break;
            }
            let leaf = lines.leaf();
            match self.leaves.as_mut().map(Leaves::next).transpose()? {
                Some(Some(known)) if known != leaf => return self.which_is_wrong(lines, tree),
                Some(None) if index < signed => return Ok(bad("leaves: it is shorter than it was")),
                None if lines.number() != Some(index + 1) => {
                    return Ok(self.at(&lines, format!("this should be entry {}, and is not", index + 1)));
                }
                _ => {}
            }
            if index + 1 >= signed
                && let Err(what) = tail.take(&lines, index + 1, index >= signed)
                && !self.was_signed_since(index + 1)?
            {
                return Ok(self.at(&lines, what));
            }
            seals.take(lines.line());
            if let Some(take) = take.as_mut().filter(|_| index < signed) {
                match serde_json::from_slice::<Line>(lines.line()) {
                    Ok(Line { seq, entry }) => take(seq, entry),
                    Err(why) => return Ok(self.at(&lines, format!("this is no entry: {why}"))),
                }
            }
            tree.push(leaf);
            if let Some(bad) = self.missed(&tree, &mut next) {
                return Ok(Err(bad));
            }
            if lines.bytes >> 23 != (lines.bytes - lines.line().len() as u64 - 1) >> 23 {
                told(lines.bytes);
            }
        }
        let entries = tree.size();
        let most = self.targets.iter().max_by_key(|(_, target)| target.size);
        if let Some((said, target)) = most.filter(|(_, target)| target.size > entries) {
            let size = target.size;
            return Ok(self.at(
                &lines,
                format!("the log ends after entry {entries}, and {said} is of {size}: its end was cut off"),
            ));
        }
        if let Some(known) = self.leaves.as_ref().map(|leaves| leaves.count).filter(|count| *count > entries) {
            return Ok(self.at(
                &lines,
                format!("the log ends after entry {entries}, and leaves has {known}: its end was cut off"),
            ));
        }
        Ok(Ok(Found {
            newest: self.newest.clone(),
            checkpoints: self.targets.len(),
            unsigned: entries - signed,
            torn,
            bytes: lines.bytes,
            sealed: seals.of.values().sum(),
            destroyed: seals.destroyed.iter().filter_map(|key| seals.of.get(key)).sum(),
        }))
    }

    /// Whether a gateway that runs has signed up to an entry since this began.
    fn was_signed_since(&self, entry: u64) -> io::Result<bool> {
        Ok(newest_in(&*self.source, &self.key)?.is_ok_and(|signed| {
            let Checkpoint { origin, size, .. } = &signed.checkpoint;
            *origin == self.newest.checkpoint.origin && *size >= entry && *size > self.newest.checkpoint.size
        }))
    }

    fn at<T>(&self, lines: &Lines, what: String) -> Verdict<T> {
        Err(Bad { place: Some(lines.place().clone()), what })
    }

    /// Whether the tree is another one than a checkpoint of its size says. `next`: the first that is still to come.
    fn missed(&self, tree: &Tree, next: &mut usize) -> Option<Bad> {
        let mut before = next.checked_sub(1).and_then(|at| self.targets.get(at)).map_or(0, |(_, target)| target.size);
        while let Some((said, target)) = self.targets.get(*next).filter(|(_, target)| target.size <= tree.size()) {
            if target.size == tree.size() && target.root != tree.root() {
                let (first, last) = (before + 1, target.size);
                let what = format!(
                    "entries {first} to {last} are not those that {said} was signed for: \
                     they were changed, or the log was forked, and the hashes with them"
                );
                return Some(Bad { place: None, what });
            }
            before = target.size;
            *next += 1;
        }
        None
    }

    /// A line and its hash differ. One of them is what was signed; or neither is.
    fn which_is_wrong(&mut self, mut lines: Lines, tree: Tree) -> io::Result<Verdict<Found>> {
        let number = tree.size() + 1;
        let (place, stands) = (lines.place().clone(), lines.number());
        if self.hashes_are_signed(tree.clone())? {
            let what = match stands {
                Some(stands) if stands == number => format!("entry {number} was changed after it was signed"),
                Some(stands) if stands > number => {
                    format!("entry {stands} stands where entry {number} belongs: entries were taken out or moved")
                }
                Some(stands) => {
                    format!("entry {stands} stands where entry {number} belongs: entries were added or moved")
                }
                None => format!("this is no entry; entry {number} belongs here"),
            };
            return Ok(Err(Bad { place: Some(place), what }));
        }
        let (mut tree, mut next) = (tree, self.targets.partition_point(|(_, target)| target.size < number));
        loop {
            if !lines.is_whole() {
                break;
            }
            tree.push(lines.leaf());
            if let Some(Bad { what, .. }) = self.missed(&tree, &mut next) {
                return Ok(Err(Bad {
                    place: Some(place),
                    what: format!("entry {number} is not what was signed; {what}"),
                }));
            }
            if !lines.advance()? {
                break;
            }
        }
        if next < self.targets.len() {
            let what = format!("entry {number} is not what was signed, nor is its hash in leaves");
            return Ok(Err(Bad { place: Some(place), what }));
        }
        Ok(bad(format!("leaves: the hash of entry {number} was changed; the entries are those that were signed")))
    }

    /// Whether the hashes from `tree` on are those that were signed.
    fn hashes_are_signed(&mut self, mut tree: Tree) -> io::Result<bool> {
        let mut next = self.targets.partition_point(|(_, target)| target.size <= tree.size());
        let Some(leaves) = &mut self.leaves else { return Ok(false) };
        leaves.seek(tree.size())?;
        while next < self.targets.len() {
            let Some(leaf) = self.leaves.as_mut().map(Leaves::next).transpose()?.flatten() else { return Ok(false) };
            tree.push(leaf);
            if self.missed(&tree, &mut next).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is sealed, by which key, and which keys are destroyed.
#[derive(Default)]
struct Seals {
    of: HashMap<String, u64>,
    destroyed: HashSet<String>,
}

impl Seals {
    /// Looks at a line without reading it: quotes within texts are escaped.
    fn take(&mut self, line: &[u8]) {
        const SEALED: &[u8] = b"\"sealed\":\"";
        const RETENTION: &[u8] = b"\"kind\":\"retention\"";
        if let Some(at) = memmem::find(line, SEALED) {
            let id = line.get(at + SEALED.len()..).unwrap_or_default().split(|byte| *byte == b':').next();
            *self.of.entry(String::from_utf8_lossy(id.unwrap_or_default()).into_owned()).or_default() += 1;
        } else if memmem::find(line, RETENTION).is_some()
            && let Ok(read) = serde_json::from_slice::<Line>(line)
        {
            let keys = read.entry.detail["keys"].as_array().cloned().unwrap_or_default();
            self.destroyed.extend(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)));
        }
    }
}

/// The older checkpoints, each signed, none newer than the newest.
fn older(history: &str, key: &Verifier, newest: &Checkpoint) -> Verdict<Vec<Checkpoint>> {
    let (notes, rest) = split(history);
    if !rest.is_empty() {
        return bad(
            "checkpoints: its end is no checkpoint. A power cut may leave that, and the next start of the gateway cuts it",
        );
    }
    let mut older: Vec<Checkpoint> = Vec::new();
    for (at, note) in notes.into_iter().enumerate() {
        let said = |why: NoteError| Bad { place: None, what: format!("checkpoints, the {}. note: {why}", at + 1) };
        let Checkpoint { origin, size, root } = key.open(note).map_err(said)?.checkpoint;
        if origin != newest.origin {
            return bad(format!("checkpoints, the {}. note: it is of another log", at + 1));
        }
        if older.last().is_some_and(|before| before.size > size) {
            return bad(format!("checkpoints, the {}. note: it is older than the one before it", at + 1));
        }
        older.push(Checkpoint { origin, size, root });
    }
    if let Some(last) = older.last().filter(|last| last.size > newest.size) {
        let (size, last) = (newest.size, last.size);
        return bad(format!("checkpoint: it is of {size} entries, and an older one is of {last}: it was rolled back"));
    }
    Ok(older)
}
