//! The log proves itself, to somebody who has only its files and its public key.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use tokio::{process::Command, time::timeout};

use crate::harness::{PATIENCE, Story};

/// What somebody else than the gateway's keeper does with a copy: there is no config, no state, no network.
pub(crate) async fn auditor(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
    command.current_dir(folder).arg("audit").args(arguments);
    timeout(PATIENCE, command.output()).await.expect("it ends").expect("the binary")
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A copy of the records and their key, as somebody carries it away.
fn carried_away(story: &Story) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    copy_of(&story.folder().join("records/log"), &copy.path().join("records/log"));
    fs::rename(copy.path().join("records/log/log.vkey"), copy.path().join("key")).expect("the key");
    copy
}

fn copy_of(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

/// The segments that have entries.
fn segments(copy: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(copy.join("records/log")).expect("a folder").map(|file| file.expect("a file").path());
    let mut segments: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .filter(|path| fs::metadata(path).expect("a file").len() > 0)
        .collect();
    segments.sort();
    segments
}

/// A morning's work, ended in an orderly way.
async fn a_morning() -> Story {
    let mut story = Story::begin().await;
    let priya = story.linked("priya").await;
    let ana = story.logs_in("ana").await;
    ana.runs("select count(*) from orders").ends().await.expect("a read");
    let update = ana.runs("update products set stock = 7 where id = 1");
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    update.ends().await.expect("it runs");
    ana.runs("drop table orders").gets_refused().await;
    drop(ana);
    stops(&mut story).await;
    story
}

pub(crate) async fn stops(story: &mut Story) {
    let mut gateway = story.gateway.take().expect("a gateway");
    gateway.is_told_to_stop().await;
    assert!(gateway.ends().await.success(), "{}", gateway.said());
}

const VERIFY: [&str; 4] = ["verify", "--key", "key", "records"];

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_proves_offline_what_happened_and_sees_every_edit() {
    let story = a_morning().await;
    let copy = carried_away(&story);
    let good = auditor(copy.path(), &VERIFY).await;
    assert!(good.status.success(), "{}", said(&good));
    assert!(said(&good).contains("not proven: whether its newest entries were cut off"), "{}", said(&good));
    let strict = auditor(copy.path(), &[&VERIFY[..], &["--all-signed"]].concat()).await;
    assert!(strict.status.success(), "an orderly stop leaves nothing unsigned: {}", said(&strict));

    let segment = segments(copy.path())[0].clone();
    let text = fs::read_to_string(&segment).expect("a segment");
    let lines: Vec<&str> = text.lines().collect();
    let third = lines[2].replacen("time", "tims", 1);
    let table = [
        ("a byte", [&lines[..2], &[third.as_str()], &lines[3..]].concat(), "line 3: entry 3 was changed"),
        ("a line that goes", [&lines[..2], &lines[3..]].concat(), "line 3: entry 4 stands where entry 3 belongs"),
        (
            "lines that move",
            [&[lines[1], lines[0]], &lines[2..]].concat(),
            "line 1: entry 2 stands where entry 1 belongs",
        ),
        ("an end that goes", lines[..lines.len() - 1].to_vec(), "its end was cut off"),
    ];
    for (what, changed, expected) in table {
        fs::write(&segment, changed.join("\n") + "\n").expect("an edit");
        let bad = auditor(copy.path(), &VERIFY).await;
        assert_eq!(bad.status.code(), Some(1), "{what}: {}", said(&bad));
        assert!(said(&bad).contains(expected), "{what}: {}", said(&bad));
    }
    fs::write(&segment, &text).expect("as it was");
    assert!(auditor(copy.path(), &VERIFY).await.status.success());
    let none = auditor(copy.path(), &["verify", "--key", "nowhere", "records"]).await;
    assert_eq!(none.status.code(), Some(2), "a slip of the command");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rolled_back_shows_against_a_checkpoint_kept_elsewhere_and_stops_the_next_start() {
    let mut story = a_morning().await;
    let early = carried_away(&story);
    story.starts("serve").await;
    story.logs_in("ben").await.runs("select 1").ends().await.expect("a read");
    stops(&mut story).await;
    let checkpoint = story.tells(&["audit", "checkpoint"]).await;
    assert!(checkpoint.status.success(), "{}", said(&checkpoint));
    fs::write(early.path().join("later"), &checkpoint.stdout).expect("a file");
    assert!(auditor(early.path(), &VERIFY).await.status.success(), "nothing in it can tell");
    let told = auditor(early.path(), &[&VERIFY[..], &["--checkpoint", "later"]].concat()).await;
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    assert!(said(&told).contains("its end was cut off"), "{}", said(&told));
    let later = carried_away(&story);
    fs::copy(early.path().join("later"), later.path().join("later")).expect("a copy");
    let good = auditor(later.path(), &[&VERIFY[..], &["--checkpoint", "later"]].concat()).await;
    assert!(good.status.success(), "{}", said(&good));
    assert!(said(&good).contains("none of these were cut off"), "{}", said(&good));

    // Somebody puts the old folder back, its key with it: the state knows better.
    let log = story.folder().join("records/log");
    fs::remove_dir_all(&log).expect("it goes");
    copy_of(&early.path().join("records/log"), &log);
    let refused = story.try_start("serve").await.expect_err("no start");
    assert!(refused.0.contains("the checkpoint in the state says"), "{}", refused.0);
    fs::remove_dir_all(&log).expect("it goes");
    let refused = story.try_start("serve").await.expect_err("no start");
    assert!(refused.0.contains("the state knows a log of"), "{}", refused.0);
}
