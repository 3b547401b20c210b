//! What was loaded, for the log: the texts themselves, so that it needs no repository to say what was in force;
//! how they differ from those before; and git's commit, where they lie in a repository.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use countersign_shared::digest::of_bytes;
use serde_json::{Value, json};

use crate::{
    config::Config,
    log::{Entry, Kind},
    policy::Policies,
    regular,
};

/// So many pairs of lines are compared for one difference, over all files: a fraction of a second.
const COMPARED: usize = 4_000_000;
/// The longest file of git's that is looked at, in bytes.
const GIT: u64 = 16 << 20;

/// The entry of policies that are in force from now on. `before`: the texts that were.
#[must_use]
pub fn policy(policies: &Policies, folder: &Path, before: Option<&[(String, String)]>) -> Entry {
    let texts = policies.texts();
    let files: Vec<Value> = texts.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    let mut detail = json!({ "what": "policy", "version": policies.version().to_string(), "files": files });
    if let Some(commit) = commit_of(folder) {
        detail["commit"] = commit.into();
    }
    if !policies.signed_by().is_empty() {
        detail["signed_by"] = json!(policies.signed_by());
    }
    if let Some(before) = before {
        detail["diff"] = differences(before, texts).into();
    }
    Entry { outcome: Some(format!("policy {}", policies.version())), detail, ..Entry::new(Kind::Load) }
}

/// The entry of a config that is in force from now on. Secrets are none of its text. `before`: the text that was.
#[must_use]
pub fn config(config: &Config, before: Option<&str>) -> Entry {
    let text = config.text.reveal();
    let digest = of_bytes(text.as_bytes()).to_string();
    let connections: Value = config.connections.iter().map(|(name, c)| (name.clone(), json!(c.tags))).collect();
    let mut detail = json!({
        "what": "config", "digest": digest, "text": text, "connections": connections,
    });
    if let Some(commit) = config.file.parent().and_then(commit_of) {
        detail["commit"] = commit.into();
    }
    if let Some(before) = before {
        detail["diff"] = difference("config", before, text, &mut { COMPARED }).into();
    }
    Entry { outcome: Some(format!("config {digest}")), detail, ..Entry::new(Kind::Load) }
}

/// What was loaded last in this folder of records, by an earlier run of the gateway too. Only for differences:
/// evidence are the entries.
pub struct Last(PathBuf);

impl Last {
    /// That of `records`.
    #[must_use]
    pub fn of(records: &Path) -> Self {
        Self(records.join("loaded.json"))
    }

    /// The policies' texts and the config's.
    #[must_use]
    pub fn read(&self) -> Option<(Vec<(String, String)>, String)> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    /// Remembers them.
    pub fn write(&self, policies: &[(String, String)], config: &str) {
        let written = serde_json::to_vec(&(policies, config)).map_err(std::io::Error::from).and_then(|bytes| {
            let draft = self.0.with_extension("new");
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&bytes)?;
            fs::rename(&draft, &self.0)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "what was loaded is not remembered; the next load has no difference in the log");
        }
    }
}

