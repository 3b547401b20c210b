//! The real binary in a process of its own.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use countersign_demo::world::Facts;
use tokio::{
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use super::PATIENCE;

/// The binary ended before it answered; what it said.
#[derive(Debug)]
pub struct NotStarted(pub String);

/// A running binary. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts `verb`; a gateway answers `/healthz` when this returns. `traces`: it tells all that it can.
    pub async fn start(facts: &Facts, verb: &str, said: PathBuf, traces: bool) -> Result<Self, NotStarted> {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_countersign-under-test")), facts, verb, said, traces).await
    }

    /// The same, by a command that becomes the binary with what follows it.
    pub async fn start_by(
        mut command: Command,
        facts: &Facts,
        verb: &str,
        said: PathBuf,
        traces: bool,
    ) -> Result<Self, NotStarted> {
        let stderr = File::create(&said).expect("a file for stderr");
        if traces {
            command.env("RUST_LOG", "trace");
        }
        let child = command
            .arg("--config")
            .arg(&facts.config)
            .arg(verb)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let mut process = Self { child, said };
        if verb != "bot" {
            let health = facts.control.join("healthz").expect("an address");
            process.until_healthy(health.as_str()).await?;
        }
        Ok(process)
    }

    async fn until_healthy(&mut self, health: &str) -> Result<(), NotStarted> {
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let deadline = Instant::now() + PATIENCE;
        let mut tries = interval(Duration::from_millis(25));
        loop {
            tries.tick().await;
            let answered = client.get(health).send().await.is_ok_and(|answer| answer.status().is_success());
            let ended = self.child.try_wait().expect("its state").is_some();
            match (ended, answered) {
                (true, _) => return Err(NotStarted(self.said())),
                (false, true) => return Ok(()),
                (false, false) if Instant::now() > deadline => return Err(NotStarted(self.said())),
                (false, false) => {}
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it said on stderr so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// SIGTERM.
    pub async fn is_told_to_stop(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
        assert!(status.success(), "kill -TERM {id}");
    }

    /// Waits for its end.
    pub async fn ends(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it goes on:\n{}", self.said())).expect("its exit status")
    }
}
