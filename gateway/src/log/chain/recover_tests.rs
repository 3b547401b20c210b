//! What a log is at a start, and when there is no start.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Known, LogKey, Signed, Verifier, newest, verify};
use crate::log::{
    Entry, Kind, Log,
    chain::Chaining,
    testing::{chaining, open},
};

fn statement(sql: &str) -> Entry {
    Entry { sql: Some(sql.into()), ..Entry::new(Kind::Statement) }
}

fn written(records: &Path, sqls: &[&str]) -> Verifier {
    let log = open(records).unwrap();
    for sql in sqls {
        log.append(&statement(sql)).unwrap();
    }
    drop(log);
    chaining(records).key.verifier()
}

fn good(records: &Path, key: &Verifier) -> (u64, u64) {
    let found = verify(&records.into(), key, &[], |_| {}).unwrap().unwrap();
    (found.newest.checkpoint.size, found.unsigned)
}

fn beside(records: &Path, name: &str) -> PathBuf {
    records.join("log").join(name)
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    for file in fs::read_dir(from.join("log")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("log").join(file.file_name())).unwrap();
    }
    fs::copy(from.join("test.key"), to.join("test.key")).unwrap();
}

fn known(records: &Path, signed: &Signed) -> Known {
    let origin = signed.checkpoint.origin.clone();
    Known { origin, records: fs::canonicalize(records).unwrap(), note: signed.note.clone() }
}

fn open_knowing(records: &Path, known: Known) -> std::io::Result<Log> {
    Log::open(records, Chaining { known: vec![known], ..chaining(records) })
}

#[tokio::test]
async fn a_log_goes_on_from_what_is_on_the_disk() {
    let records = tempfile::tempdir().unwrap();
    let key = written(records.path(), &["a", "b"]);
    assert_eq!(good(records.path(), &key), (2, 0));
    // It signs the first, then nothing for an hour.
    let log =
        Log::open(records.path(), Chaining { every: Duration::from_secs(3600), ..chaining(records.path()) }).unwrap();
    log.append_durably(&statement("c")).await.unwrap();
    log.signed().await.unwrap();
    for sql in ["d", "e", "f"] {
        log.append_durably(&statement(sql)).await.unwrap();
    }
    // As a power cut leaves it.
    let after = tempfile::tempdir().unwrap();
    copied(records.path(), after.path());
    drop(log);
    assert_eq!(good(after.path(), &key), (3, 3), "what is newer is not vouched for");
    let log = open(after.path()).unwrap();
    assert_eq!((log.opened().entries, log.opened().unsigned), (6, 3));
    drop(log);
    assert_eq!(good(after.path(), &key), (6, 0));
}

#[tokio::test]
async fn entries_from_before_logs_were_signed_are_signed_as_they_are_found() {
    let records = tempfile::tempdir().unwrap();
    let key = written(records.path(), &["a", "b", "c"]);
    for name in ["checkpoint", "checkpoints", "leaves", "log.vkey"] {
        fs::remove_file(beside(records.path(), name)).unwrap();
    }
    let log = open(records.path()).unwrap();
    assert_eq!((log.opened().entries, log.opened().unsigned), (3, 3));
    log.append(&statement("d")).unwrap();
    drop(log);
    assert_eq!(good(records.path(), &key), (4, 0));
}

#[test]
fn hashes_that_are_lost_or_damaged_are_made_anew() {
    let damages: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, [7; 32 * 3]).unwrap(),
        |path| fs::write(path, [7; 33]).unwrap(),
    ];
    for damage in damages {
        let records = tempfile::tempdir().unwrap();
        let key = written(records.path(), &["a", "b", "c"]);
        damage(&beside(records.path(), "leaves"));
        assert!(verify(&records.path().into(), &key, &[], |_| {}).unwrap().is_err());
        written(records.path(), &["d"]);
        assert_eq!(good(records.path(), &key), (4, 0));
    }
}

