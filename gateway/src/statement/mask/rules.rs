//! `classify` of a connection: which columns are classified, as what, and with which mask.

use std::fmt;

use crate::catalog::{Column, Relation};

/// What leaves in place of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mask {
    /// A word for text, NULL for any other type.
    #[default]
    Redact,
    /// NULL.
    Null,
    /// A keyed hash: the same value has the same.
    Hash,
    /// `a***@acme.dev`.
    Email,
    /// `****1234`.
    Last4,
    /// The first of January of its year.
    Year,
}

impl Mask {
    /// Each, with its word in the config.
    pub const ALL: [(&'static str, Self); 6] = [
        ("redact", Self::Redact),
        ("null", Self::Null),
        ("hash", Self::Hash),
        ("email", Self::Email),
        ("last4", Self::Last4),
        ("year", Self::Year),
    ];
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(_, mask)| mask == self).map_or("redact", |(word, _)| word);
        f.write_str(word)
    }
}

/// What happens to rows of which it is not known where their values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDoubt {
    /// All of them are masked.
    #[default]
    Mask,
    /// The statement is refused.
    Refuse,
}

/// A name, or a pattern with `*` for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(String);

impl Glob {
    fn fits(&self, name: &str) -> bool {
        if self.is_plain() {
            return self.0 == name;
        }
        let parts: Vec<&str> = self.0.split('*').collect();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        for part in &parts[1..parts.len() - 1] {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    fn is_plain(&self) -> bool {
        !self.0.contains('*')
    }
}

/// Which columns an entry of `classify` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// `column = "public.customers.email"`.
    Column(Named<3>),
    /// `type = "public.email_address"`: columns of that type or domain, and arrays of it.
    Type(Named<2>),
    /// `comment = "pii"`: columns whose comment says `classification: pii`.
    Comment(String),
}

/// A qualified name, with patterns for parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<const N: usize> {
    text: String,
    parts: [Glob; N],
}

impl<const N: usize> Named<N> {
    fn parse(text: &str) -> Option<Self> {
        let parts = parts(text)?.try_into().ok()?;
        Some(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(named) => write!(f, "{:?}", named.text),
            Self::Type(named) => write!(f, "of type {:?}", named.text),
            Self::Comment(label) => write!(f, "commented with {:?}", format!("classification: {label}")),
        }
    }
}

impl Of {
    /// Reads `schema.table.column`. A part is a name in lower case, one in double quotes, or a pattern
    /// with `*`.
    ///
    /// # Errors
    /// What would fit.
    pub fn column(text: &str) -> Result<Self, String> {
        let named = Named::parse(text);
        named
            .map(Self::Column)
            .ok_or_else(|| "write schema.table.column; put a name with other characters in double quotes".to_owned())
    }

    /// Reads `schema.type`, likewise.
    ///
    /// # Errors
    /// What would fit.
    pub fn of_type(text: &str) -> Result<Self, String> {
        let named = Named::parse(text);
        named.map(Self::Type).ok_or_else(|| {
            "write schema.type, as in public.email_address or pg_catalog.inet; put a name with other characters in \
             double quotes"
                .to_owned()
        })
    }

    /// Reads the word that comments have after `classification:`.
    ///
    /// # Errors
    /// What would fit.
    pub fn comment(text: &str) -> Result<Self, String> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if text.is_empty() || !text.chars().all(word) {
            return Err("write a word in lower case, as in pii; comments say \"classification: pii\"".to_owned());
        }
        Ok(Self::Comment(text.to_owned()))
    }
}

/// One entry of `classify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which columns.
    pub of: Of,
    /// `resource.classification`.
    pub label: String,
    /// What leaves in its place.
    pub mask: Mask,
    /// The line of the config where it stands.
    pub line: usize,
}

impl Rule {
    /// A rule for `schema.table.column`.
    ///
    /// # Errors
    /// As [`Of::column`].
    pub fn parse(text: &str, label: String, mask: Mask, line: usize) -> Result<Self, String> {
        Ok(Self { of: Of::column(text)?, label, mask, line })
    }

    /// Whether it means a column of a relation.
    #[must_use]
    pub fn fits(&self, relation: &Relation, column: &Column) -> bool {
        match &self.of {
            Of::Column(Named { parts: [schema, table, name], .. }) => {
                schema.fits(&relation.schema) && table.fits(&relation.name) && name.fits(&column.name)
            }
            Of::Type(Named { parts: [schema, name], .. }) => {
                column.types.iter().any(|(of, named)| schema.fits(of) && name.fits(named))
            }
            Of::Comment(label) => column.class.as_deref() == Some(label),
        }
    }

    /// Whether a view's column is meant by itself: a name without patterns, or what a comment on it says.
    #[must_use]
    pub fn names_views(&self) -> bool {
        match &self.of {
            Of::Column(Named { parts: [schema, table, _], .. }) => schema.is_plain() && table.is_plain(),
            Of::Type(_) => false,
            Of::Comment(_) => true,
        }
    }
}

/// The parts of a qualified name.
fn parts(text: &str) -> Option<Vec<Glob>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut inner = quoted;
            loop {
                let end = inner.find('"')?;
                name.push_str(&inner[..end]);
                inner = &inner[end + 1..];
                match inner.strip_prefix('"') {
                    Some(more) => {
                        name.push('"');
                        inner = more;
                    }
                    None => break,
                }
            }
            // A star in a name is no pattern; such names are too odd to be worth an escape.
            if name.is_empty() || name.contains('*') {
                return None;
            }
            (part, rest) = (name, inner);
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let name = &rest[..end];
            let plain = |c: char| c == '_' || c == '*' || c == '$' || c.is_ascii_lowercase() || c.is_ascii_digit();
            if name.is_empty() || !name.chars().all(plain) {
                return None;
            }
            (part, rest) = (name.to_owned(), &rest[end..]);
        }
        parts.push(Glob(part));
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::builder::Builder;

    fn rule(text: &str) -> Result<Rule, String> {
        Rule::parse(text, "pii".into(), Mask::Redact, 0)
    }

    #[test]
    fn names_and_patterns_fit_what_they_say() {
        let table = [
            ("public.customers.email", "public.customers.email", true),
            ("public.customers.email", "public.customers.emails", false),
            ("public.customers.email", "private.customers.email", false),
            ("*.*.email", "crm.people.email", true),
            ("*.*.*email*", "crm.people.work_email_2", true),
            ("*.*.*mail*box", "crm.people.mailbox", true),
            ("*.*.*mail*box", "crm.people.mail", false),
            ("public.customers*.ssn", "public.customers_2024.ssn", true),
            ("public.*.e*l", "public.t.el", true),
            ("public.*.e*e", "public.t.e", false),
            ("public.\"Customers\".\"E-mail\"", "public.Customers.E-mail", true),
            ("public.\"a\"\"b\".c", "public.a\"b.c", true),
        ];
        for (pattern, name, fits) in table {
            let rule = rule(pattern).expect(pattern);
            let [schema, table, column] = name.split('.').collect::<Vec<_>>().try_into().expect("three");
            let mut b = Builder::new();
            b.table(&format!("{schema}.{table}"), &[column]);
            let snapshot = b.build();
            let relation = snapshot.relation(schema, table).expect("it was added");
            assert_eq!(rule.fits(relation, &relation.columns[0]), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_column_is_refused() {
        for text in ["", "email", "customers.email", "a.b.c.d", "public.Customers.email", "a..c", "\"a.b.c", "a.b.c;"] {
            assert!(rule(text).is_err(), "{text}");
        }
    }
}
