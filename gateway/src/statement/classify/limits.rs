//! Bounds that are checked before the parser sees a text, in one linear pass.
//!
//! The scanner is quadratic in nested comments and can't be cancelled. What is over a bound is not
//! analysed, and so is `opaque`.

/// Longest text that is parsed, in bytes.
pub const BYTES: usize = 1 << 20;
/// So many bytes of the database's own code, views and bodies, are read for one text. Much more than
/// statements bring along, and few enough that a text of many short statements stays bounded.
pub const STORED_BYTES: usize = 4 << 20;
/// Deepest nesting of block comments.
pub const COMMENT_DEPTH: usize = 32;

/// Counts what may nest in `sql`: words, operators and brackets. The tree is never deeper than a
/// small constant above this number. An error names the bound that the text is over.
///
/// Quotes are not tracked, on purpose: what a quote is has many forms, and counting inside quotes
/// too can only refuse more. Inside a real comment this count rises and falls as PostgreSQL's
/// does, from a start that is never below zero, so that it is never lower than the real depth
/// (but by one, where `*/*` opens a comment behind an operator).
pub fn measure(sql: &str) -> Result<usize, String> {
    if sql.len() > BYTES {
        return Err(format!("the text has {} bytes, more than {BYTES}", sql.len()));
    }
    let (mut tokens, mut depth) = (0_usize, 0_usize);
    let (mut previous, mut in_word) = (b' ', false);
    for byte in sql.bytes() {
        if byte == 0 {
            return Err("the text has a NUL byte".to_owned());
        }
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if (word && !in_word) || !(word || byte.is_ascii_whitespace() || byte == b',') {
            tokens += 1;
        }
        in_word = word;
        previous = match (previous, byte) {
            (b'/', b'*') => {
                depth += 1;
                b' '
            }
            (b'*', b'/') => {
                depth = depth.saturating_sub(1);
                b' '
            }
            _ => byte,
        };
        if depth > COMMENT_DEPTH {
            return Err(format!("comments are nested deeper than {COMMENT_DEPTH}"));
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_nested_comments_are_refused_without_parsing() {
        assert!(measure(&"/*".repeat(400_000)).is_err_and(|why| why.contains("comments")));
        assert!(measure(&"/*/".repeat(40)).is_err(), "the slash behind an opener closes nothing");
        assert!(measure(&format!("{}1{}", "/*".repeat(30), "*/".repeat(30))).is_ok());
        assert!(measure(&"/* a */ ".repeat(1_000)).is_ok(), "comments in a row are not nested");
    }

    #[test]
    fn bytes_and_nul_are_bounded() {
        assert!(measure(&" ".repeat(BYTES + 1)).is_err());
        assert!(measure("select 1\0; drop table orders").is_err());
    }

    #[test]
    fn every_word_operator_and_bracket_counts() {
        assert_eq!(measure("select (1+ 23) as x"), Ok(8));
        assert_eq!(measure(&"+1".repeat(500)), Ok(1_000));
    }
}
