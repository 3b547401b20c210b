//! Whatever is done to a log, the verifier says so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{Bad, Verifier, files, key::testing, note::split, verify, verify_and_read};
use crate::log::{
    Entry, Kind, Log,
    disk::RealDisk,
    read,
    testing::{chaining, open},
};

/// A deterministic source of chance (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// A segment, and a line of it.
type Numbered = (PathBuf, Vec<u8>);

type Edit = fn(&mut Vec<Numbered>);

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn statement(sql: &str) -> Entry {
    Entry { sql: Some(sql.into()), ..Entry::new(Kind::Statement) }
}

/// A log of three runs and many segments, ended in an orderly way, and what verifies it.
async fn log_of_some_runs(records: &Path) -> Verifier {
    let key = chaining(records).key.verifier();
    for run in 0..3 {
        let log = Log::open_on(records, chaining(records), || Box::new(RealDisk), 2200).unwrap();
        log.append(&Entry::new(Kind::Start)).unwrap();
        for n in 0..17 {
            let position = log.append(&statement(&format!("select {n} from run_{run}"))).unwrap();
            log.synced(position).await.unwrap();
        }
        log.append_durably(&Entry::new(Kind::Stop)).await.unwrap();
    }
    key
}

fn all_files(records: &Path) -> Files {
    let paths = fs::read_dir(records.join("log")).unwrap().map(|file| file.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[tokio::test]
async fn what_is_read_while_it_is_verified_is_what_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path();
    let key = log_of_some_runs(records).await;
    let mut taken = Vec::new();
    let mut take = |seq: u64, entry: &Entry| taken.push((seq, entry.clone()));
    let found = verify_and_read(&records.into(), &key, &[], |_| {}, Some(&mut take)).unwrap().unwrap();
    assert_eq!(found.newest.checkpoint.size, 57);
    assert_eq!(taken, read(records).map(Result::unwrap).collect::<Vec<_>>());
    // A segment that is exchanged once the reading is past it changes nothing that was taken.
    let first = records.join("log/00000001.jsonl");
    let (mut texts, mut done) = (Vec::new(), false);
    let forged = fs::read_to_string(&first).unwrap().replace("run_0", "run_9");
    let mut take = |seq: u64, entry: &Entry| {
        if seq > 40 && !done {
            fs::write(&first, &forged).unwrap();
            done = true;
        }
        texts.push(entry.sql.clone().unwrap_or_default());
    };
    verify_and_read(&records.into(), &key, &[], |_| {}, Some(&mut take)).unwrap().unwrap();
    assert!(done && !texts.iter().any(|text| text.contains("run_9")));
    let bad = verify_and_read(&records.into(), &key, &[], |_| {}, Some(&mut |_, _| {})).unwrap();
    assert!(bad.is_err());
}

#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    for name in ["checkpoint", "checkpoints", "leaves", "00000001.jsonl", "00000001.jsonl.zst"] {
        let folder = tempfile::tempdir().unwrap();
        let key = log_of_some_runs(folder.path()).await;
        let path = folder.path().join("log").join(name);
        fs::remove_file(path.with_file_name(name.trim_end_matches(".zst"))).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let said = verify(&folder.path().into(), &key, &[], |_| {}).unwrap_err();
        assert!(said.to_string().contains("it is no file"), "{name}: {said}");
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}

fn verdict(records: &Path, key: &Verifier) -> Result<u64, Bad> {
    let found = verify(&records.into(), key, &[], |_| {}).unwrap();
    found.map(|found| found.newest.checkpoint.size + found.unsigned)
}

/// Lines of all segments: which segment, and the line.
fn lines(files: &Files) -> Vec<Numbered> {
    let segments = files.iter().filter(|(path, _)| is_segment(path));
    let lines = segments.flat_map(|(path, bytes)| {
        bytes.split_inclusive(|byte| *byte == b'\n').map(|line| (path.clone(), line.to_vec()))
    });
    lines.collect()
}

