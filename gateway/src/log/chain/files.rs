//! What lies beside the segments.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    note::{Checkpoint, Signed, split},
    tree::{Hash, Tree},
};
use crate::{
    log::disk::{Disk, SegmentFile},
    regular,
};

/// The longest text that is read, in bytes: a checkpoint each minute for a lifetime.
const LONGEST: u64 = 1 << 30;

/// The newest checkpoint.
pub(in crate::log) fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

/// Older ones.
pub(in crate::log) fn checkpoints(folder: &Path) -> PathBuf {
    folder.join("checkpoints")
}

/// The hashes of all entries.
pub(super) fn leaves(folder: &Path) -> PathBuf {
    folder.join("leaves")
}

/// The public key.
pub(super) fn vkey(folder: &Path) -> PathBuf {
    folder.join("log.vkey")
}

/// A text file, or `None` where there is none.
pub(in crate::log) fn text(path: &Path) -> io::Result<Option<String>> {
    match regular::text(path, LONGEST) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}

/// The hashes of entries, from a file.
pub(in crate::log) struct Leaves {
    file: BufReader<File>,
    /// How many there are.
    pub count: u64,
    /// What is left at the end is none.
    pub odd: bool,
}

impl Leaves {
    /// Those of a folder; `None` where there is no such file.
    pub fn open(folder: &Path) -> io::Result<Option<Self>> {
        let path = leaves(folder);
        match regular::open(&path) {
            Ok(file) => {
                let length = file.metadata()?.len();
                let file = BufReader::with_capacity(1 << 16, file);
                Ok(Some(Self { file, count: length / 32, odd: !length.is_multiple_of(32) }))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
        }
    }

    /// Goes to the one at `index`.
    pub fn seek(&mut self, index: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(index * 32)).map(|_| ())
    }

    /// The one at `index`, wherever it is; `None` where there is none yet.
    pub fn at(&self, index: u64) -> io::Result<Option<Hash>> {
        let mut hash = Hash::default();
        match self.file.get_ref().read_exact_at(&mut hash, index * 32) {
            Ok(()) => Ok(Some(hash)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The next one; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Hash>> {
        let mut hash = Hash::default();
        match self.file.read_exact(&mut hash) {
            Ok(()) => Ok(Some(hash)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// Whether the log `origin` in `folder`, by its hashes, goes on from a checkpoint that somebody else has; or why not.
///
/// # Errors
/// Where the hashes can't be read.
pub(crate) fn goes_on_from(folder: &Path, origin: &str, theirs: &Checkpoint) -> io::Result<Result<(), String>> {
    let Checkpoint { origin: other, size, root } = theirs;
    if other != origin {
        return Ok(Err(format!("it has another log, {other} of {size} entries, and this is {origin}")));
    }
    let leaves = Leaves::open(folder)?;
    let here = leaves.as_ref().map_or(0, |leaves| leaves.count);
    let Some(mut leaves) = leaves.filter(|_| *size <= here) else {
        return Ok(Err(format!("it has {size} entries of this log, and there are {here}: this one was rolled back")));
    };
    let mut tree = Tree::default();
    while tree.size() < *size {
        let Some(leaf) = leaves.next()? else { break };
        tree.push(leaf);
    }
    if tree.root() == *root {
        return Ok(Ok(()));
    }
    Ok(Err(format!("its first {size} entries are others than those here: this log was rolled back and forked")))
}

/// The files as they are written.
pub(in crate::log) struct Kept {
    folder: PathBuf,
    leaves: Arc<dyn SegmentFile>,
    checkpoints: Arc<dyn SegmentFile>,
    lasting: u64,
}

impl Kept {
    /// Opens them for writing: `leaves` with its first `count` and then `more`, `checkpoints` without the note that a
    /// crash tore.
    pub fn open(folder: &Path, disk: &dyn Disk, count: u64, more: &[u8], key: &str) -> io::Result<Self> {
        disk.replace(&vkey(folder), format!("{key}\n").as_bytes())?;
        let mut kept = Self {
            lasting: 0,
            folder: folder.to_owned(),
            leaves: disk.extend(&leaves(folder))?,
            checkpoints: disk.extend(&checkpoints(folder))?,
        };
        cut(&leaves(folder), count * 32)?;
        if let Some(history) = text(&checkpoints(folder))? {
            let (notes, torn) = split(&history);
            let size = |note: &&str| note.lines().nth(1).and_then(|size| size.parse().ok());
            kept.lasting = notes.last().and_then(size).unwrap_or_default();
            cut(&checkpoints(folder), (history.len() - torn.len()) as u64)?;
        }
        kept.add_leaves(more)?;
        Ok(kept)
    }

    /// The size of the newest among the older checkpoints, when they were opened.
    pub const fn lasting(&self) -> u64 {
        self.lasting
    }

    /// Adds hashes, on the disk when it returns.
    pub fn add_leaves(&self, hashes: &[u8]) -> io::Result<()> {
        if hashes.is_empty() {
            return Ok(());
        }
        write_all(&*self.leaves, hashes)?;
        self.leaves.sync()
    }

    /// Puts the newest checkpoint in place of the one before; `lasting`: and among the older ones. The newest
    /// first: no older one is ever newer than it.
    pub fn put(&self, disk: &dyn Disk, signed: &Signed, lasting: bool) -> io::Result<()> {
        disk.replace(&checkpoint(&self.folder), signed.note.as_bytes())?;
        if lasting {
            write_all(&*self.checkpoints, signed.note.as_bytes())?;
            self.checkpoints.sync()?;
        }
        Ok(())
    }
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
        file.sync_all()?;
    }
    Ok(())
}

/// `write(2)` until everything is handed over. A short write is continued, an error is final.
pub(in crate::log) fn write_all(file: &dyn SegmentFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            // A signal came before anything was written: not a failure.
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
