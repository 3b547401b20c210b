//! A disk that fails on demand.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use tokio::task::JoinSet;

use super::{
    Entry, Kind, Log, LogDown, Position,
    disk::{Disk, RealDisk, SegmentFile},
    read,
    testing::{chaining, open as open_log},
};

/// What the disk does, and what was asked of it.
#[derive(Default)]
struct Plan {
    /// Results of the next writes: an error, or at most so many bytes. Then all is well.
    writes: VecDeque<Result<usize, ErrorKind>>,
    /// Results of the next fsyncs. Then all is well.
    syncs: VecDeque<Result<(), ErrorKind>>,
    /// No fsync returns while this is set.
    gate: bool,
    /// No fsync of the log's own thread does.
    slow: bool,
    /// How many fsyncs have begun.
    begun: usize,
    /// What of the files beside the segments can't be written: `leaves`, `checkpoints`, `checkpoint`.
    broken: Option<&'static str>,
    /// `create 1`, `write 1`, `sync 1`, … in order.
    told: Vec<String>,
}

#[derive(Clone, Default)]
struct FaultyDisk(Arc<(Mutex<Plan>, Condvar)>);

struct FaultyFile {
    disk: FaultyDisk,
    name: String,
    file: Arc<dyn SegmentFile>,
}

/// A file beside the segments.
struct FaultyBeside {
    disk: FaultyDisk,
    name: String,
    file: Arc<dyn SegmentFile>,
}

impl SegmentFile for FaultyBeside {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.beside(&self.name)?;
        self.file.write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl FaultyDisk {
    fn beside(&self, name: &str) -> io::Result<()> {
        if self.plan().broken == Some(name) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.0.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan());
        self.0.1.notify_all();
    }

    /// Blocks until `when`; a thread of its own for those who are asynchronous.
    async fn until(&self, when: impl Fn(&Plan) -> bool + Send + 'static) {
        let disk = self.clone();
        let wait = move || drop(disk.0.1.wait_while(disk.plan(), |plan| !when(plan)).unwrap());
        tokio::task::spawn_blocking(wait).await.unwrap();
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let name = path.file_stem().unwrap().to_str().unwrap().trim_start_matches('0').to_owned();
        self.plan().told.push(format!("create {name}"));
        Ok(Arc::new(FaultyFile { disk: self.clone(), name, file: RealDisk.create(path)? }))
    }

    fn extend(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok(Arc::new(FaultyBeside { disk: self.clone(), name, file: RealDisk.extend(path)? }))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.beside(path.file_name().unwrap().to_str().unwrap())?;
        RealDisk.replace(path, bytes)
    }
}

impl SegmentFile for FaultyFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut plan = self.disk.plan();
        plan.told.push(format!("write {}", self.name));
        match plan.writes.pop_front() {
            Some(Err(kind)) => Err(kind.into()),
            Some(Ok(most)) => self.file.write(&bytes[..most.min(bytes.len())]),
            None => self.file.write(bytes),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut plan = self.disk.plan();
        plan.begun += 1;
        plan.told.push(format!("sync {}", self.name));
        self.disk.0.1.notify_all();
        let mut plan = self.disk.0.1.wait_while(plan, |plan| plan.gate || plan.slow && of_the_log()).unwrap();
        plan.syncs.pop_front().unwrap_or(Ok(()))?;
        drop(plan);
        self.file.sync()
    }
}

/// Whether this is the log's own thread.
fn of_the_log() -> bool {
    std::thread::current().name() == Some("log-fsync")
}

fn open(segment_bytes: u64) -> (tempfile::TempDir, FaultyDisk, Log) {
    let records = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let on = || -> Box<dyn Disk> { Box::new(disk.clone()) };
    let log = Log::open_on(records.path(), chaining(records.path()), on, segment_bytes).unwrap();
    (records, disk, log)
}

fn statement(sql: &str) -> Entry {
    Entry { sql: Some(sql.into()), ..Entry::new(Kind::Statement) }
}

fn sqls(records: &Path) -> Vec<String> {
    read(records).map_while(Result::ok).map(|(_, entry)| entry.sql.unwrap()).collect()
}

