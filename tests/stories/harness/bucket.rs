//! A bucket of moto's, which enforces object lock, behind a door that can be shut.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use countersign_gateway::bucket::{BucketConfig, Keys, Lock, Mode, client::Bucket};
use countersign_shared::secret::Secret;
use tokio::{
    io::{AsyncBufReadExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use super::{PATIENCE, Story, process::Process};

/// What requests are signed with; moto takes any.
pub const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// A bucket.
pub struct Shelf {
    _moto: Child,
    open: Arc<AtomicBool>,
    endpoint: String,
}

impl Shelf {
    /// Starts moto on a free port and makes a bucket, with object lock or without.
    pub async fn start(locks: bool) -> Self {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("moto/.venv/bin/moto_server");
        let mut moto = Command::new(&server)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make tools` installs it", server.display()));
        let mut lines = BufReader::new(moto.stderr.take().expect("what it says")).lines();
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.expect("a line").expect("it says where it listens");
                if let Some((_, address)) = line.split_once("http://") {
                    break address.trim().to_owned();
                }
            }
        });
        let address = address.await.expect("it starts");
        // What it says of each request must go somewhere.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let mut made = client.put(format!("http://{address}/audit"));
        if locks {
            made = made.header("x-amz-bucket-object-lock-enabled", "true");
        }
        let made = made.send().await.expect("moto answers");
        assert!(made.status().is_success(), "{}", made.status());
        let open = Arc::new(AtomicBool::new(true));
        let endpoint = door(address, Arc::clone(&open)).await;
        Self { _moto: moto, open, endpoint }
    }

    /// Whoever comes is sent away, and whoever is there too.
    pub fn shuts(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    pub fn opens(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// The config of a gateway whose records go there.
    pub fn config(&self, config: &str, more: &str) -> String {
        let records = config.replace("file://./records", "s3://audit/prod");
        assert_ne!(records, config);
        format!(
            "{records}\n[s3]\nendpoint = \"{}\"\naccess_key = {{ file = \"s3-id\" }}\n\
             secret_key = {{ file = \"s3-key\" }}\nlock = \"compliance\"\nkeep = \"1d\"\nevery = \"1s\"\n{more}\n",
            self.endpoint
        )
    }

    /// The keys that the config names.
    pub fn writes_keys(&self, folder: &Path) {
        std::fs::write(folder.join("s3-id"), "AKIDEXAMPLE\n").expect("a file");
        std::fs::write(folder.join("s3-key"), SECRET).expect("a file");
    }

    /// What an auditor's own machine has set.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// A client of somebody else's.
    pub fn client(&self) -> Bucket {
        let secret = |text: &str| Secret::new(text.to_owned());
        let config = BucketConfig {
            bucket: "audit".into(),
            prefix: "prod".into(),
            region: "us-east-1".into(),
            endpoint: Some(self.endpoint.parse().expect("an address")),
            keys: Some(Keys { id: secret("AKIDEXAMPLE"), secret: secret(SECRET), token: None }),
            lock: Lock { mode: Mode::Compliance, keep: std::time::Duration::from_secs(60) },
            spool: 0,
            every: PATIENCE,
        };
        Bucket::new(&config).expect("a client")
    }

    /// Waits until the newest checkpoint there is of so many entries at least.
    pub async fn has(&self, story: &Story, entries: u64) {
        let (client, deadline) = (self.client(), Instant::now() + PATIENCE);
        let mut tries = interval(std::time::Duration::from_millis(100));
        loop {
            tries.tick().await;
            let note = client.get("log/checkpoint").await.expect("the bucket").unwrap_or_default();
            let note = String::from_utf8_lossy(&note).into_owned();
            let size: u64 = note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default();
            if size >= entries {
                return;
            }
            let said = || story.gateway.as_ref().map(Process::said).unwrap_or_default();
            assert!(Instant::now() < deadline, "the bucket has {size} entries of {entries}\n{}", said());
        }
    }

    /// Everything below the prefix, as somebody downloads it.
    pub async fn downloads(&self, to: &Path) -> Vec<PathBuf> {
        let client = self.client();
        std::fs::create_dir_all(to.join("log")).expect("a folder");
        let mut paths = Vec::new();
        for (name, _) in client.list("log").await.expect("the bucket") {
            let bytes = client.get(&format!("log/{name}")).await.expect("the bucket").expect("an object");
            let path = to.join("log").join(&name);
            std::fs::write(&path, bytes).expect("a file");
            paths.push(path);
        }
        paths
    }
}

/// Where the door is.
async fn door(behind: String, open: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (behind, open) = (behind.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                if !open.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut server) = TcpStream::connect(&behind).await else { return };
                let shut = async {
                    let mut looks = interval(std::time::Duration::from_millis(20));
                    while open.load(Ordering::SeqCst) {
                        looks.tick().await;
                    }
                };
                tokio::select! {
                    _ended = copy_bidirectional(&mut client, &mut server) => {}
                    () = shut => {}
                }
            });
        }
    });
    format!("http://{address}")
}
