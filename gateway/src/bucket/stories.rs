//! The log on its way to a bucket that does well, badly, and nothing.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    BucketConfig,
    client::{Bucket, BucketError},
    custody::Custody,
    probe::{Tried, probe},
    stand_in::{Manner, StandIn},
};
use crate::log::{
    Entry, Kind, Log, LogDown, Records,
    chain::{Chaining, verify},
    read,
    testing::chaining,
};

fn statement(sql: &str) -> Entry {
    Entry { sql: Some(sql.into()), ..Entry::new(Kind::Statement) }
}

/// A log whose segments go on to a bucket in which `spool` bytes may wait.
fn open(records: &Path, spool: u64) -> Log {
    let spool = Some((spool, "s3://audit/prod".to_owned()));
    Log::open(records, Chaining { spool, ..chaining(records) }).unwrap()
}

fn custody(log: &Log, bucket: &StandIn) -> Custody {
    let mut custody = of(log, &bucket.config(), false);
    custody.begin().unwrap();
    custody
}

fn of(log: &Log, config: &BucketConfig, proven: bool) -> Custody {
    let key = chaining(log.folder().parent().unwrap()).key.verifier();
    Custody::new(log.clone(), None, Some(Arc::new(Bucket::new(config).unwrap())), key, proven)
}

#[tokio::test]
async fn only_a_bucket_that_keeps_a_lock_is_believed() {
    let table = [
        (Manner::Keeps, None),
        (Manner::NeverDeletes, None),
        (Manner::Vanishes, Some("let it be deleted")),
        (Manner::Redirects, Some("307")),
        (Manner::OnlySays, Some("let it be deleted")),
        (Manner::Forgets, Some("taken without its lock")),
        (Manner::Weakens, Some("its lock is GOVERNANCE until")),
        (Manner::Unversioned, Some("turn on versioning")),
        (Manner::Refuses, Some("AccessDenied")),
        (Manner::Away, Some("does not answer")),
    ];
    for (manner, expected) in table {
        let bucket = StandIn::start(manner).await;
        let said = probe(&Bucket::new(&bucket.config()).unwrap()).await;
        match expected {
            None => assert_eq!(matches!(said.unwrap(), Tried::Held), manner == Manner::Keeps, "{manner:?}"),
            Some(expected) => {
                let said = said.unwrap_err();
                assert!(said.to_string().contains(expected), "{manner:?}: {said}");
                let away = matches!(said, BucketError::Away(..));
                assert_eq!(away, manner == Manner::Away, "{said}");
                assert!(!said.to_string().contains("hunter2"), "{said}");
            }
        }
        let signed = bucket.inside().authorizations.clone();
        for header in signed.iter().filter(|header| header.contains("x-amz-object-lock")) {
            assert!(header.contains("x-amz-object-lock-mode;x-amz-object-lock-retain-until-date"), "{header}");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_away() {
    let bucket = StandIn::start(Manner::Keeps).await;
    let mut config = bucket.config();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.endpoint = Some(format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap());
    drop(nobody);
    let said = probe(&Bucket::new(&config).unwrap()).await.unwrap_err();
    assert!(matches!(said, BucketError::Away(..)), "{said}");
}

#[tokio::test]
async fn what_is_in_the_bucket_verifies_by_itself_and_reads_as_here() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    let log = open(folder.path(), 1 << 20);
    let mut custody = custody(&log, &bucket);
    for round in 0..3 {
        for n in 0..5 {
            log.append(&statement(&format!("select {n} from round_{round}"))).unwrap();
        }
        custody.round().await.unwrap();
    }
    // Nothing new: nothing is sent.
    let puts = bucket.inside().puts.len();
    custody.round().await.unwrap();
    assert_eq!(bucket.inside().puts.len(), puts);

    let key = chaining(folder.path()).key.verifier();
    let config = bucket.config();
    let here: Vec<_> = read(folder.path()).map(Result::unwrap).collect();
    let again = config.clone();
    let (found, there) = tokio::task::spawn_blocking(move || {
        let records = Records::from(again);
        let found = verify(&records, &key, &[], |_| {}).unwrap();
        (found, read(records).map(Result::unwrap).collect::<Vec<_>>())
    })
    .await
    .unwrap();
    let found = found.unwrap();
    assert_eq!((found.newest.checkpoint.size, found.unsigned, found.checkpoints), (15, 0, 4));
    assert_eq!(there, here);

    // Somebody who can write there anyway: the segment is named by the checkpoints around it.
    let other = bucket.object("prod/log/00000001.jsonl.zst").unwrap();
    let text = zstd::decode_all(&other[..]).unwrap();
    let forged = String::from_utf8(text).unwrap().replace("select 3 from round_0", "select 4 from round_0");
    bucket.replace("prod/log/00000001.jsonl.zst", zstd::encode_all(forged.as_bytes(), 3).unwrap().leak());
    let key = chaining(folder.path()).key.verifier();
    let bad = tokio::task::spawn_blocking(move || verify(&Records::from(config), &key, &[], |_| {}).unwrap());
    let bad = bad.await.unwrap().unwrap_err();
    assert!(bad.to_string().contains("entries 1 to 5 are not those"), "{bad}");
}

#[tokio::test]
async fn while_the_bucket_is_away_the_log_waits_and_where_it_is_full_only_what_ends_something_passes() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Away).await;
    let log = open(folder.path(), 4000);
    let mut custody = custody(&log, &bucket);
    let mut taken = 0;
    let full = loop {
        match log.append(&statement("select 1 from a_table_with_a_long_name")) {
            Ok(_) => taken += 1,
            Err(full) => break full,
        }
    };
    assert!(matches!(full, LogDown::Full(_)), "{full}");
    assert!(full.to_string().contains("wait for s3://audit/prod, and 4000 may"), "{full}");
    assert_eq!(log.down(), Some(full));
    log.append(&Entry::new(Kind::Outcome)).expect("what has begun is told to its end");
    assert!(custody.round().await.unwrap_err().to_string().contains("does not answer"));

    // Packed, it takes less room, and so there is some.
    assert_eq!(log.down(), None);
    // It comes back, and takes all of it.
    bucket.inside().manner = Manner::Keeps;
    custody.round().await.unwrap();
    log.append(&statement("select 2")).unwrap();
    custody.round().await.unwrap();
    let config = bucket.config();
    let there = tokio::task::spawn_blocking(move || read(Records::from(config)).map(Result::unwrap).count());
    assert_eq!(there.await.unwrap(), taken + 2);
}

