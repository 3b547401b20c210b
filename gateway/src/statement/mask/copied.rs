//! COPY TO STDOUT under a plan, row by row: the text and CSV forms here (manual, COPY, File Formats), the binary one
//! beside it.

use pg_query::{
    NodeEnum,
    protobuf::{CopyStmt, Node},
};

use super::{
    copied_binary::{self, Place},
    plan::Shown,
    rules::Mask,
    value::{HashKey, Kind, masked},
};

/// How the rows of a COPY are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As text or CSV.
    Lines(Lines),
    /// In binary.
    Binary,
}

/// The text and CSV forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    csv: bool,
    delimiter: u8,
    null: Vec<u8>,
    quote: u8,
    escape: u8,
    /// Whether the first row holds names.
    header: bool,
}

impl Form {
    /// The form that a statement asks for.
    ///
    /// # Errors
    /// Why it can't be followed.
    pub fn of(n: &CopyStmt) -> Result<Self, String> {
        let mut options = std::collections::BTreeMap::new();
        for option in &n.options {
            let Some(NodeEnum::DefElem(option)) = &option.node else {
                return Err("an option of a new kind".to_owned());
            };
            options.insert(option.defname.to_ascii_lowercase(), option.arg.as_deref());
        }
        let word = |name: &str| options.get(name).copied().flatten().and_then(text);
        let format = word("format").unwrap_or_else(|| "text".to_owned()).to_ascii_lowercase();
        let csv = match format.as_str() {
            "text" | "binary" => false,
            "csv" => true,
            other => return Err(format!("the format {other}")),
        };
        let known = ["format", "delimiter", "null", "quote", "escape", "header", "force_quote", "encoding"];
        if let Some(name) = options.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("the option {name}"));
        }
        let utf8 = word("encoding").is_none_or(|name| matches!(name.to_ascii_lowercase().as_str(), "utf8" | "utf-8"));
        if !utf8 {
            return Err("another encoding than UTF8".to_owned());
        }
        if format == "binary" {
            return Ok(Self::Binary);
        }
        let one = |name: &str, default: u8| match options.get(name) {
            None => Ok(default),
            Some(_) => match word(name).unwrap_or_default().as_bytes() {
                [byte] if byte.is_ascii() => Ok(*byte),
                _ => Err(format!("its {name}")),
            },
        };
        let delimiter = one("delimiter", if csv { b',' } else { b'\t' })?;
        let quote = one("quote", b'"')?;
        let escape = one("escape", quote)?;
        let null = match options.get("null") {
            None => {
                if csv {
                    Vec::new()
                } else {
                    b"\\N".to_vec()
                }
            }
            Some(_) => word("null").ok_or("its null")?.into_bytes(),
        };
        let header = match options.get("header") {
            None => false,
            Some(None) => true,
            Some(Some(_)) => match word("header").unwrap_or_default().to_ascii_lowercase().as_str() {
                "true" | "on" | "1" => true,
                "false" | "off" | "0" => false,
                _ => return Err("its header".to_owned()),
            },
        };
        Ok(Self::Lines(Lines { csv, delimiter, null, quote, escape, header }))
    }

    /// The format code of CopyOutResponse.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Lines(_) => 0,
            Self::Binary => 1,
        }
    }
}

fn text(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::String(s) => Some(s.sval.clone()),
        NodeEnum::Integer(i) => Some(i.ival.to_string()),
        NodeEnum::Boolean(b) => Some(b.boolval.to_string()),
        _ => None,
    }
}

/// A field as it stands, and its value; `None` is NULL.
type Field<'r> = (&'r [u8], Option<Vec<u8>>);

/// Masks the rows of one COPY. A COPY does not tell types: what is masked is text to it, and what a mask
/// would do to another type is done by name of the mask alone.
#[derive(Debug)]
pub struct CopyMask {
    columns: Vec<Column>,
    how: How,
}

/// What is done to a column.
pub(super) type Column = Option<Hides>;

/// How a column is masked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hides {
    pub mask: Mask,
    pub kind: Kind,
    /// NULL, too.
    pub nulls: bool,
}

