//! What all clones of the log and the thread that fsyncs share.
//!
//! The thread fsyncs everything that was written since the last time, at once when somebody waits, otherwise soon: so all
//! who wait share one fsync.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::Position;
use crate::log::{
    LogDown,
    chain::{self, Work},
    disk::{Disk, SegmentFile},
    entry::{Record, encode},
    seal::Sealer,
    segment,
};

/// An entry for which nobody waits is fsynced after this. The fsync itself must fit into the rest
/// of the 50 ms.
const SOON: Duration = Duration::from_millis(20);
/// No more bytes than this are written and wait for their fsync: a disk that hangs must not eat the memory.
const UNSYNCED: usize = if cfg!(test) { 1 << 20 } else { 256 << 20 };
/// For so long a disk may take nothing while so much waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// An entry with more bytes than this is not taken: nobody would read it again.
const LONGEST_WRITTEN: usize = if cfg!(test) { 8 << 20 } else { 240 << 20 };

/// What everybody waits for.
#[derive(Clone, Default)]
pub(super) struct Progress {
    /// The newest entry that is on the disk.
    pub synced: u64,
    /// Set once, for good.
    pub down: Option<LogDown>,
}

pub(super) struct State {
    pub file: Arc<dyn SegmentFile>,
    pub number: u64,
    /// Bytes in this segment.
    pub size: u64,
    /// The newest entry that has a number.
    pub numbered: u64,
    /// The newest entry that the operating system has.
    pub written: u64,
    /// The newest entry that somebody waits for.
    pub wanted: u64,
    /// When the oldest entry came that is not on the disk.
    pub oldest: Option<Instant>,
    /// Lines of entries that have a number and are not written.
    pub lines: Vec<u8>,
    /// Lines that are written and have not gone on to the chain.
    pub unchained: Vec<u8>,
    /// Where among them segments have ended, in bytes.
    pub ended: Vec<usize>,
    /// The last clone of the log is gone.
    pub closing: bool,
}

pub(super) struct Shared {
    pub disk: Box<dyn Disk>,
    pub folder: PathBuf,
    pub segment_bytes: u64,
    pub state: Mutex<State>,
    /// The newest entry that the operating system has, for whoever does not need the lock to know.
    pub handed: AtomicU64,
    /// Tells the thread of the first unsynced entry, of somebody who waits, and of the end.
    pub work: Condvar,
    /// Tells whoever waits that the thread has taken what was written.
    pub room: Condvar,
    /// Rings where a segment has ended.
    pub turned: Notify,
    pub sealer: Option<Sealer>,
    /// Where segments go on to a bucket: how many bytes may wait for it, how many do, and which bucket.
    pub spool: Option<(u64, String)>,
    pub waiting: AtomicU64,
    pub progress: watch::Sender<Progress>,
    pub chain: SyncSender<Work>,
}

impl Shared {
    pub fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn down(&self) -> Option<LogDown> {
        self.progress.borrow().down.clone()
    }

    /// Why nothing more may be begun for now.
    pub fn full(&self) -> Option<LogDown> {
        let (most, bucket) = self.spool.as_ref()?;
        let waiting = self.waiting.load(Ordering::Acquire);
        (waiting > *most).then(|| LogDown::Full(format!("{waiting} bytes wait for {bucket}, and {most} may")))
    }

    /// Takes the log down for good; the first reason stays.
    pub fn fail(&self, what: &str, why: &dyn std::fmt::Display) -> LogDown {
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
    pub fn take(
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
        if fields.len() > LONGEST_WRITTEN && !entry.ends() {
            return Err(LogDown::TooLong(fields.len()));
        }
        let mut state = self.with_room(fields.len())?;
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

    /// The state, once so many bytes more may wait for their fsync: whoever writes more than the disk takes, waits for it.
    fn with_room(&self, bytes: usize) -> Result<MutexGuard<'_, State>, LogDown> {
        let mut state = self.locked();
        while !state.unchained.is_empty() && state.unchained.len() + state.lines.len() + bytes > UNSYNCED {
            if let Some(down) = self.down() {
                return Err(down);
            }
            state.wanted = state.wanted.max(state.written);
            self.work.notify_all();
            let (guard, waited) = self.room.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() {
                return Err(self.fail("write", &"the disk does not keep up: too much waits for its fsync"));
            }
        }
        Ok(state)
    }

    /// Hands all lines that wait to the operating system.
    pub fn write(&self, state: &mut State) -> io::Result<Position> {
        let mut lines = std::mem::take(&mut state.lines);
        if state.size > 0 && state.size + lines.len() as u64 > self.segment_bytes {
            self.rotate(state)?;
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
    pub fn rotate(&self, state: &mut State) -> io::Result<()> {
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
        // What a segment ended with while the thread was at its fsync has yet to go on to the chain.
        if synced == state.numbered && state.unchained.is_empty() && state.ended.is_empty() {
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
    pub fn keep_synced(&self) {
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
                    self.room.notify_all();
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

/// Takes the log down if the thread dies of a panic: nobody would fsync any more.
pub(super) struct Mourner<'a>(pub &'a Shared);

impl Drop for Mourner<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("fsync", &"its thread died");
        }
    }
}
