//! Entries go to a collector, each at least once, whatever happens to it or to the gateway.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{
    evidence::{said, stops},
    harness::Story,
};

const TOKEN: &str = "collector-token-0123456789";

/// A collector.
#[derive(Clone)]
struct Collector {
    address: String,
    /// What it answers.
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Vec<Value>>>,
    /// Who came without the token.
    strangers: Arc<AtomicU16>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/in", listener.local_addr().expect("an address"));
        let collector =
            Self { address, status: Arc::new(AtomicU16::new(200)), taken: Arc::default(), strangers: Arc::default() };
        let answering = collector.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answering.clone().answer(socket));
            }
        });
        collector
    }

    async fn answer(self, mut socket: tokio::net::TcpStream) -> Option<()> {
        let (read, mut write) = socket.split();
        let mut read = BufReader::new(read);
        let (mut length, mut known) = (0, false);
        loop {
            let mut line = String::new();
            read.read_line(&mut line).await.ok()?;
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            length = line.strip_prefix("content-length: ").and_then(|length| length.parse().ok()).unwrap_or(length);
            known |= line == format!("authorization: bearer {TOKEN}");
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body).await.ok()?;
        let status = self.status.load(Ordering::SeqCst);
        if !known {
            self.strangers.fetch_add(1, Ordering::SeqCst);
        } else if status == 200 {
            let text = String::from_utf8(body).expect("text");
            let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
            self.taken.lock().expect("no panic").extend(events);
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        write.write_all(answer.as_bytes()).await.ok()
    }

    fn config(&self, config: &str, format: &str) -> String {
        format!(
            "{config}\n[siem]\nurl = \"{}\"\ntoken = {{ file = \"siem.token\" }}\nformat = \"{format}\"\n",
            self.address
        )
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().expect("no panic").clone()
    }
}

async fn with(collector: &Collector, format: &str) -> Story {
    Story::gateway_with(|config, folder| {
        fs::write(folder.join("siem.token"), TOKEN).expect("a token");
        collector.config(config, format)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_reaches_the_collector_though_it_is_away_and_the_gateway_is_killed() {
    let collector = Collector::start().await;
    let mut story = with(&collector, "jsonl").await;
    story.logs_in("ana").await.runs("select 'first'").ends().await.expect("a read");
    story.until(|| collector.taken().iter().any(|entry| entry["sql"] == "select 'first'")).await;

    // It is away; statements pass as before.
    collector.status.store(503, Ordering::SeqCst);
    story.logs_in("ana").await.runs("select 'while it is away'").ends().await.expect("a read");
    story.until(|| story.gateway.as_ref().expect("a gateway").said().contains("entries wait for [siem]")).await;
    story.kills_the_gateway().await;
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    ana.runs("select 'after a kill'").ends().await.expect("a read");
    collector.status.store(200, Ordering::SeqCst);
    story.until(|| collector.taken().iter().any(|entry| entry["sql"] == "select 'after a kill'")).await;
    drop(ana);
    stops(&mut story).await;

    let own = said(&story.tells(&["audit", "export"]).await);
    let own: Vec<Value> = own.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let numbers =
        |entries: &[Value]| entries.iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect::<Vec<_>>();
    let taken = collector.taken();
    let all: BTreeSet<u64> = numbers(&taken).into_iter().collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), numbers(&own), "all of them");
    for entry in &taken {
        let number = entry["seq"].as_u64().expect("a number");
        let one = own.iter().find(|other| other["seq"] == number).expect("it is in the log");
        assert_eq!(one, entry, "as it is exported");
    }
    assert_eq!(collector.strangers.load(Ordering::SeqCst), 0);
    let gateway = fs::read_dir(story.folder()).expect("a folder").flatten();
    for file in gateway.filter(|file| file.path().extension().is_some_and(|extension| extension == "stderr")) {
        assert!(!fs::read_to_string(file.path()).expect("text").contains(TOKEN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_of_ocsf_gets_events() {
    let collector = Collector::start().await;
    let mut story = with(&collector, "ocsf").await;
    story.logs_in("ana").await.runs("select 1").ends().await.expect("a read");
    stops(&mut story).await;
    let taken = collector.taken();
    assert!(taken.iter().any(|event| event["class_uid"] == 6005), "{taken:?}");
    assert!(taken.iter().any(|event| event["type_uid"] == 600_204), "the stop is sent, too: {taken:?}");
    let numbers: Vec<u64> = taken.iter().filter_map(|event| event["metadata"]["sequence"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "in order: {numbers:?}");
}
