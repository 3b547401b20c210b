//! `report friction`: what policy cost, read from the log. Pure over entries.
//!
//! It counts what was held or denied, and, under `mode = "observe"`, what would have been. A *false
//! hold* is one that nobody needed: approved in the end, or merely observed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{
    log::{Entry, Kind, ReadError, Records, read},
    statement::{effect::Action, shape::shape},
};

/// How often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Held, or would have been.
    pub holds: usize,
    /// Of these, false ones.
    pub false_holds: usize,
    /// Denied by policy, or would have been.
    pub denials: usize,
}

impl Counts {
    const fn all(&self) -> usize {
        self.holds + self.denials
    }
}

/// Counts of one policy, principal, application or shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is counted.
    pub name: String,
    /// How often.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Permits that would end most false holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Cedar, to be read and narrowed before it is used.
    pub policy: String,
    /// How many false holds it would have let pass ...
    pub ends: usize,
    /// ... of so many.
    pub of: usize,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Friction {
    /// From when on.
    pub since: DateTime<Utc>,
    /// In all.
    pub total: Counts,
    /// Of these, only observed.
    pub observed: usize,
    /// By policy; a statement counts for each that decided. `(none)` where no permit matched.
    pub policies: Vec<Line>,
    /// By principal.
    pub principals: Vec<Line>,
    /// By application name.
    pub applications: Vec<Line>,
    /// By shape: the text with its constants as `?`.
    pub shapes: Vec<Line>,
    /// What would end most false holds, if there are any that permits could end.
    pub suggestion: Option<Suggestion>,
}

/// A statement that did not simply pass.
struct Stopped {
    principal: String,
    application: String,
    shape: String,
    rules: Vec<String>,
    effects: BTreeSet<String>,
    denied: bool,
    observed: bool,
    request: Option<String>,
}

