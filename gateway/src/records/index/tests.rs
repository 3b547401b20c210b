//! An index finds what reading everything finds, whatever became of it and of the log.

use std::{collections::HashMap, fs, path::Path};

use chrono::{TimeDelta, Utc};
use countersign_shared::secret::Secret;
use serde_json::json;

use super::Index;
use crate::{
    log::{
        Entry, Kind, Log, ReadError, Records,
        chain::Chaining,
        pack,
        seal::{Opener, Sealer},
        testing::{chaining, open_in_small},
    },
    records::{
        find::Search,
        search::{self, search},
        sessions::Sessions,
    },
};

const SMALL: u64 = 6000;
const SESSIONS: [&str; 3] = ["AAAA1111", "BBBB2222", "CCCC3333"];

/// The `n`th entry of a working day.
fn entry(n: u64) -> Entry {
    let session = (n % 3) as usize;
    let mut entry = Entry::new(match n % 11 {
        0 => Kind::Login,
        1 | 3 | 5 | 7 => Kind::Statement,
        9 => Kind::Denied,
        10 => Kind::Logout,
        _ => Kind::Outcome,
    });
    entry.time = "2026-11-24T09:00:00Z".parse::<chrono::DateTime<Utc>>().unwrap() + TimeDelta::seconds(n as i64);
    entry.session = Some(SESSIONS[session].parse().unwrap());
    entry.principal = Some(["ana@acme.dev", "ben@acme.dev", "Zoë@acme.dev"][session].into());
    entry.connection = Some(["shop", "wiki", "shop"][session].into());
    if matches!(entry.kind, Kind::Statement | Kind::Denied) {
        let table = ["orders", "products", "customers"][(n / 7 % 3) as usize];
        let action = if n.is_multiple_of(13) { "delete" } else { "select" };
        entry.sql = Some(format!("{action} from {table} where id = {}", n * 7919 % 100_000));
        entry.detail =
            json!({ "effects": [format!("{action} Table::\"shop/public.{table}\"")], "parameters": [n.to_string()] });
        entry.outcome = Some("allow".into());
    } else {
        entry.outcome = Some(if n.is_multiple_of(17) { "42501 permission denied" } else { "SELECT 1" }.into());
    }
    entry
}

fn writes(log: &Log, numbers: std::ops::Range<u64>) {
    numbers.for_each(|n| {
        log.append(&entry(n)).unwrap();
    });
}

fn packs(log: &Log) {
    log.closed().unwrap().into_iter().for_each(|number| {
        pack(log.folder(), number).unwrap();
    });
}

fn found(records: &Records, index: Option<&Index>, words: &str) -> (Vec<u64>, usize) {
    let asked = Search::parse(words, Utc::now()).unwrap();
    let mut all = Vec::new();
    let told = search(records, index, &asked, |seq, entry| {
        assert!(asked.fits(entry));
        all.push(seq);
        true
    });
    (all, told.unwrap().without_index)
}

const SEARCHES: [&str; 16] = [
    "table:orders action:delete by:ana",
    "by:ben kind:denied",
    "by:ZOË@acme.dev table:public.customers",
    "session:bbbb2222 -kind:outcome",
    "on:wiki since:2026-11-24T09:03:00Z until:2026-11-24T09:04:00Z",
    "sql:\"where id = 79\"",
    "outcome:denied",
    "text:\"parameters\\\":[\\\"77\"",
    "CUSTOMERS action:delete",
    "kind:login",
    "-kind:statement -kind:outcome",
    "sql:fr",
    "by:nobody",
    "sql:nowhere",
    "since:2026-11-24T09:08:20Z",
    "",
];

/// Every search finds by the index what it finds without, and how many segments that took.
fn agree(records: &Records, index: &Index, case: &str) -> usize {
    let mut without_index = 0;
    for words in SEARCHES {
        let (expected, _) = found(records, None, words);
        let (all, without) = found(records, Some(index), words);
        assert_eq!(all, expected, "{case}: {words}");
        without_index = without;
    }
    let mut sessions = Sessions::default();
    search(records, None, &Search::default(), |_, entry| {
        sessions.take(entry);
        true
    })
    .unwrap();
    assert_eq!(search::sessions(records, Some(index)).unwrap(), sessions.into_all(), "{case}");
    for id in SESSIONS {
        let by = |index| search::of_session(records, index, id).unwrap();
        assert_eq!(by(Some(index)), by(None), "{case}: {id}");
    }
    without_index
}

#[test]
fn an_index_finds_what_reading_everything_finds() {
    let folder = tempfile::tempdir().unwrap();
    let records: Records = folder.path().into();
    let index = Index::beside(&records).unwrap();
    let log = open_in_small(folder.path(), chaining(folder.path()), SMALL);
    writes(&log, 0..200);
    assert!(agree(&records, &index, "no index yet") > 4);
    let first = index.update(&records, None, |_, _| ()).unwrap();
    assert!(first.made == 1 && first.entries > 150, "{first:?}");
    assert_eq!(agree(&records, &index, "all but the newest segment"), 1);
    for (search, many) in [("table:orders action:delete by:ana", 10), ("by:nobody", 0)] {
        let asked = Search::parse(search, Utc::now()).unwrap();
        let told = search_told(&records, &index, &asked);
        assert!(told <= many, "{search} looked at {told} entries");
    }
    writes(&log, 200..500);
    packs(&log);
    assert!(agree(&records, &index, "it grew, and is packed") > 1);
    let second = index.update(&records, None, |_, _| ()).unwrap();
    assert_eq!((second.made, agree(&records, &index, "up to date")), (1, 1));
    assert_eq!(index.update(&records, None, |_, _| ()).unwrap().made, 0);
    drop(log);
    writes(&open_in_small(folder.path(), chaining(folder.path()), SMALL), 500..520);
    index.update(&records, None, |_, _| ()).unwrap();
    agree(&records, &index, "after a restart");
    index.delete().unwrap();
    assert_eq!(fs::read_dir(index.folder()).unwrap().count(), 0);
    let again = index.update(&records, None, |_, _| ()).unwrap();
    assert_eq!((again.parts, agree(&records, &index, "made anew")), (1, 1));
}

