//! Nothing runs unrecorded: not where the gateway is killed, not where its disk is full. PostgreSQL's own log is
//! the judge of what ran.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use countersign_gateway::log::{Kind, ReadError, read};
use tokio::task::JoinSet;

use crate::{
    evidence::said,
    harness::{Story, client::Client},
};

/// Engineers write without being asked.
const WRITERS: &str =
    "permit (principal in Group::\"engineering\", action == Action::\"update\", resource in Connection::\"shop\");";
/// How often the gateway is killed, and what its points are drawn from; `make kills` says otherwise.
const KILLS: u64 = 25;
const SEED: u64 = 0x2026_1124;
const CROWD: usize = 4;

/// The marks in statements that have an entry. The last line may be torn.
fn recorded(records: &Path) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    for entry in read(records) {
        let entry = match entry {
            Ok((_, entry)) => entry,
            Err(ReadError::Torn { .. }) => break,
            Err(error) => panic!("{error}"),
        };
        if entry.kind == Kind::Statement {
            let sql = entry.sql.unwrap_or_default();
            let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            marks.extend(words.filter(|word| word.starts_with("mark_")).map(str::to_owned));
        }
    }
    marks
}

/// Reads and writes one after the other until the connection breaks; counts, and remembers what was answered.
async fn works(client: Client, name: String, done: Arc<AtomicUsize>) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        let mark = format!("mark_{name}_{n}");
        let sql = if n % 3 == 2 {
            format!("update products set stock = stock where name = '{mark}'")
        } else {
            format!("select '{mark}'")
        };
        if client.runs(&sql).ends().await.is_err() {
            break;
        }
        answered.push(mark);
        done.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_at_any_point_has_an_entry_of_everything_that_ran() {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = given("COUNTERSIGN_KILLS").unwrap_or(KILLS);
    let mut story = Story::prepare().await;
    std::fs::write(story.folder().join("policy/90-story.cedar"), WRITERS).expect("a policy");
    let records = story.folder().join("records");
    let mut answered = BTreeSet::new();
    let mut chance = given("COUNTERSIGN_SEED").unwrap_or(SEED);
    for round in 0..kills {
        story.starts("gateway").await;
        let done = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for n in 0..CROWD {
            let client = story.logs_in(["ana", "ben"][n % 2]).await;
            crowd.spawn(works(client, format!("{round}_{n}"), Arc::clone(&done)));
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let point = usize::try_from(chance >> 33).expect("a number") % 120;
        while done.load(Ordering::Relaxed) < point {
            tokio::task::yield_now().await;
        }
        story.kills_the_gateway().await;
        answered.extend(crowd.join_all().await.into_iter().flatten());
        let kept = recorded(&records);
        let lost: Vec<_> = answered.difference(&kept).collect();
        assert!(lost.is_empty(), "round {round}: answered and not recorded: {lost:?}");
        let unrecorded: Vec<_> = story.database_saw("mark_").difference(&kept).cloned().collect();
        assert!(unrecorded.is_empty(), "round {round}: it ran and is not recorded: {unrecorded:?}");
        let verified = story.tells(&["audit", "verify"]).await;
        assert!(verified.status.success(), "round {round}: {}", said(&verified));
    }
    assert!(answered.len() as u64 > kills, "there was work to lose: {}", answered.len());
    println!("{kills} kills, {} statements answered", answered.len());
    story.starts("gateway").await;
    crate::evidence::stops(&mut story).await;
    let verified = story.tells(&["audit", "verify", "--all-signed"]).await;
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_runs_any_more_and_everything_that_ran_is_there() {
    let mut story = Story::prepare().await;
    let Some(records) = story.starts_on_a_small_disk(1024).await else {
        // Says so in the test's output; CI runs where it may.
        println!("this machine lets nobody mount a disk; not tried");
        return;
    };
    let ana = story.logs_in("ana").await;
    let ben = story.logs_in("ben").await;
    let padding = "x".repeat(20_000);
    let mut answered = BTreeSet::new();
    let refused = loop {
        let mark = format!("mark_{}", answered.len());
        match ana.runs(&format!("select '{mark}', '{padding}'")).ends().await {
            Ok(_) => answered.insert(mark),
            Err(refused) => break refused,
        };
        assert!(answered.len() < 100, "a megabyte is full by then");
    };
    assert_eq!(refused.code, "57P03", "{refused:?}");
    assert!(!answered.is_empty());
    assert_eq!(ben.runs("select 'mark_after'").gets_refused().await.code, "57P03");
    let token = story.world.idp.token_for("ana").expect("a token");
    assert!(Client::log_in(story.world.facts.listen, "shop", &token).await.is_err(), "nobody comes in");
    let health = story.world.facts.control.join("healthz").expect("an address");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    assert_eq!(client.get(health).send().await.expect("an answer").status(), 503);

    let kept = recorded(&records);
    let unrecorded: Vec<_> = story.database_saw("mark_").difference(&kept).cloned().collect();
    assert!(unrecorded.is_empty(), "it ran and is not recorded: {unrecorded:?}");
    assert!(answered.is_subset(&kept), "{answered:?} of {kept:?}");
    let records = records.to_str().expect("a path");
    let verified = story.tells(&["audit", "verify", records]).await;
    assert!(verified.status.success(), "what was signed is as it was: {}", said(&verified));
}
