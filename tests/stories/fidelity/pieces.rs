//! Networks cut what is sent wherever they like. Between client and gateway, and between gateway and
//! server, in whatever pieces: the answers are those of the server, nothing runs twice, and what is held
//! stays held.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use countersign_shared::request::Choice;
use tokio::net::TcpStream;

use super::{
    ALLOW, HOLD, compare_in,
    conversations::all,
    wire::{Wire, bind, copy_data, copy_done, describe, execute, parse, query, sync},
};
use crate::harness::{
    Story,
    pieces::{Path, Pieces},
    shop,
};

/// A story whose gateway reaches its database, and whose clients reach the gateway, by such paths.
struct Apart {
    story: Story,
    to_gateway: Path,
    _to_server: Path,
}

impl Apart {
    async fn under(policy: &str, client: Pieces, server: Pieces) -> Self {
        let mut story = Story::prepared_under(policy).await;
        let upstream = &story.world.upstream;
        let to_server = Path::to(SocketAddr::from(([127, 0, 0, 1], upstream.port)), server).await;
        let (file, port) = (&story.world.facts.config, format!(":{}/", upstream.port));
        let config = std::fs::read_to_string(file).expect("the config");
        assert!(config.contains(&port), "where the database is: {config}");
        std::fs::write(file, config.replace(&port, &format!(":{}/", to_server.address.port()))).expect("a config");
        story.starts("gateway").await;
        let to_gateway = Path::to(story.world.facts.listen, client).await;
        Self { story, to_gateway, _to_server: to_server }
    }

    async fn logs_in(&self, who: &str) -> Wire {
        let socket = TcpStream::connect(self.to_gateway.address).await.expect("the path to the gateway");
        Wire::through_socket(socket, &self.story, who, &[]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_the_same_in_whatever_pieces_they_come() {
    let ways = [Pieces::Single, Pieces::Slow, Pieces::Together].map(|pieces| async move {
        let (apart, straight) = (Apart::under(ALLOW, pieces.clone(), pieces.clone()).await, shop().await);
        let through = apart.logs_in("ana").await;
        compare_in(through, &straight, &all(), None).await;
    });
    futures_util::future::join_all(ways).await;
}

/// Some of everything, in few bytes.
fn some_of_everything() -> Vec<Vec<u8>> {
    vec![
        [query("insert into t values (1)"), query("select 1/0")].concat(),
        [
            parse("", "insert into t values ($1) returning n"),
            bind("", "", &[Some("2")], 0),
            describe(b'P', ""),
            execute("", 0),
            sync(),
        ]
        .concat(),
        [query("copy t from stdin"), copy_data("3\n"), copy_done()].concat(),
        query("begin; notify t; insert into t values (4); commit"),
    ]
}
/// How often the server is ready after each of them.
const READY: [usize; 4] = [2, 1, 1, 1];

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_at_any_point_changes_nothing() {
    let cut = Arc::new(AtomicUsize::new(0));
    let apart = Apart::under(ALLOW, Pieces::Cut(Arc::clone(&cut)), Pieces::Cut(Arc::clone(&cut))).await;
    let mut ana = apart.logs_in("ana").await;
    let mut says = async |bytes: &[u8], ready: usize| {
        ana.send(bytes).await;
        let mut heard = Vec::new();
        while heard.iter().filter(|(tag, _)| *tag == b'Z').count() < ready {
            let frame = ana.frame().await.expect("an answer, not the end");
            heard.push((frame.tag, frame.body));
        }
        heard
    };
    says(&query("create table t (n int); listen t"), 1).await;
    let pieces = some_of_everything();
    let mut whole = Vec::new();
    for (bytes, ready) in pieces.iter().zip(READY) {
        whole.push(says(bytes, ready).await);
    }
    let longest = pieces.iter().map(Vec::len).max().expect("some");
    for at in 1..longest {
        cut.store(at, Ordering::Relaxed);
        for ((bytes, ready), expected) in pieces.iter().zip(READY).zip(&whole) {
            assert_eq!(&says(bytes, ready).await, expected, "cut after {at}");
        }
    }
    let rows = apart.story.number("select count(*) from t").await;
    assert_eq!(rows, 4 * i64::try_from(longest).unwrap(), "each statement ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stays_held_and_runs_once_in_whatever_pieces_it_comes() {
    let ways = [Pieces::Single, Pieces::Slow, Pieces::Together].map(|pieces| async move {
        let apart = Apart::under(HOLD, pieces.clone(), pieces.clone()).await;
        let (story, mut ana) = (&apart.story, apart.logs_in("ana").await);
        let cancelled = "select count(*) from orders where status = 'cancelled'";
        let before = story.number(cancelled).await;
        assert!(before > 0);
        let delete = "delete from orders where status = 'cancelled' /* in pieces */";
        let simple = query(delete);
        let extended = [parse("", delete), bind("", "", &[], 0), execute("", 0), sync()].concat();
        for bytes in [simple, extended] {
            ana.send(&bytes).await;
            let id = loop {
                let frame = ana.frame().await.expect("a notice");
                assert!(frame.tag != b'E' && frame.tag != b'Z', "{pieces:?}: it is held: {frame:?}");
                if let Some(id) = frame.held() {
                    break id;
                }
            };
            story.decides("priya", &id, Choice::Approve).await.expect("her approval is taken");
            while ana.frame().await.expect("an answer").tag != b'Z' {}
            assert_eq!(story.number(cancelled).await, 0, "{pieces:?}");
        }
        // Held once, run once, each.
        assert_eq!(story.times_database_ran("in pieces"), 2, "{pieces:?}");
    });
    futures_util::future::join_all(ways).await;
}
