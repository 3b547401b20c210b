//! Templates: statements that the keepers of the policies have agreed to beforehand, each with bounds for its
//! parameters. A file `NAME.template.toml` beside the policies has one; `context.sql.template` is its name where a
//! statement is just that, within its bounds.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    approvals::{children, node},
    source::Source,
};
use crate::{
    config::Problem,
    statement::{
        classify::statements_in,
        tokens::{Token, tokens},
    },
};

mod bound;
mod misread;

pub use bound::Given;
use bound::{Bound, Value, Written};
pub(super) use misread::misread;

/// What the name of such a file ends with.
pub(super) const ENDING: &str = ".template.toml";

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub name: String,
    /// Its text's tokens, and the bounds of its parameters in place of these.
    pattern: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Word(String),
    Number(String),
    Text(String),
    Parameter(usize, Bound),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sql: String,
    #[serde(default)]
    parameters: BTreeMap<String, Written>,
}

/// The templates that a policy compares `context.sql.template` with, in Cedar's JSON form.
pub(super) fn named(policy: &serde_json::Value) -> Vec<String> {
    fn walk(expr: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(("==", body)) = node(expr) {
            let is_template = |side: &serde_json::Value| matches!(node(side), Some((".", body)) if body["attr"].as_str() == Some("template"));
            for (one, other) in [("left", "right"), ("right", "left")] {
                let value = is_template(&body[one]).then(|| body[other]["Value"].as_str()).flatten();
                found.extend(value.map(str::to_owned));
            }
        }
        children(expr).into_iter().flatten().for_each(|child| walk(child, found));
    }
    let mut found = Vec::new();
    for condition in policy["conditions"].as_array().into_iter().flatten() {
        walk(&condition["body"], &mut found);
    }
    found
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(source: &Source) -> Result<Self, Problem> {
        let wrong = |message: String, hint: &str| Problem { hint: Some(hint.to_owned()), ..source.problem(0, message) };
        const HINT: &str = "docs/policy.md, \"Templates\"";
        let name = source.name.strip_suffix(ENDING).unwrap_or(&source.name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(wrong(
                format!("a template can't be called {name:?}"),
                "the file's name is the template's: lower-case letters, digits, - and _",
            ));
        }
        let File { sql, parameters } = toml::from_str(&source.text).map_err(|error| Problem {
            hint: Some(HINT.to_owned()),
            ..source.problem(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        let mut bounds = BTreeMap::new();
        for (number, written) in parameters {
            let place = number.parse::<usize>().ok().filter(|place| *place > 0 && place.to_string() == number);
            let place =
                place.ok_or_else(|| wrong(format!("there is no parameter {number:?}"), "$1 is parameters.1"))?;
            let bound = Bound::try_from(written).map_err(|why| wrong(format!("parameters.{number}: {why}"), HINT))?;
            bounds.insert(place, bound);
        }
        let found = tokens(&sql).ok_or_else(|| {
            wrong(
                "its text has something that may read differently than it looks".to_owned(),
                "leave out comments, escapes (E'', U&''), dollar quotes, exponents and control characters",
            )
        })?;
        match statements_in(&sql) {
            Ok(1) => {}
            Ok(count) => return Err(wrong(format!("it has {count} statements"), "a template has one")),
            Err(why) => return Err(wrong(format!("its text is no statement: {why}"), HINT)),
        }
        let mut used = std::collections::BTreeSet::new();
        let mut pattern = Vec::with_capacity(found.len());
        for token in found {
            pattern.push(match token {
                Token::Word(word) => Part::Word(word.to_owned()),
                Token::Number(number) => Part::Number(number.to_owned()),
                Token::Text(text) => Part::Text(text.to_owned()),
                Token::Parameter(place) => {
                    let bound = bounds.get(&place).cloned();
                    let bound = bound.ok_or_else(|| wrong(format!("${place} has no bounds"), HINT))?;
                    used.insert(place);
                    Part::Parameter(place, bound)
                }
            });
        }
        if let Some(place) = bounds.keys().find(|place| !used.contains(place)) {
            return Err(wrong(format!("parameters.{place} is not in its text"), "take it away, or write it there"));
        }
        Ok(Self { name: name.to_owned(), pattern })
    }

    /// Whether a text is this, within its bounds. `value`: of the text's own parameters; nothing where it is
    /// NULL, or not known whole; `Some(None)` where it is still to come.
    pub fn is(&self, text: &[Token<'_>], value: impl Fn(usize) -> Option<Option<Given>>) -> bool {
        let mut text = text.iter().copied().peekable();
        let mut first = BTreeMap::new();
        for part in &self.pattern {
            let Some(token) = text.next() else { return false };
            let fits = match (part, token) {
                (Part::Word(word), Token::Word(other)) => word == other,
                (Part::Number(number), Token::Number(other)) => number == other,
                (Part::Text(word), Token::Text(other)) => word == other,
                (Part::Parameter(place, bound), token) => {
                    let said = match token {
                        // The place counts: `$2` is not what `$1` is bound to.
                        Token::Parameter(number) if number == *place => match value(number) {
                            Some(None) => continue,
                            given => given.flatten().map(Value::Bound),
                        },
                        Token::Number(number) => Some(Value::Number(number.to_owned())),
                        Token::Word("-") => match text.next() {
                            Some(Token::Number(number)) => Some(Value::Number(format!("-{number}"))),
                            _ => None,
                        },
                        Token::Text(text) => Some(Value::Text(text.replace("''", "'"))),
                        Token::Word(word) => Some(Value::Word(word.to_owned())),
                        Token::Parameter(_) => None,
                    };
                    let Some(said) = said else { return false };
                    // Where it stands twice, it is the same twice.
                    bound.admits(&said) && *first.entry(*place).or_insert_with(|| said.clone()) == said
                }
                _ => false,
            };
            if !fits {
                return false;
            }
        }
        text.next().is_none()
    }
}

#[cfg(test)]
mod tests;
