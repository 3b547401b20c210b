//! A search: `table:orders action:delete by:ana since:7d`, and which entries it means. Pure.

use chrono::{DateTime, NaiveDate, Utc};
use countersign_shared::ids::SessionId;

use crate::{
    config::nearest,
    friction::before,
    log::{Entry, Kind},
    statement::effect::Action,
};

/// What an entry must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Is {
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
const WORDS: &str = "table, action, by, on, kind, session, request, outcome, sql, text, since, until, or a word that \
                     the entry has; with - before it, what it must not be";

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
            let (key, value) = word.split_once(':').unwrap_or(("text", word));
            if value.is_empty() {
                let what = if word.is_empty() { "-".to_owned() } else { word.to_owned() };
                return Err(format!("nothing stands behind {what:?}; write it as in table:orders, and -kind:login"));
            }
            let is = match key {
                "since" | "until" => {
                    if not {
                        return Err(format!(
                            "-{key} is no word of a search; since and until are each other's opposite"
                        ));
                    }
                    let at = time(value, now)
                        .ok_or_else(|| format!("{value:?} is no time; write 7d, 2026-11-24 or RFC 3339"))?;
                    *(if key == "since" { &mut search.since } else { &mut search.until }) = Some(at);
                    continue;
                }
                "table" => Is::Table(value.to_lowercase()),
                "action" => Is::Action(one_of("action", value, Action::ALL.iter().map(|action| action.as_str()))?),
                "by" => Is::By(value.to_lowercase()),
                "on" | "connection" => Is::On(value.to_owned()),
                "kind" => Is::Kind(kind(value)?),
                "session" => Is::Session(id(value)?),
                "request" => Is::Request(id(value)?),
                "outcome" => Is::Outcome(value.to_lowercase()),
                "sql" => Is::Sql(value.to_lowercase()),
                "text" => Is::Text(value.to_lowercase()),
                _ => return Err(unknown(key, word)),
            };
            search.words.push((not, is));
        }
        if let (Some(since), Some(until)) = (search.since, search.until)
            && since >= until
        {
            return Err(format!("nothing is since {since} and until {until}: the one is not before the other"));
        }
        Ok(search)
    }

    /// Whether every entry is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What an entry must be, beside what it must not.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Is> {
        self.words.iter().filter(|(not, _)| !not).map(|(_, is)| is)
    }

    /// From when on, and before when.
    pub(super) const fn times(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        (self.since, self.until)
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
        let wanted: Vec<&Is> = self.wanted().filter(|is| matches!(is, Is::Table(_) | Is::Action(_))).collect();
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
    let name = one_of("kind of entry", word, Kind::ALL.iter().map(|kind| kind.as_str()))?;
    Kind::ALL.iter().find(|kind| kind.as_str() == name).copied().ok_or(name)
}

fn id(word: &str) -> Result<String, String> {
    let read = word.parse::<SessionId>().map(|id| id.as_str().to_owned());
    read.map_err(|_| format!("{word:?} is no id; they have letters and digits, as in K3M9QX2R"))
}

/// A name that there is.
fn one_of<'a>(what: &str, word: &str, names: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let (word, names) = (word.to_lowercase(), names.collect::<Vec<_>>());
    if names.contains(&word.as_str()) {
        return Ok(word);
    }
    let perhaps = perhaps(&word, &names);
    Err(format!("there is no {what} {word:?}.{perhaps} There is: {}", names.join(", ")))
}

fn perhaps(word: &str, names: &[&str]) -> String {
    nearest(word, names.iter().copied()).map(|name| format!(" Did you mean {name}?")).unwrap_or_default()
}

fn unknown(key: &str, word: &str) -> String {
    let keys: Vec<&str> = WORDS.split(", ").take_while(|word| !word.contains(' ')).collect();
    let perhaps = perhaps(key, &keys);
    format!("{key:?} can't be searched for.{perhaps} There is: {WORDS}. A text with a colon: text:\"{word}\"")
}

/// The effects of a statement: an action, and an object as policy names it.
pub(super) fn effects(entry: &Entry) -> impl Iterator<Item = (&str, &str)> {
    let effects = entry.detail["effects"].as_array().into_iter().flatten();
    effects.filter_map(|effect| effect.as_str()?.split_once(' '))
}

/// The name within an object: `shop/public.orders` of `Table::"shop/public.orders"`.
pub(super) fn named(object: &str) -> Option<&str> {
    object.split_once("::")?.1.strip_prefix('"')?.strip_suffix('"')
}

/// `Table::"shop/public.orders"` is `orders`, `public.orders` and `shop/public.orders`.
fn is_table(object: &str, table: &str) -> bool {
    let Some(name) = named(object) else { return false };
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
            ("text:\"shop/public\" action:DELETE", true),
            ("nowhere", false),
        ];
        for (text, fits) in table {
            assert_eq!(Search::parse(text, now).unwrap().fits(&entry()), fits, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_search_and_says_what_is() {
        let table = [
            ("colour:red", "\"colour\" can't be searched for. There is: table, action"),
            ("tabel:orders", "Did you mean table? There is: table, action"),
            ("a:b", "text:\"a:b\""),
            ("kind:party", "there is no kind of entry \"party\". There is: start, stop"),
            ("kind:statements", "Did you mean statement?"),
            ("action:remove", "there is no action \"remove\". There is: select"),
            ("action:DELETES", "Did you mean delete?"),
            ("since:soon", "\"soon\" is no time; write 7d, 2026-11-24 or RFC 3339"),
            ("since:2026-11-24 until:2026-11-20", "the one is not before the other"),
            ("sql:\"half", "a quotation mark has no second one"),
            ("-since:7d", "each other's opposite"),
            ("table:", "nothing stands behind \"table:\""),
            ("-", "nothing stands behind \"-\""),
            ("session:a-b", "\"a-b\" is no id"),
        ];
        for (text, expected) in table {
            let said = Search::parse(text, Utc::now()).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
