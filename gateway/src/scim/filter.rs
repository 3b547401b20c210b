//! Filters (RFC 7644, section 3.4.2.2): a text into a tree, and a tree over a resource.
//!
//! Names are looked up while the text is read, so that a tree holds only attributes that exist. All
//! is bounded: the text's length and how deep brackets go.

use std::cmp::Ordering;

use chrono::{DateTime, FixedOffset};
use serde_json::{Map, Value};

use super::{
    path::Path,
    schema::{Attribute, Kind, Type},
    sorry::Sorry,
    tokens::{Token, tokens},
};

/// How deep brackets and `not` may go.
const DEEPEST: usize = 16;

/// What a resource must be like.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// Either.
    Or(Box<Filter>, Box<Filter>),
    /// The contrary.
    Not(Box<Filter>),
    /// `attribute operator value`.
    Compare(Path, Operator, Literal),
    /// `attribute pr`.
    Present(Path),
    /// `attribute[filter]`: one value that is all of it.
    Within(&'static Attribute, Box<Filter>),
}

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `eq`.
    Equal,
    /// `ne`.
    NotEqual,
    /// `co`.
    Contains,
    /// `sw`.
    Starts,
    /// `ew`.
    Ends,
    /// `gt`.
    Greater,
    /// `ge`.
    AtLeast,
    /// `lt`.
    Less,
    /// `le`.
    AtMost,
}

/// What is compared with; of the kind that the attribute has.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A text; in lower case where case does not count.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
    /// A time.
    Time(DateTime<FixedOffset>),
    /// `null`: nothing.
    Null,
}

impl Operator {
    fn named(word: &str) -> Option<Self> {
        const ALL: [(&str, Operator); 9] = [
            ("eq", Operator::Equal),
            ("ne", Operator::NotEqual),
            ("co", Operator::Contains),
            ("sw", Operator::Starts),
            ("ew", Operator::Ends),
            ("gt", Operator::Greater),
            ("ge", Operator::AtLeast),
            ("lt", Operator::Less),
            ("le", Operator::AtMost),
        ];
        ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, operator)| operator)
    }

    const fn orders(self) -> bool {
        matches!(self, Self::Greater | Self::AtLeast | Self::Less | Self::AtMost)
    }

    fn fits(self, found: Ordering) -> bool {
        match self {
            Self::Greater => found.is_gt(),
            Self::AtLeast => found.is_ge(),
            Self::Less => found.is_lt(),
            Self::AtMost => found.is_le(),
            Self::Equal | Self::NotEqual | Self::Contains | Self::Starts | Self::Ends => found.is_eq(),
        }
    }
}

/// Reads a filter over resources of a kind.
///
/// # Errors
/// `invalidFilter`.
pub fn parse(kind: &'static Type, text: &str) -> Result<Filter, Sorry> {
    let tokens = tokens(text).map_err(Sorry::filter)?;
    let mut reader = Reader { kind, within: None, tokens: &tokens, depth: 0 };
    let filter = reader.either()?;
    match reader.tokens {
        [] => Ok(filter),
        [next, ..] => Err(Sorry::filter(format!("The filter goes on with {next} where it should end."))),
    }
}

/// Reads the filter in `attribute[filter]`.
///
/// # Errors
/// `invalidFilter`.
pub fn parse_within(kind: &'static Type, attribute: &'static Attribute, text: &str) -> Result<Filter, Sorry> {
    let tokens = tokens(text).map_err(Sorry::filter)?;
    let mut reader = Reader { kind, within: Some(attribute), tokens: &tokens, depth: 1 };
    let filter = reader.either()?;
    if reader.tokens.is_empty() { Ok(filter) } else { Err(Sorry::filter("The filter in brackets does not end.")) }
}

