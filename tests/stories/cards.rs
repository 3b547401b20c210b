//! Every message that the bot posts, held against what Slack's own clients know of messages.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn fidelity() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/slack-fidelity")
}

fn check(command: Command, installed: &Path) {
    let cards: String = countersign_bot::cards::samples().iter().map(|card| format!("{card}\n")).collect();
    assert!(cards.lines().count() > 20, "the bot has more messages than this");
    check_text(command, installed, &cards);
}

fn check_text(mut command: Command, installed: &Path, text: &str) {
    assert!(installed.exists(), "{} is not there; run: make tools", installed.display());
    let mut child = command
        .current_dir(fidelity())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the checker starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the checker reads");
    let output = child.wait_with_output().expect("the checker ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_card_passes_the_validation_of_slacks_python_client() {
    let python = fidelity().join(".venv/bin/python");
    let mut command = Command::new(&python);
    command.arg("check_blocks.py");
    check(command, &python);
}

#[test]
fn every_card_has_the_types_of_slacks_javascript_client() {
    let mut command = Command::new("node");
    command.arg("check-types.mjs");
    check(command, &fidelity().join("node_modules"));
}

#[test]
fn the_manifest_has_the_type_of_slacks_javascript_client() {
    let mut command = Command::new("node");
    command.arg("check-manifest.mjs");
    check_text(command, &fidelity().join("node_modules"), include_str!("../../manifest.yaml"));
}
