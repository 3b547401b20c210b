//! The one writer, and the thread that fsyncs.
//!
//! `append` numbers an entry and hands its line to the operating system, under one lock.
//! `append_together` numbers it, and shares the writing with whoever comes at the same time;
//! `append_later` leaves that to the next of them, or to the thread. The thread
//! fsyncs everything that was written since the last time, at once when somebody waits, otherwise
//! soon: so all who wait share one fsync. An error is final. After a failed fsync nobody can know
//! what is on the disk (the kernel may have dropped the pages), so it is never tried again. What is on the
//! disk goes on to the [chain](super::chain), which hashes and signs it in a thread of its own.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    task::Poll,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{
    LogDown,
    chain::{self, Chaining, Checkpoint, Keeper, Recovered, Signed, Tell, Work},
    disk::{Disk, RealDisk, SegmentFile, sync_folder},
    entry::{Record, encode},
    seal::Sealer,
    segment::{self, Ending},
};

/// An entry for which nobody waits is fsynced after this. The fsync itself must fit into the rest
/// of the 50 ms.
const SOON: Duration = Duration::from_millis(20);
/// No more bytes than this wait for the next `append`.
const LINES_KEPT: usize = 32 << 10;
/// How often, and how far apart, a lock that somebody holds is tried at the start.
const LOCK_TRIES: u32 = 10;
const LOCK_AGAIN: Duration = Duration::from_millis(20);
/// No more bytes than this are written and wait for their fsync: a disk that hangs must not eat the memory.
const UNSYNCED: usize = 256 << 20;
/// So many batches of lines wait to be hashed; then the next fsync waits for them.
const UNHASHED: usize = 1024;
/// A segment that has reached this many bytes is followed by a new one.
const SEGMENT_BYTES: u64 = 64 << 20;

/// How far an entry reaches; handed to [`Log::synced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The one writer. Cheap to clone; when the last clone is dropped, what was written is fsynced.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

/// What everybody waits for.
#[derive(Clone, Default)]
struct Progress {
    /// The newest entry that is on the disk.
    synced: u64,
    /// Set once, for good.
    down: Option<LogDown>,
}

struct State {
    file: Arc<dyn SegmentFile>,
    number: u64,
    /// Bytes in this segment.
    size: u64,
    /// The newest entry that has a number.
    numbered: u64,
    /// The newest entry that the operating system has.
    written: u64,
    /// The newest entry that somebody waits for.
    wanted: u64,
    /// When the oldest entry came that is not on the disk.
    oldest: Option<Instant>,
    /// Lines of entries that have a number and are not written.
    lines: Vec<u8>,
    /// Lines that are written and have not gone on to the chain.
    unchained: Vec<u8>,
    /// Where among them segments have ended, in bytes.
    ended: Vec<usize>,
    /// The last clone of the log is gone.
    closing: bool,
}

struct Shared {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    /// The newest entry that the operating system has, for whoever does not need the lock to know.
    handed: AtomicU64,
    /// Tells the thread of the first unsynced entry, of somebody who waits, and of the end.
    work: Condvar,
    /// Rings where a segment has ended.
    turned: Notify,
    sealer: Option<Sealer>,
    /// Where segments go on to a bucket: how many bytes may wait for it, how many do, and which bucket.
    spool: Option<(u64, String)>,
    waiting: AtomicU64,
    progress: watch::Sender<Progress>,
    chain: SyncSender<Work>,
}

struct Handle {
    shared: Arc<Shared>,
    /// What fsyncs, then what hashes and signs.
    threads: [Option<JoinHandle<()>>; 2],
    signed: watch::Receiver<Tell>,
    opened: Opened,
    /// Held as long as the log is open: two writers in one folder would write each other's numbers.
    _lock: File,
}

/// The newest checkpoint, and each newer one.
#[derive(Clone)]
pub struct Checkpoints(watch::Receiver<Tell>);

impl Checkpoints {
    /// The newest.
    #[must_use]
    pub fn newest(&mut self) -> Option<Signed> {
        self.0.borrow_and_update().newest.clone()
    }

    /// Until there is a newer one; `false` where there will be none.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// What a log was when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which log it is: the origin in its checkpoints.
    pub origin: String,
    /// How many entries there were.
    pub entries: u64,
    /// How many of these nobody had signed: those that were new when a gateway died, or those from before logs were
    /// signed.
    pub unsigned: u64,
    /// How many bytes of an entry, torn by a crash and never acknowledged, were cut.
    pub cut: u64,
    /// What came before, where this log is new and the state knows another.
    pub follows: Option<Checkpoint>,
}

