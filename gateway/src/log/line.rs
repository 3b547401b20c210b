//! The two entries that every statement has, quickly: what is the same in all of a session is encoded
//! once, and nothing is copied before it stands in the line. Each reads back as an [`Entry`].

use std::{cell::Cell, sync::Arc};

use chrono::{DateTime, Datelike as _, Utc};
use serde::Serialize;

use super::{Entry, Record};

/// Of whom and where the entries of a session speak, encoded; with the kind before it.
#[derive(Clone, Debug)]
pub struct Of {
    statement: Arc<[u8]>,
    outcome: Arc<[u8]>,
}

impl From<&Entry> for Of {
    fn from(entry: &Entry) -> Self {
        let fields = [
            ("session", entry.session.as_ref().map(|id| id.as_str())),
            ("principal", entry.principal.as_deref()),
            ("connection", entry.connection.as_deref()),
        ];
        let encoded = |kind: &str| {
            let mut out = Vec::new();
            out.extend_from_slice(b"\",\"kind\":");
            text(kind, &mut out);
            for (name, value) in fields {
                if let Some(value) = value {
                    out.push(b',');
                    text(name, &mut out);
                    out.push(b':');
                    text(value, &mut out);
                }
            }
            out.into()
        };
        Self { statement: encoded("statement"), outcome: encoded("outcome") }
    }
}

/// Adds a JSON string.
fn text(value: &str, out: &mut Vec<u8>) {
    let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    // Not `all`: what does not stop early is looked at many bytes at a time.
    if value.as_bytes().iter().fold(true, |so_far, byte| so_far & plain(byte)) {
        out.reserve(value.len() + 2);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(value).to_string().as_bytes());
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// [`Kind::Statement`](super::Kind::Statement).
    Statement,
    /// [`Kind::Outcome`](super::Kind::Outcome).
    Outcome,
}

/// An entry that borrows.
pub struct Line<'a, D> {
    /// When.
    pub time: DateTime<Utc>,
    /// What it speaks of.
    pub kind: Which,
    /// Whose.
    pub of: &'a Of,
    /// About which request.
    pub request: Option<&'a str>,
    /// The statement, exactly.
    pub sql: Option<&'a str>,
    /// As in [`Entry::outcome`].
    pub outcome: &'a str,
    /// As in [`Entry::detail`].
    pub detail: D,
}

impl<D: Serialize> Record for Line<'_, D> {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.extend_from_slice(b"{\"time\":\"");
        time(self.time, out);
        out.extend_from_slice(match self.kind {
            Which::Statement => &self.of.statement,
            Which::Outcome => &self.of.outcome,
        });
        if let Some(request) = self.request {
            out.extend_from_slice(b",\"request\":");
            text(request, out);
        }
        if let Some(sql) = self.sql {
            out.extend_from_slice(b",\"sql\":");
            text(sql, out);
        }
        out.extend_from_slice(b",\"outcome\":");
        text(self.outcome, out);
        out.extend_from_slice(b",\"detail\":");
        serde_json::to_writer(&mut *out, &self.detail)?;
        out.push(b'}');
        Ok(())
    }

    fn ends(&self) -> bool {
        self.kind == Which::Outcome
    }
}

/// Adds a time as RFC 3339 with microseconds.
fn time(time: DateTime<Utc>, out: &mut Vec<u8>) {
    thread_local! {
        /// The second that was written last, with its digits: entries come in thousands to a second.
        static LAST: Cell<(i64, [u8; 20])> = const { Cell::new((i64::MIN, [0; 20])) };
    }
    let second = time.timestamp();
    let mut last = LAST.get();
    if last.0 != second {
        if !(0..=9999).contains(&time.year()) {
            out.extend_from_slice(time.to_rfc3339().as_bytes());
            return;
        }
        let text = time.format("%Y-%m-%dT%H:%M:%S.").to_string();
        last = (second, text.as_bytes().try_into().unwrap_or_default());
        LAST.set(last);
    }
    out.extend_from_slice(&last.1);
    let mut micros = time.timestamp_subsec_micros();
    let mut digits = *b"000000Z";
    for digit in digits[..6].iter_mut().rev() {
        *digit = b'0' + u8::try_from(micros % 10).unwrap_or_default();
        micros /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back_as_they_are() {
        for value in ["", "SELECT 1", "a \"b\" \\ c", "two\nlines \u{1b}[2J", "Zoë 日本 \u{7f}\u{85}", "'\u{0}'"] {
            let mut out = Vec::new();
            text(value, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), value);
            assert!(!out.iter().any(u8::is_ascii_control) || value.contains('\u{7f}'), "{out:?}");
        }
    }

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        time(text.parse().unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_read_back_to_the_microsecond() {
        let table = [
            ("2026-11-24T09:05:03.000007Z", "2026-11-24T09:05:03.000007Z"),
            ("2026-11-24T09:05:03.999999999Z", "2026-11-24T09:05:03.999999Z"),
            ("2026-11-24T09:05:04Z", "2026-11-24T09:05:04.000000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("+12026-11-24T09:05:04Z", "+12026-11-24T09:05:04+00:00"),
        ];
        for (time, expected) in table {
            assert_eq!(written(time), expected);
            assert_eq!(written(time), expected, "and again");
        }
    }
}
