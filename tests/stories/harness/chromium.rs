//! The workspace's page in a real browser, which `tests/pictures/browser.mjs` drives.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::PATIENCE;

/// A browser with the page open. It ends when it is dropped.
pub struct Chromium {
    _child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Chromium {
    /// Opens `url`; pictures go into `folder`.
    pub async fn opens(url: &str, folder: &Path) -> Self {
        let mut command = Command::new("node");
        command.arg("browser.mjs").arg(url).arg(folder).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pictures"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("node; `make pictures` installs what is missing");
        let input = child.stdin.take().expect("its stdin");
        let answers = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let mut browser = Self { _child: child, input, answers };
        browser.does("open", &[]).await;
        browser
    }

    /// One of the script's deeds. Whatever it waits for must come.
    pub async fn does(&mut self, deed: &str, about: &[&str]) {
        let mut said = vec![deed];
        said.extend(about);
        let line = format!("{}\n", json!(said));
        self.input.write_all(line.as_bytes()).await.expect("the browser listens");
        // The script's own patience is as long, and it says what it saw in place of what it waited for.
        let answer = timeout(PATIENCE * 2, self.answers.next_line()).await.expect("an answer in time");
        let answer = answer.expect("text").expect("a line; the browser ended");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer, json!({}), "{}", answer["error"].as_str().unwrap_or_default());
    }
}