fn differences(before: &[(String, String)], now: &[(String, String)]) -> String {
    let text_in = |texts: &[(String, String)], name: &str| {
        texts.iter().find(|(named, _)| named == name).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    let mut names: Vec<&String> = before.iter().chain(now).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let mut left = COMPARED;
    names.into_iter().map(|name| difference(name, &text_in(before, name), &text_in(now, name), &mut left)).collect()
}

/// What was taken out (`-`) and put in (`+`), line by line; nothing where nothing was. `left`: so many pairs of lines may
/// still be compared.
fn difference(name: &str, before: &str, now: &str, left: &mut usize) -> String {
    if before == now {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let mut told = format!("--- {name}\n+++ {name}\n");
    // What both begin with needs no comparing.
    let same = old.iter().zip(&new).take_while(|(was, is)| was == is).count();
    let (old, new) = (old.get(same..).unwrap_or_default(), new.get(same..).unwrap_or_default());
    let pairs = old.len().saturating_mul(new.len());
    if pairs > *left {
        told.push_str("(too long to compare)\n");
        return told;
    }
    *left -= pairs;
    // How long the longest common rest is, from each line of either on.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, was) in old.iter().enumerate().rev() {
        for (j, is) in new.iter().enumerate().rev() {
            common[i][j] = if was == is { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            told.push_str(&format!("-{}: {}\n", same + i + 1, old[i]));
            i += 1;
        } else {
            told.push_str(&format!("+{}: {}\n", same + j + 1, new[j]));
            j += 1;
        }
    }
    told
}

/// The commit that is checked out where `folder` lies.
fn commit_of(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let git = folder.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    // A worktree's is a file that names the folder.
    let git = match text(&git) {
        Ok(text) => git.parent()?.join(text.trim().strip_prefix("gitdir: ")?),
        Err(_) => git,
    };
    let head = text(&git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return is_commit(head.trim()) };
    let common = text(&git.join("commondir")).map_or_else(|_| git.clone(), |path| git.join(path.trim()));
    if let Some(commit) = [&git, &common].into_iter().find_map(|git| text(&git.join(name)).ok()) {
        return is_commit(commit.trim());
    }
    let packed = text(&common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ')).and_then(is_commit)
}

fn text(path: &Path) -> std::io::Result<String> {
    regular::text(path, GIT)
}

fn is_commit(text: &str) -> Option<String> {
    let hex = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_went_and_what_came() {
        assert_eq!(difference("a", "x\ny\n", "x\ny\n", &mut 9), "");
        let told = difference("a", "one\ntwo\nthree\n", "one\n2\nthree\nfour\n", &mut 9);
        assert_eq!(told, "--- a\n+++ a\n-2: two\n+2: 2\n+4: four\n");
        let texts = |texts: &[(&str, &str)]| -> Vec<(String, String)> {
            texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let told = differences(&texts(&[("a", "x"), ("b", "y")]), &texts(&[("a", "x"), ("c", "z")]));
        assert_eq!(told, "--- b\n+++ b\n-1: y\n--- c\n+++ c\n+1: z\n");
    }

    #[test]
    fn no_more_is_compared_than_may_be_for_all_files_together() {
        let texts = |word: &str| -> Vec<(String, String)> {
            (0..24).map(|n| (format!("{n:02}"), format!("{word}\n").repeat(2_000))).collect()
        };
        let told = differences(&texts("a"), &texts("b"));
        assert_eq!(told.matches("(too long to compare)").count(), 23, "the first alone is as much as may be");
        let before = format!("{}one\n", "same\n".repeat(50_000));
        let told = difference("a", &before, &before.replace("one", "two"), &mut 9);
        assert_eq!(told, "--- a\n+++ a\n-50001: one\n+50001: two\n", "what both begin with costs nothing");
    }

    #[test]
    fn the_commit_is_found_as_git_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (one, two) = ("a".repeat(40), "b".repeat(40));
        fs::create_dir_all(at("repo/.git/refs/heads")).unwrap();
        fs::create_dir_all(at("repo/policy")).unwrap();
        let commit = || commit_of(&at("repo/policy"));
        assert_eq!(commit(), None);
        fs::write(at("repo/.git/HEAD"), format!("{one}\n")).unwrap();
        assert_eq!(commit(), Some(one.clone()), "a detached head");
        fs::write(at("repo/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit(), None, "before the first commit");
        fs::write(at("repo/.git/packed-refs"), format!("# pack-refs\n{two} refs/heads/main\n")).unwrap();
        assert_eq!(commit(), Some(two));
        fs::write(at("repo/.git/refs/heads/main"), format!("{one}\n")).unwrap();
        assert_eq!(commit(), Some(one));
    }

    #[test]
    fn what_was_loaded_last_is_remembered() {
        let records = tempfile::tempdir().unwrap();
        let last = Last::of(records.path());
        assert_eq!(last.read(), None);
        let policies = vec![("a.cedar".to_owned(), "permit".to_owned())];
        last.write(&policies, "config");
        assert_eq!(last.read(), Some((policies, "config".to_owned())));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&last.0).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "policies and config are nobody else's");
    }
}
