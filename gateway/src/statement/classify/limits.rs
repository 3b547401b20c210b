//! What is refused before the parser sees it: its scanner takes quadratic time on nested comments,
//! and nobody reads a statement of a megabyte.

/// The most bytes of a text.
pub const BYTES: usize = 1 << 20;
/// The deepest nesting of comments.
pub const COMMENTS: usize = 32;
/// The deepest nesting of parentheses and brackets.
pub const DEPTH: usize = 4_000;

/// Checks the bounds in linear time. Counts without knowing strings from comments: what only looks
/// nested counts too, and a text that runs into a bound so is refused, never passed.
///
/// # Errors
/// Which bound, in words.
pub fn check(sql: &str) -> Result<(), String> {
    if sql.len() > BYTES {
        return Err(format!("it has {} bytes; {BYTES} are analysed", sql.len()));
    }
    if sql.contains('\0') {
        return Err("it holds a NUL".to_owned());
    }
    let (mut comments, mut depth) = (0_usize, 0_usize);
    let mut bytes = sql.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'/', Some(b'*')) => {
                bytes.next();
                comments += 1;
            }
            (b'*', Some(b'/')) => {
                bytes.next();
                comments = comments.saturating_sub(1);
            }
            (b'(' | b'[', _) => depth += 1,
            (b')' | b']', _) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if comments > COMMENTS {
            return Err(format!("its comments nest deeper than {COMMENTS}"));
        }
        if depth > DEPTH {
            return Err(format!("its parentheses nest deeper than {DEPTH}"));
        }
    }
    Ok(())
}
