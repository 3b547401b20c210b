//! The tokens of a PL/pgSQL body, one after another.

use pg_query::protobuf::{ScanToken, Token as Kind};

/// A place within the tokens of a text.
pub(super) struct Tokens<'a> {
    source: &'a str,
    tokens: Vec<ScanToken>,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Scans a text; comments are left out.
    ///
    /// # Errors
    /// Where the server's scanner refuses it.
    pub fn of(source: &'a str) -> Result<Self, String> {
        let scanned = pg_query::scan(source).map_err(|error| error.to_string())?;
        let comment = |token: &ScanToken| matches!(Kind::try_from(token.token), Ok(Kind::SqlComment | Kind::CComment));
        let tokens = scanned.tokens.into_iter().filter(|token| !comment(token)).collect();
        Ok(Self { source, tokens, at: 0 })
    }

    fn text_at(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index)?;
        self.source.get(usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?)
    }

    /// The next token as written.
    pub fn peek(&self) -> Option<&'a str> {
        self.text_at(self.at)
    }

    /// The next token, a name folded to lower case. A quoted one keeps its quotes, and so is no word
    /// of the language.
    pub fn word(&self) -> String {
        self.peek().unwrap_or_default().to_ascii_lowercase()
    }

    /// The token before the next, in the same form.
    pub fn word_before(&self) -> String {
        self.at.checked_sub(1).and_then(|at| self.text_at(at)).unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether the next token is this word or sign.
    pub fn is(&self, expected: &str) -> bool {
        self.is_at(0, expected)
    }

    /// Whether the token so many further on is.
    pub fn is_at(&self, ahead: usize, expected: &str) -> bool {
        self.text_at(self.at + ahead).is_some_and(|text| text.eq_ignore_ascii_case(expected))
    }

    /// Takes the next token if it is this.
    pub fn take(&mut self, expected: &str) -> bool {
        let is = self.is(expected);
        self.at += usize::from(is);
        is
    }

    /// Takes the next token, which must be this.
    pub fn expect(&mut self, expected: &str) -> Result<(), String> {
        if self.take(expected) {
            Ok(())
        } else {
            Err(format!("{} stands where {expected} should", self.peek().unwrap_or("the end")))
        }
    }

    /// Takes the next token, whatever it is.
    pub fn skip(&mut self) -> Result<(), String> {
        self.raw().map(|_| ())
    }

    /// Takes the next token as written.
    pub fn raw(&mut self) -> Result<&'a str, String> {
        let text = self.peek().ok_or("it ends too early")?;
        self.at += 1;
        Ok(text)
    }

    /// Takes a name, as the server folds it.
    pub fn name(&mut self) -> Result<String, String> {
        let text = self.raw()?;
        let named = text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '"' || c == '$');
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            _ if !named => Err(format!("{text} stands where a name should")),
            Some(quoted) => Ok(quoted.replace("\"\"", "\"")),
            None => Ok(text.to_ascii_lowercase()),
        }
    }

    /// Takes `name[.name …]`.
    pub fn name_parts(&mut self) -> Result<Vec<String>, String> {
        let mut parts = vec![self.name()?];
        while self.take(".") {
            parts.push(self.name()?);
        }
        Ok(parts)
    }

    /// Takes what stands before the first of `ends` that is outside parentheses and brackets.
    pub fn text_up_to(&mut self, ends: &[&str]) -> Result<String, String> {
        self.text_with(ends, |token| token)
    }

    /// The same, with tokens replaced.
    pub fn text_with(&mut self, ends: &[&str], replaced: impl Fn(&str) -> &str) -> Result<String, String> {
        let (mut depth, mut text) = (0_usize, String::new());
        loop {
            if depth == 0 && ends.iter().any(|end| self.is(end)) {
                return Ok(text);
            }
            if self.is(";") {
                return Err("a statement ends within an expression".to_owned());
            }
            let token = self.raw()?;
            match token {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.checked_sub(1).ok_or("a parenthesis is closed that was not opened")?,
                _ => {}
            }
            // A blank between any two: no token that the server sees as two becomes one. A string
            // after a string on the next line continues it only across that line's end.
            text.push_str(replaced(token));
            text.push('\n');
        }
    }

    /// Where the next token is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back there.
    pub fn set_position(&mut self, position: usize) {
        self.at = position;
    }
}