struct Reader<'t> {
    kind: &'static Type,
    /// Whose attributes names are, inside `attribute[…]`.
    within: Option<&'static Attribute>,
    tokens: &'t [Token],
    depth: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        if found {
            self.next();
        }
        found
    }

    fn takes(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.next();
        }
        found
    }

    fn either(&mut self) -> Result<Filter, Sorry> {
        let mut left = self.both()?;
        while self.takes_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, Sorry> {
        let mut left = self.one()?;
        while self.takes_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn deeper<T>(&mut self, end: &Token, read: impl FnOnce(&mut Self) -> Result<T, Sorry>) -> Result<T, Sorry> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Sorry::filter(format!("Its brackets go deeper than {DEEPEST}.")));
        }
        let read = read(self)?;
        self.depth -= 1;
        if self.takes(end) { Ok(read) } else { Err(Sorry::filter(format!("{end} is missing."))) }
    }

    fn one(&mut self) -> Result<Filter, Sorry> {
        let not = self.takes_word("not");
        if self.takes(&Token::Open) {
            let inner = self.deeper(&Token::Close, Self::either)?;
            return Ok(if not { Filter::Not(Box::new(inner)) } else { inner });
        }
        if not {
            return Err(Sorry::filter("`not` needs brackets: not (…)."));
        }
        let Some(Token::Word(name)) = self.next().cloned() else {
            return Err(Sorry::filter("An attribute is missing."));
        };
        let path = self.path(&name)?;
        if self.takes(&Token::OpenSquare) {
            let attribute = path.attribute;
            if self.within.is_some() || path.sub.is_some() || attribute.below().is_empty() {
                return Err(Sorry::filter(format!("{name} takes no filter in brackets.")));
            }
            let inner = self.deeper(&Token::CloseSquare, |reader| {
                reader.within = Some(attribute);
                let inner = reader.either();
                reader.within = None;
                inner
            })?;
            return Ok(Filter::Within(attribute, Box::new(inner)));
        }
        let Some(Token::Word(operator)) = self.next().cloned() else {
            return Err(Sorry::filter(format!("An operator is missing behind {name}.")));
        };
        if operator.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let unknown = || Sorry::filter(format!("{operator} is no operator."));
        let operator = Operator::named(&operator).ok_or_else(unknown)?;
        // A comparison with an attribute that has others is one with its `value`.
        let path = match path.last().sub("value") {
            Some(value) if path.sub.is_none() => Path { sub: Some(value), ..path },
            _ => path,
        };
        let literal = literal(path.last(), operator, self.next())?;
        Ok(Filter::Compare(path, operator, literal))
    }

    fn path(&self, name: &str) -> Result<Path, Sorry> {
        let unknown = || Sorry::filter(format!("There is no attribute {name:?}."));
        match self.within {
            // Below an attribute, its own attributes stand for themselves.
            Some(attribute) => attribute.sub(name).map(|attribute| Path { attribute, sub: None }).ok_or_else(unknown),
            None => Path::parse(self.kind, name).map_err(|_| unknown()),
        }
    }
}

/// What an attribute is compared with, as its kind has it.
fn literal(attribute: &Attribute, operator: Operator, token: Option<&Token>) -> Result<Literal, Sorry> {
    let wrong = |what: &str| Err(Sorry::filter(format!("{} is compared with {what}.", attribute.name)));
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let text = match token {
        Some(Token::Text(text)) => text.clone(),
        Some(Token::Word(word)) if word == "null" && equality => return Ok(Literal::Null),
        Some(Token::Word(word)) if matches!(attribute.kind, Kind::Flag) => word.clone(),
        Some(_) => return wrong("a text in double quotes"),
        None => return Err(Sorry::filter("A value is missing at the end.")),
    };
    match attribute.kind {
        Kind::Text | Kind::Reference(_) => Ok(Literal::Text(folded(attribute, &text))),
        // Some clients put quotes around it.
        Kind::Flag if equality && text.eq_ignore_ascii_case("true") => Ok(Literal::Flag(true)),
        Kind::Flag if equality && text.eq_ignore_ascii_case("false") => Ok(Literal::Flag(false)),
        Kind::Flag => wrong("true or false, by eq or ne"),
        Kind::Time if equality || operator.orders() => match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Ok(Literal::Time(time)),
            Err(_) => wrong("a time: \"2026-11-24T08:00:00Z\""),
        },
        Kind::Time => wrong("a time, by eq, ne, gt, ge, lt or le"),
        Kind::Complex(_) => Err(Sorry::filter(format!("Say which attribute of {} is meant.", attribute.name))),
    }
}

