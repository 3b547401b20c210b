//! `report approvals`: each request with who asked, who agreed, by what assurance, and what came of it; and what
//! somebody who reviews approvals should look at. Pure over entries.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use countersign_shared::ids::RequestId;
use serde::Serialize;

use super::table::Table;
use crate::log::{Entry, Kind};

/// So many denials of one person within so many minutes are a burst.
const BURST: usize = 5;
const BURST_MINUTES: i64 = 10;
/// Working hours, in UTC.
const HOURS: std::ops::Range<u32> = 7..19;
/// A decision that came faster was hardly read.
const QUICK: f64 = 3.0;

/// A choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Whose.
    pub by: String,
    /// `approve`, `deny`, `withdraw`.
    pub choice: String,
    /// When.
    pub at: DateTime<Utc>,
    /// So long after the request, in seconds.
    pub after: f64,
    /// By what it was proven: `slack`, `step_up`, `cli`.
    pub assurance: String,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// The entry that has it.
    pub entry: u64,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// `statement` or `access`.
    pub kind: &'static str,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// By whom.
    pub requester: String,
    /// For which connection.
    pub connection: String,
    /// The statement, or the role.
    pub what: String,
    /// The digest that approvals bind.
    pub digest: Option<String>,
    /// What people chose, in order.
    pub choices: Vec<Choice>,
    /// `released`, `granted`, `denied`, `withdrawn`, …; open where there is none.
    pub end: Option<String>,
    /// What came of it.
    pub outcome: Option<String>,
    /// The entry that has it.
    pub entry: u64,
    /// The choice that ended it, as far as is known.
    #[serde(skip)]
    ended_by: Option<u64>,
}

impl Request {
    /// A choice is written down before it counts; where it then does not, that is written down too.
    fn decided(&mut self, seq: u64, entry: &Entry, outcome: String) {
        let by = entry.principal.clone().unwrap_or_default();
        if let Some(word) = outcome.strip_suffix(", not taken") {
            let made = self.choices.iter_mut().rev().find(|choice| choice.by == by && choice.choice == word);
            if let Some(choice) = made {
                choice.choice = outcome;
                if self.ended_by == Some(choice.entry) {
                    (self.end, self.ended_by) = (None, None);
                }
                return;
            }
        }
        // A wish for access has no other entry of such an end.
        let end = match outcome.as_str() {
            "deny" => Some("denied"),
            "withdraw" => Some("withdrawn"),
            _ => None,
        };
        if let Some(end) = end.filter(|_| self.end.is_none()) {
            (self.end, self.ended_by) = (Some(end.to_owned()), Some(seq));
        }
        self.choices.push(Choice {
            by,
            choice: outcome,
            at: entry.time,
            after: super::play::seconds(self.at, entry.time),
            assurance: entry.detail["assurance"].as_str().unwrap_or_default().to_owned(),
            reason: entry.detail["more"]["reason"].as_str().map(str::to_owned),
            entry: seq,
        });
    }
}

/// Two people who approve each other's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// One.
    pub one: String,
    /// The other.
    pub other: String,
    /// How often the other approved what the one asked for.
    pub one_asked: usize,
    /// And the other way round.
    pub other_asked: usize,
}

/// Many denials of one person, in a short time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Burst {
    /// Who was denied.
    pub principal: String,
    /// From when.
    pub from: DateTime<Utc>,
    /// How often within ten minutes.
    pub denials: usize,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approvals {
    /// From when on.
    pub since: Option<DateTime<Utc>>,
    /// All requests, the oldest first.
    pub requests: Vec<Request>,
    /// How long until the first approval or denial, in seconds: the median.
    pub median_seconds: Option<f64>,
    /// The share of approvals that came within three seconds.
    pub quick_share: Option<f64>,
    /// Who approves each other.
    pub reciprocal: Vec<Pair>,
    /// Bursts of denials.
    pub bursts: Vec<Burst>,
    /// Approvals at a weekend, or outside 07:00 to 19:00 UTC: requests.
    pub off_hours: Vec<RequestId>,
}

