//! The task that ends segments, packs them, has them in the bucket, and makes room.
//!
//! What is in the bucket is read back, and only then counts as there. Whatever fails is tried again, for as long as it
//! takes: meanwhile the log waits in the spool, and where that is full, nothing new passes.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    client::{Bucket, BucketError, Put},
    probe::probe,
};
use crate::log::{Log, LogDown, last_entry, pack, same_when_unpacked, segment_size};

/// After a failure it is tried again so soon, then later and later.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(30);
/// How long the last round of a gateway that stops may take.
pub const LAST: Duration = Duration::from_secs(8);
/// How often it looks for segments that are old enough to be packed.
const LOOK: Duration = Duration::from_secs(60);
/// So many segments that the bucket has stay here.
const STAY: usize = 1000;

/// Why something is not in the bucket.
#[derive(Debug, thiserror::Error)]
pub enum NotThere {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The spool.
    #[error("the spool can't be read or written: {0}")]
    Spool(#[from] io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogDown),
}

/// The task.
pub struct Custody {
    log: Log,
    /// Segments that are older than this are packed, where there is no bucket.
    pack_after: Option<Duration>,
    bucket: Option<Arc<Bucket>>,
    /// Whether the bucket's lock was tried in this run.
    proven: bool,
    /// Segments that are in the bucket, of those that are here, and whether each has entries.
    there: BTreeMap<u64, bool>,
    /// How many bytes each other one takes, as far as the log was told of it.
    told: BTreeMap<u64, u64>,
    notes: Notes,
    /// The newest checkpoint in the bucket, and whether the key is there.
    newest: Option<String>,
    key_is_there: bool,
}

impl Custody {
    /// `proven`: the bucket's lock has been tried.
    #[must_use]
    pub fn new(log: Log, pack_after: Option<Duration>, bucket: Option<Arc<Bucket>>, proven: bool) -> Self {
        let notes = Notes::of(log.folder());
        Self {
            log,
            pack_after,
            bucket,
            proven,
            there: BTreeMap::new(),
            told: BTreeMap::new(),
            notes,
            newest: None,
            key_is_there: false,
        }
    }

    /// Works until it is dropped.
    pub async fn run(&mut self) {
        let every = self.bucket.as_ref().map_or(LOOK, |bucket| bucket.config().every);
        let (mut wait, mut failed, mut first) = (SOON, false, true);
        loop {
            if std::mem::take(&mut first) {
                // What an earlier run left goes on at once.
            } else if failed {
                tokio::time::sleep(wait).await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = self.log.turned(), if self.bucket.is_some() => {}
                }
            }
            match self.round().await {
                Ok(()) if failed => {
                    tracing::info!("the log is in the bucket again");
                    (failed, wait) = (false, SOON);
                }
                Ok(()) => wait = SOON,
                Err(error) => {
                    tracing::error!(%error, "the log is not in the bucket; it waits here, and it is tried again");
                    wait = if failed { (2 * wait).min(LATE) } else { SOON };
                    failed = true;
                }
            }
            if matches!(self.log.down(), Some(LogDown::Broken(_))) {
                return;
            }
        }
    }