fn joined(files: &Files, lines: &[Numbered]) -> Files {
    let mut changed: Files = files
        .iter()
        .map(|(path, bytes)| (path.clone(), if is_segment(path) { Vec::new() } else { bytes.clone() }))
        .collect();
    for (path, line) in lines {
        changed.get_mut(path).unwrap().extend_from_slice(line);
    }
    changed
}

/// Something that somebody does to the files.
fn mutate(files: &Files, chance: &mut Chance) -> (&'static str, Files) {
    let mut changed = files.clone();
    let mut lines = lines(files);
    let full: Vec<&PathBuf> =
        files.iter().filter(|(path, bytes)| is_segment(path) && !bytes.is_empty()).map(|(path, _)| path).collect();
    let one = full[chance.below(full.len())].clone();
    let beside: Vec<&PathBuf> = files
        .keys()
        .filter(|path| {
            let name = path.file_name().unwrap();
            name == "checkpoint" || name == "checkpoints" || name == "leaves"
        })
        .collect();
    let besides = beside[chance.below(beside.len())].clone();
    let what = match chance.below(12) {
        0 => {
            let bytes = changed.get_mut(&one).unwrap();
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
            "a bit of a segment flips"
        }
        1 => {
            lines.remove(chance.below(lines.len()));
            changed = joined(files, &lines);
            "a line goes"
        }
        2 => {
            let (a, b) = (chance.below(lines.len()), chance.below(lines.len() - 1));
            let b = if b >= a { b + 1 } else { b };
            let (first, second) = (lines[a].1.clone(), lines[b].1.clone());
            (lines[a].1, lines[b].1) = (second, first);
            changed = joined(files, &lines);
            "two lines change places"
        }
        3 => {
            let (from, to) = (chance.below(lines.len()), chance.below(lines.len()));
            let copy = (lines[to].0.clone(), lines[from].1.clone());
            lines.insert(to, copy);
            changed = joined(files, &lines);
            "a line comes again"
        }
        4 => {
            let bytes = changed.get_mut(&one).unwrap();
            let length = chance.below(bytes.len());
            bytes.truncate(length);
            "a segment is cut"
        }
        5 => {
            changed.remove(&one);
            "a segment goes"
        }
        6 => {
            let other = full.iter().find(|other| ***other != one && files[**other] != files[&one]).unwrap();
            let (a, b) = (files[&one].clone(), files[*other].clone());
            changed.insert(one, b);
            changed.insert((*other).clone(), a);
            "two segments change places"
        }
        7 => {
            let bytes = changed.get_mut(&besides).unwrap();
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
            "a bit beside the segments flips"
        }
        8 => {
            let bytes = changed.get_mut(&besides).unwrap();
            let mut length = chance.below(bytes.len());
            // Fewer of the older checkpoints are no lie.
            while split(&String::from_utf8_lossy(&bytes[..length])).1.is_empty() && !besides.ends_with("leaves") {
                length = chance.below(bytes.len());
            }
            bytes.truncate(length);
            "a file beside the segments is cut"
        }
        9 => {
            changed.remove(&besides);
            "a file beside the segments goes"
        }
        10 => {
            let at = chance.below(lines.len() + 1);
            let path = lines[at.saturating_sub(1)].0.clone();
            let forged = format!("{{\"seq\":{},\"time\":\"2026-11-24T00:00:00Z\",\"kind\":\"statement\"}}\n", at + 1);
            lines.insert(at, (path, forged.into_bytes()));
            changed = joined(files, &lines);
            "a line is forged"
        }
        _ => {
            let bytes = changed.get_mut(&one).unwrap();
            let at = chance.below(bytes.len());
            let new = u8::try_from(chance.below(255)).unwrap();
            bytes[at] = if new >= bytes[at] { new + 1 } else { new };
            "a byte is another"
        }
    };
    (what, changed)
}