/// Collects entries.
#[derive(Default)]
pub struct Collected {
    since: Option<DateTime<Utc>>,
    requests: Vec<Request>,
    at: HashMap<RequestId, usize>,
    denied: BTreeMap<String, Vec<DateTime<Utc>>>,
}

impl Collected {
    /// From `since` on.
    #[must_use]
    pub fn since(since: Option<DateTime<Utc>>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Takes the next entry.
    pub fn take(&mut self, seq: u64, entry: &Entry) {
        if self.since.is_some_and(|since| entry.time < since) {
            return;
        }
        if entry.kind == Kind::Denied
            && let Some(who) = &entry.principal
        {
            self.denied.entry(who.clone()).or_default().push(entry.time);
        }
        let Some(id) = &entry.request else { return };
        let made = match entry.kind {
            Kind::Held => Some(("statement", entry.sql.clone().unwrap_or_default())),
            Kind::Asked => Some(("access", entry.detail["role"].as_str().unwrap_or_default().to_owned())),
            _ => None,
        };
        if let Some((kind, what)) = made {
            self.at.insert(id.clone(), self.requests.len());
            self.requests.push(Request {
                id: id.clone(),
                kind,
                at: entry.time,
                requester: entry.principal.clone().unwrap_or_default(),
                connection: entry.connection.clone().unwrap_or_default(),
                what,
                digest: entry.detail["digest"].as_str().map(str::to_owned),
                choices: Vec::new(),
                end: None,
                outcome: None,
                entry: seq,
                ended_by: None,
            });
            return;
        }
        // Made before `since`: of those, nothing is reported.
        let Some(request) = self.at.get(id).and_then(|at| self.requests.get_mut(*at)) else { return };
        let outcome = entry.outcome.clone().unwrap_or_default();
        match entry.kind {
            Kind::Decision => request.decided(seq, entry, outcome),
            Kind::Released => request.end = Some("released".to_owned()),
            Kind::Granted => request.end = Some(outcome),
            Kind::HoldEnded => request.end = Some(outcome),
            Kind::Outcome => request.outcome = Some(outcome),
            _ => {}
        }
    }

    /// The report.
    #[must_use]
    pub fn into_report(self) -> Approvals {
        let first: Vec<f64> = self
            .requests
            .iter()
            .filter_map(|request| {
                request.choices.iter().find(|choice| matches!(choice.choice.as_str(), "approve" | "deny"))
            })
            .map(|choice| choice.after)
            .collect();
        let approvals: Vec<(&Request, &Choice)> = self.requests.iter().flat_map(approvals_of).collect();
        let quick = approvals.iter().filter(|(_, choice)| choice.after < QUICK).count();
        let off_hours = approvals
            .iter()
            .filter(|(_, choice)| is_off_hours(choice.at))
            .map(|(request, _)| request.id.clone())
            .collect();
        #[allow(clippy::cast_precision_loss, reason = "counts of people's clicks")]
        let quick_share = (!approvals.is_empty()).then(|| quick as f64 / approvals.len() as f64);
        Approvals {
            since: self.since,
            median_seconds: median(first),
            quick_share,
            reciprocal: reciprocal(&approvals),
            bursts: self.denied.iter().filter_map(|(who, at)| burst(who, at)).collect(),
            off_hours,
            requests: self.requests,
        }
    }
}

fn approvals_of(request: &Request) -> impl Iterator<Item = (&Request, &Choice)> {
    request.choices.iter().filter(|choice| choice.choice == "approve").map(move |choice| (request, choice))
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    let upper = *numbers.get(half)?;
    if numbers.len() % 2 == 1 { Some(upper) } else { numbers.get(half - 1).map(|lower| f64::midpoint(*lower, upper)) }
}

fn is_off_hours(at: DateTime<Utc>) -> bool {
    matches!(at.weekday(), Weekday::Sat | Weekday::Sun) || !HOURS.contains(&at.hour())
}

fn reciprocal(approvals: &[(&Request, &Choice)]) -> Vec<Pair> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (request, choice) in approvals {
        *counts.entry((&request.requester, &choice.by)).or_default() += 1;
    }
    let pairs = counts.iter().filter(|((asked, by), _)| asked < by).filter_map(|((asked, by), count)| {
        let back = counts.get(&(*by, *asked))?;
        Some(Pair { one: (*asked).to_owned(), other: (*by).to_owned(), one_asked: *count, other_asked: *back })
    });
    pairs.collect()
}

