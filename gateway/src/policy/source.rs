//! The folder of policies as texts, and where in a text something stands.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::templates::ENDING;
use crate::{config::Problem, regular};

/// The longest file of policies, in bytes.
const LONGEST: u64 = 16 << 20;

/// One `.cedar` file, or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Its path, as it was named.
    pub file: PathBuf,
    /// Its name without a folder: `10-base.cedar`.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Source {
    /// Whether it is a template.
    pub fn is_template(&self) -> bool {
        is_template(Path::new(&self.name))
    }

    /// A problem at a byte of the text.
    pub fn problem(&self, offset: usize, message: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), line: line_of(&self.text, offset), message: message.into(), hint: None }
    }
}

fn whole(file: &Path, message: String, hint: &str) -> Problem {
    Problem { file: file.to_owned(), line: 0, message, hint: Some(hint.to_owned()) }
}

/// Reads every `.cedar` file and every template of `folder`, sorted by name. Links are followed; hidden names are not
/// read, since that is how Kubernetes keeps the older versions of a mounted folder.
///
/// # Errors
/// Everything that can't be read, and policies where they would not be seen.
pub(super) fn read(folder: &Path) -> Result<Vec<Source>, Vec<Problem>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|error| {
        vec![whole(
            folder,
            format!("the policy folder can't be read: {error}"),
            "set `policy` in [gateway] to a folder that holds .cedar files",
        )]
    })?;
    let mut paths: Vec<PathBuf> =
        entries.into_iter().filter(|entry| !is_hidden(&entry.path())).map(|entry| entry.path()).collect();
    paths.sort();
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for file in paths {
        if file.is_dir() {
            problems.extend(unseen(&file));
        } else if is_policy(&file) {
            match regular::text(&file, LONGEST) {
                Ok(text) => {
                    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    sources.push(Source { file, name, text });
                }
                Err(error) => problems.push(whole(&file, format!("can't be read: {error}"), "policies are UTF-8 text")),
            }
        }
    }
    if sources.iter().all(Source::is_template) && problems.is_empty() {
        problems.push(whole(
            folder,
            "the policy folder holds no .cedar file, so nothing would be permitted".to_owned(),
            "docs/policy.md has a policy to start from",
        ));
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("cedar")) || is_template(path)
}

fn is_template(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_lowercase().ends_with(ENDING))
}

/// Policies in a sub-folder are not read. Somebody who put a `forbid` there must hear of it.
fn unseen(folder: &Path) -> Vec<Problem> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_policy(path) && !path.is_dir())
        .map(|path| {
            whole(&path, "policies in a sub-folder are not read".to_owned(), "move the file into the policy folder")
        })
        .collect()
}

/// The one-based line of a byte.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Where each policy of a text starts and ends. Cedar's lexer: `//` comments to the end of the line,
/// strings with backslash escapes, and a policy ends with `;`.
pub(super) fn spans(text: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut start, mut at) = (Vec::new(), None, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while bytes.get(at).is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) {
                    at += 1;
                }
                continue;
            }
            b'"' => {
                start.get_or_insert(at);
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes.get(at) == Some(&b'\\') { 2 } else { 1 };
                }
            }
            b';' => found.extend(start.take().map(|start| start..at + 1)),
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert(at);
            }
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_in_a_comment_or_a_string_ends_no_policy() {
        let text = "// permit; not this\n@error(\"a;b \\\" ; // no\")\nforbid (principal, action, resource);\r// ;\rpermit(principal,action,resource);\n";
        let found: Vec<&str> = spans(text).into_iter().map(|span| &text[span]).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("@error") && found[0].ends_with("resource);"), "{found:?}");
        assert!(found[1].starts_with("permit"), "{found:?}");
    }

    #[test]
    fn an_unfinished_string_does_not_run_past_the_end() {
        assert!(spans("permit \"\\").is_empty());
        assert!(spans("\"").is_empty());
    }

    #[test]
    fn lines_are_counted_from_one() {
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (99, 3)] {
            assert_eq!(line_of("a\nb\nc", offset), line, "{offset}");
        }
    }
}
