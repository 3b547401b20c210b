//! A log opened: locked, looked at, and only then touched.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, Condvar, Mutex, atomic::AtomicU64, mpsc::sync_channel},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    Handle, Log, Opened,
    shared::{Mourner, Progress, Shared, State},
};
use crate::log::{
    chain::{self, Chaining, Keeper, Recovered, Tell},
    disk::{Disk, RealDisk, sync_folder},
    segment::{self, Ending},
};

/// How often, and how far apart, a lock that somebody holds is tried at the start.
const LOCK_TRIES: u32 = 10;
const LOCK_AGAIN: Duration = Duration::from_millis(20);
/// So many batches of lines wait to be hashed; then the next fsync waits for them.
const UNHASHED: usize = 1024;
/// A segment that has reached this many bytes is followed by a new one.
const SEGMENT_BYTES: u64 = 64 << 20;

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

    pub(in crate::log) fn open_on(
        records: &Path,
        chaining: Chaining,
        disk: impl Fn() -> Box<dyn Disk>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let folder = segment::folder_of(records);
        let at = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
        make_folders(records, &folder).map_err(at)?;
        let lock = lock(&folder)?;
        super::super::pack::remove_drafts(&folder).map_err(at)?;
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
