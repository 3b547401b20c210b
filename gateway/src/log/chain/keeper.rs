//! The thread that hashes what is on the disk, and signs.
//!
//! It is told of entries once they are fsynced, so that no checkpoint vouches for what a power cut takes away. It
//! signs at once, then at most once in an interval, at the end of a segment, and at the end. Nobody waits for
//! it: what a statement costs is the copy of its line. But what it can't write takes the log down as
//! any other failure does.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    files::Kept,
    key::Signer,
    note::Signed,
    recover::Recovered,
    tree::{LEAF, Tree, prefixed_leaf},
};
use crate::log::disk::Disk;

/// A checkpoint is kept among the older ones where the last one that was is so old, or so many entries ago.
const LASTING_AFTER: Duration = Duration::from_secs(300);
const LASTING_ENTRIES: u64 = 10_000;

/// What the thread is told.
pub(in crate::log) enum Work {
    /// Lines that are on the disk, and where among them segments have ended, in bytes.
    Lines { lines: Vec<u8>, ended: Vec<usize> },
    /// Somebody waits for a checkpoint of so many entries.
    Sign(u64),
    /// The log is closed.
    End,
}

/// The thread's own.
pub(in crate::log) struct Keeper {
    signer: Signer,
    tree: Tree,
    kept: Kept,
    disk: Box<dyn Disk>,
    every: Duration,
    /// Hashes that are not in `leaves`.
    leaves: Vec<u8>,
    /// The size of the newest checkpoint.
    signed: u64,
    at: Option<Instant>,
    /// The size that somebody waits for.
    wanted: u64,
    /// The same of the newest that is kept among the older ones.
    lasting: (u64, Option<Instant>),
    told: watch::Sender<Tell>,
}

/// What the thread tells.
#[derive(Clone, Debug, Default)]
pub(in crate::log) struct Tell {
    /// The newest checkpoint.
    pub newest: Option<Signed>,
    /// The size of the newest that is among the older ones.
    pub lasting: u64,
}

type Failed = (&'static str, std::io::Error);

impl Keeper {
    /// Goes on from what was found, and signs it.
    pub fn begin(
        recovered: Recovered,
        kept: Kept,
        disk: Box<dyn Disk>,
        every: Duration,
        told: watch::Sender<Tell>,
    ) -> std::io::Result<Self> {
        let Recovered { signer, tree, newest, .. } = recovered;
        let signed = newest.as_ref().map_or(0, |newest| newest.checkpoint.size);
        let lasting = kept.lasting();
        told.send_replace(Tell { newest, lasting });
        let lasting = (lasting, None);
        let mut keeper =
            Self { signer, tree, kept, disk, every, leaves: Vec::new(), signed, at: None, wanted: 0, lasting, told };
        keeper.sign(true).map_err(|(_, why)| why)?;
        Ok(keeper)
    }

    /// Works until it is told to end; `down`: the log is, and nothing more is written. What can't be written.
    pub fn run(&mut self, work: &Receiver<Work>, down: impl Fn() -> bool) -> Result<(), Failed> {
        loop {
            let next = match self.due() {
                None => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => work.recv_timeout(wait),
            };
            if down() {
                return Ok(());
            }
            match next {
                Ok(Work::Lines { lines, ended }) => {
                    // At each end of a segment exactly: what is carried away whole has a checkpoint of its own.
                    let mut from = 0;
                    for end in ended {
                        self.hash(lines.get(from..end).unwrap_or_default());
                        self.sign(true)?;
                        from = end;
                    }
                    self.hash(lines.get(from..).unwrap_or_default());
                }
                Ok(Work::Sign(size)) => self.wanted = self.wanted.max(size),
                Err(RecvTimeoutError::Timeout) => self.sign(false)?,
                Ok(Work::End) | Err(RecvTimeoutError::Disconnected) => return self.sign(true),
            }
        }
    }

    /// How long until it signs, where there is something to sign.
    fn due(&self) -> Option<Duration> {
        let news = self.tree.size() > self.signed;
        let at = self.at.filter(|_| self.wanted <= self.signed);
        news.then(|| at.map_or(Duration::ZERO, |at| self.every.saturating_sub(at.elapsed())))
    }

    fn hash(&mut self, lines: &[u8]) {
        let mut leaf = Vec::with_capacity(1024);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            leaf.clear();
            leaf.push(LEAF);
            leaf.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            let hash = prefixed_leaf(&leaf);
            self.leaves.extend_from_slice(&hash);
            self.tree.push(hash);
        }
    }

    /// Signs what is new. The hashes first: they may say more than a checkpoint, never less.
    fn sign(&mut self, lasting: bool) -> Result<(), Failed> {
        let size = self.tree.size();
        let lasting = lasting
            || size >= self.lasting.0 + LASTING_ENTRIES
            || self.lasting.1.is_none_or(|at| at.elapsed() >= LASTING_AFTER);
        if size == self.signed && !(lasting && size > self.lasting.0) {
            return Ok(());
        }
        self.kept.add_leaves(&self.leaves).map_err(|why| ("write the hashes", why))?;
        self.leaves.clear();
        let signed = self.signer.sign(size, self.tree.root());
        self.kept.put(&*self.disk, &signed, lasting).map_err(|why| ("write a checkpoint", why))?;
        self.signed = size;
        self.at = Some(Instant::now());
        if lasting {
            self.lasting = (size, self.at);
        }
        self.told.send_replace(Tell { newest: Some(signed), lasting: self.lasting.0 });
        Ok(())
    }
}
