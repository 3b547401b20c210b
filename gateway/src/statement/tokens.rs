//! The tokens of a plain text, so that a text can be told to be another but for its constants.
//!
//! Only what reads as it looks has tokens: no comments, no escapes, no dollar quotes, as in [`shape`](super::shape).
//! What lies between two tokens is blank and means nothing (manual, section "Lexical Structure").

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword, a name with its quotes, an operator or punctuation, byte for byte.
    Word(&'a str),
    /// A decimal number without a sign.
    Number(&'a str),
    /// What stands between the quotes of a plain string, as it is written.
    Text(&'a str),
    /// `$1`.
    Parameter(usize),
}

/// What operators are made of (manual, section "Operators"), and `:`, which stands in `::`.
const OPERATORS: &[u8] = b"+-*/<>=~!@#%^&|`?:";

/// All of a text but its last semicolons. `None` where something may read differently than it looks.
#[must_use]
pub fn tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let bytes = sql.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let rest = sql.get(at..)?;
        let (token, length) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'\'' => {
                let end = end_of_quotes(rest.as_bytes(), b'\'')?;
                (Token::Text(rest.get(1..end - 1)?), end)
            }
            b'"' => {
                let end = end_of_quotes(rest.as_bytes(), b'"')?;
                (Token::Word(rest.get(..end)?), end)
            }
            b'0'..=b'9' => number(rest)?,
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => return None,
            b'$' => {
                let length = 1 + run(rest.get(1..)?, |byte| byte.is_ascii_digit());
                let number = rest.get(1..length)?.parse().ok()?;
                if goes_on(bytes.get(at + length)) {
                    return None;
                }
                (Token::Parameter(number), length)
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                let length = run(rest, |byte| goes_on(Some(&byte)));
                match (bytes.get(at + length), bytes.get(at + length + 1)) {
                    (Some(b'\'' | b'"'), _) | (Some(b'&'), Some(b'\'' | b'"')) => return None,
                    _ => (Token::Word(rest.get(..length)?), length),
                }
            }
            byte if OPERATORS.contains(byte) => {
                let length = run(rest, |byte| OPERATORS.contains(&byte));
                let word = rest.get(..length)?;
                if word.contains("--") || word.contains("/*") {
                    return None;
                }
                (Token::Word(word), length)
            }
            b'.' | b',' | b';' | b'(' | b')' | b'[' | b']' => (Token::Word(rest.get(..1)?), 1),
            _ => return None,
        };
        found.push(token);
        at += length;
    }
    while found.last() == Some(&Token::Word(";")) {
        found.pop();
    }
    Some(found)
}

fn goes_on(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..))
}

fn run(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| of(*byte)).count()
}

/// Where what begins with a quote ends, behind its last one. A control character has no place in it.
fn end_of_quotes(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == quote)? + 1;
        if text.get(at) != Some(&quote) {
            let within = text.get(1..at - 1)?;
            return within.iter().all(|byte| *byte >= b' ' && *byte != 0x7f).then_some(at);
        }
        at += 1;
    }
}

/// `12` and `12.5`; whatever else begins with a digit is not looked at.
fn number(text: &str) -> Option<(Token<'_>, usize)> {
    let mut length = run(text, |byte| byte.is_ascii_digit());
    if text.as_bytes().get(length) == Some(&b'.') {
        let fraction = run(text.get(length + 1..)?, |byte| byte.is_ascii_digit());
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    }
    let next = text.as_bytes().get(length);
    let ends = !goes_on(next) && next != Some(&b'.');
    ends.then_some((Token::Number(text.get(..length)?), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_falls_into_its_tokens() {
        use Token::{Number, Parameter, Text, Word};
        let sql = "update shop.\"Odd \"\"one\"\nset a=$1,b = 12.5 where c>= 'it''s' and d = -7;;";
        let expected = [
            Word("update"),
            Word("shop"),
            Word("."),
            Word("\"Odd \"\"one\""),
            Word("set"),
            Word("a"),
            Word("="),
            Parameter(1),
            Word(","),
            Word("b"),
            Word("="),
            Number("12.5"),
            Word("where"),
            Word("c"),
            Word(">="),
            Text("it''s"),
            Word("and"),
            Word("d"),
            Word("="),
            Word("-"),
            Number("7"),
        ];
        assert_eq!(tokens(sql).unwrap(), expected);
        assert_eq!(tokens("é=1").unwrap(), [Word("é"), Word("="), Number("1")]);
        assert_eq!(tokens(" ;").unwrap(), []);
    }

    #[test]
    fn what_may_read_differently_than_it_looks_has_none() {
        let table = [
            "select 1 -- a comment",
            "select 1 /* one */",
            "select 1-/**/2",
            "select E'a\\'b'",
            "select U&'a'",
            "select U&\"a\"",
            "select x'1f'",
            "select $a$b$a$",
            "select $1a",
            "select 1e5",
            "select 0x1f",
            "select 1_000",
            "select 1.",
            "select .5",
            "select 1.2.3",
            "select 'no end",
            "select \"no end",
            "select 'a\0b'",
            "select '\u{1b}'",
            "select \\x",
            "select {1}",
            "a\u{0b}b",
        ];
        for sql in table {
            assert_eq!(tokens(sql), None, "{sql:?}");
        }
    }
}
