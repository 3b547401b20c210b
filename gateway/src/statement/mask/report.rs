//! Errors and notices of statements that meet classified columns: what may quote a value does not leave.

use pgwire::error::ErrorInfo;

use crate::wire::{Fields, Violation, backend};

/// The fields that matter here.
#[derive(Debug, Default)]
struct Said<'a> {
    severity: &'a str,
    code: &'a str,
    message: &'a str,
    position: Option<&'a str>,
    file: &'a str,
}

fn read(body: &[u8]) -> Result<Said<'_>, Violation> {
    let mut fields = Fields::of(body);
    let mut said = Said::default();
    loop {
        let kind = fields.u8()?;
        if kind == 0 {
            fields.end()?;
            return Ok(said);
        }
        let text = fields.text()?;
        match kind {
            b'V' => said.severity = text,
            b'S' if said.severity.is_empty() => said.severity = text,
            b'C' => said.code = text,
            b'M' => said.message = text,
            b'P' => said.position = Some(text),
            b'F' => said.file = text,
            _ => {}
        }
    }
}

/// Whether a message says nothing but what is wrong with the text, or what happens to the session. The
/// first is certain only while the server has not begun to run it: a cast to `regtype` reads a value as a
/// text would be read. The other is told by the file of the server that says it, which no code of the
/// database can choose.
fn is_about_the_text(said: &Said<'_>, only_read: bool) -> bool {
    let ends = matches!(said.file, "postgres.c" | "proc.c" | "deadlock.c" | "lock.c" | "predicate.c" | "snapmgr.c");
    only_read && said.code.starts_with("42")
        || ends && ["57", "40", "55", "25"].iter().any(|class| said.code.starts_with(class))
}

/// What stands for a message that may quote a value.
fn safe(code: &str) -> String {
    let what = match code {
        "23505" => "a unique constraint is violated",
        "23503" => "a foreign key constraint is violated",
        "23502" => "a value must not be NULL",
        "23514" => "a check constraint is violated",
        "23P01" => "an exclusion constraint is violated",
        "22P02" | "22P03" => "a value can't be read as its type",
        "22012" => "division by zero",
        "22003" => "a number is out of range",
        "22001" => "a value is too long",
        "57014" => "canceling statement",
        "40001" => "could not serialize access",
        "40P01" => "deadlock detected",
        "55P03" => "could not obtain a lock",
        code if code.starts_with("22") => "a value can't be used so",
        code if code.starts_with("23") => "a constraint is violated",
        _ => "the statement failed",
    };
    what.to_owned()
}

/// The frame of an error or notice that may leave in place of one; `None` for a notice that must not.
/// `only_read`: the server has not begun to run the statement.
///
/// # Errors
/// Where the body is none.
pub fn reduced(tag: u8, body: &[u8], only_read: bool) -> Result<Option<Vec<u8>>, Violation> {
    let said = read(body)?;
    let about_the_text = is_about_the_text(&said, only_read);
    if tag == b'N' && !about_the_text {
        return Ok(None);
    }
    let message = if about_the_text { said.message.to_owned() } else { safe(said.code) };
    let mut info = ErrorInfo::new(said.severity.to_owned(), said.code.to_owned(), message);
    if about_the_text {
        info.position = said.position.map(str::to_owned);
    } else {
        info.detail = Some("The text of this error is withheld, since it may quote masked values.".to_owned());
    }
    let frame = if tag == b'N' { backend::notice(info) } else { backend::error(info) };
    Ok(Some(frame.to_vec()))
}

/// A notification without its payload.
///
/// # Errors
/// Where the body is none.
pub fn without_payload(body: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut fields = Fields::of(body);
    let process = fields.i32()?;
    let channel = fields.text()?;
    let mut frame = vec![b'A', 0, 0, 0, 0];
    frame.extend_from_slice(&process.to_be_bytes());
    frame.extend_from_slice(channel.as_bytes());
    frame.extend_from_slice(b"\0\0");
    let length = u32::try_from(frame.len() - 1).unwrap_or(u32::MAX);
    frame[1..5].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str, file: &str) -> Vec<u8> {
        let text = format!("SERROR\0VERROR\0C{code}\0M{message}\0DKey (email)=(canary) exists.\0F{file}\0L1\0Rx\0\0");
        text.into_bytes()
    }

    fn text(tag: u8, body: &[u8], only_read: bool) -> String {
        reduced(tag, body, only_read)
            .unwrap()
            .map(|frame| String::from_utf8_lossy(&frame).into_owned())
            .unwrap_or_default()
    }

    #[test]
    fn what_may_quote_a_value_does_not_leave() {
        let table = [
            ("23505", "duplicate key value", "nbtinsert.c"),
            ("22P02", "invalid input syntax for type integer: \"canary\"", "numutils.c"),
            ("P0001", "canary", "pl_exec.c"),
            ("42703", "canary", "pl_exec.c"),
            ("57014", "canary", "pl_exec.c"),
            ("42704", "type \"canary\" does not exist", "parse_type.c"),
        ];
        for (code, message, file) in table {
            let left = text(b'E', &error(code, message, file), false);
            assert!(!left.contains("canary") && left.contains(code), "{left}");
            assert_eq!(text(b'N', &error(code, message, file), false), "", "a notice");
        }
    }

    #[test]
    fn what_is_wrong_with_the_text_itself_is_told() {
        let said = error("42703", "column \"emial\" does not exist", "parse_relation.c");
        let left = text(b'E', &said, true);
        assert!(left.contains("emial") && !left.contains("canary"), "{left}");
        assert!(!text(b'E', &said, false).contains("emial"), "it may be a value that was read as a name");
    }

    #[test]
    fn a_notification_keeps_its_channel_alone() {
        let left = without_payload(b"\0\0\0\x07orders\0canary\0").unwrap();
        assert_eq!(left, b"A\0\0\0\x10\0\0\0\x07orders\0\0");
    }
}