impl Log {
    /// Starts a new segment in `records/log`, whose numbers go on from the newest one there; cuts
    /// a torn last entry and says so.
    ///
    /// # Errors
    /// Where the folder can't be made or written, another gateway writes it, it is damaged, or it is not what was
    /// signed.
    pub fn open(records: &Path, chaining: Chaining) -> io::Result<Self> {
        Self::open_on(records, chaining, || Box::new(RealDisk), SEGMENT_BYTES)
    }

    pub(super) fn open_on(
        records: &Path,
        chaining: Chaining,
        disk: impl Fn() -> Box<dyn Disk>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let folder = segment::folder_of(records);
        let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
        make_folders(records, &folder).map_err(at)?;
        let lock = lock(&folder)?;
        super::pack::remove_drafts(&folder).map_err(at)?;
        let numbers = segment::list(&folder).map_err(at)?;
        let (written, torn) = ended(&folder, &numbers)?;
        let mut chaining = chaining;
        let (every, spool, sealer) = (chaining.every, chaining.spool.clone(), chaining.sealer.take());
        let recovered = chain::look(&folder, &numbers, written, chaining)?;
        // Only what is good is touched.
        let cut = torn.as_ref().map_or(Ok(0), |(number, ending)| cut(&folder, *number, ending))?;
        let opened = opened(&recovered, written, cut);
        let number = numbers.last().map_or(1, |newest| newest + 1);
        let file = disk().create(&segment::path_of(&folder, number)).map_err(at)?;
        let kept = recovered.keep(&folder, &*disk()).map_err(at)?;
        let (told, signed) = watch::channel(Tell::default());
        let mut keeper = Keeper::begin(recovered, kept, disk(), every, told).map_err(at)?;
        let (chain, work) = sync_channel(UNHASHED);
        let shared = Arc::new(Shared {
            disk: disk(),
            folder,
            segment_bytes,
            state: Mutex::new(State {
                file,
                number,
                size: 0,
                numbered: written,
                written,
                wanted: 0,
                oldest: None,
                lines: Vec::new(),
                unchained: Vec::new(),
                ended: Vec::new(),
                closing: false,
            }),
            handed: AtomicU64::new(written),
            work: Condvar::new(),
            turned: Notify::new(),
            sealer,
            spool,
            waiting: AtomicU64::new(0),
            progress: watch::Sender::new(Progress { synced: written, down: None }),
            chain,
        });
        let syncing = std::thread::Builder::new().name("log-fsync".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let _mourner = Mourner(&shared);
                shared.keep_synced();
            }
        })?;
        let signing = std::thread::Builder::new().name("log-sign".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let _mourner = Mourner(&shared);
                if let Err((what, why)) = keeper.run(&work, || shared.down().is_some()) {
                    shared.fail(what, &why);
                }
            }
        })?;
        let threads = [Some(syncing), Some(signing)];
        Ok(Self(Arc::new(Handle { shared, threads, signed, opened, _lock: lock })))
    }

    /// What it was when it was opened.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.0.opened
    }

    /// The newest checkpoint; tells of each new one.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints(self.0.signed.clone())
    }

    /// A checkpoint of all that is there now.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn signed(&self) -> Result<Signed, LogDown> {
        let all = self.0.shared.locked().written;
        self.synced(Position(all)).await?;
        // Where it has so much to do, it signs before long.
        let _busy = self.0.shared.chain.try_send(Work::Sign(all));
        let told = self.until(|told| told.newest.as_ref().is_some_and(|signed| signed.checkpoint.size >= all)).await?;
        told.newest.ok_or_else(|| LogDown::Broken("it was closed".to_owned()))
    }

    /// Until the thread that signs says so.
    async fn until(&self, so: impl FnMut(&Tell) -> bool) -> Result<Tell, LogDown> {
        let shared = &self.0.shared;
        let (mut signed, mut progress) = (self.0.signed.clone(), shared.progress.subscribe());
        let closed = || LogDown::Broken("it was closed".to_owned());
        tokio::select! {
            // Where its thread ended because the log is down, that is the reason.
            found = signed.wait_for(so) => found.map(|found| found.clone()).map_err(|_| shared.down().unwrap_or_else(closed)),
            down = progress.wait_for(|progress| progress.down.is_some()) => {
                let down = down.ok().and_then(|progress| progress.down.clone());
                Err(down.unwrap_or_else(closed))
            }
        }
    }

    /// Hands `entry` to the operating system before it returns.
    ///
    /// # Errors
    /// [`LogDown`], now and ever after.
    pub fn append(&self, entry: &impl Record) -> Result<Position, LogDown> {
        self.0.shared.take(entry, |shared, state| shared.write(state))
    }

    /// Numbers `entry`, lets everybody else on this thread who has one number theirs, and hands all of
    /// them to the operating system at once before it returns. For a crowd: whoever is alone only
    /// loses time by it.
    ///
    /// # Errors
    /// [`LogDown`], now and ever after.
    pub async fn append_together(&self, entry: &impl Record) -> Result<Position, LogDown> {
        let shared = &self.0.shared;
        let position = shared.take(entry, |_, state| Ok(Position(state.numbered)))?;
        behind_the_others().await;
        if shared.handed.load(Ordering::Acquire) >= position.0 {
            return Ok(position);
        }
        let mut state = shared.locked();
        if let Some(down) = shared.down() {
            return Err(down);
        }
        if state.written < position.0 {
            shared.write(&mut state).map_err(|e| shared.fail("write", &e))?;
        }
        Ok(position)
    }

    /// Hands `entry` to the operating system with the next one, or [`SOON`].
    ///
    /// # Errors
    /// [`LogDown`], now and ever after.
    pub fn append_later(&self, entry: &impl Record) -> Result<(), LogDown> {
        self.0.shared.take(entry, |shared, state| {
            if state.lines.len() < LINES_KEPT {
                return Ok(Position(state.numbered));
            }
            shared.write(state)
        })?;
        Ok(())
    }

    /// Waits until everything up to `position` is fsynced.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn synced(&self, position: Position) -> Result<(), LogDown> {
        let shared = &self.0.shared;
        let mut progress = shared.progress.subscribe();
        {
            let mut state = shared.locked();
            if position.0 > state.written {
                return Err(LogDown::Broken(format!("it has no entry {}", position.0)));
            }
            state.wanted = state.wanted.max(position.0);
            shared.work.notify_all();
        }
        let reached = progress.wait_for(|p| p.synced >= position.0 || p.down.is_some()).await;
        match reached {
            Ok(progress) if progress.synced >= position.0 => Ok(()),
            Ok(progress) => Err(progress.down.clone().unwrap_or_else(|| LogDown::Broken("unknown".to_owned()))),
            Err(_) => Err(LogDown::Broken("it was closed".to_owned())),
        }
    }

    /// Appends and waits for the fsync.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn append_durably(&self, entry: &impl Record) -> Result<(), LogDown> {
        let position = self.append(entry)?;
        self.synced(position).await
    }

    /// Why the log takes no entry, if it does not.
    #[must_use]
    pub fn down(&self) -> Option<LogDown> {
        self.0.shared.down().or_else(|| self.0.shared.full())
    }

    /// Takes the log down for good: somebody knows it to be another than it is.
    pub fn refuse(&self, what: &str, why: &dyn std::fmt::Display) -> LogDown {
        self.0.shared.fail(what, why)
    }

    /// Ends the segment that is being written, where it has entries, and waits until the checkpoint at its end is kept.
    ///
    /// # Errors
    /// [`LogDown`].
    pub async fn turned_over(&self) -> Result<(), LogDown> {
        let log = self.clone();
        let turned = tokio::task::spawn_blocking(move || log.turn_over()).await;
        let all = turned.map_err(|error| LogDown::Broken(error.to_string()))??;
        self.until(|told| told.lasting >= all).await.map(|_| ())
    }

    /// Blocks for an fsync. How many entries there are.
    fn turn_over(&self) -> Result<u64, LogDown> {
        let shared = &self.0.shared;
        let mut state = shared.locked();
        if let Some(down) = shared.down() {
            return Err(down);
        }
        if !state.lines.is_empty() {
            shared.write(&mut state).map_err(|e| shared.fail("write", &e))?;
        }
        if state.size > 0 {
            shared.rotate(&mut state).map_err(|e| shared.fail("write", &e))?;
            // The thread hands on what has ended, though nothing new has come.
            state.oldest = Some(Instant::now());
            shared.work.notify_all();
        }
        Ok(state.written)
    }

    /// The folder of its segments.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.shared.folder
    }

    /// The segments that are over and will not change, oldest first.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn closed(&self) -> io::Result<Vec<u64>> {
        let newest = self.0.shared.locked().number;
        let mut numbers = segment::list(self.folder())?;
        numbers.retain(|number| *number < newest);
        Ok(numbers)
    }

    /// Until a segment has ended since the last call.
    pub async fn turned(&self) {
        self.0.shared.turned.notified().await;
    }

    /// So many bytes wait for the bucket, beside those that are written from now on.
    pub fn wait_for_bucket(&self, bytes: u64) {
        self.0.shared.waiting.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many bytes wait no more.
    pub fn is_in_bucket(&self, bytes: u64) {
        let less = |waiting: u64| Some(waiting.saturating_sub(bytes));
        let _always = self.0.shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self) -> Option<LogDown> {
        self.progress.borrow().down.clone()
    }

    /// Why nothing more may be begun for now.
    fn full(&self) -> Option<LogDown> {
        let (most, bucket) = self.spool.as_ref()?;
        let waiting = self.waiting.load(Ordering::Acquire);
        (waiting > *most).then(|| LogDown::Full(format!("{waiting} bytes wait for {bucket}, and {most} may")))
    }

    /// Takes the log down for good; the first reason stays.
    fn fail(&self, what: &str, why: &dyn std::fmt::Display) -> LogDown {
        let mut reason = LogDown::Broken(format!("{what} in {}: {why}", self.folder.display()));
        self.progress.send_if_modified(|progress| match &progress.down {
            Some(first) => {
                reason = first.clone();
                false
            }
            None => {
                tracing::error!(%reason, "the log is down");
                progress.down = Some(reason.clone());
                true
            }
        });
        self.work.notify_all();
        reason
    }

    /// Numbers an entry, and does with its line what `then` does.
    fn take(
        &self,
        entry: &impl Record,
        then: impl FnOnce(&Self, &mut State) -> io::Result<Position>,
    ) -> Result<Position, LogDown> {
        // Encoded outside the lock, which is held only to number the line and to write it.
        let mut fields = Vec::with_capacity(512);
        entry.write(&mut fields).map_err(|e| self.fail("encode an entry", &e))?;
        if let Some(sealer) = &self.sealer {
            fields = sealer.seal(fields).map_err(|e| self.fail("seal an entry", &e))?;
        }
        let mut state = self.locked();
        if let Some(down) = self.down().or_else(|| self.full().filter(|_| !entry.ends())) {
            return Err(down);
        }
        state.numbered += 1;
        let (seq, first) = (state.numbered, state.oldest.is_none());
        encode(seq, &fields, &mut state.lines);
        let done = then(self, &mut state).map_err(|e| self.fail("write", &e));
        if first && state.oldest.is_none() {
            state.oldest = Some(Instant::now());
            self.work.notify_all();
        }
        done
    }

    /// Hands all lines that wait to the operating system.
    fn write(&self, state: &mut State) -> io::Result<Position> {
        let mut lines = std::mem::take(&mut state.lines);
        if state.size > 0 && state.size + lines.len() as u64 > self.segment_bytes {
            self.rotate(state)?;
        }
        if state.unchained.len() + lines.len() > UNSYNCED {
            return Err(io::Error::other("the disk does not keep up: too much waits for its fsync"));
        }
        chain::write_all(&*state.file, &lines)?;
        state.size += lines.len() as u64;
        if self.spool.is_some() {
            self.waiting.fetch_add(lines.len() as u64, Ordering::AcqRel);
        }
        state.unchained.extend_from_slice(&lines);
        lines.clear();
        state.lines = lines;
        state.written = state.numbered;
        self.handed.store(state.written, Ordering::Release);
        Ok(Position(state.written))
    }

    /// Goes on in a new segment. The old one is fsynced first: only the newest may ever be torn.
    fn rotate(&self, state: &mut State) -> io::Result<()> {
        state.file.sync()?;
        self.reached(state, state.written);
        let number = state.number + 1;
        state.file = self.disk.create(&segment::path_of(&self.folder, number))?;
        state.number = number;
        state.size = 0;
        state.ended.push(state.unchained.len());
        self.turned.notify_one();
        Ok(())
    }

    /// Everything up to `synced` is on the disk.
    fn reached(&self, state: &mut State, synced: u64) {
        if synced == state.numbered {
            state.oldest = None;
        }
        self.progress.send_if_modified(|progress| {
            // What was written before a failure may be lost, whatever a later call says.
            let news = progress.down.is_none() && synced > progress.synced;
            if news {
                progress.synced = synced;
            }
            news
        });
    }

    /// The thread: fsyncs at once when somebody waits, otherwise [`SOON`], never for nothing.
    fn keep_synced(&self) {
        let mut state = self.locked();
        loop {
            if self.down().is_some() {
                return;
            }
            let synced = self.progress.borrow().synced;
            let due = match state.oldest {
                None if state.closing => return,
                None => None,
                Some(_) if state.closing || state.wanted > synced => Some(Duration::ZERO),
                Some(oldest) => Some(SOON.saturating_sub(oldest.elapsed())),
            };
            match due {
                None => state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    if !state.lines.is_empty()
                        && let Err(e) = self.write(&mut state)
                    {
                        self.fail("write", &e);
                        return;
                    }
                    let (file, upto) = (Arc::clone(&state.file), state.written);
                    let lines = std::mem::take(&mut state.unchained);
                    let ended = std::mem::take(&mut state.ended);
                    // Entries that come while it runs wait for the next one.
                    state.oldest = None;
                    drop(state);
                    let done = file.sync();
                    if let Err(e) = &done {
                        self.fail("fsync", e);
                    } else if self.chain.send(Work::Lines { lines, ended }).is_err() {
                        self.fail("sign", &"its thread is gone");
                    }
                    state = self.locked();
                    if done.is_ok() {
                        self.reached(&mut state, upto);
                    }
                }
                Some(wait) => {
                    state = self.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

/// Lets everybody go first who could go on now. Tokio's own way to yield also looks for news on all sockets
/// before it goes on, and would do the work of those first.
async fn behind_the_others() {
    let mut last = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut last, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Takes the log down if the thread dies of a panic: nobody would fsync any more.
struct Mourner<'a>(&'a Shared);

impl Drop for Mourner<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("fsync", &"its thread died");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.locked().closing = true;
        self.shared.work.notify_all();
        let [syncing, signing] = &mut self.threads;
        let synced = syncing.take().map(JoinHandle::join);
        // Full or gone: it ends by itself, or has.
        let _gone = self.shared.chain.send(Work::End);
        let signed = signing.take().map(JoinHandle::join);
        if matches!(synced, Some(Err(_))) || matches!(signed, Some(Err(_))) {
            tracing::error!("a thread of the log died");
        }
    }
}

/// Makes `records` and `records/log`, for their owner alone, and puts their names on the disk.
fn make_folders(records: &Path, folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sync_folder(records)?;
    let records = fs::canonicalize(records)?;
    records.parent().map_or(Ok(()), sync_folder)
}

fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("lock");
    let said = |kind, why: &dyn std::fmt::Display| io::Error::new(kind, format!("{}: {why}", path.display()));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| said(e.kind(), &e))?;
    for again in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A process that is being started holds what its parent held, until it runs its program.
            Err(TryLockError::WouldBlock) if again > 0 => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(e)) => return Err(said(e.kind(), &e)),
        }
    }
    let why = "another gateway writes this log; stop it, or give this one a records folder of its own";
    Err(said(ErrorKind::ResourceBusy, &why))
}