/// The clock of all that waits is the test's own; the log and the bucket are real.
#[tokio::test]
async fn a_bucket_that_is_away_for_an_hour_gets_everything_in_order_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    let spool = 60_000;
    let (mut log, mut written) = (open(folder.path(), spool), Vec::new());
    let mut writes = |log: &Log| {
        let sql = format!("select {}", written.len());
        let taken = log.append(&statement(&sql)).map(|_| written.push(sql));
        (taken, written.len() as u64)
    };
    let mut keeping = custody(&log, &bucket);
    writes(&log).0.unwrap();
    keeping.round().await.unwrap();

    bucket.inside().manner = Manner::Away;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for _ in 0..2 {
        let works = async {
            for _ in 0..30 {
                (0..5).for_each(|_| writes(&log).0.expect("there is room for an hour's work"));
                let sent_away = bucket.inside().sent_away;
                tokio::time::advance(Duration::from_secs(60)).await;
                // It is tried again and again.
                while bucket.inside().sent_away == sent_away {
                    tokio::time::advance(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::select! {
            () = keeping.run() => panic!("it gave up"),
            () = works => {}
        }
        // The gateway dies meanwhile, and another one goes on.
        drop((keeping, log));
        log = open(folder.path(), spool);
        keeping = custody(&log, &bucket);
    }
    assert!(began.elapsed() >= Duration::from_secs(3600));
    tokio::time::resume();

    // An hour more of work in a moment, and it is full: nothing new begins.
    let full = loop {
        if let (Err(full), _) = writes(&log) {
            break full;
        }
    };
    assert!(matches!(full, LogDown::Full(_)), "{full}");
    bucket.inside().manner = Manner::Keeps;
    let (config, key) = (bucket.config(), chaining(folder.path()).key.verifier());
    let all_there = async {
        let entries = loop {
            // Passes as soon as there is room.
            if let (Ok(()), entries) = writes(&log) {
                break entries;
            }
            tokio::task::yield_now().await;
        };
        let size =
            |note: bytes::Bytes| String::from_utf8_lossy(&note).lines().nth(1).and_then(|size| size.parse().ok());
        while bucket.object("prod/log/checkpoint").and_then(size) != Some(entries) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = keeping.run() => panic!("it gave up"),
        () = all_there => {}
        () = tokio::time::sleep(Duration::from_secs(45)) => panic!("it is not all there"),
    }
    let (found, there) = tokio::task::spawn_blocking(move || {
        let records = Records::from(config);
        let found = verify(&records, &key, &[], |_| {}).unwrap();
        (found, read(records).map(|entry| entry.unwrap().1.sql.unwrap()).collect::<Vec<_>>())
    })
    .await
    .unwrap();
    assert_eq!(there, written);
    assert_eq!(found.unwrap().newest.checkpoint.size, written.len() as u64);
}

#[tokio::test]
async fn a_gateway_that_was_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    for run in 0..3 {
        let log = open(folder.path(), 1 << 20);
        let mut custody = custody(&log, &bucket);
        log.append_durably(&statement(&format!("select {run}"))).await.unwrap();
        if run != 1 {
            custody.round().await.unwrap();
        }
    }
    let config = bucket.config();
    let there = tokio::task::spawn_blocking(move || {
        read(Records::from(config)).map(|entry| entry.unwrap().1.sql.unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(there.await.unwrap(), ["select 0", "select 1", "select 2"]);
    let puts = bucket.inside().puts.clone();
    let of = |name: &str| puts.iter().filter(|put| put.ends_with(name)).count();
    assert_eq!((of("00000001.jsonl.zst"), of("00000001.note")), (1, 1), "once: {puts:?}");
}

#[tokio::test]
async fn what_is_cut_or_not_locked_is_not_taken_for_kept() {
    for manner in [Manner::Cuts, Manner::Forgets, Manner::Weakens] {
        let folder = tempfile::tempdir().unwrap();
        let bucket = StandIn::start(Manner::Keeps).await;
        let log = open(folder.path(), 1 << 20);
        let mut custody = custody(&log, &bucket);
        log.append(&statement("select 0")).unwrap();
        custody.round().await.unwrap();
        log.append(&statement("select 1")).unwrap();
        bucket.inside().manner = manner;
        let said = custody.round().await.unwrap_err().to_string();
        assert!(said.contains("are kept of") || said.contains("lock"), "{manner:?}: {said}");
        assert!(custody.round().await.is_err(), "{manner:?}: nor the next time");
    }
}

#[tokio::test]
async fn two_logs_do_not_share_a_prefix() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = StandIn::start(Manner::Keeps).await;
    for (folder, taken) in [(one.path(), true), (two.path(), false)] {
        let log = open(folder, 1 << 20);
        let mut custody = custody(&log, &bucket);
        log.append(&statement("select 1")).unwrap();
        let said = custody.round().await;
        assert_eq!(said.is_ok(), taken, "{said:?}");
        assert!(taken || said.unwrap_err().to_string().contains("does not count"), "{}", folder.display());
        assert_eq!(log.down().is_none(), taken, "who goes on beside another log has no evidence");
    }
}

#[tokio::test]
async fn what_the_bucket_has_makes_room_and_is_read_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    let mut config = bucket.config();
    config.spool = 1000;
    for run in 0..2 {
        let log = open(folder.path(), 1 << 20);
        let mut custody = of(&log, &config, true);
        custody.begin().unwrap();
        for n in 0..10 {
            log.append_durably(&statement(&format!("select {n} from run_{run}"))).await.unwrap();
            custody.round().await.unwrap();
        }
    }
    let here = std::fs::read_dir(folder.path().join("log")).unwrap().map(|file| file.unwrap().file_name());
    let here = here.filter(|name| name.to_string_lossy().contains(".jsonl")).count();
    assert!(here < 8, "{here} segments stay");
    let key = chaining(folder.path()).key.verifier();
    let records = Records::spooled(folder.path().to_owned(), Some(config));
    let (found, there) = tokio::task::spawn_blocking(move || {
        let found = verify(&records, &key, &[], |_| {}).unwrap();
        (found, read(records).map(Result::unwrap).count())
    })
    .await
    .unwrap();
    assert_eq!((found.unwrap().newest.checkpoint.size, there), (20, 20));
}

#[tokio::test]
async fn the_task_works_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    let log = open(folder.path(), 1 << 20);
    let mut custody = custody(&log, &bucket);
    log.append(&statement("select 1")).unwrap();
    let there = async {
        while bucket.object("prod/log/checkpoint").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = custody.run() => panic!("it ended"),
        () = there => {}
        () = tokio::time::sleep(Duration::from_secs(45)) => panic!("nothing came"),
    }
}

/// A log of `entries`, and a copy of its folder from after the first `early` of them.
async fn with_an_early_copy(folder: &Path, early_copy: &Path, bucket: &StandIn) {
    for (run, count) in [(0, 3), (1, 5)] {
        let log = open(folder, 1 << 20);
        let mut custody = custody(&log, bucket);
        for n in 0..count {
            log.append_durably(&statement(&format!("select {n} from run_{run}"))).await.unwrap();
        }
        custody.round().await.unwrap();
        drop((custody, log));
        if run == 0 {
            copy(folder, early_copy);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_spool_put_back_from_an_older_copy_forks_nothing_though_the_bucket_was_away_at_its_start() {
    let (folder, early) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = StandIn::start(Manner::Keeps).await;
    with_an_early_copy(folder.path(), early.path(), &bucket).await;
    let newest = bucket.object("prod/log/checkpoint").unwrap();
    // So that the numbers of segments don't meet those in the bucket.
    std::fs::write(early.path().join("log/00000099.jsonl"), "").unwrap();
    let log = open(early.path(), 1 << 20);
    let mut custody = custody(&log, &bucket);
    log.append_durably(&statement("select 'a fork'")).await.unwrap();
    let said = custody.round().await.unwrap_err().to_string();
    assert!(said.contains("it has 8 entries of this log, and there are 4: this one was rolled back"), "{said}");
    assert!(matches!(log.down(), Some(LogDown::Broken(_))), "nothing passes");
    assert!(custody.round().await.is_err(), "nor the next time");
    assert_eq!(bucket.object("prod/log/checkpoint").unwrap(), newest);
    assert!(bucket.object("prod/log/00000100.jsonl.zst").is_none());

    // The same, and so many entries that it looks longer.
    drop((custody, log));
    let log = open(early.path(), 1 << 20);
    for _ in 0..9 {
        log.append_durably(&statement("select 'a fork'")).await.unwrap();
    }
    let said = self::custody(&log, &bucket).round().await.unwrap_err().to_string();
    assert!(said.contains("its first 8 entries are others than those here"), "{said}");
    assert!(matches!(log.down(), Some(LogDown::Broken(_))));
    assert_eq!(bucket.object("prod/log/checkpoint").unwrap(), newest);
}

#[tokio::test]
async fn whoever_verifies_a_spool_with_its_bucket_is_told_that_it_was_put_back() {
    let (folder, early) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = StandIn::start(Manner::Keeps).await;
    with_an_early_copy(folder.path(), early.path(), &bucket).await;
    let (config, key) = (bucket.config(), chaining(folder.path()).key.verifier());
    let of = |folder: &Path| Records::spooled(folder.to_owned(), Some(config.clone()));
    let (good, bad) = (of(folder.path()), of(early.path()));
    let (good, bad) = tokio::task::spawn_blocking(move || {
        (verify(&good, &key, &[], |_| {}).unwrap(), verify(&bad, &key, &[], |_| {}).unwrap())
    })
    .await
    .unwrap();
    assert_eq!(good.unwrap().newest.checkpoint.size, 8);
    let bad = bad.unwrap_err().to_string();
    assert!(bad.contains("it is of 3 entries, and the bucket has 8: it was rolled back"), "{bad}");
}

#[tokio::test]
async fn a_round_that_is_cut_short_leaves_a_bucket_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    with_an_early_copy(folder.path(), tempfile::tempdir().unwrap().path(), &bucket).await;
    // As where a gateway dies between a note and the checkpoint, or somebody writes an older one over it.
    let first = bucket.object("prod/log/00000001.note").unwrap();
    bucket.replace("prod/log/checkpoint", first.to_vec().leak());
    let (config, key) = (bucket.config(), chaining(folder.path()).key.verifier());
    let found = tokio::task::spawn_blocking(move || verify(&Records::from(config), &key, &[], |_| {}).unwrap());
    assert_eq!(found.await.unwrap().unwrap().newest.checkpoint.size, 8);
}

#[tokio::test]
async fn a_start_with_a_full_spool_comes_to_pass_and_sends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = StandIn::start(Manner::Keeps).await;
    with_an_early_copy(folder.path(), tempfile::tempdir().unwrap().path(), &bucket).await;
    let tries = bucket.inside().tries.len();
    bucket.inside().manner = Manner::Away;
    // Nothing waits: the bucket has all of it, though this spool is smaller than what is kept here.
    let log = open(folder.path(), 10);
    let mut custody = custody(&log, &bucket);
    assert_eq!(log.down(), None);
    log.append_durably(&statement("select 'which fills it'")).await.unwrap();
    assert!(matches!(log.down(), Some(LogDown::Full(_))));
    drop((custody, log));

    let log = open(folder.path(), 10);
    custody = self::custody(&log, &bucket);
    assert!(matches!(log.down(), Some(LogDown::Full(_))), "what the bucket has not, waits");
    for kind in [Kind::Start, Kind::Load, Kind::Retention, Kind::Audit] {
        log.append_durably(&Entry::new(kind)).await.expect("it lets nobody do anything");
    }
    assert!(log.append(&statement("select 1")).is_err());
    bucket.inside().manner = Manner::Keeps;
    custody.round().await.unwrap();
    assert_eq!(log.down(), None);
    let sent = bucket.inside().tries.split_off(tries);
    let known = ["00000001.jsonl.zst", "00000001.note", "00000003.jsonl.zst", "00000003.note"];
    assert!(!sent.iter().any(|put| known.iter().any(|name| put.ends_with(name))), "{sent:?}");
    assert!(sent.iter().any(|put| put.ends_with("00000005.jsonl.zst")), "{sent:?}");
}
