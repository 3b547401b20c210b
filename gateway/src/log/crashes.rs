//! What a crash leaves behind, and what somebody who edits a segment does.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Entry, Kind, ReadError, read, testing::open as open_log};

fn statement(sql: &str) -> Entry {
    Entry { sql: Some(sql.into()), ..Entry::new(Kind::Statement) }
}

fn written(records: &Path, sqls: &[&str]) {
    let log = open_log(records).unwrap();
    for sql in sqls {
        log.append(&statement(sql)).unwrap();
    }
}

fn segment(records: &Path, number: u64) -> PathBuf {
    records.join(format!("log/{number:08}.jsonl"))
}

fn entries(records: &Path) -> Vec<(u64, String)> {
    read(records).map(|entry| entry.unwrap()).map(|(seq, entry)| (seq, entry.sql.unwrap())).collect()
}

#[test]
fn an_entry_comes_back_as_it_was_written() {
    let records = tempfile::tempdir().unwrap();
    let entry = Entry {
        session: Some("ABCD1234".parse().unwrap()),
        principal: Some("ana@acme.dev".into()),
        request: Some("K7Q2".parse().unwrap()),
        outcome: Some("hold".into()),
        detail: serde_json::json!({ "parameters": ["1", null], "count": u64::MAX, "seq": 7 }),
        ..statement("select 'ü\u{202e}'")
    };
    let log = open_log(records.path()).unwrap();
    log.append(&entry).unwrap();
    log.append(&Entry::new(Kind::Stop)).unwrap();
    drop(log);
    let read: Vec<_> = read(records.path()).map(Result::unwrap).collect();
    assert_eq!(read[0], (1, entry));
    assert_eq!((read.len(), read[1].0, read[1].1.kind), (2, 2, Kind::Stop));
}

#[test]
fn no_text_breaks_out_of_its_line() {
    let records = tempfile::tempdir().unwrap();
    let hostile: String =
        (0..=0x9f).map(|c| char::from_u32(c).unwrap()).chain("\u{2028}\"}\n{\"seq\":9".chars()).collect();
    let entry = Entry {
        principal: Some(hostile.clone()),
        outcome: Some(hostile.clone()),
        detail: serde_json::json!({ hostile.clone(): hostile.clone() }),
        ..statement(&hostile)
    };
    let log = open_log(records.path()).unwrap();
    log.append(&entry).unwrap();
    log.append(&entry).unwrap();
    drop(log);
    let bytes = fs::read(segment(records.path(), 1)).unwrap();
    let controls: Vec<u8> = bytes.iter().copied().filter(|b| *b < 0x20).collect();
    assert_eq!(controls, b"\n\n", "two lines, and no other control character");
    assert_eq!(read(records.path()).map(|entry| entry.unwrap().1).collect::<Vec<_>>(), [entry.clone(), entry]);
}

