//! Reads a script as `psql` does: statements, the data of COPY, and the few backslash commands that
//! PostgreSQL's own test scripts use between them.

use std::collections::HashMap;

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A statement, without its semicolon.
    Sql(String),
    /// A query whose row sets variables, with a prefix to their names.
    Gather(String, String),
    /// `\c`: a new session.
    Reconnect,
    /// `\quit`.
    Quit,
}

/// A script, read step by step, since variables that a query sets stand in later ones.
pub struct Script {
    rest: Vec<char>,
    at: usize,
    /// psql's variables.
    pub variables: HashMap<String, String>,
    /// For each open `\if`, whether its branch is taken.
    branches: Vec<bool>,
}

impl Script {
    pub fn new(text: &str, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { rest: text.chars().collect(), at: 0, variables, branches: Vec::new() }
    }

    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn line(&mut self) -> String {
        let line: String = self.rest[self.at..].iter().take_while(|c| **c != '\n').collect();
        self.at += line.chars().count();
        line
    }

    /// The next step; none at the end.
    pub fn step(&mut self) -> Option<Step> {
        let (mut text, mut depth) = (String::new(), 0_usize);
        while self.at < self.rest.len() {
            let c = self.peek(0);
            match c {
                '\'' | '"' => self.quoted(c, &mut text),
                '$' => self.dollar(&mut text),
                '-' if self.peek(1) == '-' => text.push_str(&self.line()),
                '/' if self.peek(1) == '*' => self.comment(&mut text),
                ':' if self.peek(1) == ':' => {
                    text.push_str("::");
                    self.at += 2;
                }
                ':' => self.variable(&mut text),
                '\\' if self.peek(1) == ';' => {
                    text.push(';');
                    self.at += 2;
                }
                '\\' => {
                    let command = self.line();
                    if let Some(step) = self.command(&command, &mut text) {
                        return Some(step);
                    }
                }
                ';' if depth == 0 => {
                    self.at += 1;
                    if let Some(step) = self.finished(&mut text) {
                        return Some(step);
                    }
                }
                _ => {
                    match c {
                        '(' => depth += 1,
                        ')' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.finished(&mut text)
    }

    fn taken(&self) -> bool {
        self.branches.iter().all(|branch| *branch)
    }

    fn finished(&mut self, text: &mut String) -> Option<Step> {
        let sql = std::mem::take(text).trim().to_owned();
        if !self.taken() {
            return None;
        }
        let words = |sql: &str| sql.to_ascii_lowercase().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let words = words(&without_comments(&sql));
        let is_copy =
            words.first().is_some_and(|word| word == "copy") && words.iter().any(|word| word.starts_with("stdin"));
        if is_copy {
            // Its data is in the script, up to `\.`.
            self.line();
            while self.at < self.rest.len() {
                self.at += 1;
                if self.line().trim_end() == "\\." {
                    break;
                }
            }
            return self.step();
        }
        (!words.is_empty()).then_some(Step::Sql(sql))
    }

    fn quoted(&mut self, quote: char, text: &mut String) {
        let escapes = quote == '\'' && text.ends_with(['E', 'e']);
        text.push(quote);
        self.at += 1;
        while self.at < self.rest.len() {
            let c = self.peek(0);
            self.at += 1;
            text.push(c);
            if escapes && c == '\\' {
                text.push(self.peek(0));
                self.at += 1;
            } else if c == quote {
                break;
            }
        }
    }

    fn dollar(&mut self, text: &mut String) {
        let tag: String = self.rest[self.at + 1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
        let after = self.at + 1 + tag.chars().count();
        let in_word = text.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if in_word || self.rest.get(after) != Some(&'$') || tag.starts_with(|c: char| c.is_ascii_digit()) {
            text.push('$');
            self.at += 1;
            return;
        }
        let end: Vec<char> = format!("${tag}$").chars().collect();
        text.extend(&end);
        self.at += end.len();
        while self.at < self.rest.len() {
            if self.rest[self.at..].starts_with(&end) {
                text.extend(&end);
                self.at += end.len();
                return;
            }
            text.push(self.peek(0));
            self.at += 1;
        }
    }

    fn comment(&mut self, text: &mut String) {
        let mut depth = 0_usize;
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                (c, _) => {
                    text.push(c);
                    self.at += 1;
                    continue;
                }
            }
            text.push(self.peek(0));
            text.push(self.peek(1));
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    /// `:name`, `:'name'`, `:"name"`.
    fn variable(&mut self, text: &mut String) {
        let quote = matches!(self.peek(1), '\'' | '"').then(|| self.peek(1));
        let begin = self.at + 1 + usize::from(quote.is_some());
        let name: String =
            self.rest[begin.min(self.rest.len())..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
        match self.variables.get(&name) {
            Some(value) if !name.is_empty() => {
                let quoted = match quote {
                    Some(quote) => format!("{quote}{}{quote}", value.replace(quote, &format!("{quote}{quote}"))),
                    None => value.clone(),
                };
                text.push_str(&quoted);
                self.at = begin + name.chars().count() + usize::from(quote.is_some());
            }
            _ => {
                text.push(':');
                self.at += 1;
            }
        }
    }

    fn command(&mut self, command: &str, text: &mut String) -> Option<Step> {
        let mut words = command.trim_start_matches('\\').split_whitespace();
        let verb = words.next().unwrap_or_default();
        match verb {
            "if" => {
                let mut value = words.next().unwrap_or_default().to_owned();
                if let Some(known) = value.strip_prefix(':').and_then(|name| self.variables.get(name)) {
                    value.clone_from(known);
                }
                self.branches.push(matches!(value.as_str(), "t" | "true" | "1" | "on" | "yes"));
            }
            "else" => {
                if let Some(last) = self.branches.last_mut() {
                    *last = !*last;
                }
            }
            "endif" => {
                self.branches.pop();
            }
            _ if !self.taken() => {}
            "quit" | "q" => return Some(Step::Quit),
            "c" | "connect" => return Some(Step::Reconnect),
            "set" => {
                if let Some(name) = words.next() {
                    let value: String = words.map(|word| self.expanded(word)).collect();
                    self.variables.insert(name.to_owned(), value);
                }
            }
            "gset" => {
                let sql = std::mem::take(text).trim().to_owned();
                return Some(Step::Gather(sql, words.next().unwrap_or_default().to_owned()));
            }
            _ if verb.starts_with('g') || verb == "crosstabview" => return self.finished(text),
            _ => {}
        }
        None
    }

    fn expanded(&self, word: &str) -> String {
        if let Some(inner) = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')) {
            return inner.to_owned();
        }
        match word.strip_prefix(':') {
            Some(name) => self.variables.get(name.trim_matches(['\'', '"'])).cloned().unwrap_or_default(),
            None => word.to_owned(),
        }
    }
}

/// A statement without the comments before it.
pub fn without_comments(sql: &str) -> String {
    let mut rest = sql.trim_start();
    loop {
        rest = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, after)| after).trim_start()
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map_or("", |(_, after)| after).trim_start()
        } else {
            return rest.to_owned();
        }
    }
}

#[test]
fn a_script_is_read_as_psql_reads_it() {
    let text = "SELECT ';', \"a;b\", $x$ ; $x$; -- c;\n\\set n '/x' \nSELECT :'n', 1::int \\g\nCOPY t FROM stdin;\n1\n\\.\n\
                SELECT 2 AS two \\gset my_\n\\if false\nSELECT 3;\n\\endif\nBEGIN \\; COMMIT;\n\\c -\nSELECT (1; 2)";
    let mut script = Script::new(text, &[]);
    let steps: Vec<Step> = std::iter::from_fn(|| script.step()).collect();
    let sql = |text: &str| Step::Sql(text.to_owned());
    assert_eq!(
        steps,
        [
            sql("SELECT ';', \"a;b\", $x$ ; $x$"),
            sql("-- c;\n\nSELECT '/x', 1::int"),
            Step::Gather("SELECT 2 AS two".into(), "my_".into()),
            sql("BEGIN ; COMMIT"),
            Step::Reconnect,
            sql("SELECT (1; 2)"),
        ]
    );
}
