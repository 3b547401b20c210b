//! The task that ends segments, packs them, has them in the bucket, and makes room.
//!
//! What is in the bucket is read back, and only then counts as there. Whatever fails is tried again, for as long as it
//! takes: meanwhile the log waits in the spool, and where that is full, nothing new passes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    client::{Bucket, BucketError, Kept, Put},
    newest::{self, size_of},
    probe::probe,
};
use crate::log::{
    Log, LogDown,
    chain::{Verifier, goes_on_from},
    last_entry, pack, same_when_unpacked, segment_size,
};

/// After a failure it is tried again so soon, then later and later.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(30);
/// How long the last round of a gateway that stops may take.
pub const LAST: Duration = Duration::from_secs(8);
/// How often it looks for segments that are old enough to be packed.
const LOOK: Duration = Duration::from_secs(60);
/// Where it is remembered what the bucket has.
const IN_BUCKET: &str = "in-bucket";
/// What can't be done beside another log.
const BESIDE: &str = "go on to the bucket";
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
    /// Segments from an earlier run which the bucket had then: they wait for nothing.
    had: BTreeSet<u64>,
    notes: Notes,
    /// What checkpoints of this log are signed with.
    key: Verifier,
    /// Whether the log was held against what the bucket has, in this run.
    compared: bool,
    /// What the bucket had then, with the lengths.
    listed: BTreeMap<String, u64>,
    /// How many entries the newest checkpoint in the bucket is of; and the newest at the end of a segment there.
    newest: u64,
    next: Option<String>,
    key_is_there: bool,
}

