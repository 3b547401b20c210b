//! TOML with places: reads tables key by key, remembers what was asked for, and collects every
//! problem instead of stopping at the first.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Problem;

/// The file while it is read.
pub(super) struct Document {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The folder at which relative paths start.
    pub folder: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// A value and the byte where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub value: T,
    pub at: usize,
}

impl Document {
    pub fn new(file: &Path, text: String) -> Self {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        Self { file: file.to_owned(), folder, text, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The text, to be parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn make(&self, at: usize, message: String, hint: &str) -> Problem {
        let line = self.line(at);
        Problem { file: self.file.clone(), line, message, hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()) }
    }

    /// Something that must be put right before anything starts.
    pub fn problem(&self, at: usize, message: impl Into<String>, hint: &str) {
        self.problems.borrow_mut().push(self.make(at, message.into(), hint));
    }

    /// Something that is worth a look.
    pub fn warning(&self, at: usize, message: impl Into<String>, hint: &str) {
        self.warnings.borrow_mut().push(self.make(at, message.into(), hint));
    }

    /// Problems and warnings, each in the order of the file.
    pub fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |cell: RefCell<Vec<Problem>>| {
            let mut all = cell.into_inner();
            all.sort_by_key(|problem| problem.line);
            all
        };
        (sorted(self.problems), sorted(self.warnings))
    }

    /// A path of the file, absolute.
    pub fn path(&self, path: &str) -> PathBuf {
        // Takes out `./`, so that what is printed reads well.
        self.folder.join(path).components().collect()
    }
}

/// A table and which of its keys have been asked for.
pub(super) struct Table<'d> {
    pub doc: &'d Document,
    /// How errors name it: `[gateway]`.
    pub name: String,
    /// Where it stands.
    pub at: usize,
    entries: &'d DeTable<'d>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Table<'d> {
    pub fn new(doc: &'d Document, name: impl Into<String>, at: usize, entries: &'d DeTable<'d>) -> Self {
        Self { doc, name: name.into(), at, entries, asked: RefCell::default() }
    }

    /// A value, if it is there.
    pub fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.borrow_mut().insert(key);
        self.entries.get(key)
    }

    fn wrong_type(&self, key: &str, found: &Spanned<DeValue<'_>>, expected: &str) {
        let message = format!("`{key}` in {} must be {expected}, not {}", self.name, found.get_ref().type_str());
        self.doc.problem(found.span().start, message, "");
    }

    /// A text, if it is there and is one.
    pub fn text(&self, key: &'static str) -> Option<At<&'d str>> {
        let found = self.get(key)?;
        match found.get_ref() {
            DeValue::String(text) => Some(At { value: text.as_ref(), at: found.span().start }),
            _ => {
                self.wrong_type(key, found, "a text in quotes");
                None
            }
        }
    }

    /// A text that is read by `parse`, if it is there and fits. `parse` says what would fit.
    pub fn read<T>(&self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<At<T>> {
        let text = self.text(key)?;
        match parse(text.value) {
            Ok(value) => Some(At { value, at: text.at }),
            Err(expected) => {
                self.doc.problem(
                    text.at,
                    format!("`{key}` in {} can't be {:?}", self.name, shown(text.value)),
                    &expected,
                );
                None
            }
        }
    }

    /// A whole number within bounds, if it is there and fits.
    pub fn number(&self, key: &'static str, within: RangeInclusive<usize>) -> Option<usize> {
        let found = self.get(key)?;
        let Some(number) = found.get_ref().as_integer() else {
            self.wrong_type(key, found, "a whole number");
            return None;
        };
        let value = usize::from_str_radix(number.as_str(), number.radix()).ok().filter(|value| within.contains(value));
        if value.is_none() {
            let message = format!("`{key}` in {} can't be {}", self.name, number.as_str());
            let hint = format!("it must be between {} and {}", within.start(), within.end());
            self.doc.problem(found.span().start, message, &hint);
        }
        value
    }

    /// `true` or `false`, if it is there and is one.
    pub fn truth(&self, key: &'static str) -> Option<bool> {
        let found = self.get(key)?;
        let truth = found.get_ref().as_bool();
        if truth.is_none() {
            self.wrong_type(key, found, "true or false");
        }
        truth
    }

    /// As [`Table::read`], with a default where the key is absent.
    pub fn read_or<T>(&self, key: &'static str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        self.read(key, parse).map_or(default, |found| found.value)
    }

    /// A text that must be there and not be empty.
    pub fn need(&self, key: &'static str, hint: &str) -> Option<At<String>> {
        self.must(key, hint);
        self.read(key, filled)
    }

    /// A text that may be absent, but not empty.
    pub fn filled(&self, key: &'static str) -> Option<String> {
        self.read(key, filled).map(|found| found.value)
    }

    /// Says so where a key is absent.
    pub fn must(&self, key: &'static str, hint: &str) {
        if self.get(key).is_none() {
            self.doc.problem(self.at, format!("{} needs `{key}`", self.name), hint);
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &'static str) -> Option<At<Vec<String>>> {
        let found = self.get(key)?;
        let all = found.get_ref().as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if all.is_none() {
            self.wrong_type(key, found, "a list of texts");
        }
        all.map(|value| At { value, at: found.span().start })
    }

    /// A table below this one.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        let found = self.get(key)?;
        match found.get_ref().as_table() {
            Some(entries) => Some(Table::new(self.doc, self.below(key), found.span().start, entries)),
            None => {
                self.wrong_type(key, found, "a table");
                None
            }
        }
    }

    /// Tables in a list: `[[connection]]`, or `[ { … }, … ]`.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(found) = self.get(key) else { return Vec::new() };
        let Some(items) = found.get_ref().as_array() else {
            self.wrong_type(key, found, "a list of tables");
            return Vec::new();
        };
        let name = if self.name.is_empty() { format!("[[{key}]]") } else { self.below(key) };
        items
            .iter()
            .filter_map(|item| {
                let entries = item.get_ref().as_table();
                if entries.is_none() {
                    self.wrong_type(key, item, "a list of tables");
                }
                entries.map(|entries| Table::new(self.doc, name.clone(), item.span().start, entries))
            })
            .collect()
    }

    fn below(&self, key: &str) -> String {
        if self.name.is_empty() { format!("[{key}]") } else { format!("`{key}` of {}", self.name) }
    }

    /// Every key with its text, where any key may stand.
    pub fn all_texts(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (key, value) in self.entries {
            match value.get_ref().as_str() {
                Some(text) => all.push((key.get_ref().to_string(), text.to_owned())),
                None => self.wrong_type(key.get_ref(), value, "a text in quotes"),
            }
        }
        all
    }

    /// Tells of every key that nobody asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let hint = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let place = if self.name.is_empty() { "at the top".to_owned() } else { format!("in {}", self.name) };
            self.doc.problem(key.span().start, format!("unknown key `{name}` {place}"), &hint);
        }
    }
}

/// A value as an error may show it: without the login and password of a URL.
fn shown(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        _ => text.to_owned(),
    }
}

fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The known word that is most like `word`, if one is like it at all.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (distance, near) = known.into_iter().map(|one| (distance(word, one), one)).min()?;
    (distance <= 1 + word.len() / 4).then_some(near)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.chars().enumerate() {
            let change = row.get(j).copied().unwrap_or(0) + usize::from(x != y);
            let add = next.get(j).copied().unwrap_or(0) + 1;
            let remove = row.get(j + 1).copied().unwrap_or(0) + 1;
            next.push(change.min(add).min(remove));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