fn search_told(records: &Records, index: &Index, asked: &Search) -> u64 {
    search(records, Some(index), asked, |_, _| true).unwrap().looked_at
}

fn indexed(folder: &Path) -> (Records, Index) {
    let records: Records = folder.into();
    let log = open_in_small(folder, chaining(folder), SMALL);
    writes(&log, 0..120);
    drop(log);
    let index = Index::beside(&records).unwrap();
    index.update(&records, None, |_, _| ()).unwrap();
    (records, index)
}

#[test]
fn a_damaged_index_hides_nothing_and_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (records, index) = indexed(folder.path());
    let path = fs::read_dir(index.folder()).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(good.len() / 40) {
        let mut bad = good.clone();
        bad[at] ^= 0x21;
        fs::write(&path, &bad).unwrap();
        agree(&records, &index, &format!("byte {at} of {}", good.len()));
    }
    for length in [0, 7, 30, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        agree(&records, &index, &format!("{length} bytes of {}", good.len()));
    }
    index.update(&records, None, |_, _| ()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn an_index_of_another_log_is_not_believed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, theirs) = indexed(one.path());
    let (records, index) = indexed(other.path());
    let name = |index: &Index| fs::read_dir(index.folder()).unwrap().next().unwrap().unwrap().path();
    fs::copy(name(&theirs), name(&index)).unwrap();
    assert!(agree(&records, &index, "theirs") > 1);
    let now = index.update(&records, None, |_, _| ()).unwrap();
    assert_eq!((now.made, agree(&records, &index, "made anew")), (1, 1));
}

#[test]
fn an_entry_that_was_changed_is_no_hit_and_ends_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let (records, index) = indexed(folder.path());
    let segment = folder.path().join("log/00000001.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    let changed = text.replacen("ben@acme.dev", "bob@acme.dev", 1);
    assert_ne!(changed, text);
    fs::write(&segment, changed).unwrap();
    for by in [Some(&index), None] {
        let asked = Search::parse(if by.is_some() { "by:ben" } else { "by:bob" }, Utc::now()).unwrap();
        let said = search(&records, by, &asked, |_, _| true).unwrap_err();
        assert!(matches!(said, ReadError::Changed { .. }), "{said}");
    }
    let moved = text.replacen("{\"seq\":", "{ \"seq\":", 1);
    fs::write(&segment, moved).unwrap();
    let asked = Search::parse("kind:denied", Utc::now()).unwrap();
    let said = search(&records, Some(&index), &asked, |_, _| true).unwrap_err().to_string();
    assert!(said.contains("entry "), "{said}");
}

#[test]
fn what_is_sealed_is_in_no_index_and_found_by_who_can_read_it() {
    let secrets = HashMap::from([("shop".to_owned(), Secret::new([7; 32]))]);
    let grams = |sql: &str| {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(folder.path(), secrets.clone());
        let log = open_in_small(folder.path(), Chaining { sealer, ..chaining(folder.path()) }, SMALL);
        for n in 0..120 {
            let mut entry = entry(n);
            if entry.connection.as_deref() == Some("shop") && entry.sql.is_some() {
                entry.sql = Some(sql.to_owned());
                entry.detail["parameters"] = json!([sql]);
            }
            log.append(&entry).unwrap();
        }
        drop(log);
        let records: Records = folder.path().into();
        let index = Index::beside(&records).unwrap();
        index.update(&records, None, |_, _| ()).unwrap();
        let words = format!("sql:\"{sql}\" kind:statement on:shop");
        assert!(found(&records, Some(&index), &words).0.is_empty(), "nobody reads it without the secret");
        let opened = records.clone().opened(Opener::new(folder.path(), secrets.clone()));
        let (all, _) = found(&opened, Some(&index), &words);
        assert!(all.len() > 20 && all == found(&opened, None, &words).0, "{all:?}");
        assert!(found(&opened, Some(&index), "by:ana table:orders").0.len() > 3, "what is in clear is found by it");
        agree(&opened, &index, "with the secret");
        let parts = index.parts(&crate::log::Lookup::begin(&records).unwrap()).unwrap().0;
        let mut terms = Vec::new();
        parts.iter().for_each(|part| part.terms(|term, _| terms.push(term.to_owned())).unwrap());
        (terms, parts.iter().map(|part| part.all_grams().unwrap()).collect::<Vec<_>>())
    };
    let (one, other) = (grams("select 'a secret of theirs'"), grams("update cafe set vat='x-471'"));
    assert_eq!(one, other, "an index has nothing of what was sealed");
}