#[test]
fn what_is_not_what_was_signed_stops_the_start_and_stays_as_it_is() {
    type Edit = fn(&Path);
    let table: [(Edit, &str); 6] = [
        (
            |records| {
                let path = beside(records, "00000001.jsonl");
                let text = fs::read_to_string(&path).unwrap().replace("\"b\"", "\"B\"");
                fs::write(&path, text).unwrap();
            },
            "line 2: entry 2 was changed after it was signed",
        ),
        (
            |records| {
                let path = beside(records, "00000001.jsonl");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
            },
            "says 3 entries, and there are 2: the log was cut off",
        ),
        (
            |records| {
                let path = beside(records, "00000001.jsonl");
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
            },
            "says 3 entries, and there are 2: the log was cut off",
        ),
        (|records| fs::remove_file(beside(records, "checkpoint")).unwrap(), "its newest checkpoint is gone"),
        (|records| fs::remove_file(records.join("test.key")).unwrap(), "it is signed by another key"),
        (
            |records| {
                let path = beside(records, "checkpoint");
                let note = fs::read_to_string(&path).unwrap().replacen("\n3\n", "\n2\n", 1);
                fs::write(&path, note).unwrap();
            },
            "its signature is wrong",
        ),
    ];
    for (change, said) in table {
        let records = tempfile::tempdir().unwrap();
        written(records.path(), &["a", "b", "c"]);
        change(records.path());
        let before = fs::read(beside(records.path(), "00000001.jsonl")).unwrap();
        let refused = open(records.path()).err().expect(said).to_string();
        assert!(refused.contains(said), "{said}: {refused}");
        assert_eq!(fs::read(beside(records.path(), "00000001.jsonl")).unwrap(), before, "the evidence stays as it is");
    }
}

#[test]
fn a_folder_that_is_rolled_back_is_noticed_by_what_the_state_knows() {
    let records = tempfile::tempdir().unwrap();
    let key = written(records.path(), &["a"]);
    let early = tempfile::tempdir().unwrap();
    copied(records.path(), early.path());
    written(records.path(), &["b"]);
    let state = known(records.path(), &newest(&records.path().into(), &key).unwrap().unwrap());
    drop(open_knowing(records.path(), state.clone()).unwrap());
    // Put back.
    let refused = open_knowing(early.path(), state.clone()).err().unwrap().to_string();
    assert!(refused.contains("the checkpoint in the state says 2 entries, and there are 1"), "{refused}");
    // Put back, and written on without the state.
    written(early.path(), &["c", "d"]);
    let refused = open_knowing(early.path(), state.clone()).err().unwrap().to_string();
    assert!(refused.contains("the checkpoint in the state is of other entries"), "{refused}");
    // Emptied.
    fs::remove_dir_all(records.path().join("log")).unwrap();
    let refused = open_knowing(records.path(), state.clone()).err().unwrap().to_string();
    assert!(refused.contains("the state knows a log of 2 entries here"), "{refused}");
    // Another folder is another log, which says what was before it.
    let fresh = tempfile::tempdir().unwrap();
    fs::copy(records.path().join("test.key"), fresh.path().join("test.key")).unwrap();
    let log = open_knowing(fresh.path(), state.clone()).unwrap();
    assert_eq!(log.opened().follows.as_ref().map(|before| before.size), Some(2));
    assert_ne!(log.opened().origin, state.origin);
}

#[test]
fn a_state_that_lies_is_not_believed() {
    let records = tempfile::tempdir().unwrap();
    let key = written(records.path(), &["a", "b"]);
    let mut state = known(records.path(), &newest(&records.path().into(), &key).unwrap().unwrap());
    state.note = state.note.replacen("\n2\n", "\n1\n", 1);
    let refused = open_knowing(records.path(), state).err().unwrap().to_string();
    assert!(refused.contains("does not count"), "{refused}");
}

#[tokio::test]
async fn a_checkpoint_vouches_for_what_is_on_the_disk_and_is_newer_with_each_entry() {
    let records = tempfile::tempdir().unwrap();
    let log = open(records.path()).unwrap();
    assert!(log.checkpoints().newest().is_none(), "nothing to vouch for");
    for size in 1..=50 {
        log.append(&statement("x")).unwrap();
        assert_eq!(log.signed().await.unwrap().checkpoint.size, size);
    }
    let key: LogKey = chaining(records.path()).key;
    assert_eq!(good(records.path(), &key.verifier()), (50, 0));
}