impl Custody {
    /// `proven`: the bucket's lock has been tried.
    #[must_use]
    pub fn new(
        log: Log,
        pack_after: Option<Duration>,
        bucket: Option<Arc<Bucket>>,
        key: Verifier,
        proven: bool,
    ) -> Self {
        let notes = Notes::of(log.folder());
        Self {
            log,
            pack_after,
            bucket,
            proven,
            there: BTreeMap::new(),
            told: BTreeMap::new(),
            had: BTreeSet::new(),
            notes,
            key,
            compared: false,
            listed: BTreeMap::new(),
            newest: 0,
            next: None,
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
        if let Some(bucket) = &self.bucket {
            let had = had_by(self.log.folder(), &bucket.config().to_string());
            for number in self.log.closed()? {
                if had.is_some_and(|had| number <= had) {
                    self.had.insert(number);
                    continue;
                }
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
        let mut closed = self.log.closed()?;
        self.notes.read()?;
        // Before anything is asked of the bucket: what waits for a bucket that is away takes less room packed.
        let mut no_room = None;
        for (at, number) in closed.iter().copied().enumerate() {
            match self.pack_one(number).await {
                Err(NotThere::Spool(error)) if error.kind() == io::ErrorKind::StorageFull => {
                    // What comes before it goes on, and may make room.
                    no_room = Some((at, error));
                    break;
                }
                other => other?,
            }
        }
        if let Some((at, _)) = &no_room {
            closed.truncate(*at);
        }
        if !self.proven {
            probe(&bucket).await?.tell(bucket.config());
            self.proven = true;
        }
        match self.hand_over(&bucket, closed).await {
            // Who goes on beside another log, forks this one.
            Err(NotThere::Bucket(error @ BucketError::Other(..))) => Err(self.log.refuse(BESIDE, &error).into()),
            other => other.and(no_room.map_or(Ok(()), |(_, error)| Err(error.into()))),
        }
    }

    /// Has what is new in the bucket, once what is there is known to be of this log.
    async fn hand_over(&mut self, bucket: &Bucket, closed: Vec<u64>) -> Result<(), NotThere> {
        if !self.compared {
            self.compare(bucket).await?;
        }
        if !self.key_is_there {
            let key = fs::read(self.log.folder().join("log.vkey"))?;
            put_once(bucket, "log/log.vkey", key.into()).await?;
            self.key_is_there = true;
        }
        let before = self.there.len();
        for number in closed {
            if !self.there.contains_key(&number) {
                self.upload(bucket, number).await?;
            }
        }
        if let Some(note) = self.next.clone().filter(|note| size_of(note) > self.newest) {
            bucket.put("log/checkpoint", Bytes::from(note.clone()), false).await?;
            self.newest = size_of(&note);
        }
        if let Some(newest) = self.there.keys().next_back().filter(|_| self.there.len() > before) {
            remember(self.log.folder(), &bucket.config().to_string(), *newest)?;
        }
        self.make_room(bucket)?;
        Ok(())
    }

    /// Holds the log against the newest checkpoint that the bucket has: a start may have come to pass without it.
    async fn compare(&mut self, bucket: &Bucket) -> Result<(), NotThere> {
        let names = bucket.list("log").await?;
        if let Some(theirs) = newest::signed(bucket, &names, &self.key).await? {
            let (folder, origin) = (self.log.folder().to_owned(), self.log.opened().origin.clone());
            let (checkpoint, place) = (theirs.checkpoint.clone(), bucket.config().to_string());
            let held = blocking(move || Ok(goes_on_from(&folder, &origin, &checkpoint)?)).await?;
            held.map_err(|why| BucketError::Other(place, why))?;
            self.newest = theirs.checkpoint.size;
        }
        self.listed = names.into_iter().collect();
        self.compared = true;
        Ok(())
    }

    /// Has a segment and the checkpoint at its end in the bucket.
    async fn upload(&mut self, bucket: &Bucket, number: u64) -> Result<(), NotThere> {
        let folder = self.log.folder().to_owned();
        let (path, last) = blocking(move || {
            let (path, _) = pack(&folder, number)?;
            Ok((path, last_entry(&folder, number)?))
        })
        .await?;
        // One without an entry, as a start that nothing followed leaves, says nothing.
        if let Some(last) = last {
            let bytes = fs::read(&path)?;
            self.have(bucket, &format!("{number:08}.jsonl.zst"), bytes.into()).await?;
            if let Some(note) = self.notes.at(last) {
                self.have(bucket, &format!("{number:08}.note"), Bytes::from(note.clone())).await?;
                self.next = Some(note);
            }
        }
        self.had.remove(&number);
        self.there.insert(number, last.is_some());
        if let Some(bytes) = self.told.remove(&number) {
            self.log.is_in_bucket(bytes);
        }
        Ok(())
    }

    /// Has an object there. One that an earlier run has put is looked at, and not sent again.
    async fn have(&mut self, bucket: &Bucket, name: &str, bytes: Bytes) -> Result<(), BucketError> {
        let key = format!("log/{name}");
        if self.listed.remove(name) == Some(bytes.len() as u64) && is_it(&bucket.kept(&key).await?, &bytes) {
            return Ok(());
        }
        put_once(bucket, &key, bytes).await
    }

    /// Packs a segment and tells the log that less waits.
    async fn pack_one(&mut self, number: u64) -> Result<(), NotThere> {
        if self.there.contains_key(&number) {
            return Ok(());
        }
        let folder = self.log.folder().to_owned();
        let (less, now) = blocking(move || {
            let (_, less) = pack(&folder, number)?;
            Ok((less, segment_size(&folder, number)?))
        })
        .await?;
        if self.had.contains(&number) {
            return Ok(());
        }
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
        let why = "something else is there already: another gateway's log, or this one's from before its spool was \
                   lost. Give this gateway a prefix of its own";
        return Err(BucketError::Other(format!("{name} in {}", bucket.config()), why.to_owned()));
    }
    let kept = bucket.kept(name).await?;
    if kept.mode.is_none() || kept.until.is_none() {
        return Err(bucket.not_kept(name, "it is there without a lock"));
    }
    Ok(())
}

/// Whether what is kept is these bytes, under a lock. Where the bucket tells no hash, that is not known.
fn is_it(kept: &Kept, bytes: &Bytes) -> bool {
    let hash = STANDARD.encode(digest(&SHA256, bytes).as_ref());
    kept.sha256 == Some(hash) && kept.mode.is_some() && kept.until.is_some()
}

/// Up to which segment a bucket had all of them when that was remembered. It only says what need not be counted.
fn had_by(folder: &Path, bucket: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(IN_BUCKET)).ok()?;
    let (number, of) = text.trim_end().split_once(' ')?;
    number.parse().ok().filter(|_| of == bucket)
}

fn remember(folder: &Path, bucket: &str, newest: u64) -> io::Result<()> {
    let draft = folder.join(IN_BUCKET).with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{newest} {bucket}")?;
    fs::rename(draft, folder.join(IN_BUCKET))
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
