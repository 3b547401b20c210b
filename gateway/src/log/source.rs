//! Where the segments of a log, and what vouches for them, are read: a folder, a bucket, or a folder whose older
//! segments are in a bucket only.

use std::{
    fs,
    io::{self, BufRead, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ahead::ahead,
    chain::files::{self, Leaves},
    frames::unpacking_at,
    seal::Opener,
    segment::{self, folder_of, path_of},
};
use crate::bucket::{
    BucketConfig,
    newest::{last_note, newer},
    reader::BucketReader,
};

/// What a segment reads as.
pub(crate) type Reading = Box<dyn BufRead + Send>;

/// A log to be read.
pub(super) trait Source: Send + Sync {
    /// The segments that are there, oldest first.
    fn numbers(&self) -> io::Result<Vec<u64>>;
    /// One of them, as it was written.
    fn open(&self, number: u64) -> io::Result<Reading>;
    /// The same, for whoever reads all of it.
    fn open_through(&self, number: u64) -> io::Result<Reading> {
        self.open(number)
    }
    /// The same, without its first bytes; alone, where others are not read after it.
    fn open_at(&self, number: u64, offset: u64) -> io::Result<Reading>;
    /// How many bytes it takes where it is kept.
    fn size(&self, number: u64) -> io::Result<u64>;
    /// How it is called when something in it is wrong.
    fn name(&self, number: u64) -> PathBuf;
    /// The newest checkpoint; one who reads it first is never older than what they read after it.
    fn checkpoint(&self) -> io::Result<Option<String>>;
    /// One that is kept elsewhere, which this log must go on from.
    fn elsewhere(&self) -> Option<String> {
        None
    }
    /// Older ones.
    fn checkpoints(&self) -> io::Result<Option<String>>;
    /// The hashes of all entries. `None`: there are none, and need be none.
    fn leaves(&self) -> io::Result<Option<Leaves>>;
}

/// Where records are.
#[derive(Clone)]
pub struct Records {
    folder: Option<PathBuf>,
    bucket: Option<BucketConfig>,
    opener: Option<Arc<Opener>>,
}

impl From<PathBuf> for Records {
    fn from(folder: PathBuf) -> Self {
        Self { folder: Some(folder), bucket: None, opener: None }
    }
}

impl From<&Path> for Records {
    fn from(folder: &Path) -> Self {
        folder.to_owned().into()
    }
}

impl From<BucketConfig> for Records {
    fn from(bucket: BucketConfig) -> Self {
        Self { folder: None, bucket: Some(bucket), opener: None }
    }
}

impl Records {
    /// A folder; what is not there any more is in the bucket.
    #[must_use]
    pub fn spooled(folder: PathBuf, bucket: Option<BucketConfig>) -> Self {
        Self { folder: Some(folder), bucket, opener: None }
    }

    /// What was sealed is read where its key is there.
    #[must_use]
    pub fn opened(self, opener: Option<Opener>) -> Self {
        Self { opener: opener.map(Arc::new), ..self }
    }

    /// The folder of records; `None` where they are in a bucket only.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    pub(super) fn opener(&self) -> Option<Arc<Opener>> {
        self.opener.clone()
    }

    /// Whether a gateway writes this log now, as far as this machine can tell.
    #[must_use]
    pub fn is_written(&self) -> bool {
        let lock = self.folder.as_deref().map(|folder| fs::File::open(place_of(folder).join("lock")));
        lock.is_some_and(|lock| {
            lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
        })
    }

    pub(super) fn source(&self) -> io::Result<Arc<dyn Source>> {
        let folder = self.folder.as_deref().map(place_of);
        let bucket = self.bucket.as_ref().map(BucketReader::begin).transpose()?;
        Ok(match (folder, bucket) {
            (Some(folder), Some(bucket)) => Arc::new(Spool { folder: Folder(folder), bucket }),
            (None, Some(bucket)) => Arc::new(bucket),
            (Some(folder), None) => Arc::new(Folder(folder)),
            (None, None) => return Err(io::Error::other("there are no records")),
        })
    }
}

/// Where the segments lie, given the folder of records or that of the log itself.
fn place_of(records: &Path) -> PathBuf {
    let below = folder_of(records);
    if below.is_dir() { below } else { records.to_owned() }
}

/// A folder, as a gateway writes it or as somebody copied it from a bucket.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    /// The files of checkpoints that a bucket keeps beside each segment.
    fn note_names(&self) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "note") {
                names.push(path);
            }
        }
        names.sort();
        Ok(names)
    }

    /// What they say.
    fn notes(&self) -> io::Result<Option<String>> {
        let names = self.note_names()?;
        let notes = names.iter().map(|path| Ok(files::text(path)?.unwrap_or_default()));
        let notes = notes.collect::<io::Result<String>>()?;
        Ok((!names.is_empty()).then_some(notes))
    }
}

