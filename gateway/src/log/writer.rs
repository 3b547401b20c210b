//! The one writer, and the thread that fsyncs.
//!
//! `append` numbers an entry and hands its line to the operating system, under one lock.
//! `append_together` numbers it, and shares the writing with whoever comes at the same time;
//! `append_later` leaves that to the next of them, or to the thread. The thread
//! fsyncs everything that was written since the last time, at once when somebody waits, otherwise
//! soon: so all who wait share one fsync. An error is final. After a failed fsync nobody can know
//! what is on the disk (the kernel may have dropped the pages), so it is never tried again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    LogDown,
    disk::{Disk, RealDisk, SegmentFile, sync_folder},
    entry::{Record, encode},
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
    progress: watch::Sender<Progress>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    cut: u64,
    /// Held as long as the log is open: two writers in one folder would write each other's numbers.
    _lock: File,
}

impl Log {
    /// Starts a new segment in `records/log`, whose numbers go on from the newest one there; cuts
    /// a torn last entry and says so.
    ///
    /// # Errors
    /// Where the folder can't be made or written, another gateway writes it, or it is damaged.
    pub fn open(records: &Path) -> io::Result<Self> {
        Self::open_on(records, Box::new(RealDisk), SEGMENT_BYTES)
    }

    pub(super) fn open_on(records: &Path, disk: Box<dyn Disk>, segment_bytes: u64) -> io::Result<Self> {
        let folder = segment::folder_of(records);
        let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
        make_folders(records, &folder).map_err(at)?;
        let lock = lock(&folder)?;
        let numbers = segment::list(&folder).map_err(at)?;
        let (written, cut) = recover(&folder, &numbers)?;
        let number = numbers.last().map_or(1, |newest| newest + 1);
        let file = disk.create(&segment::path_of(&folder, number)).map_err(at)?;
        let shared = Arc::new(Shared {
            disk,
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
                closing: false,
            }),
            handed: AtomicU64::new(written),
            work: Condvar::new(),
            progress: watch::Sender::new(Progress { synced: written, down: None }),
        });
        let thread = std::thread::Builder::new().name("log-fsync".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let _mourner = Mourner(&shared);
                shared.keep_synced();
            }
        })?;
        Ok(Self(Arc::new(Handle { shared, thread: Some(thread), cut, _lock: lock })))
    }

    /// How many bytes of an entry, torn by a crash and never acknowledged, were cut at the start.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.0.cut
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
        tokio::task::yield_now().await;
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
                return Err(LogDown(format!("it has no entry {}", position.0)));
            }
            state.wanted = state.wanted.max(position.0);
            shared.work.notify_all();
        }
        let reached = progress.wait_for(|p| p.synced >= position.0 || p.down.is_some()).await;
        match reached {
            Ok(progress) if progress.synced >= position.0 => Ok(()),
            Ok(progress) => Err(progress.down.clone().unwrap_or_else(|| LogDown("unknown".to_owned()))),
            Err(_) => Err(LogDown("it was closed".to_owned())),
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

    /// Why the log is down, if it is.
    #[must_use]
    pub fn down(&self) -> Option<LogDown> {
        self.0.shared.down()
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self) -> Option<LogDown> {
        self.progress.borrow().down.clone()
    }

    /// Takes the log down for good; the first reason stays.
    fn fail(&self, what: &str, why: &dyn std::fmt::Display) -> LogDown {
        let mut reason = LogDown(format!("{what} in {}: {why}", self.folder.display()));
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
        let mut state = self.locked();
        if let Some(down) = self.down() {
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
        write_all(&*state.file, &lines)?;
        state.size += lines.len() as u64;
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
                    // Entries that come while it runs wait for the next one.
                    state.oldest = None;
                    drop(state);
                    let done = file.sync();
                    state = self.locked();
                    match done {
                        Ok(()) => self.reached(&mut state, upto),
                        Err(e) => {
                            self.fail("fsync", &e);
                        }
                    }
                }
                Some(wait) => {
                    state = self.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
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
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the log's thread died");
        }
    }
}

/// `write(2)` until everything is handed over. A short write is continued, an error is final.
fn write_all(file: &dyn SegmentFile, mut bytes: &[u8]) -> io::Result<()> {
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

/// The newest `seq` in the folder, and how many torn bytes were cut off the newest segment.
fn recover(folder: &Path, numbers: &[u64]) -> io::Result<(u64, u64)> {
    let mut cut = 0;
    for (back, number) in numbers.iter().rev().enumerate() {
        let path = segment::path_of(folder, *number);
        let ending: Ending = segment::ending(&path)?;
        if ending.torn > 0 {
            if back > 0 {
                let said = format!(
                    "{}: its end is damaged, and a later segment follows; this is no crash's doing. \
                     Keep the folder as evidence, and start with another one",
                    path.display()
                );
                return Err(io::Error::new(ErrorKind::InvalidData, said));
            }
            segment::cut(folder, *number, &ending)?;
            cut = ending.torn;
            tracing::warn!(path = %path.display(), bytes = cut, "cut a torn entry off the log; it is kept as .torn");
        }
        if let Some(last) = ending.last {
            return Ok((last, cut));
        }
    }
    Ok((0, cut))
}
