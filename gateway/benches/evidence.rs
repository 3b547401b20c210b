//! The log at size: appended, opened, verified, indexed and searched, with what each takes. `make evidence`.
//!
//! `ENTRIES` (10,000,000) of a month's work of fifty people on three databases: nearly all are pgbench's selects and their
//! outcomes. `FOLDER` (a temporary one below the target folder) gets about 310 bytes for each.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it measures, and prints what it has measured")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_gateway::{
    log::{
        Entry, Kind, Line, Log, Of, Records, Which,
        chain::{Chaining, LogKey, verify},
        pack,
    },
    records::{
        find::Search,
        index::Index,
        search::{self, search},
    },
};
use countersign_shared::ids::SessionId;
use serde::Serialize;

/// Of each session.
const STATEMENTS: u64 = 500;
/// One in so many is a write to a table of the shop's.
const WRITES: u64 = 1000;
const TABLES: [&str; 6] = ["orders", "products", "customers", "invoices", "carts", "stock"];
const ROUNDS: usize = 5;

#[derive(Serialize)]
struct Detail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effects: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<u64>,
}

fn chaining(folder: &Path) -> Chaining {
    let key = LogKey::load_or_create(&folder.join("bench.key")).unwrap();
    let every = Duration::from_secs(1);
    Chaining { key, every, known: Vec::new(), sealer: None, in_bucket: None, spool: None }
}

fn append(folder: &Path, entries: u64) -> (Duration, Duration) {
    let log = Log::open(folder, chaining(folder)).unwrap();
    let (began, end) = (Instant::now(), Utc::now());
    let month = TimeDelta::days(30).num_milliseconds();
    let at = |n: u64| end - TimeDelta::milliseconds(month - (n as i128 * month as i128 / entries as i128) as i64);
    let mut of: Option<(Entry, Of)> = None;
    let mut n = 0;
    while n < entries {
        let session = n / (2 * STATEMENTS + 2);
        let place = n % (2 * STATEMENTS + 2);
        let time = at(n);
        let (whole, own) = of.get_or_insert_with(|| {
            let mut entry = Entry::new(Kind::Login);
            entry.session = Some(SessionId::random());
            entry.principal = Some(format!("person{:02}@acme.dev", session % 50));
            entry.connection = Some(["shop", "billing", "wiki"][(session % 3) as usize].into());
            let of = Of::from(&entry);
            (entry, of)
        });
        if place == 0 || place == 2 * STATEMENTS + 1 {
            let kind = if place == 0 { Kind::Login } else { Kind::Logout };
            log.append(&Entry { time, kind, outcome: Some("fine".into()), ..whole.clone() }).unwrap();
            if place > 0 {
                of = None;
            }
            n += 1;
            continue;
        }
        let (sql, effect, tag) = statement(n);
        let connection = whole.connection.as_deref().unwrap_or_default();
        let effect = effect.replace("shop", connection);
        let detail = Detail { effects: Some([&effect]), milliseconds: None };
        let line =
            Line { time, kind: Which::Statement, of: own, request: None, sql: Some(&sql), outcome: "allow", detail };
        log.append(&line).unwrap();
        let detail = Detail { effects: None, milliseconds: Some(0) };
        let time = at(n + 1);
        let line = Line { time, kind: Which::Outcome, of: own, request: None, sql: None, outcome: tag, detail };
        log.append_later(&line).unwrap();
        n += 2;
    }
    let appended = began.elapsed();
    drop(log);
    (appended, began.elapsed())
}

fn statement(n: u64) -> (String, String, &'static str) {
    let id = n.wrapping_mul(2_654_435_761) % 1_000_000;
    if n % WRITES < 2 {
        let table = TABLES[(n / WRITES % 6) as usize];
        let (action, sql) = match n / WRITES % 5 {
            0 => ("delete", format!("delete from {table} where id = {id}")),
            _ => ("update", format!("update {table} set note = 'n{id}' where id = {id}")),
        };
        return (sql, format!("{action} Table::\"shop/public.{table}\""), "UPDATE 1");
    }
    let sql = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {id};");
    (sql, "select Table::\"shop/public.pgbench_accounts\"".to_owned(), "SELECT 1")
}

fn said(what: &str, took: Duration, more: &str) {
    println!("{what:<58} {:>9.3} s  {more}", took.as_secs_f64());
}

/// The median of some rounds.
fn median(mut once: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            once();
            began.elapsed()
        })
        .collect();
    all.sort();
    all[ROUNDS / 2]
}