fn opened(recovered: &Recovered, entries: u64, cut: u64) -> Opened {
    let origin = recovered.origin().to_owned();
    Opened { origin, entries, unsigned: recovered.unsigned, cut, follows: recovered.follows.clone() }
}

/// The newest `seq` in the folder, and the segment whose end is torn, if one is.
fn ended(folder: &Path, numbers: &[u64]) -> io::Result<(u64, Option<(u64, Ending)>)> {
    let mut torn = None;
    for (back, number) in numbers.iter().rev().enumerate() {
        let path = segment::path_of(folder, *number);
        let ending: Ending = segment::ending(folder, *number)?;
        let last = ending.last;
        if ending.torn > 0 {
            if back > 0 {
                let said = format!(
                    "{}: its end is damaged, and a later segment follows; this is no crash's doing. \
                     Keep the folder as evidence, and start with another one",
                    path.display()
                );
                return Err(io::Error::new(ErrorKind::InvalidData, said));
            }
            torn = Some((*number, ending));
        }
        if let Some(last) = last {
            return Ok((last, torn));
        }
    }
    Ok((0, torn))
}

/// Cuts a torn end off; how many bytes.
fn cut(folder: &Path, number: u64, ending: &Ending) -> io::Result<u64> {
    segment::cut(folder, number, ending)?;
    let path = segment::path_of(folder, number);
    tracing::warn!(path = %path.display(), bytes = ending.torn, "cut a torn entry off the log; it is kept as .torn");
    Ok(ending.torn)
}
