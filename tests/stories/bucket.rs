//! Records in a bucket under object lock, with moto, which enforces it.

use std::{fs, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::{
    evidence::{said, stops},
    harness::{
        PATIENCE, Story,
        bucket::{SECRET, Shelf},
        client::Client,
    },
};

/// A gateway whose records go to a bucket.
async fn with(shelf: &Shelf, more: &str) -> Story {
    Story::gateway_with(|config, folder| {
        shelf.writes_keys(folder);
        shelf.config(config, more)
    })
    .await
}

async fn auditor(shelf: &Shelf, folder: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
    command.current_dir(folder).envs(shelf.environment()).arg("audit").args(arguments);
    timeout(PATIENCE, command.output()).await.expect("it ends").expect("the binary")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_in_the_bucket_under_a_lock_and_proves_itself_from_there() {
    let shelf = Shelf::start(true).await;
    let mut story = with(&shelf, "").await;
    let ana = story.logs_in("ana").await;
    ana.runs("select count(*) from orders").ends().await.expect("a read");
    shelf.has(&story, 5).await;
    ana.runs("select count(*) from products").ends().await.expect("a read");
    drop(ana);
    stops(&mut story).await;

    // Each object is under the lock, and nobody deletes it.
    let client = shelf.client();
    let names = client.list("log").await.expect("the bucket");
    assert!(names.iter().any(|(name, _)| name == "00000001.jsonl.zst"), "{names:?}");
    for (name, length) in &names {
        let kept = client.kept(&format!("log/{name}")).await.expect("it is there");
        assert_eq!((kept.mode.as_deref(), kept.length), (Some("COMPLIANCE"), *length), "{name}");
        assert!(kept.until.expect("a date") > chrono::Utc::now() + chrono::TimeDelta::hours(23), "{name}");
    }

    // An auditor has the key, from elsewhere, and may read the bucket.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let key = story.tells(&["audit", "key"]).await;
    assert!(key.status.success(), "{}", said(&key));
    fs::write(elsewhere.path().join("key"), &key.stdout).expect("a file");
    let good = auditor(&shelf, elsewhere.path(), &["verify", "--key", "key", "--all-signed", "s3://audit/prod"]).await;
    assert!(good.status.success(), "{}", said(&good));
    let exported = auditor(&shelf, elsewhere.path(), &["export", "s3://audit/prod"]).await;
    let own = story.tells(&["audit", "export"]).await;
    assert_eq!(said(&exported), said(&own), "it reads there as here");
    assert!(said(&exported).contains("from products"), "{}", said(&exported));

    // Or a copy of it.
    let paths = shelf.downloads(&elsewhere.path().join("copy")).await;
    let verify = ["verify", "--key", "key", "copy"];
    let good = auditor(&shelf, elsewhere.path(), &verify).await;
    assert!(good.status.success(), "{}", said(&good));
    let first = paths.iter().find(|path| path.ends_with("00000001.jsonl.zst")).expect("the first segment");
    fs::remove_file(first).expect("it goes");
    let bad = auditor(&shelf, elsewhere.path(), &verify).await;
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));

    // The key to the bucket is in no log, and in no answer.
    for (path, bytes) in story.everything_written().iter().filter(|(path, _)| !path.ends_with("s3-key")) {
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_a_lock_is_refused_at_the_start_and_by_check() {
    let shelf = Shelf::start(false).await;
    let mut story = Story::prepare().await;
    let file = story.world.facts.config.clone();
    let config = fs::read_to_string(&file).expect("the config");
    shelf.writes_keys(&story.folder());
    fs::write(&file, shelf.config(&config, "")).expect("a changed config");
    let refused = story.try_start("gateway").await.expect_err("no start");
    assert!(refused.0.contains("[s3] s3://audit/prod refuses: lock-probe"), "{}", refused.0);
    let checked = story.tells(&["check"]).await;
    assert_eq!(checked.status.code(), Some(1), "{}", said(&checked));
    assert!(said(&checked).contains("[s3] s3://audit/prod refuses: lock-probe"), "{}", said(&checked));
    assert!(!said(&checked).contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bucket_is_away_nothing_is_lost_and_a_full_spool_stops_the_gateway_until_it_is_back() {
    let shelf = Shelf::start(true).await;
    let mut story = with(&shelf, "spool_size = \"1024kB\"").await;
    story.logs_in("ana").await.runs("select 'before'").ends().await.expect("a read");
    shelf.has(&story, 5).await;
    shelf.shuts();
    story.logs_in("ana").await.runs("select 'while it is away'").ends().await.expect("a read");

    // A gateway that is killed then, starts again: the bucket has proven its lock.
    story.kills_the_gateway().await;
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    let mut passed = 0;
    let refused = loop {
        // What zstd makes no smaller.
        let noise: String = (0..4000).map(|_| format!("{:016x}", noise())).collect();
        match ana.runs(&format!("select {passed} /* {noise} */")).ends().await {
            Ok(_) => passed += 1,
            Err(refused) => break refused,
        }
        assert!(passed < 40, "it never is full");
    };
    assert_eq!(refused.code, "57P03", "{refused:?}");
    let health = reqwest::get(story.world.facts.control.join("healthz").expect("an address")).await.expect("an answer");
    assert_eq!(health.status(), 503);
    assert!(health.text().await.expect("a text").contains("wait for s3://audit/prod"));

    shelf.opens();
    let mut tries = tokio::time::interval(Duration::from_millis(100));
    let ana = loop {
        tries.tick().await;
        let token = story.world.idp.token_for("ana").expect("a token");
        if let Ok(ana) = Client::log_in(story.world.facts.listen, "shop", &token).await {
            break ana;
        }
    };
    ana.runs("select 'after'").ends().await.expect("it passes again");
    drop(ana);
    stops(&mut story).await;
    let there = story.tells(&["audit", "search", "kind:statement", "--records", "s3://audit/prod", "--json"]).await;
    let there = said(&there);
    for (what, times) in [("select 'before'", 1), ("select 'while it is away'", 1), ("select 'after'", 1)] {
        assert_eq!(there.matches(what).count(), times, "{what}");
    }
    let statements = there.lines().count();
    assert_eq!(statements, passed + 3, "each that passed, and no other");
    let calls = story.tells(&["audit", "verify", "--all-signed", "s3://audit/prod"]).await;
    assert!(calls.status.success(), "{}", said(&calls));
}

/// Noise, by xorshift.
fn noise() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static STATE: AtomicU64 = AtomicU64::new(0x9E37_79B9_7F4A_7C15);
    let mut x = STATE.load(Ordering::Relaxed);
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.store(x, Ordering::Relaxed);
    x
}
