//! Makes hostile text harmless to read: nothing on a card is invisible, and nothing pings.

use std::fmt::Write;

/// Ranges of characters that are drawn as nothing, as a blank, or that move what stands around
/// them: Unicode's format characters (Cf) with the bidirectional controls and tags, fillers, blanks that are no
/// white space to Unicode, variation selectors, and private use.
const HIDDEN: [(u32, u32); 29] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFF),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
    (0xF0000, 0x10FFFF),
];

/// Whether a reader can't see `c`, or takes it for something else.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let code = u32::from(c);
    if matches!(c, ' ' | '\n' | '\t') {
        return false;
    }
    // Every other white space looks like a space and is none to PostgreSQL.
    c.is_control() || c.is_whitespace() || HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

fn escape_into(out: &mut String, c: char) {
    match c {
        '\r' => out.push_str("\\r"),
        _ => {
            // Writing to a String can't fail.
            let _ok = write!(out, "\\u{{{:04X}}}", u32::from(c));
        }
    }
}

/// `text` with everything invisible spelled out: U+202E as `\u{202E}`, a carriage return as `\r`.
/// New lines, tabs and spaces stay. A carriage return that no new line follows gets one, since
/// PostgreSQL ends a comment there and the reader must see what follows on a line of its own.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if is_hidden(c) {
            escape_into(&mut out, c);
            if c == '\r' && chars.peek() != Some(&'\n') {
                out.push('\n');
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// As [`visible`], on one line, and unambiguous: new lines and tabs are `\n` and `\t`, a backslash
/// is `\\`. Parameters are shown so, each on its own line.
#[must_use]
pub fn visible_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if is_hidden(c) => escape_into(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// A bound parameter as a line: `$1 = 'it''s'`, `$2 = NULL`.
#[must_use]
pub fn parameter(number: usize, value: &str) -> String {
    if value == "NULL" {
        return format!("${number} = NULL");
    }
    format!("${number} = '{}'", visible_line(value).replace('\'', "''"))
}

/// `text` on one line of at most `limit` characters, for names and previews; what is cut ends in `…`.
#[must_use]
pub fn short(text: &str, limit: usize) -> String {
    let line: String = visible(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    let mut cut: String = line.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `text` for a field that Slack parses as mrkdwn: no mention, no link, no entity.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// How long Slack takes `text` to be; the larger of the ways to count.
#[must_use]
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Sentences about what makes `sql` hard to read.
#[must_use]
pub fn reading_notes(sql: &str) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if sql.chars().any(|c| is_hidden(c) && c != '\r') {
        notes.push("It contains invisible characters, shown as \\u{…}.");
    }
    if sql.contains('\r') {
        notes.push("It contains carriage returns, shown as \\r; PostgreSQL ends a comment there.");
    }
    if !sql.is_ascii() {
        notes.push("It contains non-ASCII characters: letters may look like others.");
    }
    if has_long_blank(sql) {
        notes.push("It contains a long stretch of blanks; read to its end.");
    }
    notes
}

fn has_long_blank(sql: &str) -> bool {
    let mut run = 0;
    sql.chars().any(|c| {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        run > 60
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        let table = [
            ("plain text stays", "select 1;\n\t-- ok", "select 1;\n\t-- ok"),
            ("right-to-left override", "a\u{202E}b", "a\\u{202E}b"),
            ("zero-width space", "a\u{200B}b", "a\\u{200B}b"),
            ("no-break space is no space", "a\u{A0}b", "a\\u{00A0}b"),
            ("byte order mark", "\u{FEFF}x", "\\u{FEFF}x"),
            ("tag characters", "x\u{E0041}", "x\\u{E0041}"),
            ("NUL", "a\0b", "a\\u{0000}b"),
            ("escape", "\u{1b}[2J", "\\u{001B}[2J"),
            ("a carriage return that ends a comment", "-- x\rdrop", "-- x\\r\ndrop"),
            ("a carriage return before a new line", "a\r\nb", "a\\r\nb"),
            ("hangul filler", "\u{3164}", "\\u{3164}"),
            ("letters of other scripts stay", "Müller Иван 山", "Müller Иван 山"),
        ];
        for (case, text, expected) in table {
            assert_eq!(visible(text), expected, "{case}");
        }
    }

    #[test]
    fn a_parameter_is_one_unambiguous_line() {
        let table = [
            ("NULL", "$1 = NULL"),
            ("it's", "$1 = 'it''s'"),
            ("a\n$2 = 'b'", "$1 = 'a\\n$2 = ''b'''"),
            ("a\\nb", "$1 = 'a\\\\nb'"),
            ("\u{202E}", "$1 = '\\u{202E}'"),
        ];
        for (value, expected) in table {
            assert_eq!(parameter(1, value), expected);
        }
    }

    #[test]
    fn escaped_text_neither_pings_nor_links() {
        let text = escaped("<!channel> <https://evil|bank> <@U1> &lt;");
        assert_eq!(text, "&lt;!channel&gt; &lt;https://evil|bank&gt; &lt;@U1&gt; &amp;lt;");
    }

    #[test]
    fn a_preview_is_one_short_line() {
        assert_eq!(short("a\n  b\tc", 10), "a b c");
        assert_eq!(short("abcdef", 4), "abc…");
    }

    #[test]
    fn notes_say_what_makes_it_hard_to_read() {
        let table = [
            ("select 1", 0),
            ("select '\u{202E}'", 2),
            ("select 'é'", 1),
            ("-- x\rdrop table t", 1),
            (&format!("select 1;{}drop table t", " ".repeat(80)), 1),
        ];
        for (sql, count) in table {
            assert_eq!(reading_notes(sql).len(), count, "{sql:?}: {:?}", reading_notes(sql));
        }
    }
}