/// The most denials within ten minutes, if they are many.
fn burst(principal: &str, at: &[DateTime<Utc>]) -> Option<Burst> {
    let within = |from: usize| {
        let first = at[from];
        at[from..].iter().take_while(|at| (**at - first).num_minutes() < BURST_MINUTES).count()
    };
    let (from, denials) = (0..at.len()).map(|from| (from, within(from))).max_by_key(|(_, count)| *count)?;
    (denials >= BURST).then(|| Burst { principal: principal.to_owned(), from: at[from], denials })
}

impl Approvals {
    /// A row for each request.
    #[must_use]
    pub fn table(&self) -> Table {
        let choices = |request: &Request| {
            let one = |choice: &Choice| {
                let reason = choice.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("{} {} ({}, after {:.1} s){reason}", choice.by, choice.choice, choice.assurance, choice.after)
            };
            request.choices.iter().map(one).collect::<Vec<_>>().join("; ")
        };
        let row = |request: &Request| {
            vec![
                request.at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
                request.id.to_string(),
                request.kind.to_owned(),
                request.requester.clone(),
                request.connection.clone(),
                request.what.clone(),
                choices(request),
                request.end.clone().unwrap_or_else(|| "open".to_owned()),
                request.outcome.clone().unwrap_or_default(),
                request.entry.to_string(),
            ]
        };
        let head =
            vec!["at", "request", "kind", "requester", "connection", "what", "decisions", "end", "outcome", "entry"];
        Table { head, rows: self.requests.iter().map(row).collect() }
    }

    /// The report as Markdown, after its title.
    #[must_use]
    pub fn markdown(&self) -> String {
        let count = |word: &str| self.requests.iter().filter(|request| request.end.as_deref() == Some(word)).count();
        let mut lines = vec![
            format!(
                "{} requests: {} released, {} granted, {} denied, {} withdrawn, {} expired.",
                self.requests.len(),
                count("released"),
                count("granted"),
                count("denied"),
                count("withdrawn"),
                count("expired")
            ),
            match self.median_seconds {
                Some(median) => format!("Median time to decide: {median:.1} s."),
                None => "Nobody has decided anything.".to_owned(),
            },
        ];
        if let Some(share) = self.quick_share {
            lines.push(format!("Approvals within {QUICK} s: {:.0} %.", share * 100.0));
        }
        let pairs: Vec<String> = self
            .reciprocal
            .iter()
            .map(|pair| format!("{} and {} ({}, {})", pair.one, pair.other, pair.one_asked, pair.other_asked))
            .collect();
        lines.push(format!("Who approves each other's requests: {}.", or_nobody(&pairs)));
        let bursts: Vec<String> = self
            .bursts
            .iter()
            .map(|burst| format!("{} ({} within ten minutes, from {})", burst.principal, burst.denials, burst.from))
            .collect();
        lines.push(format!("Bursts of denied statements: {}.", or_nobody(&bursts)));
        let off: Vec<String> = self.off_hours.iter().map(ToString::to_string).collect();
        let off = if off.is_empty() { "none".to_owned() } else { off.join(", ") };
        lines.push(format!("Approved at a weekend, or outside 07:00 to 19:00 UTC: {off}."));
        lines.push(String::new());
        lines.push(self.table().markdown());
        lines.join("\n")
    }
}

