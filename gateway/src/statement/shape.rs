//! The shape of a text: the text with its plain constants taken out, so that what was found out
//! about one text holds for all that differ in constants alone.
//!
//! Two texts of one shape have the same tokens but for the values of integers and strings. That is
//! enough where the analysis says that no value mattered (`Analysis::literal_sensitive`), and only
//! there. Whatever could read differently than it looks (comments, escapes, dollar quotes, other
//! control characters) has no shape: such a text is known by its own bytes alone.
//! `standard_conforming_strings` is on in every session, so a backslash in `'…'` is a backslash
//! (manual, section "String Constants").

/// Stands for an integer that fits `int4`. No text with a shape has this byte.
const INTEGER: u8 = 0x01;
/// Stands for a string.
const STRING: u8 = 0x02;
/// Ten digits may be an `int8`, which resolves to other functions.
const INT4_DIGITS: usize = 9;

/// Writes the shape of `sql` into `out`. `false` where it has none.
#[must_use]
pub fn shape(sql: &str, out: &mut Vec<u8>) -> bool {
    out.clear();
    let text = sql.as_bytes();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        let taken = match byte {
            b'\'' => match string(rest) {
                Some(length) => {
                    out.push(STRING);
                    at += length;
                    continue;
                }
                None => return false,
            },
            b'"' => match quoted(rest) {
                Some(length) => length,
                None => return false,
            },
            b'0'..=b'9' => {
                let length = number(rest);
                if let Some(digits) = length
                    && digits <= INT4_DIGITS
                {
                    out.push(INTEGER);
                    at += digits;
                    continue;
                }
                length.unwrap_or_else(|| word(rest))
            }
            // A fraction without its integer part, or the `.` of `t.1`: as it stands, digits included.
            b'.' => 1 + word(&rest[1..]),
            b'$' => match parameter(rest) {
                Some(length) => length,
                None => return false,
            },
            b'-' if rest.starts_with(b"--") => return false,
            b'/' if rest.starts_with(b"/*") => return false,
            b'\\' => return false,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                let length = word(rest);
                // E'…', B'…', X'…', N'…', U&'…' and U&"…" are no plain strings.
                match rest.get(length) {
                    Some(b'\'' | b'"') => return false,
                    Some(b'&') if matches!(rest.get(length + 1), Some(b'\'' | b'"')) => return false,
                    _ => length,
                }
            }
            b'\t' | b'\n' | b'\r' | b' '..=b'~' => 1,
            _ => return false,
        };
        out.extend_from_slice(&rest[..taken]);
        at += taken;
    }
    true
}

/// The bytes of a plain string with its quotes. `None` where it has no end.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'\'')? + 1;
        if text.get(at) != Some(&b'\'') {
            return Some(at);
        }
        at += 1;
    }
}

/// The bytes of a quoted identifier. `None` where it has no end, or control characters in it.
fn quoted(text: &[u8]) -> Option<usize> {
    let end = text.get(1..)?.iter().position(|byte| *byte == b'"')? + 2;
    text[..end].iter().all(|byte| *byte >= b' ' && *byte != 0x7f).then_some(end)
}

/// The digits of a plain decimal integer. `None` where it is any other number, or junk.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let plain = !matches!(text.get(digits), Some(b'.' | b'_' | b'$' | b'A'..=b'Z' | b'a'..=b'z' | 0x80..));
    plain.then_some(digits)
}

/// The bytes up to the first that an identifier or a number could not go on with.
fn word(text: &[u8]) -> usize {
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
    text.iter().take_while(|byte| goes_on(byte)).count()
}

/// The bytes of `$1`. `None` for a dollar quote.
fn parameter(text: &[u8]) -> Option<usize> {
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let goes_on = matches!(text.get(1 + digits), Some(b'$' | b'_' | b'A'..=b'Z' | b'a'..=b'z' | 0x80..));
    (digits > 0 && !goes_on).then_some(1 + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Option<String> {
        let mut out = Vec::new();
        shape(sql, &mut out).then(|| {
            let shown = |byte: &u8| match *byte {
                INTEGER => '#',
                STRING => '§',
                byte => char::from(byte),
            };
            out.iter().map(shown).collect()
        })
    }

    #[test]
    fn constants_are_taken_out_and_nothing_else() {
        let table = [
            ("SELECT a FROM t WHERE id = 42", "SELECT a FROM t WHERE id = #", "an integer"),
            ("SELECT a FROM t WHERE id = 7;", "SELECT a FROM t WHERE id = #;", "another"),
            ("SELECT 'it''s', ''", "SELECT §, §", "strings, a doubled quote in one"),
            (r"SELECT 'a\'", "SELECT §", "a backslash is a backslash"),
            ("SELECT '--', '/*', '$$'", "SELECT §, §, §", "what looks like something else in a string"),
            ("SELECT t1.c2 FROM t1", "SELECT t1.c2 FROM t1", "digits in names"),
            ("SELECT 1234567890", "SELECT 1234567890", "may be an int8"),
            ("SELECT 1.5, .5, 1e3, 0x1F, 1_000", "SELECT 1.5, .5, 1e3, 0x1F, 1_000", "other numbers as they stand"),
            ("SELECT $1, $23", "SELECT $1, $23", "parameters"),
            ("SELECT \"a'1\" FROM \"b\"", "SELECT \"a'1\" FROM \"b\"", "quoted names"),
            ("SELECT '1'::int+-3", "SELECT §::int+-#", "casts and signs stay"),
            ("SELECT 1a", "SELECT 1a", "junk stays, and is refused by the grammar"),
        ];
        for (sql, expected, case) in table {
            assert_eq!(of(sql).as_deref(), Some(expected), "{case}");
        }
    }

    #[test]
    fn what_could_read_differently_has_no_shape() {
        let table = [
            ("SELECT E'a\\'b'", "an escape string"),
            ("SELECT e'x'", "and in small letters"),
            ("SELECT U&'d\\0061t'", "Unicode escapes"),
            ("SELECT U&\"d\\0061t\"", "in a name too"),
            ("SELECT B'01', 1", "a bit string"),
            ("SELECT N'a'", "a national string"),
            ("SELECT date'2020-01-01'", "a type right before its string"),
            ("SELECT $$a$$", "a dollar quote"),
            ("SELECT $a$b$a$", "with a tag"),
            ("SELECT $1a$b$1a$", "which looks like a parameter"),
            ("SELECT 1 -- 2", "a comment"),
            ("SELECT 1 /* 2 */", "another"),
            ("SELECT 'a", "no end"),
            ("SELECT \"a", "no end of a name"),
            ("SELECT \u{1}", "the byte that stands for an integer"),
            ("SELECT \"\u{2}\"", "the byte that stands for a string, in a name"),
            ("SELECT \u{b}1", "a vertical tab, blank for some servers only"),
            ("\\d", "a backslash outside of strings"),
        ];
        for (sql, case) in table {
            assert_eq!(of(sql), None, "{case}");
        }
    }

    #[test]
    fn different_texts_have_different_shapes() {
        let table = [
            ("SELECT 1", "SELECT '1'", "a number is no string"),
            ("SELECT 1", "SELECT 12345678901", "nor a bigint"),
            ("SELECT 1 1", "SELECT 11", "two tokens are not one"),
            ("SELECT 'a' 'b'", "SELECT 'a''b'", "nor are two strings"),
            ("SELECT a", "SELECT A", "letters as they stand"),
            ("SELECT a FROM t", "SELECT a FROM  t", "blanks too"),
        ];
        for (one, other, case) in table {
            assert_ne!(of(one), of(other), "{case}");
        }
    }
}