#[test]
fn each_start_goes_on_in_a_new_segment_for_its_owner_alone() {
    let records = tempfile::tempdir().unwrap();
    let records = records.path().join("made/on/demand");
    written(&records, &["a", "b"]);
    written(&records, &[]);
    written(&records, &["c"]);
    assert_eq!(entries(&records), [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
    for number in 1..=3 {
        let mode = fs::metadata(segment(&records, number)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "segment {number}");
    }
    assert_eq!(fs::metadata(records.join("log")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn one_folder_has_one_writer() {
    let records = tempfile::tempdir().unwrap();
    let log = open_log(records.path()).unwrap();
    let second = open_log(records.path()).err().unwrap();
    assert_eq!(second.kind(), ErrorKind::ResourceBusy);
    assert!(second.to_string().contains("another gateway writes this log"), "{second}");
    let clone = log.clone();
    drop(log);
    assert!(open_log(records.path()).is_err(), "a clone is still there");
    drop(clone);
    open_log(records.path()).unwrap();
}

#[test]
fn a_crash_at_any_byte_of_the_last_entry_costs_only_that_entry() {
    let records = tempfile::tempdir().unwrap();
    written(records.path(), &["first", "second", "last ü"]);
    let whole = fs::read(segment(records.path(), 1)).unwrap();
    let end = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for length in end..whole.len() {
        let records = tempfile::tempdir().unwrap();
        written(records.path(), &[]);
        fs::write(segment(records.path(), 1), &whole[..length]).unwrap();
        let torn = (length - end) as u64;
        if torn > 0 {
            let last = read(records.path()).last().unwrap();
            assert!(matches!(last, Err(ReadError::Torn { line: 3, .. })), "{length}: {last:?}");
        }
        let log = open_log(records.path()).unwrap();
        assert_eq!(log.opened().cut, torn, "{length}");
        log.append(&statement("next")).unwrap();
        drop(log);
        let expected = [(1, "first".to_owned()), (2, "second".to_owned()), (3, "next".to_owned())];
        assert_eq!(entries(records.path()), expected, "{length}");
        let aside = fs::read(segment(records.path(), 1).with_extension("torn")).unwrap_or_default();
        assert_eq!(aside, whole[end..length], "what was cut is kept");
    }
}

#[test]
fn garbage_behind_the_last_entry_is_cut_too() {
    for garbage in ["\0\0\0\0", "\0\0\n", "{\"seq\":3}\n", "{\"seq\":3,\n\0\0"] {
        let records = tempfile::tempdir().unwrap();
        written(records.path(), &["a", "b"]);
        let path = segment(records.path(), 1);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(garbage.as_bytes()).unwrap();
        let log = open_log(records.path()).unwrap();
        assert_eq!(log.opened().cut, garbage.len() as u64, "{garbage:?}");
        drop(log);
        assert_eq!(entries(records.path()).len(), 2, "{garbage:?}");
    }
}

/// What somebody does to the lines of a segment.
type Edit = fn(&mut Vec<String>);

#[test]
fn a_log_that_no_crash_can_have_left_is_not_written_on() {
    let table: [(&str, Edit, u64); 4] = [
        ("a broken line", |lines| lines[1] = "{}".into(), 2),
        ("a line that is gone", |lines| drop(lines.remove(1)), 2),
        ("two lines that changed places", |lines| lines.swap(0, 1), 2),
        ("a line twice", |lines| lines.insert(1, lines[0].clone()), 2),
    ];
    for (case, edit, line) in table {
        let records = tempfile::tempdir().unwrap();
        written(records.path(), &["a", "b", "c"]);
        let path = segment(records.path(), 1);
        let mut lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(ToOwned::to_owned).collect();
        edit(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let edited = fs::read(&path).unwrap();
        let said = open_log(records.path()).err().expect(case).to_string();
        assert!(said.contains(&format!("line {line} is damaged")), "{case}: {said}");
        assert_eq!(fs::read(&path).unwrap(), edited, "{case}: the evidence stays as it is");
        let first = read(records.path()).find_map(Result::err).expect(case);
        assert!(matches!(first, ReadError::Damaged { .. }), "{case}: {first}");
    }
}

#[test]
fn an_old_segment_is_never_cut() {
    let records = tempfile::tempdir().unwrap();
    written(records.path(), &["a", "b"]);
    written(records.path(), &[]);
    let path = segment(records.path(), 1);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let said = open_log(records.path()).err().unwrap().to_string();
    assert!(said.contains("a later segment follows"), "{said}");
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len() - 5);
}

#[test]
fn a_folder_without_a_log_says_so() {
    let records = tempfile::tempdir().unwrap();
    assert!(matches!(read(records.path()).next(), Some(Err(ReadError::Io { .. }))));
}

const VICTIM: &str = "COUNTERSIGN_TEST_VICTIM";

#[test]
fn a_gateway_that_is_killed_loses_no_entry_that_it_handed_over() {
    for rounds in [1_u64, 50, 700] {
        let records = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::crashes::writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(VICTIM, records.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(victim.stdout.take().unwrap()).lines();
        let newest = |line: String| line.rsplit("handed over ").next().and_then(|n| n.trim().parse::<u64>().ok());
        let mut acknowledged = 0;
        while acknowledged < rounds {
            acknowledged = newest(said.next().unwrap().unwrap()).unwrap_or(acknowledged);
        }
        // SIGKILL, in the middle of its writing.
        victim.kill().unwrap();
        let rest = said.map_while(Result::ok).filter_map(newest).max();
        victim.wait().unwrap();
        let log = open_log(records.path()).unwrap();
        drop(log);
        let kept = entries(records.path());
        let acknowledged = rest.unwrap_or(acknowledged);
        assert!(kept.len() as u64 >= acknowledged, "{} of {acknowledged} kept", kept.len());
    }
}

/// Not a test by itself: the process that the one above kills.
#[test]
fn writes_until_it_is_killed() {
    let Some(records) = std::env::var_os(VICTIM) else { return };
    let log = open_log(Path::new(&records)).unwrap();
    loop {
        let position = log.append(&statement(&"x".repeat(3000))).unwrap();
        writeln!(std::io::stdout(), "handed over {}", position.0).unwrap();
    }
}