#[tokio::test]
async fn a_failed_write_takes_the_log_down_for_good() {
    for kind in [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::ReadOnlyFilesystem, ErrorKind::WriteZero] {
        let (records, disk, log) = open(1 << 20);
        log.append_durably(&statement("before")).await.unwrap();
        disk.change(|plan| plan.writes.push_back(Err(kind)));
        let said = log.append(&statement("refused")).unwrap_err();
        for _ in 0..3 {
            assert_eq!(
                log.append(&statement("after")).unwrap_err(),
                said,
                "{kind}: the disk works again, the log does not"
            );
        }
        assert_eq!(log.append_durably(&statement("after")).await.unwrap_err(), said);
        assert_eq!(log.down(), Some(said), "{kind}");
        drop(log);
        assert_eq!(sqls(records.path()), ["before"], "{kind}");
    }
}

#[tokio::test]
async fn a_disk_that_fills_within_an_entry_tears_only_that_entry() {
    let (records, disk, log) = open(1 << 20);
    log.append_durably(&statement("before")).await.unwrap();
    disk.change(|plan| plan.writes.extend([Ok(17), Err(ErrorKind::StorageFull)]));
    log.append(&statement("torn")).unwrap_err();
    drop(log);
    let log = open_log(records.path()).unwrap();
    assert_eq!(log.opened().cut, 17);
    log.append_durably(&statement("next")).await.unwrap();
    assert_eq!(sqls(records.path()), ["before", "next"]);
}