fn or_nobody(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(kind: Kind, at: &str, who: &str, request: &str, outcome: &str) -> Entry {
        let mut entry = Entry::new(kind);
        entry.time = format!("2026-11-24T{at}Z").parse().unwrap();
        entry.principal = Some(format!("{who}@acme.dev"));
        entry.connection = Some("shop".into());
        entry.request = (!request.is_empty()).then(|| request.parse().unwrap());
        entry.outcome = Some(outcome.into());
        entry.detail = json!({ "assurance": "slack", "role": "shop-writer", "digest": "ab" });
        entry
    }

    fn report() -> Approvals {
        let mut collected = Collected::default();
        let (one, two, three) = ("K7Q2K7Q2", "M4T9M4T9", "P3P3P3P3");
        let mut entries = vec![
            entry(Kind::Held, "10:00:00", "ana", one, "hold"),
            entry(Kind::Decision, "10:00:02", "priya", one, "approve"),
            entry(Kind::Released, "10:00:03", "ana", one, ""),
            entry(Kind::Outcome, "10:00:04", "ana", one, "DELETE 7"),
            entry(Kind::Asked, "20:00:00", "priya", two, "hold"),
            entry(Kind::Decision, "20:01:00", "ana", two, "approve"),
            entry(Kind::Granted, "20:01:01", "priya", two, "granted"),
            entry(Kind::Held, "11:00:00", "ben", three, "hold"),
            entry(Kind::Decision, "11:00:10", "priya", three, "deny"),
            entry(Kind::HoldEnded, "11:00:11", "ben", three, "denied"),
        ];
        entries.extend((0..5).map(|n| entry(Kind::Denied, &format!("12:0{n}:00"), "ben", "", "42501 no")));
        entries.extend((0..4).map(|n| entry(Kind::Denied, &format!("13:0{n}:00"), "ana", "", "42501 no")));
        for (seq, entry) in (1..).zip(&entries) {
            collected.take(seq, entry);
        }
        collected.into_report()
    }

    #[test]
    fn each_request_has_its_decisions_and_what_came_of_it() {
        let report = report();
        let [one, two, three] = report.requests.as_slice() else { panic!("{report:?}") };
        assert_eq!((one.end.as_deref(), one.outcome.as_deref()), (Some("released"), Some("DELETE 7")));
        let choice = &one.choices[0];
        assert_eq!((choice.by.as_str(), choice.after, choice.assurance.as_str()), ("priya@acme.dev", 2.0, "slack"));
        assert_eq!((two.kind, two.what.as_str(), two.end.as_deref()), ("access", "shop-writer", Some("granted")));
        assert_eq!(three.end.as_deref(), Some("denied"));
    }

    #[test]
    fn what_a_reviewer_looks_for_is_counted() {
        let report = report();
        assert_eq!(report.median_seconds, Some(10.0));
        assert_eq!(report.quick_share, Some(0.5));
        let pair = &report.reciprocal[0];
        assert_eq!((pair.one.as_str(), pair.other.as_str()), ("ana@acme.dev", "priya@acme.dev"));
        assert_eq!(
            report.bursts.iter().map(|b| (b.principal.as_str(), b.denials)).collect::<Vec<_>>(),
            [("ben@acme.dev", 5)]
        );
        assert_eq!(report.off_hours.len(), 1, "at eight in the evening");
        assert!(report.markdown().contains("3 requests: 1 released, 1 granted, 1 denied"), "{}", report.markdown());
        assert_eq!(report.table().rows.len(), 3);
    }

    #[test]
    fn a_choice_that_was_not_taken_is_none() {
        let one = "K7Q2K7Q2";
        let mut collected = Collected::default();
        for (seq, entry) in (1..).zip(&[
            entry(Kind::Asked, "10:00:00", "ana", one, "hold"),
            entry(Kind::Decision, "10:00:02", "priya", one, "deny"),
            entry(Kind::Decision, "10:00:03", "priya", one, "deny, not taken"),
            entry(Kind::Decision, "10:00:04", "dario", one, "approve"),
            entry(Kind::Decision, "10:00:05", "dario", one, "approve, not taken"),
        ]) {
            collected.take(seq, entry);
        }
        let report = collected.into_report();
        let request = &report.requests[0];
        let choices: Vec<&str> = request.choices.iter().map(|choice| choice.choice.as_str()).collect();
        assert_eq!((choices, &request.end), (vec!["deny, not taken", "approve, not taken"], &None));
        assert_eq!((report.median_seconds, report.quick_share), (None, None));
    }

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
