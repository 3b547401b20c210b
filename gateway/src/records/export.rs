//! Entries for other programs: JSON lines, CSV, and OCSF.

use serde_json::json;

use super::ocsf;
use crate::log::Entry;

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line, each with the same keys.
    JsonLines,
    /// RFC 4180, with a head line.
    Csv,
    /// A JSON object a line: an event of the Open Cybersecurity Schema Framework.
    Ocsf,
}

/// The columns, in order.
const COLUMNS: [&str; 10] =
    ["seq", "time", "kind", "session", "principal", "connection", "request", "sql", "outcome", "detail"];

impl Format {
    /// What stands before all entries.
    #[must_use]
    pub fn head(self) -> Option<String> {
        (self == Self::Csv).then(|| COLUMNS.join(","))
    }

    /// An entry's line.
    #[must_use]
    pub fn line(self, seq: u64, entry: &Entry) -> String {
        match self {
            Self::JsonLines => without_controls(&object(seq, entry).to_string()),
            Self::Csv => {
                let object = object(seq, entry);
                COLUMNS.map(|column| field(&text(&object[column]))).join(",")
            }
            Self::Ocsf => without_controls(&ocsf::event(seq, entry).to_string()),
        }
    }
}

/// All of an entry; what it does not have is null.
pub(super) fn object(seq: u64, entry: &Entry) -> serde_json::Value {
    json!({
        "seq": seq, "time": entry.time, "kind": entry.kind, "session": entry.session, "principal": entry.principal,
        "connection": entry.connection, "request": entry.request, "sql": entry.sql, "outcome": entry.outcome,
        "detail": entry.detail,
    })
}

fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON in which no character commands a terminal: JSON itself has an escape for those below the blank only.
fn without_controls(json: &str) -> String {
    if !json.contains(is_c1) {
        return json.to_owned();
    }
    // They stand within texts only, where an escape is the same.
    json.chars().map(|c| if is_c1(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

fn is_c1(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}')
}

/// A field of CSV. One that a spreadsheet would take for a formula is made a text; control characters but tabs and
/// line breaks are spelled out.
pub(super) fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let controls = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let spelled = || {
        let spell = |c: char| if controls(c) { c.escape_unicode().to_string() } else { c.to_string() };
        text.chars().map(spell).collect::<String>()
    };
    let text = if text.contains(controls) { spelled() } else { text.to_owned() };
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    #[test]
    fn no_line_of_json_has_a_control_character() {
        let entry = Entry { sql: Some("a\u{1b}b\u{9b}c\u{7f}".into()), ..Entry::new(Kind::Denied) };
        for format in [Format::JsonLines, Format::Ocsf] {
            let line = format.line(1, &entry);
            assert!(!line.contains(char::is_control), "{line:?}");
            assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string().contains("a\\u001bb\u{9b}c"));
        }
    }

    #[test]
    fn every_line_has_every_key() {
        let line = Format::JsonLines.line(3, &Entry::new(Kind::Stop));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        for column in COLUMNS {
            assert!(read.get(column).is_some(), "{column}: {line}");
        }
        assert_eq!((&read["kind"], &read["sql"]), (&"stop".into(), &serde_json::Value::Null));
    }

    #[test]
    fn a_field_of_csv_is_one_field_and_no_formula() {
        let table = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"\nthere", "\"say \"\"hi\"\"\nthere\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1),", "\"'@SUM(A1),\""),
            ("\n=1+1", "\"'\n=1+1\""),
            ("＝1+1", "'＝1+1"),
            ("a\u{1b}[2J\u{9b}b", "a\\u{1b}[2J\\u{9b}b"),
        ];
        for (text, expected) in table {
            assert_eq!(field(text), expected);
        }
        let mut entry = Entry::new(Kind::Denied);
        entry.sql = Some("select 1, 2".into());
        let line = Format::Csv.line(1, &entry);
        assert!(line.contains(",denied,,,,,\"select 1, 2\",,"), "{line}");
    }
}