impl Source for Folder {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        segment::list(&self.0)
    }

    fn open(&self, number: u64) -> io::Result<Reading> {
        segment::open(&self.0, number)
    }

    fn open_through(&self, number: u64) -> io::Result<Reading> {
        segment::open_through(&self.0, number)
    }

    fn open_at(&self, number: u64, offset: u64) -> io::Result<Reading> {
        segment::open_at(&self.0, number, offset)
    }

    fn size(&self, number: u64) -> io::Result<u64> {
        segment::size(&self.0, number)
    }

    fn name(&self, number: u64) -> PathBuf {
        path_of(&self.0, number)
    }

    fn checkpoint(&self) -> io::Result<Option<String>> {
        if !self.0.is_dir() {
            let why = format!("{}: there is no such folder", self.0.display());
            return Err(io::Error::new(ErrorKind::NotFound, why));
        }
        let checkpoint = files::text(&files::checkpoint(&self.0))?;
        if files::checkpoints(&self.0).exists() {
            return Ok(checkpoint);
        }
        // A copy of a bucket's.
        let names = self.note_names()?;
        let last = last_note(names.iter().filter_map(|path| path.file_name()?.to_str()));
        let note = last.map(|name| files::text(&self.0.join(name))).transpose()?.flatten();
        Ok(newer(checkpoint, note))
    }

    fn checkpoints(&self) -> io::Result<Option<String>> {
        match files::text(&files::checkpoints(&self.0))? {
            Some(history) => Ok(Some(history)),
            None => self.notes(),
        }
    }

    fn leaves(&self) -> io::Result<Option<Leaves>> {
        match Leaves::open(&self.0)? {
            Some(leaves) => Ok(Some(leaves)),
            // A bucket has none: it keeps a checkpoint beside each segment.
            None if !files::checkpoints(&self.0).exists() && self.notes()?.is_some() => Ok(None),
            None => Err(io::Error::new(ErrorKind::InvalidData, "there is no file `leaves`: somebody took it away")),
        }
    }
}

impl Source for BucketReader {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(self.segments())
    }

    fn open(&self, number: u64) -> io::Result<Reading> {
        segment::unpacking(io::Cursor::new(self.segment(number)?))
    }

    fn open_through(&self, number: u64) -> io::Result<Reading> {
        ahead(Source::open(self, number)?)
    }

    fn open_at(&self, number: u64, offset: u64) -> io::Result<Reading> {
        Ok(Box::new(unpacking_at(io::Cursor::new(self.alone(number)?), offset)?))
    }

    fn size(&self, number: u64) -> io::Result<u64> {
        Ok(self.size_of(number))
    }

    fn name(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("{number:08}.jsonl"))
    }

    fn checkpoint(&self) -> io::Result<Option<String>> {
        Ok(self.newest().map(str::to_owned))
    }

    fn checkpoints(&self) -> io::Result<Option<String>> {
        self.notes().map(Some)
    }

    fn leaves(&self) -> io::Result<Option<Leaves>> {
        Ok(None)
    }
}

/// A folder from which older segments were taken once the bucket had them.
struct Spool {
    folder: Folder,
    bucket: BucketReader,
}

impl Source for Spool {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = self.bucket.segments();
        numbers.extend(self.folder.numbers()?);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn open(&self, number: u64) -> io::Result<Reading> {
        match self.folder.open(number) {
            Err(e) if e.kind() == ErrorKind::NotFound => Source::open(&self.bucket, number),
            other => other,
        }
    }

    fn open_through(&self, number: u64) -> io::Result<Reading> {
        match self.folder.open_through(number) {
            Err(e) if e.kind() == ErrorKind::NotFound => self.bucket.open_through(number),
            other => other,
        }
    }

    fn open_at(&self, number: u64, offset: u64) -> io::Result<Reading> {
        match self.folder.open_at(number, offset) {
            Err(e) if e.kind() == ErrorKind::NotFound => Source::open_at(&self.bucket, number, offset),
            other => other,
        }
    }

    fn size(&self, number: u64) -> io::Result<u64> {
        self.folder.size(number).or_else(|_| Source::size(&self.bucket, number))
    }

    fn name(&self, number: u64) -> PathBuf {
        self.folder.name(number)
    }

    fn checkpoint(&self) -> io::Result<Option<String>> {
        self.folder.checkpoint()
    }

    fn elsewhere(&self) -> Option<String> {
        self.bucket.newest().map(str::to_owned)
    }

    fn checkpoints(&self) -> io::Result<Option<String>> {
        self.folder.checkpoints()
    }

    fn leaves(&self) -> io::Result<Option<Leaves>> {
        self.folder.leaves()
    }
}