fn folded(attribute: &Attribute, text: &str) -> String {
    if attribute.exact { text.to_owned() } else { text.to_lowercase() }
}

/// The values at a path; those of every element where there is a list on the way.
pub fn values<'v>(path: &Path, resource: &'v Map<String, Value>) -> Vec<&'v Value> {
    let mut found = flat(resource.get(path.attribute.name));
    if let Some(sub) = path.sub {
        found = found.into_iter().flat_map(|value| flat(value.get(sub.name))).collect();
    }
    found
}

fn flat(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one],
    }
}

impl Filter {
    /// Whether a resource, or one value of an attribute, is like that.
    #[must_use]
    pub fn fits(&self, resource: &Map<String, Value>) -> bool {
        match self {
            Self::And(left, right) => left.fits(resource) && right.fits(resource),
            Self::Or(left, right) => left.fits(resource) || right.fits(resource),
            Self::Not(inner) => !inner.fits(resource),
            Self::Present(path) => values(path, resource).into_iter().any(is_something),
            Self::Within(attribute, inner) => {
                let path = Path { attribute, sub: None };
                values(&path, resource).into_iter().filter_map(Value::as_object).any(|one| inner.fits(one))
            }
            Self::Compare(path, Operator::NotEqual, literal) => {
                !compare(path.last(), Operator::Equal, literal, &values(path, resource))
            }
            Self::Compare(path, operator, literal) => compare(path.last(), *operator, literal, &values(path, resource)),
        }
    }

    /// The text that an attribute must equal, where that is all that the filter asks.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&str> {
        match self {
            Self::Compare(path, Operator::Equal, Literal::Text(text))
                if path.sub.is_none() && path.attribute.name == name =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// What `attribute[…]` fixes by `eq`, joined by `and`; `None` where it asks for anything else.
    #[must_use]
    pub fn fixed(&self) -> Option<Vec<(&'static Attribute, Value)>> {
        match self {
            Self::And(left, right) => {
                let mut all = left.fixed()?;
                all.extend(right.fixed()?);
                Some(all)
            }
            Self::Compare(path, Operator::Equal, Literal::Text(text)) => {
                Some(vec![(path.last(), text.as_str().into())])
            }
            Self::Compare(path, Operator::Equal, Literal::Flag(flag)) => Some(vec![(path.last(), (*flag).into())]),
            _ => None,
        }
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(below) => below.values().any(is_something),
        Value::Array(all) => all.iter().any(is_something),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Whether one of the values compares so. Nothing equals only nothing.
fn compare(attribute: &Attribute, operator: Operator, literal: &Literal, values: &[&Value]) -> bool {
    if *literal == Literal::Null {
        return !values.iter().any(|value| is_something(value));
    }
    values.iter().any(|value| match (literal, value) {
        (Literal::Text(wanted), Value::String(text)) => {
            let text = folded(attribute, text);
            match operator {
                Operator::Contains => text.contains(wanted.as_str()),
                Operator::Starts => text.starts_with(wanted.as_str()),
                Operator::Ends => text.ends_with(wanted.as_str()),
                _ => operator.fits(text.as_str().cmp(wanted)),
            }
        }
        (Literal::Flag(wanted), Value::Bool(flag)) => wanted == flag,
        (Literal::Time(wanted), Value::String(text)) => {
            DateTime::parse_from_rfc3339(text).is_ok_and(|time| operator.fits(time.cmp(wanted)))
        }
        _ => false,
    })
}
