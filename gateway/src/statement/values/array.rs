//! Arrays, written as PostgreSQL writes them: `{1,NULL,"a b"}`.

use super::{Type, scalar};

/// PostgreSQL's `MAXDIM`.
const DEEPEST: usize = 6;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<i32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
    }

    /// An element; the inner `None` is NULL.
    fn element(&mut self, of: Type) -> Option<Option<String>> {
        match self.number()? {
            -1 => Some(None),
            length => {
                let bytes = self.take(usize::try_from(length).ok()?)?;
                // A lone boolean is cast to a word, one in an array is printed as a letter.
                let shown = scalar(of, bytes)?;
                Some(Some(if of == Type::Bool { shown[..1].to_owned() } else { shown }))
            }
        }
    }

    fn level(&mut self, of: Type, lengths: &[usize], text: &mut String) -> Option<()> {
        let (length, deeper) = lengths.split_first()?;
        text.push('{');
        for index in 0..*length {
            if index > 0 {
                text.push(',');
            }
            if deeper.is_empty() {
                match self.element(of)? {
                    None => text.push_str("NULL"),
                    Some(element) => quoted(&element, text),
                }
            } else {
                self.level(of, deeper, text)?;
            }
        }
        text.push('}');
        Some(())
    }
}

/// An array of elements of the type `element`. Every element takes at least four bytes, so that what
/// it claims to hold can't cost more than what was sent.
pub(super) fn array(element: u32, bytes: &[u8]) -> Option<String> {
    let of = Type::of(element)?;
    let mut reader = Reader(bytes);
    let depth = usize::try_from(reader.number()?).ok().filter(|depth| *depth <= DEEPEST)?;
    let (_has_nulls, named) = (reader.number()?, reader.number()?);
    // The server refuses an array that names another element type.
    if u32::try_from(named).ok()? != element {
        return None;
    }
    let (mut lengths, mut bounds, mut plain) = (Vec::new(), String::new(), true);
    for _ in 0..depth {
        let (length, first) = (reader.number()?, reader.number()?);
        let last = i64::from(first) + i64::from(length) - 1;
        bounds += &format!("[{first}:{last}]");
        plain &= first == 1;
        lengths.push(usize::try_from(length).ok()?);
    }
    let mut text = if plain { String::new() } else { format!("{bounds}=") };
    if lengths.is_empty() || lengths.contains(&0) {
        text = "{}".to_owned();
    } else {
        let claimed = lengths.iter().try_fold(4_usize, |claimed, length| claimed.checked_mul(*length))?;
        if claimed > reader.0.len() {
            return None;
        }
        reader.level(of, &lengths, &mut text)?;
    }
    reader.0.is_empty().then_some(text)
}

fn quoted(element: &str, text: &mut String) {
    let special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',') || c.is_ascii_whitespace() || c == '\u{b}';
    if !element.is_empty() && !element.contains(special) && !element.eq_ignore_ascii_case("null") {
        text.push_str(element);
        return;
    }
    text.push('"');
    for c in element.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}
