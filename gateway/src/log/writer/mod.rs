//! The one writer.
//!
//! `append` numbers an entry and hands its line to the operating system, under one lock.
//! `append_together` numbers it, and shares the writing with whoever comes at the same time;
//! `append_later` leaves that to the next of them, or to the thread that fsyncs. An error is final. After a failed fsync
//! nobody can know what is on the disk (the kernel may have dropped the pages), so it is never tried again. What is on the
//! disk goes on to the [chain](super::chain), which hashes and signs it in a thread of its own.
//!
//! | file | job |
//! |---|---|
//! | here | what whoever writes calls |
//! | `opening` | what is there at a start, looked at before anything is touched |
//! | `shared` | what all clones and the thread share: the lines that wait, the segment, how far the disk is |

mod opening;
mod shared;

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::watch;

use self::shared::Shared;
use super::{
    LogDown,
    chain::{Checkpoint, Signed, Tell, Work},
    entry::Record,
    segment,
};

/// No more bytes than this wait for the next `append`.
const LINES_KEPT: usize = 32 << 10;

/// How far an entry reaches; handed to [`Log::synced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The one writer. Cheap to clone; when the last clone is dropped, what was written is fsynced.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

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

    /// Hands `entry` to the operating system with the next one, or in a moment.
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
