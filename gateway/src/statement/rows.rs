//! Rows as they left the gateway, after masking, up to a limit: for the record of a session.

use serde::Serialize;

use crate::wire::{Fields, Violation, frame};

/// The most that the rows of one statement take in its record, in bytes of their values.
const MOST: usize = 64 << 10;
/// The longest value that is kept whole, in bytes.
const LONGEST: usize = 4 << 10;

/// The rows of one statement of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Given {
    /// What its columns are called, where the server said so of this run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<String>,
    /// Text as it was; what is none, or came in binary, as `\x…`. COPY data is one value a message.
    values: Vec<Vec<Option<String>>>,
}

/// What is kept of what a text gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rows {
    given: Vec<Given>,
    /// There was more than is kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(skip)]
    left: usize,
    #[serde(skip)]
    bytes: usize,
    #[serde(skip)]
    formats: Vec<u16>,
}

impl Rows {
    /// So many at most.
    #[must_use]
    pub fn up_to(limit: usize) -> Self {
        Self { left: limit, ..Self::default() }
    }

    /// The client asked for its columns in these formats: none (text), one for all, or one for each.
    pub fn come_in(&mut self, formats: &[u16]) {
        self.formats = formats.to_vec();
    }

    /// Whether rows are looked at.
    #[must_use]
    pub const fn wants(&self) -> bool {
        !self.more
    }

    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.more && self.given.iter().all(|given| given.values.is_empty())
    }

    /// The server describes the rows that follow. `body`: of its RowDescription.
    ///
    /// # Errors
    /// Where it is none.
    pub fn described(&mut self, body: &[u8]) -> Result<(), Violation> {
        let mut fields = Fields::of(body);
        let mut columns = Vec::new();
        for _ in 0..fields.u16()? {
            columns.push(fields.text()?.to_owned());
            fields.take(18)?;
        }
        fields.end()?;
        // Names are kept as rows are: a text of many statements may have more of them.
        if self.more || self.bytes + body.len() > MOST {
            self.more = true;
            return Ok(());
        }
        self.bytes += body.len();
        self.given.push(Given { columns, values: Vec::new() });
        Ok(())
    }

    /// Takes whole frames of DataRow and CopyData.
    ///
    /// # Errors
    /// Where their lengths lie.
    pub fn take(&mut self, mut frames: &[u8]) -> Result<(), Violation> {
        while self.wants() {
            let Some(head) = frame::head(frames, |_| usize::MAX)? else { return Ok(()) };
            let Some(body) = frames.get(frame::HEAD..head.size) else { return Ok(()) };
            if self.left == 0 || self.bytes + body.len() > MOST {
                self.more = true;
                return Ok(());
            }
            let values = if head.tag == b'D' { self.values(body)? } else { vec![Some(shown(body, false))] };
            self.left -= 1;
            self.bytes += body.len();
            match self.given.last_mut() {
                Some(given) => given.values.push(values),
                None => self.given.push(Given { columns: Vec::new(), values: vec![values] }),
            }
            frames = frames.get(head.size..).unwrap_or_default();
        }
        Ok(())
    }

    fn values(&self, body: &[u8]) -> Result<Vec<Option<String>>, Violation> {
        let mut fields = Fields::of(body);
        let mut values = Vec::new();
        for at in 0..usize::from(fields.u16()?) {
            let format = match self.formats.as_slice() {
                [] => 0,
                [all] => *all,
                each => each.get(at).copied().unwrap_or_default(),
            };
            values.push(match usize::try_from(fields.i32()?) {
                Ok(length) => Some(shown(fields.take(length)?, format == 1)),
                Err(_) => None,
            });
        }
        fields.end()?;
        Ok(values)
    }
}

fn shown(value: &[u8], binary: bool) -> String {
    let cut = value.len() > LONGEST;
    let value = value.get(..LONGEST).unwrap_or(value);
    let text = if binary { None } else { readable(value, cut) };
    let mut text = text
        .map_or_else(|| value.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")), str::to_owned);
    if cut {
        text.push('…');
    }
    text
}

/// A text; of one that was cut, up to its last whole character.
fn readable(value: &[u8], cut: bool) -> Option<&str> {
    match std::str::from_utf8(value) {
        Ok(text) => Some(text),
        Err(error) if cut && error.error_len().is_none() => std::str::from_utf8(value.get(..error.valid_up_to())?).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(value.unwrap_or_default());
        }
        framed(b'D', &body)
    }

    fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], &length[..], body].concat()
    }

    fn description(names: &[&str]) -> Vec<u8> {
        let mut body = u16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
        for name in names {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 19]);
        }
        body
    }

    #[test]
    fn rows_are_kept_up_to_the_limit_and_it_is_said_that_there_were_more() {
        let mut rows = Rows::up_to(2);
        assert!(rows.is_empty());
        rows.described(&description(&["id", "name"])).unwrap();
        let frames = [row(&[Some(b"1"), None]), row(&[Some(b"2"), Some("Zoë".as_bytes())])].concat();
        rows.take(&frames).unwrap();
        let kept = json!({ "given": [{ "columns": ["id", "name"], "values": [["1", null], ["2", "Zoë"]] }] });
        assert_eq!(serde_json::to_value(&rows).unwrap(), kept);
        rows.take(&row(&[Some(b"3"), None])).unwrap();
        assert!(!rows.wants());
        assert_eq!(serde_json::to_value(&rows).unwrap()["more"], true);
    }

    #[test]
    fn what_is_no_text_is_spelled_and_what_is_long_is_cut() {
        let long = "ü".repeat(LONGEST);
        let table: [(&[u16], &[u8], String); 5] = [
            (&[], b"ABCD", "ABCD".into()),
            (&[1], b"ABCD", "\\x41424344".into()),
            (&[0], &[0xff, 0], "\\xff00".into()),
            (&[0], long.as_bytes(), format!("{}…", "ü".repeat(LONGEST / 2))),
            (&[1, 0], b"ABCD", "\\x41424344".into()),
        ];
        for (formats, value, expected) in table {
            let mut rows = Rows::up_to(9);
            rows.come_in(formats);
            rows.take(&row(&[Some(value)])).unwrap();
            assert_eq!(rows.given[0].values, [[Some(expected)]]);
        }
        let mut rows = Rows::up_to(1000);
        let big = [b'x'; MOST / 2];
        rows.take(&[row(&[Some(&big)]), row(&[Some(&big)])].concat()).unwrap();
        assert!(!rows.wants() && rows.given[0].values.len() == 1, "in all, too");
    }

    #[test]
    fn copy_data_is_a_value_a_message() {
        let mut rows = Rows::up_to(9);
        rows.take(&framed(b'd', b"1\tone\n")).unwrap();
        assert_eq!(rows.given[0].values, [[Some("1\tone\n".to_owned())]]);
    }
}