    /// Tells the log how much waits from an earlier run.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn begin(&mut self) -> io::Result<()> {
        if self.bucket.is_some() {
            for number in self.log.closed()? {
                let bytes = segment_size(self.log.folder(), number)?;
                self.log.wait_for_bucket(bytes);
                self.told.insert(number, bytes);
            }
        }
        Ok(())
    }

    /// Everything that is there goes on.
    ///
    /// # Errors
    /// What did not, and why.
    pub async fn round(&mut self) -> Result<(), NotThere> {
        let Some(bucket) = self.bucket.clone() else { return self.pack_old().await };
        self.log.turned_over().await?;
        let closed = self.log.closed()?;
        self.notes.read()?;
        // Before anything is asked of the bucket: what waits for a bucket that is away takes less room packed.
        for number in closed.iter().copied().filter(|number| !self.there.contains_key(number)).collect::<Vec<_>>() {
            self.pack_one(number).await?;
        }
        if !self.proven {
            probe(&bucket).await?;
            self.proven = true;
        }
        if !self.key_is_there {
            let key = fs::read(self.log.folder().join("log.vkey"))?;
            put_once(&bucket, "log/log.vkey", key.into()).await?;
            self.key_is_there = true;
        }
        let mut newest = None;
        for number in closed {
            if !self.there.contains_key(&number) {
                newest = self.upload(&bucket, number).await?.or(newest);
            }
        }
        if let Some(note) = newest.filter(|note| self.newest.as_ref() != Some(note)) {
            bucket.put("log/checkpoint", Bytes::from(note.clone()), false).await?;
            self.newest = Some(note);
        }
        self.make_room(&bucket)?;
        Ok(())
    }

    /// Has a segment and the checkpoint at its end in the bucket; the checkpoint.
    async fn upload(&mut self, bucket: &Bucket, number: u64) -> Result<Option<String>, NotThere> {
        let folder = self.log.folder().to_owned();
        let (path, last) = blocking(move || {
            let (path, _) = pack(&folder, number)?;
            Ok((path, last_entry(&folder, number)?))
        })
        .await?;
        let mut note = None;
        // One without an entry, as a start that nothing followed leaves, says nothing.
        if let Some(last) = last {
            let bytes = fs::read(&path)?;
            put_once(bucket, &format!("log/{number:08}.jsonl.zst"), bytes.into()).await?;
            note = self.notes.at(last);
            if let Some(note) = &note {
                put_once(bucket, &format!("log/{number:08}.note"), Bytes::from(note.clone())).await?;
            }
        }
        self.there.insert(number, last.is_some());
        if let Some(bytes) = self.told.remove(&number) {
            self.log.is_in_bucket(bytes);
        }
        Ok(note)
    }

    /// Packs a segment and tells the log that less waits.
    async fn pack_one(&mut self, number: u64) -> Result<(), NotThere> {
        let folder = self.log.folder().to_owned();
        let (less, now) = blocking(move || {
            let (_, less) = pack(&folder, number)?;
            Ok((less, segment_size(&folder, number)?))
        })
        .await?;
        if less > 0 {
            self.log.is_in_bucket(less);
        }
        self.told.insert(number, now);
        Ok(())
    }

    /// Without a bucket: packs what is old enough.
    async fn pack_old(&mut self) -> Result<(), NotThere> {
        let Some(after) = self.pack_after else { return Ok(()) };
        let old = |folder: &Path, number: u64| {
            let path = folder.join(format!("{number:08}.jsonl"));
            let written = fs::metadata(path).and_then(|meta| meta.modified()).ok();
            written.is_some_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age >= after))
        };
        for number in self.log.closed()? {
            if old(self.log.folder(), number) {
                let folder = self.log.folder().to_owned();
                blocking(move || Ok(pack(&folder, number)?)).await?;
            }
        }
        Ok(())
    }

    /// Lets go of the oldest that the bucket has, where there are too many. The newest stays: a start goes on from it.
    fn make_room(&mut self, bucket: &Bucket) -> io::Result<()> {
        let folder = self.log.folder().to_owned();
        let mut sizes = BTreeMap::new();
        for number in self.there.keys() {
            sizes.insert(*number, segment_size(&folder, *number)?);
        }
        let newest = self.there.iter().rev().find(|(_, has_entries)| **has_entries);
        let Some(newest) = newest.map(|(number, _)| *number) else { return Ok(()) };
        let mut bytes: u64 = sizes.values().sum();
        let mut count = sizes.len();
        for (number, size) in sizes {
            if number == newest || (bytes <= bucket.config().spool / 2 && count <= STAY) {
                break;
            }
            fs::remove_file(folder.join(format!("{number:08}.jsonl.zst")))?;
            self.there.remove(&number);
            bytes -= size;
            count -= 1;
        }
        Ok(())
    }
}

/// Puts what is never written twice. What is there already must be the same.
async fn put_once(bucket: &Bucket, name: &str, bytes: Bytes) -> Result<(), BucketError> {
    if bucket.put(name, bytes.clone(), true).await? == Put::New {
        return Ok(());
    }
    let there = bucket.get(name).await?.unwrap_or_default();
    if there != bytes && !same_when_unpacked(&there, &bytes) {
        return Err(bucket.not_kept(
            name,
            "something else is there already: another gateway's log, or this one's from before its spool was lost. Give \
             this gateway a prefix of its own",
        ));
    }
    let kept = bucket.kept(name).await?;
    if kept.mode.is_none() || kept.until.is_none() {
        return Err(bucket.not_kept(name, "it is there without a lock"));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NotThere> + Send + 'static,
) -> Result<T, NotThere> {
    tokio::task::spawn_blocking(work).await.map_err(|error| NotThere::Spool(io::Error::other(error)))?
}

/// The checkpoints that the log has kept, by how many entries each is of.
struct Notes {
    path: PathBuf,
    read: u64,
    of: BTreeMap<u64, String>,
}

impl Notes {
    fn of(folder: &Path) -> Self {
        Self { path: folder.join("checkpoints"), read: 0, of: BTreeMap::new() }
    }

    /// Reads what has come since the last time.
    fn read(&mut self) -> io::Result<()> {
        use std::io::{Read as _, Seek as _};
        let mut file = fs::File::open(&self.path)?;
        file.seek(io::SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut rest = text.as_str();
        while let Some((note, after)) = first_note(rest) {
            if let Some(size) = note.lines().nth(1).and_then(|size| size.parse().ok()) {
                self.of.insert(size, note.to_owned());
            }
            rest = after;
        }
        self.read += (text.len() - rest.len()) as u64;
        Ok(())
    }

    /// The one of the first `entries`. Those before are not asked for again.
    fn at(&mut self, entries: u64) -> Option<String> {
        self.of = self.of.split_off(&entries);
        self.of.get(&entries).cloned()
    }
}

/// The first whole note of a text: up to the end of the line after the blank one.
fn first_note(text: &str) -> Option<(&str, &str)> {
    let signature = text.find("\n\n")? + 2;
    let line = text.get(signature..)?.find('\n')?;
    text.split_at_checked(signature + line + 1)
}