/// Makes the folder hold `now`, given that it holds `before`.
fn put(before: &Files, now: &Files) {
    for path in before.keys().filter(|path| !now.contains_key(*path)) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in now.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes)) {
        fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_mutations_are_all_found() {
    let records = tempfile::tempdir().unwrap();
    let key = log_of_some_runs(records.path()).await;
    let good = all_files(records.path());
    assert_eq!(verdict(records.path(), &key), Ok(3 * 19));
    let mut chance = Chance(0x2026_1124_1847_0003);
    let mut kinds = BTreeMap::<&str, usize>::new();
    for round in 0..10_000 {
        let (what, changed) = mutate(&good, &mut chance);
        assert_ne!(changed, good, "{round}: {what}");
        put(&good, &changed);
        let verdict = verdict(records.path(), &key);
        assert!(verdict.is_err(), "round {round}: {what}, and nobody noticed: {verdict:?}");
        put(&changed, &good);
        *kinds.entry(what).or_default() += 1;
    }
    assert_eq!(kinds.len(), 12, "{kinds:?}");
    assert_eq!(verdict(records.path(), &key), Ok(3 * 19), "all is as it was");
}

#[tokio::test]
async fn the_first_bad_entry_is_named() {
    let records = tempfile::tempdir().unwrap();
    let key = log_of_some_runs(records.path()).await;
    let good = all_files(records.path());
    let changes: [(&str, Edit, &str); 5] = [
        ("a change", |lines| lines[29].1[60] ^= 1, "entry 30 was changed after it was signed"),
        ("a line that is gone", |lines| drop(lines.remove(29)), "entry 31 stands where entry 30 belongs"),
        ("a line that moved", |lines| lines[29].1 = lines[40].1.clone(), "entry 41 stands where entry 30 belongs"),
        ("a line twice", |lines| lines.insert(30, lines[29].clone()), "entry 30 stands where entry 31 belongs"),
        ("an end that is cut off", |lines| lines.truncate(50), "the log ends after entry 50, and checkpoint is of 57"),
    ];
    for (case, change, said) in changes {
        let mut lines = lines(&good);
        let at = lines[if case == "a line twice" { 30 } else { 29 }].clone();
        change(&mut lines);
        let changed = joined(&good, &lines);
        put(&good, &changed);
        let bad = verdict(records.path(), &key).unwrap_err();
        assert!(bad.what.contains(said), "{case}: {bad}");
        let place = bad.place.expect(case);
        if !case.contains("cut") {
            assert_eq!(place.segment.file_name(), at.0.file_name(), "{case}: {place}");
        }
        put(&changed, &good);
    }
}

#[tokio::test]
async fn a_fork_with_hashes_to_match_is_found_and_so_is_one_that_somebody_else_signed() {
    let records = tempfile::tempdir().unwrap();
    let key = log_of_some_runs(records.path()).await;
    let (first, whole) = (all_files(records.path()), verdict(records.path(), &key).unwrap());
    // The same entries but one, hashed by the log's own means and signed by another key.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(elsewhere.path().join("log")).unwrap();
    for (path, bytes) in first.iter().filter(|(path, _)| is_segment(path)) {
        let text = String::from_utf8(bytes.clone()).unwrap().replace("select 5 from run_1", "select 6 from run_1");
        fs::write(elsewhere.path().join("log").join(path.file_name().unwrap()), text).unwrap();
    }
    drop(open(elsewhere.path()).unwrap());
    let forged = all_files(elsewhere.path());
    let theirs = chaining(elsewhere.path()).key.verifier();
    assert_eq!(verdict(elsewhere.path(), &theirs), Ok(whole), "it is good in itself");
    let said = verdict(elsewhere.path(), &key).unwrap_err();
    assert!(said.what.contains("signed by another key"), "{said}");
    // The hashes of the fork, and the checkpoints of the log.
    for name in ["checkpoint", "checkpoints"] {
        fs::write(elsewhere.path().join("log").join(name), &first[&records.path().join("log").join(name)]).unwrap();
    }
    let said = verdict(elsewhere.path(), &key).unwrap_err();
    assert!(said.what.contains("are not those that checkpoints was signed for"), "{said}");
    drop(forged);
}

#[tokio::test]
async fn a_rollback_is_good_in_itself_and_shows_against_a_later_checkpoint() {
    let records = tempfile::tempdir().unwrap();
    let log = open(records.path()).unwrap();
    log.append(&statement("one")).unwrap();
    drop(log);
    let early = all_files(records.path());
    let key = chaining(records.path()).key.verifier();
    let first = super::newest(&records.path().into(), &key).unwrap().unwrap();
    let log = open(records.path()).unwrap();
    log.append(&statement("two")).unwrap();
    drop(log);
    let second = super::newest(&records.path().into(), &key).unwrap().unwrap();
    let good = verify(&records.path().into(), &key, &[first.clone(), second.clone()], |_| {}).unwrap().unwrap();
    assert_eq!((good.newest.checkpoint.size, good.unsigned), (2, 0));
    put(&all_files(records.path()), &early);
    assert_eq!(verdict(records.path(), &key), Ok(1), "nothing in it can tell");
    assert!(verify(&records.path().into(), &key, &[first], |_| {}).unwrap().is_ok());
    let said = verify(&records.path().into(), &key, std::slice::from_ref(&second), |_| {}).unwrap().unwrap_err();
    assert!(said.what.contains("the given checkpoint is of 2: its end was cut off"), "{said}");
    // It goes on from there with another entry: a fork.
    let log = open(records.path()).unwrap();
    log.append(&statement("another")).unwrap();
    drop(log);
    assert_eq!(verdict(records.path(), &key), Ok(2));
    let said = verify(&records.path().into(), &key, &[second], |_| {}).unwrap().unwrap_err();
    assert!(said.what.contains("the log was forked"), "{said}");
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_no_evidence_for_this_one() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = log_of_some_runs(one.path()).await;
    log_of_some_runs(two.path()).await;
    let theirs = testing::signer("countersign.dev/log/other").sign(1, [0; 32]);
    let said = verify(&one.path().into(), &key, &[theirs], |_| {}).unwrap().unwrap_err();
    assert!(said.what.contains("is of countersign.dev/log/other"), "{said}");
    assert!(files::checkpoint(&two.path().join("log")).exists());
}

#[tokio::test]
async fn what_is_newer_than_the_newest_checkpoint_is_counted_and_must_be_possible() {
    let records = tempfile::tempdir().unwrap();
    let key = log_of_some_runs(records.path()).await;
    let good = all_files(records.path());
    let last = good.keys().rfind(|path| is_segment(path)).unwrap().clone();
    let line =
        |seq: u64, kind: &str| format!("{{\"seq\":{seq},\"time\":\"2026-11-24T00:00:00Z\",\"kind\":\"{kind}\"}}\n");
    let table = [
        (line(58, "start"), Ok((1, false))),
        (line(58, "start") + &line(59, "login"), Ok((2, false))),
        (line(58, "start") + "{\"seq\":59,", Ok((1, true))),
        (line(58, "start") + &line(59, "login") + &line(60, "start"), Err("is a start, and those before it")),
        (line(58, "login"), Err("follows the gateway's stop, and is no start")),
        (line(59, "start"), Err("entry 59 stands where entry 58 belongs")),
        ("hello\n".to_owned(), Err("this is no entry")),
    ];
    for (more, expected) in table {
        let mut changed = good.clone();
        changed.get_mut(&last).unwrap().extend_from_slice(more.as_bytes());
        put(&good, &changed);
        if let Err(said) = expected
            && said.contains("start")
        {
            // Nor does the next start sign it.
            let refused = open(records.path()).map(drop).unwrap_err().to_string();
            assert!(refused.contains(said), "{more}: {refused}");
        }
        match (verify(&records.path().into(), &key, &[], |_| {}).unwrap(), expected) {
            (Ok(found), Ok(expected)) => assert_eq!((found.unsigned, found.torn), expected, "{more}"),
            (Err(bad), Err(said)) => assert!(bad.what.contains(said), "{more}: {bad}"),
            (found, _) => panic!("{more}: {found:?}"),
        }
        put(&changed, &good);
    }
}