#[derive(Debug)]
enum How {
    /// The flag says that the row of names is still to come.
    Lines(Lines, bool),
    Binary(Place),
}

impl CopyMask {
    /// For rows of which `shown` says what is shown, and `kinds` what each is.
    #[must_use]
    pub fn new(form: &Form, shown: &[Shown], kinds: &[Kind]) -> Self {
        let column = |(at, shown): (usize, &Shown)| {
            let kind = kinds.get(at).copied().unwrap_or(Kind::Other);
            match shown {
                Shown::Clear => None,
                Shown::Masked(mask) => Some(Hides { mask: *mask, kind, nulls: false }),
                Shown::Computed => Some(Hides { mask: Mask::Redact, kind, nulls: true }),
            }
        };
        let columns = shown.iter().enumerate().map(column).collect();
        let how = match form {
            Form::Lines(lines) => How::Lines(lines.clone(), lines.header),
            Form::Binary => How::Binary(Place::Start),
        };
        Self { columns, how }
    }

    /// One message of the server's: a row with its end of line, or a part of the binary form. `None` where it is not
    /// what its form says.
    pub fn row(&mut self, row: &[u8], key: &HashKey) -> Option<Vec<u8>> {
        match &mut self.how {
            // Names of columns, which its statement says itself.
            How::Lines(_, names @ true) => {
                *names = false;
                Some(row.to_vec())
            }
            How::Lines(lines, false) => lines.row(&self.columns, row, key),
            How::Binary(place) => copied_binary::message(place, &self.columns, row, key),
        }
    }
}

