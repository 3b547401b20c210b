//! The words of a filter (RFC 7644, figure 1).

use std::fmt;

/// The longest filter, in bytes.
const LONGEST: usize = 4096;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name, an operator, `true`, a number.
    Word(String),
    /// A text, without its quotes.
    Text(String),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `[`.
    OpenSquare,
    /// `]`.
    CloseSquare,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Text(_) => f.write_str("a text"),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::OpenSquare => f.write_str("`[`"),
            Self::CloseSquare => f.write_str("`]`"),
        }
    }
}

/// Takes a filter apart.
///
/// # Errors
/// In a sentence.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    if text.len() > LONGEST {
        return Err(format!("The filter is longer than {LONGEST} bytes."));
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenSquare, 1),
            ']' => (Token::CloseSquare, 1),
            '"' => quoted(rest)?,
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"');
                let end = rest.find(ends).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
        };
        found.push(token);
        rest = rest[after..].trim_start();
    }
    if found.is_empty() { Err("The filter is empty.".to_owned()) } else { Ok(found) }
}

/// A text as JSON has it, and how long it is with its quotes.
fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find_map(|(at, c)| match (escaped, c) {
        (false, '"') => Some(at + 1),
        (false, '\\') => {
            escaped = true;
            None
        }
        _ => {
            escaped = false;
            None
        }
    });
    let end = end.ok_or("A text in the filter does not end.")?;
    let text = serde_json::from_str(&rest[..end]).map_err(|_| "A text in the filter is not as JSON has it.")?;
    Ok((Token::Text(text), end))
}

/// The place of the bracket that ends `attribute[…`, outside texts; counted from the opening one.
#[must_use]
pub fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}