fn bytes_in(folder: &Path, ends: &str) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let of = files.filter(|file| file.file_name().to_str().unwrap().ends_with(ends));
    of.map(|file| file.metadata().unwrap().len()).sum()
}

fn verified(folder: &Path) -> Duration {
    let key = chaining(folder).key.verifier();
    median(|| {
        verify(&folder.into(), &key, &[], |_| {}).unwrap().unwrap();
    })
}

fn searches(records: &Records, index: Option<&Index>, rounds: bool) {
    let day = |before: i64| (Utc::now() - TimeDelta::days(before)).format("%Y-%m-%d").to_string();
    let now: DateTime<Utc> = Utc::now();
    // The 31st write is a delete from orders.
    let id = statement(30 * WRITES + 1).0;
    let table = [
        "table:orders action:delete since:7d".to_owned(),
        "table:orders action:delete by:person29".to_owned(),
        "by:person07 action:update on:shop".to_owned(),
        format!("sql:\"{id}\""),
        "n123456".to_owned(),
        "by:nobody".to_owned(),
        format!("kind:login since:{} until:{}", day(10), day(9)),
        "kind:login".to_owned(),
        "sql:\"delete from\"".to_owned(),
    ];
    for words in table {
        let asked = Search::parse(&words, now).unwrap();
        let (mut hits, mut told) = (0_u64, search::Told::default());
        let mut once = || {
            hits = 0;
            told = search(records, index, &asked, |_, _| {
                hits += 1;
                true
            })
            .unwrap();
        };
        let took = if rounds {
            median(once)
        } else {
            let began = Instant::now();
            once();
            began.elapsed()
        };
        said(&format!("search {words}"), took, &format!("{hits} found, {} looked at", told.looked_at));
        if !rounds {
            break;
        }
    }
}

fn main() {
    let given = |name: &str| std::env::var(name).ok();
    let entries = given("ENTRIES").and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let own = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = given("FOLDER").map_or_else(|| own.path().to_owned(), PathBuf::from);
    let log = folder.join("log");
    let records: Records = folder.clone().into();

    if !log.exists() {
        let (appended, whole) = append(&folder, entries);
        let each = |took: Duration| took.as_secs_f64() * 1e6 / entries as f64;
        said(&format!("append {entries} entries"), appended, &format!("{:.2} µs each", each(appended)));
        said("until all is on the disk and signed", whole, &format!("{:.2} µs each", each(whole)));
    }
    let (segments, leaves) = (bytes_in(&log, ".jsonl"), bytes_in(&log, "leaves"));
    println!("{segments} bytes of segments, {leaves} of leaves");
    let took = verified(&folder);
    said("verify", took, &format!("{:.0} MB/s", segments as f64 / took.as_secs_f64() / 1e6));
    let began = Instant::now();
    drop(Log::open(&folder, chaining(&folder)).unwrap());
    said("open again", began.elapsed(), "");

    let index = Index::beside(&records).unwrap();
    index.delete().unwrap();
    let began = Instant::now();
    let made = index.update(&records, None, |_, _| ()).unwrap();
    let share = 100.0 * made.bytes as f64 / made.log as f64;
    let more = format!("{} parts, {} bytes, {share:.1} % of the log, {} entries", made.parts, made.bytes, made.entries);
    said("index", began.elapsed(), &more);
    searches(&records, Some(&index), true);
    let took = median(|| {
        search::sessions(&records, Some(&index)).unwrap();
    });
    let all = search::sessions(&records, Some(&index)).unwrap();
    said("list all sessions", took, &format!("{} sessions", all.len()));
    let one = &all[all.len() / 2].id;
    let took = median(|| {
        search::of_session(&records, Some(&index), one.as_str()).unwrap();
    });
    said("one session's entries", took, "");
    println!("without an index:");
    searches(&records, None, false);

    if given("PACK").is_some() {
        let began = Instant::now();
        let opened = Log::open(&folder, chaining(&folder)).unwrap();
        for number in opened.closed().unwrap() {
            pack(&log, number).unwrap();
        }
        drop(opened);
        said("pack", began.elapsed(), &format!("{} bytes", bytes_in(&log, ".zst")));
        let took = verified(&folder);
        said("verify, packed", took, &format!("{:.0} MB/s", segments as f64 / took.as_secs_f64() / 1e6));
        searches(&records, Some(&index), true);
    }
}