#[tokio::test]
async fn short_and_interrupted_writes_are_continued() {
    let (records, disk, log) = open(1 << 20);
    for sql in ["one", "two", "three"] {
        disk.change(|plan| plan.writes.extend([Ok(1), Err(ErrorKind::Interrupted), Ok(2), Ok(50)]));
        log.append(&statement(sql)).unwrap();
    }
    drop(log);
    assert_eq!(sqls(records.path()), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_failed_fsync_is_never_tried_again() {
    let (_records, disk, log) = open(1 << 20);
    log.append_durably(&statement("before")).await.unwrap();
    disk.change(|plan| {
        plan.gate = true;
        plan.syncs.push_back(Err(ErrorKind::Other));
    });
    let mut waiters = JoinSet::new();
    let positions: Vec<Position> = (0..50).map(|_| log.append(&statement("lost")).unwrap()).collect();
    for position in positions {
        let log = log.clone();
        waiters.spawn(async move { log.synced(position).await });
    }
    disk.until(|plan| plan.begun == 2).await;
    disk.change(|plan| plan.gate = false);
    let said = waiters.join_all().await;
    assert!(said.iter().all(Result::is_err), "everybody who waits is told: {said:?}");
    let begun = disk.plan().begun;
    log.append(&statement("after")).unwrap_err();
    log.append_durably(&statement("after")).await.unwrap_err();
    assert!(log.synced(Position(2)).await.is_err(), "and stays told");
    assert!(log.synced(Position(1)).await.is_ok(), "what was on the disk before is there");
    drop(log);
    assert_eq!((begun, disk.plan().begun), (2, 2), "the disk works again, and is not asked");
}

#[tokio::test]
async fn all_who_wait_share_one_fsync() {
    let (_records, disk, log) = open(1 << 20);
    disk.change(|plan| plan.gate = true);
    let first = tokio::spawn({
        let log = log.clone();
        async move { log.append_durably(&statement("first")).await }
    });
    disk.until(|plan| plan.begun == 1).await;
    // The fsync runs; entries go on being taken.
    let positions: Vec<Position> = (0..500).map(|_| log.append(&statement("more")).unwrap()).collect();
    let mut waiters = JoinSet::new();
    for position in positions {
        let log = log.clone();
        waiters.spawn(async move { log.synced(position).await });
    }
    disk.change(|plan| plan.gate = false);
    first.await.unwrap().unwrap();
    assert!(waiters.join_all().await.iter().all(Result::is_ok));
    assert_eq!(disk.plan().begun, 2, "one for the first, one for the five hundred");
    log.synced(Position(501)).await.unwrap();
    drop(log);
    assert_eq!(disk.plan().begun, 2, "none where there is nothing new");
}

#[tokio::test]
async fn an_fsync_that_began_before_an_entry_does_not_count_for_it() {
    let (_records, disk, log) = open(1 << 20);
    disk.change(|plan| {
        plan.gate = true;
        plan.syncs.extend([Ok(()), Err(ErrorKind::Other)]);
    });
    let first = log.append(&statement("first")).unwrap();
    disk.until(|plan| plan.begun == 1).await;
    let second = log.append(&statement("second")).unwrap();
    disk.change(|plan| plan.gate = false);
    log.synced(first).await.unwrap();
    log.synced(second).await.unwrap_err();
}

#[tokio::test]
async fn an_entry_for_which_nobody_waits_is_fsynced_too() {
    let (_records, disk, log) = open(1 << 20);
    log.append(&statement("read")).unwrap();
    disk.until(|plan| plan.begun == 1).await;
    drop(log);
}

#[tokio::test]
async fn the_last_to_leave_fsyncs() {
    let (records, disk, log) = open(1 << 20);
    for _ in 0..10 {
        log.append(&statement("read")).unwrap();
    }
    drop(log);
    assert_eq!(disk.plan().told.last().unwrap(), "sync 1");
    assert_eq!(sqls(records.path()).len(), 10);
}

#[tokio::test]
async fn a_full_segment_is_fsynced_before_the_next_is_made() {
    let (records, disk, log) = open(500);
    let long = "x".repeat(1000);
    for sql in ["a", "b", "c", "d", "e", "f", "g", &long, "h"] {
        log.append(&statement(sql)).unwrap();
    }
    drop(log);
    let told = disk.plan().told.clone();
    let mut created = 0;
    for (i, what) in told.iter().enumerate() {
        if let Some(number) = what.strip_prefix("create ").filter(|number| *number != "1") {
            let old: u64 = number.parse::<u64>().unwrap() - 1;
            let after = told[..i].iter().rev().take_while(|what| **what != format!("sync {old}"));
            assert!(after.clone().all(|what| !what.starts_with("write")), "segment {old}: {told:?}");
            created += 1;
        }
    }
    assert!(created >= 3, "{told:?}");
    let seqs: Vec<u64> = read(records.path()).map(|entry| entry.unwrap().0).collect();
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
    for file in std::fs::read_dir(records.path().join("log")).unwrap() {
        let path: PathBuf = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 500 || text.lines().count() == 1, "{}", path.display());
    }
}

#[tokio::test]
async fn a_failed_fsync_at_the_end_of_a_segment_takes_the_log_down() {
    let (_records, disk, log) = open(150);
    log.append_durably(&statement("fills it")).await.unwrap();
    disk.change(|plan| plan.syncs.push_back(Err(ErrorKind::Other)));
    log.append(&statement("over the edge")).unwrap_err();
    assert!(log.down().is_some());
    let after = disk.plan().told.len();
    log.append(&statement("after")).unwrap_err();
    drop(log);
    assert_eq!(disk.plan().told.len(), after, "nothing more is asked of the disk");
}

#[tokio::test]
async fn what_keeps_a_checkpoint_from_being_written_takes_the_log_down() {
    for broken in ["leaves", "checkpoint", "checkpoints"] {
        let (_records, disk, log) = open(400);
        log.append_durably(&statement("before")).await.unwrap();
        log.signed().await.unwrap();
        disk.change(|plan| plan.broken = Some(broken));
        for _ in 0..5 {
            // The older checkpoints get one where a segment ends.
            _ = log.append(&statement(&"long".repeat(50)));
        }
        let said = log.signed().await.unwrap_err();
        disk.change(|plan| plan.broken = None);
        assert_eq!(log.append(&statement("after")).unwrap_err(), said, "{broken}");
        assert_eq!(log.down(), Some(said), "{broken}");
    }
}

/// How often something fails in the next test; `COUNTERSIGN_FAULTS` says otherwise.
const FAULTS: u64 = 240;

#[tokio::test]
async fn whatever_fails_and_when_no_acknowledged_entry_is_lost_and_none_is_acknowledged_after() {
    let faults = std::env::var("COUNTERSIGN_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(FAULTS);
    let kinds = [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::QuotaExceeded, ErrorKind::TimedOut];
    let (mut failed, mut lost) = (0, 0);
    for fault in 0..faults {
        let records = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let kind = kinds[usize::try_from(fault % 4).unwrap()];
        // A write, a write that is cut short, an fsync, or a file beside; sooner or later.
        let (how, after) = (fault / 4 % 4, usize::try_from(fault / 16 % 15).unwrap());
        let log = Log::open_on(records.path(), chaining(records.path()), || Box::new(disk.clone()), 900).unwrap();
        disk.change(|plan| match how {
            0 => plan.writes = std::iter::repeat_n(Ok(usize::MAX), after).chain([Err(kind)]).collect(),
            1 => plan.writes = std::iter::repeat_n(Ok(usize::MAX), after).chain([Ok(7), Err(kind)]).collect(),
            2 => plan.syncs = std::iter::repeat_n(Ok(()), after).chain([Err(kind)]).collect(),
            _ => plan.broken = Some(["leaves", "checkpoints", "checkpoint"][after % 3]),
        });
        let mut acknowledged = Vec::new();
        let mut down = false;
        for n in 0..20 {
            let sql = format!("select {n}");
            let done = log.append_durably(&Entry { sql: Some(sql.clone()), ..Entry::new(Kind::Statement) }).await;
            assert!(!(down && done.is_ok()), "fault {fault}: it is never retried into silence");
            match done {
                Ok(()) => acknowledged.push(sql),
                Err(_) => down = true,
            }
        }
        failed += u64::from(down);
        drop(log);
        let log = open_log(records.path()).unwrap_or_else(|error| panic!("fault {fault}: {error}"));
        lost += u64::from(log.opened().cut > 0);
        drop(log);
        let there: Vec<String> = read(records.path()).map(|entry| entry.unwrap().1.sql.unwrap()).collect();
        assert!(there.starts_with(&acknowledged), "fault {fault}: {acknowledged:?} in {there:?}");
        if there.is_empty() {
            // Nothing was ever signed.
            continue;
        }
        let key = chaining(records.path()).key.verifier();
        let found = super::chain::verify(&records.path().into(), &key, &[], |_| {}).unwrap();
        assert_eq!(found.unwrap().unsigned, 0, "fault {fault}");
    }
    assert!(failed > faults / 2 && lost > 0, "{failed}, {lost}");
}

#[tokio::test]
async fn whoever_writes_more_than_the_disk_takes_waits_and_one_entry_too_long_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(folder.path()).unwrap();
    let long = |bytes: usize| Entry { sql: Some("x".repeat(bytes)), ..Entry::new(Kind::Statement) };
    for _ in 0..20 {
        log.append(&long(300 << 10)).unwrap();
    }
    assert!(matches!(log.append(&long(9 << 20)), Err(LogDown::TooLong(_))));
    log.append_durably(&long(2 << 20)).await.unwrap();
    assert_eq!(log.down(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_ends_while_its_last_entries_are_fsynced_is_signed_without_waiting_for_more() {
    let (_records, disk, log) = open(1 << 20);
    log.append(&statement("the first is signed at once")).unwrap();
    log.turned_over().await.unwrap();
    disk.change(|plan| plan.slow = true);
    let begun = disk.plan().begun;
    log.append(&statement("the last for long")).unwrap();
    disk.until(move |plan| plan.begun == begun + 1).await;
    let turned = tokio::spawn({
        let log = log.clone();
        async move { log.turned_over().await }
    });
    // It has the log to itself until the new segment is there.
    disk.until(move |plan| plan.begun == begun + 2).await;
    disk.change(|plan| plan.slow = false);
    let turned = tokio::time::timeout(Duration::from_secs(10), turned).await.expect("nothing more need come");
    turned.unwrap().unwrap();
}