/// Reads the log of `records` and reports on what is not older than `since`.
///
/// # Errors
/// Where the log can't be read. An entry that is just being written is left out.
pub fn report(records: &Records, since: DateTime<Utc>) -> Result<Friction, ReadError> {
    let mut entries = Vec::new();
    for entry in read(records.clone()) {
        match entry {
            Ok((_, entry)) => entries.push(entry),
            Err(ReadError::Torn { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(of(&entries, since))
}

/// Reports on entries.
#[must_use]
pub fn of(entries: &[Entry], since: DateTime<Utc>) -> Friction {
    let recent = || entries.iter().filter(|entry| entry.time >= since);
    let approved: BTreeSet<&str> = recent()
        .filter(|entry| entry.kind == Kind::Released)
        .filter_map(|entry| entry.request.as_ref().map(|id| id.as_str()))
        .collect();
    let stopped: Vec<Stopped> = recent().filter_map(stopped).collect();
    let is_false =
        |one: &Stopped| !one.denied && (one.observed || one.request.as_deref().is_some_and(|id| approved.contains(id)));
    let mut friction = Friction {
        since,
        total: Counts::default(),
        observed: stopped.iter().filter(|one| one.observed).count(),
        policies: lines(&stopped, is_false, |one| match one.rules.as_slice() {
            [] => vec!["(none)".to_owned()],
            rules => rules.to_vec(),
        }),
        principals: lines(&stopped, is_false, |one| vec![one.principal.clone()]),
        applications: lines(&stopped, is_false, |one| vec![one.application.clone()]),
        shapes: lines(&stopped, is_false, |one| vec![one.shape.clone()]),
        suggestion: suggestion(&stopped.iter().filter(|one| is_false(one)).collect::<Vec<_>>()),
    };
    stopped.iter().for_each(|one| count(&mut friction.total, one, is_false(one)));
    friction
}

fn count(counts: &mut Counts, one: &Stopped, is_false: bool) {
    if one.denied {
        counts.denials += 1;
    } else {
        counts.holds += 1;
        counts.false_holds += usize::from(is_false);
    }
}

/// What an entry says was stopped, or would have been.
fn stopped(entry: &Entry) -> Option<Stopped> {
    let outcome = entry.outcome.as_deref().unwrap_or_default();
    let (denied, observed) = match (entry.kind, outcome) {
        (Kind::Held, _) => (false, false),
        (Kind::Denied, _) => (true, false),
        (Kind::Statement, "observed: would be held") => (false, true),
        (Kind::Statement, "observed: would be denied") => (true, true),
        _ => return None,
    };
    let texts = |key: &str| {
        let list = entry.detail[key].as_array().into_iter().flatten();
        list.filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let application = entry.detail["application"].as_str().filter(|name| !name.is_empty());
    Some(Stopped {
        principal: entry.principal.clone().unwrap_or_default(),
        application: application.unwrap_or("(none)").to_owned(),
        shape: readable(entry.sql.as_deref().unwrap_or_default()),
        rules: texts("rules"),
        effects: texts("effects").into_iter().filter(|effect| !is_read(effect)).collect(),
        denied,
        observed,
        request: entry.request.as_ref().map(|id| id.as_str().to_owned()),
    })
}

/// A text with its constants as `?` and its blanks as one; a text without a shape as it is.
fn readable(sql: &str) -> String {
    let mut bytes = Vec::new();
    let text = if shape(sql, &mut bytes) { String::from_utf8_lossy(&bytes).into_owned() } else { sql.to_owned() };
    let text = text.replace(['\u{1}', '\u{2}'], "?");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_read(effect: &str) -> bool {
    let name = effect.split(' ').next().unwrap_or_default();
    Action::ALL.iter().any(|action| action.as_str() == name && action.group() == Some("read"))
}

/// Counts by name, the most first.
fn lines(
    stopped: &[Stopped],
    is_false: impl Fn(&Stopped) -> bool,
    names: impl Fn(&Stopped) -> Vec<String>,
) -> Vec<Line> {
    let mut counted: BTreeMap<String, Counts> = BTreeMap::new();
    for one in stopped {
        for name in names(one) {
            count(counted.entry(name).or_default(), one, is_false(one));
        }
    }
    let mut lines: Vec<Line> = counted.into_iter().map(|(name, counts)| Line { name, counts }).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.counts.all()));
    lines
}

/// The effects of one false hold, permitted, would have ended every false hold that has no others.
fn suggestion(holds: &[&Stopped]) -> Option<Suggestion> {
    let ended = |set: &BTreeSet<String>| holds.iter().filter(|one| one.effects.is_subset(set)).count();
    let sets: BTreeSet<&BTreeSet<String>> =
        holds.iter().map(|one| &one.effects).filter(|set| !set.is_empty()).collect();
    // Of those that end as many, the one that permits least.
    let best = sets.into_iter().max_by_key(|set| (ended(set), std::cmp::Reverse(set.len())))?;
    let who: BTreeSet<&str> =
        holds.iter().filter(|one| one.effects.is_subset(best)).map(|one| one.principal.as_str()).collect();
    // An agent's name has no @; its entity is another.
    let principal = match who.iter().next() {
        Some(one) if who.len() == 1 && one.contains('@') => format!("principal == User::{one:?}"),
        Some(one) if who.len() == 1 => format!("principal == Agent::{one:?}"),
        _ => "principal".to_owned(),
    };
    let permit = |effect: &String| {
        let (action, object) = effect.split_once(' ')?;
        let resource = if object.starts_with("Connection::") { "in" } else { "==" };
        Some(format!("permit ({principal}, action == Action::{action:?}, resource {resource} {object});"))
    };
    let policy = best.iter().filter_map(permit).collect::<Vec<_>>().join("\n");
    Some(Suggestion { policy, ends: ended(best), of: holds.len() })
}

/// `90m`, `36h`, `14d`, `2w` before `now`.
#[must_use]
pub fn before(now: DateTime<Utc>, text: &str) -> Option<DateTime<Utc>> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
    let span = match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        'w' => TimeDelta::try_weeks(number),
        _ => None,
    };
    now.checked_sub_signed(span?)
}

impl std::fmt::Display for Friction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { holds, false_holds, denials } = self.total;
        let since = self.since.format("%Y-%m-%d %H:%M UTC");
        writeln!(
            f,
            "since {since}: {holds} holds ({false_holds} false), {denials} denials; {} only observed",
            self.observed
        )?;
        let parts = [
            ("policy", &self.policies),
            ("principal", &self.principals),
            ("application", &self.applications),
            ("statement", &self.shapes),
        ];
        for (what, lines) in parts.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(f, "\n{:>6} {:>6} {:>7}  {what}", "holds", "false", "denials")?;
            for Line { name, counts } in lines.iter().take(10) {
                let name: String = name.chars().take(100).collect();
                writeln!(f, "{:>6} {:>6} {:>7}  {name}", counts.holds, counts.false_holds, counts.denials)?;
            }
            if lines.len() > 10 {
                writeln!(f, "{:>23}and {} more; --json has all", "", lines.len() - 10)?;
            }
        }
        if let Some(Suggestion { policy, ends, of }) = &self.suggestion {
            write!(
                f,
                "\n{ends} of {of} false holds would have passed with this; read it and narrow it first:\n{policy}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: Kind, who: &str, sql: &str, outcome: &str, effects: &[&str], request: Option<&str>) -> Entry {
        Entry {
            principal: Some(who.into()),
            sql: Some(sql.into()),
            outcome: Some(outcome.into()),
            request: request.map(|id| id.parse().unwrap()),
            detail: json!({ "effects": effects, "rules": ["writes"], "application": "psql" }),
            ..Entry::new(kind)
        }
    }

    const UPDATE: &str = "update Table::\"shop/public.carts\"";
    const SELECT: &str = "select Table::\"shop/public.carts\"";
    const DELETE: &str = "delete Table::\"shop/public.orders\"";

    fn log() -> Vec<Entry> {
        let held = "observed: would be held";
        let (ana, ben) = ("ana@acme.dev", "ben@acme.dev");
        let mut old = entry(Kind::Held, ana, "delete from orders where id = 1", "hold", &[DELETE], None);
        old.time = Utc::now() - TimeDelta::days(30);
        vec![
            old,
            entry(Kind::Statement, ana, "update carts set n = 1 where id = 5", held, &[SELECT, UPDATE], None),
            entry(Kind::Statement, ana, "update carts set n = 2\n  where id = 6", held, &[SELECT, UPDATE], None),
            entry(Kind::Statement, ana, "select 1", "allow", &[SELECT], None),
            entry(Kind::Held, ben, "delete from orders where id = 1", "hold", &[DELETE], Some("K7Q2K7Q2")),
            entry(Kind::Released, ben, "", "", &[], Some("K7Q2K7Q2")),
            entry(Kind::Held, ben, "delete from orders where id = 2", "hold", &[DELETE], Some("M4T9M4T9")),
            entry(Kind::HoldEnded, ben, "", "denied", &[], Some("M4T9M4T9")),
            entry(Kind::Denied, ben, "drop table orders", "42501 no", &[], None),
        ]
    }

    #[test]
    fn what_was_stopped_is_counted_by_who_and_what_and_why() {
        let friction = of(&log(), Utc::now() - TimeDelta::days(14));
        assert_eq!(friction.total, Counts { holds: 4, false_holds: 3, denials: 1 });
        assert_eq!(friction.observed, 2);
        let line = |lines: &[Line], name: &str| lines.iter().find(|line| line.name == name).map(|line| line.counts);
        let (ana, ben) = (line(&friction.principals, "ana@acme.dev"), line(&friction.principals, "ben@acme.dev"));
        assert_eq!(ana, Some(Counts { holds: 2, false_holds: 2, denials: 0 }));
        assert_eq!(ben, Some(Counts { holds: 2, false_holds: 1, denials: 1 }), "who was told no had no false hold");
        let carts = line(&friction.shapes, "update carts set n = ? where id = ?");
        assert_eq!(carts.map(|counts| counts.holds), Some(2), "one shape: {:?}", friction.shapes);
        assert_eq!(friction.policies[0].name, "writes");
        assert_eq!(friction.applications[0].name, "psql");
    }

    #[test]
    fn the_suggestion_ends_most_false_holds_with_the_least() {
        let suggestion = of(&log(), Utc::now() - TimeDelta::days(14)).suggestion.unwrap();
        let policy = "permit (principal == User::\"ana@acme.dev\", action == Action::\"update\", resource == Table::\"shop/public.carts\");";
        assert_eq!((suggestion.policy.as_str(), suggestion.ends, suggestion.of), (policy, 2, 3));
        drop(crate::policy::testing::policies(&suggestion.policy));
        assert_eq!(of(&[], Utc::now()).suggestion, None);
    }

    #[test]
    fn spans_are_read_or_refused() {
        let now = Utc::now();
        for (text, minutes) in [("90m", 90), ("36h", 36 * 60), ("14d", 14 * 1_440), ("2w", 14 * 1_440)] {
            assert_eq!(before(now, text), Some(now - TimeDelta::minutes(minutes)), "{text}");
        }
        for text in ["", "d", "14", "-3d", "0d", "1.5d", "14 d", "99999999999999d", "3é"] {
            assert_eq!(before(now, text), None, "{text:?}");
        }
    }
}
