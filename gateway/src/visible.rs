//! Text as it is: what the eye would miss is spelled out. For pages and notices.

/// `text` with everything invisible, or able to reorder what stands around it, as `\u{202E}`.
/// Line feeds and tabs stay.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_unicode().map(|c| c.to_ascii_uppercase()).map(lower_u))
        } else {
            out.push(c)
        }
    }
    out
}

/// The `u` of the escape itself stays small.
fn lower_u(c: char) -> char {
    if c == 'U' { 'u' } else { c }
}

/// Control and format characters, blanks that are no space, fillers, variation selectors, tags and
/// private use (Unicode general categories Cc, Cf, Zs, Zl, Zp, Co and the like).
fn hidden(c: char) -> bool {
    if matches!(c, '\n' | '\t') {
        return false;
    }
    c.is_control()
        || c != ' ' && c.is_whitespace()
        || matches!(u32::from(c),
            0xAD | 0x34F | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x115F..=0x1160
            | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202F | 0x205F..=0x206F | 0x2800
            | 0x3164 | 0xE000..=0xF8FF | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x110BD | 0x110CD
            | 0x13430..=0x1345F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0x10FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_eye_would_miss_is_spelled_out() {
        let table = [
            ("DELETE\n\tFROM \"é\" -- naïve 表", "DELETE\n\tFROM \"é\" -- naïve 表"),
            ("a\u{202E}b", "a\\u{202E}b"),
            ("a\rb\0c\u{1b}[2J", "a\\u{D}b\\u{0}c\\u{1B}[2J"),
            ("a\u{200b}b\u{feff}c\u{2066}", "a\\u{200B}b\\u{FEFF}c\\u{2066}"),
            ("a\u{a0}b\u{2003}c\u{3000}d", "a\\u{A0}b\\u{2003}c\\u{3000}d"),
            ("\u{e0041}", "\\u{E0041}"),
        ];
        for (text, shown) in table {
            assert_eq!(visible(text), shown);
        }
    }
}
