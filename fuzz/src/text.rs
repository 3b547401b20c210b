//! Other texts: tokens of strangers, what comes from Slack, the operator's config, lines of the log.

use std::{path::PathBuf, sync::LazyLock};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use countersign_bot::slack::decode::{self, Incoming};
use countersign_gateway::{config::Config, identity::Issuers, log};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A folder and the file in it that a target writes each input to.
fn file_in(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// A token of nobody whom the gateway knows: as it came, and with its parts encoded.
pub fn token(data: &[u8]) {
    static RUNTIME: LazyLock<(Runtime, Issuers)> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        (runtime, Issuers::new(&[], &[]).expect("no issuers"))
    });
    let (runtime, issuers) = &*RUNTIME;
    let check = |token: &str| assert!(runtime.block_on(issuers.verify(token)).is_err(), "nobody vouches for {token}");
    if let Ok(token) = std::str::from_utf8(data) {
        check(token);
    }
    let parts: Vec<_> = data.splitn(3, |byte| *byte == 0).map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).collect();
    check(&parts.join("."));
}

/// A payload of Slack's, which is signed; what people typed in it is theirs. Nobody does anything unnamed.
pub fn slack(data: &[u8]) {
    let Ok(payload) = serde_json::from_slice(data) else { return };
    for incoming in [decode::interaction(&payload), decode::command(&payload)].into_iter().flatten() {
        let person = match incoming {
            Incoming::Press(press) => {
                assert!(["approve", "allow", "deny", "withdraw"].contains(&press.action.as_str()));
                press.person
            }
            Incoming::DenyForm(form) => {
                assert!(form.reason.is_none_or(|reason| !reason.is_empty()));
                form.person
            }
            Incoming::AllowForm(form) => form.person,
            Incoming::Question(press) | Incoming::Details(press) | Incoming::End(press) => press.person,
            Incoming::Link(press) => press.person,
            Incoming::QuestionForm(form) => form.person,
            Incoming::Grant(press) => press.person,
            Incoming::AskForm(form) => form.person,
            Incoming::KeepForm(form) => form.person,
            Incoming::Review(press) => press.person,
            Incoming::ReviewForm(form) => form.person,
            Incoming::Home(opened) => opened.person,
            Incoming::Command(command) => command.person,
        };
        assert!(!person.user.is_empty());
    }
}

/// A config. What could make it run a program or read a device is not tried.
pub fn config(data: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if ["command", "\\", "/dev", "/proc", "/sys"].iter().any(|word| text.contains(word)) {
        return;
    }
    let file = file_in(&FOLDER, "countersign.toml");
    std::fs::write(&file, text).expect("written");
    if let Err(problems) = Config::load(&file) {
        assert!(!problems.is_empty(), "refused without a word");
        let lines = text.lines().count() + 1;
        assert!(problems.iter().all(|problem| problem.line <= lines), "{problems:?}");
    }
}

/// A segment of the log, of which whatever is read must follow one another.
pub fn log(data: &[u8]) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("log")).expect("a folder in it");
        folder
    });
    std::fs::write(file_in(&FOLDER, "log/00000001.jsonl"), data).expect("written");
    let mut last = None;
    for read in log::read(FOLDER.path()) {
        let Ok((seq, _)) = read else { return };
        assert!(last.is_none_or(|last: u64| last + 1 == seq));
        last = Some(seq);
    }
}