impl Lines {
    fn row(&self, columns: &[Column], row: &[u8], key: &HashKey) -> Option<Vec<u8>> {
        let (line, end) = match row {
            [line @ .., b'\r', b'\n'] => (line, &b"\r\n"[..]),
            [line @ .., b'\n'] => (line, &b"\n"[..]),
            _ => return None,
        };
        let fields = if self.csv { self.csv_fields(line)? } else { self.text_fields(line) };
        if fields.len() != columns.len() {
            return None;
        }
        let mut out = Vec::with_capacity(row.len());
        for (at, ((raw, value), column)) in fields.into_iter().zip(columns).enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            match (column, value) {
                (None, _) | (Some(Hides { nulls: false, .. }), None) => out.extend_from_slice(raw),
                (Some(Hides { mask, kind, .. }), value) => {
                    match masked(*mask, *kind, false, &value.unwrap_or_default(), key) {
                        None => out.extend_from_slice(&self.null),
                        Some(value) => self.write(&value, &mut out),
                    }
                }
            }
        }
        out.extend_from_slice(end);
        Some(out)
    }

    fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        if self.csv {
            // In quotes it is never NULL and never the end of data.
            out.push(self.quote);
            for byte in value {
                if *byte == self.quote || *byte == self.escape {
                    out.push(self.escape);
                }
                out.push(*byte);
            }
            out.push(self.quote);
            return;
        }
        for byte in value {
            match byte {
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                byte if *byte == self.delimiter || *byte == b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                byte => out.push(*byte),
            }
        }
    }

    fn text_fields<'r>(&self, line: &'r [u8]) -> Vec<Field<'r>> {
        let (mut fields, mut start, mut at) = (Vec::new(), 0, 0);
        loop {
            match line.get(at) {
                Some(b'\\') => at += 2,
                Some(byte) if *byte != self.delimiter => at += 1,
                end => {
                    let stop = at.min(line.len());
                    let raw = &line[start..stop];
                    fields.push((raw, (raw != self.null).then(|| unescaped(raw))));
                    if end.is_none() {
                        return fields;
                    }
                    at += 1;
                    start = at;
                }
            }
        }
    }

    fn csv_fields<'r>(&self, line: &'r [u8]) -> Option<Vec<Field<'r>>> {
        let (mut fields, mut at) = (Vec::new(), 0);
        loop {
            let start = at;
            let mut value = Vec::new();
            let quoted = line.get(at) == Some(&self.quote);
            if quoted {
                at += 1;
                loop {
                    let byte = *line.get(at)?;
                    let next = line.get(at + 1).copied();
                    if byte == self.escape && next.is_some_and(|n| n == self.quote || n == self.escape) {
                        value.extend(next);
                        at += 2;
                    } else if byte == self.quote {
                        at += 1;
                        break;
                    } else {
                        value.push(byte);
                        at += 1;
                    }
                }
            } else {
                while line.get(at).is_some_and(|byte| *byte != self.delimiter) {
                    value.push(line[at]);
                    at += 1;
                }
            }
            let raw = &line[start..at];
            fields.push((raw, (quoted || raw != self.null).then_some(value)));
            match line.get(at) {
                None => return Some(fields),
                Some(byte) if *byte == self.delimiter => at += 1,
                Some(_) => return None,
            }
        }
    }
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let (mut value, mut rest) = (Vec::with_capacity(raw.len()), raw);
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'\\' {
            value.push(*first);
            continue;
        }
        let Some((second, more)) = rest.split_first() else { break };
        rest = more;
        value.push(match second {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => *other,
        });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(csv: bool, null: &str) -> Form {
        let delimiter = if csv { b',' } else { b'\t' };
        let null = null.as_bytes().to_vec();
        Form::Lines(Lines { csv, delimiter, null, quote: b'"', escape: b'"', header: false })
    }

    fn masked_row(form: &Form, shown: &[Shown], row: &str) -> Option<String> {
        let kinds = vec![Kind::Text(None); shown.len()];
        let row = CopyMask::new(form, shown, &kinds).row(row.as_bytes(), &HashKey::new(b"k"));
        row.map(|row| String::from_utf8(row).unwrap())
    }

    #[test]
    fn fields_are_found_whatever_is_in_them() {
        let email = [Shown::Clear, Shown::Masked(Mask::Redact), Shown::Clear];
        let (text, csv) = (form(false, "\\N"), form(true, ""));
        let table: [(&Form, &str, Option<&str>, &str); 11] = [
            (&text, "1\tana@x.y\tz\n", Some("1\t[redacted]\tz\n"), "plain"),
            (&text, "1\t\\N\tz\n", Some("1\t\\N\tz\n"), "NULL stays NULL"),
            (&text, "1\\\tx\ta\\\\\tz\n", Some("1\\\tx\t[redacted]\tz\n"), "a delimiter in a value"),
            (&text, "1\t\tz\n", Some("1\t[redacted]\tz\n"), "empty is no NULL"),
            (&text, "1\tz\n", None, "a row of another shape"),
            (&csv, "1,ana@x.y,z\n", Some("1,\"[redacted]\",z\n"), "plain"),
            (&csv, "1,,z\n", Some("1,,z\n"), "NULL"),
            (&csv, "1,\"\",z\n", Some("1,\"[redacted]\",z\n"), "empty is no NULL"),
            (&csv, "1,\"a,\"\"b\"\"\n\",\"z,\"\n", Some("1,\"[redacted]\",\"z,\"\n"), "quotes, commas and lines"),
            (&csv, "1,\"a\"b,z\n", None, "what no server writes"),
            (&csv, "1,\"a,z\n", None, "an open quote"),
        ];
        for (form, row, expected, why) in table {
            assert_eq!(masked_row(form, &email, row).as_deref(), expected, "{why}: {row:?}");
        }
    }

    #[test]
    fn of_an_expression_nobody_learns_whether_it_is_null() {
        let computed = [Shown::Computed];
        for (form, null, value) in [(form(false, "\\N"), "\\N\n", "x\n"), (form(true, ""), "\n", "x\n")] {
            let of_null = masked_row(&form, &computed, null);
            assert_eq!(of_null, masked_row(&form, &computed, value));
            assert!(of_null.is_some_and(|row| row.contains("[redacted]")));
        }
    }

    #[test]
    fn a_mask_that_gives_null_writes_the_forms_own() {
        let null = [Shown::Masked(Mask::Null)];
        assert_eq!(masked_row(&form(false, "-"), &null, "x\n").as_deref(), Some("-\n"));
        assert_eq!(masked_row(&form(true, "nil"), &null, "x\n").as_deref(), Some("nil\n"));
    }
}
