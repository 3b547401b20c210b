//! A search: `table:orders action:delete by:ana since:7d`, and which entries it means. Pure.

use chrono::{DateTime, NaiveDate, Utc};

use crate::{
    friction::before,
    log::{Entry, Kind},
};

/// What an entry must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Is {
    Table(String),
    Action(String),
    By(String),
    On(String),
    Kind(Kind),
    Session(String),
    Request(String),
    Outcome(String),
    Sql(String),
    Text(String),
}

/// A search. An entry is found where all of it fits; a word with `-` before it must not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    words: Vec<(bool, Is)>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

/// What can be asked for, as whoever asks for something else is told.
const WORDS: &str = "table, action, by, on, kind, session, request, outcome, sql, since, until, or a word that the \
                     entry has; with - before it, what it must not be";

/// A time: `7d` before `now`, a day, or RFC 3339.
#[must_use]
pub fn time(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    before(now, text)
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(Into::into))
        .or_else(|| text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc()))
}

impl Search {
    /// Reads a search.
    ///
    /// # Errors
    /// What is not understood, and what is.
    pub fn parse(text: &str, now: DateTime<Utc>) -> Result<Self, String> {
        let mut search = Self::default();
        for word in split(text)? {
            let (not, word) = word.strip_prefix('-').map_or((false, word.as_str()), |word| (true, word));
            let Some((key, value)) = word.split_once(':') else {
                search.words.push((not, Is::Text(word.to_lowercase())));
                continue;
            };
            let at =
                || time(value, now).ok_or_else(|| format!("{value:?} is no time; write 7d, 2026-11-24 or RFC 3339"));
            let is = match key {
                "table" => Is::Table(value.to_lowercase()),
                "action" => Is::Action(value.to_lowercase()),
                "by" => Is::By(value.to_lowercase()),
                "on" | "connection" => Is::On(value.to_owned()),
                "kind" => Is::Kind(kind(value)?),
                "session" => Is::Session(value.to_uppercase()),
                "request" => Is::Request(value.to_uppercase()),
                "outcome" => Is::Outcome(value.to_lowercase()),
                "sql" => Is::Sql(value.to_lowercase()),
                "since" if !not => {
                    search.since = Some(at()?);
                    continue;
                }
                "until" if !not => {
                    search.until = Some(at()?);
                    continue;
                }
                _ => return Err(format!("{key:?} can't be searched for. There is: {WORDS}")),
            };
            search.words.push((not, is));
        }
        Ok(search)
    }

    /// The same, but nothing before `since`.
    #[must_use]
    pub fn since(self, since: Option<DateTime<Utc>>) -> Self {
        Self { since: self.since.max(since), ..self }
    }

    /// Whether `entry` is meant.
    #[must_use]
    pub fn fits(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && self.words.iter().all(|(not, is)| *not != Self::is(is, entry))
            && self.fits_one_effect(entry)
    }

    fn is(is: &Is, entry: &Entry) -> bool {
        let has = |text: Option<&str>, part: &str| text.is_some_and(|text| text.to_lowercase().contains(part));
        match is {
            Is::Table(table) => effects(entry).any(|(_, object)| is_table(object, table)),
            Is::Action(action) => effects(entry).any(|(named, _)| named == action),
            Is::By(who) => entry.principal.as_deref().is_some_and(|principal| is_who(principal, who)),
            Is::On(connection) => entry.connection.as_deref() == Some(connection),
            Is::Kind(kind) => entry.kind == *kind,
            Is::Session(id) => entry.session.as_ref().is_some_and(|session| session.as_str() == id),
            Is::Request(id) => entry.request.as_ref().is_some_and(|request| request.as_str() == id),
            Is::Outcome(part) => has(entry.outcome.as_deref(), part),
            Is::Sql(part) => has(entry.sql.as_deref(), part),
            Is::Text(part) => {
                let texts = [&entry.sql, &entry.outcome, &entry.principal, &entry.connection];
                texts.into_iter().any(|text| has(text.as_deref(), part)) || has(Some(&entry.detail.to_string()), part)
            }
        }
    }

    /// A table and an action that are both asked for are so of the same effect: who deleted from orders, not who
    /// deleted something and read orders.
    fn fits_one_effect(&self, entry: &Entry) -> bool {
        let wanted: Vec<&Is> = self
            .words
            .iter()
            .filter(|(not, is)| !not && matches!(is, Is::Table(_) | Is::Action(_)))
            .map(|(_, is)| is)
            .collect();
        wanted.is_empty()
            || effects(entry).any(|(action, object)| {
                wanted.iter().all(|is| match is {
                    Is::Table(table) => is_table(object, table),
                    Is::Action(named) => action == named,
                    _ => true,
                })
            })
    }
}

fn kind(word: &str) -> Result<Kind, String> {
    serde_json::from_value(word.into())
        .map_err(|_| format!("{word:?} is no kind of entry; docs/operations.md lists them"))
}

/// The effects of a statement: an action, and an object as policy names it.
pub(super) fn effects(entry: &Entry) -> impl Iterator<Item = (&str, &str)> {
    let effects = entry.detail["effects"].as_array().into_iter().flatten();
    effects.filter_map(|effect| effect.as_str()?.split_once(' '))
}

/// `Table::"shop/public.orders"` is `orders`, `public.orders` and `shop/public.orders`.
fn is_table(object: &str, table: &str) -> bool {
    let Some(name) = object.split_once("::").and_then(|(_, name)| name.strip_prefix('"')?.strip_suffix('"')) else {
        return false;
    };
    let name = name.to_lowercase();
    let rest = name.strip_suffix(table);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '/']))
}

/// `ana` is `ana@acme.dev`.
fn is_who(principal: &str, who: &str) -> bool {
    let principal = principal.to_lowercase();
    principal == who || principal.split_once('@').is_some_and(|(local, _)| local == who)
}

/// Words, apart by blanks; a blank within double quotes belongs to its word.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
            }
            c => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    if quoted { Err("a quotation mark has no second one".to_owned()) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::new(Kind::Statement);
        entry.time = "2026-11-20T10:00:00Z".parse().unwrap();
        entry.principal = Some("ana@acme.dev".into());
        entry.connection = Some("shop".into());
        entry.session = Some("ABCD1234".parse().unwrap());
        entry.sql = Some("DELETE FROM orders USING carts".into());
        entry.outcome = Some("released".into());
        entry.detail =
            json!({ "effects": ["delete Table::\"shop/public.orders\"", "select Table::\"shop/public.carts\""] });
        entry
    }

    #[test]
    fn a_search_means_what_it_says() {
        let now: DateTime<Utc> = "2026-11-24T00:00:00Z".parse().unwrap();
        let table = [
            ("", true),
            ("table:orders action:delete by:ana since:7d", true),
            ("table:public.orders", true),
            ("table:shop/public.orders", true),
            ("table:ders", false),
            ("table:carts action:delete", false),
            ("table:carts action:select", true),
            ("by:ANA@acme.dev", true),
            ("by:an", false),
            ("since:3d", false),
            ("since:2026-11-20 until:2026-11-21", true),
            ("until:2026-11-20T10:00:00Z", false),
            ("kind:statement", true),
            ("-kind:statement", false),
            ("kind:outcome", false),
            ("on:shop session:abcd1234", true),
            ("request:K7Q2K7Q2", false),
            ("sql:\"from orders using\"", true),
            ("outcome:released", true),
            ("CARTS", true),
            ("-carts", false),
            ("nowhere", false),
        ];
        for (text, fits) in table {
            assert_eq!(Search::parse(text, now).unwrap().fits(&entry()), fits, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_search() {
        for text in ["colour:red", "kind:party", "since:soon", "sql:\"half", "-since:7d"] {
            assert!(Search::parse(text, Utc::now()).is_err(), "{text}");
        }
    }
}
