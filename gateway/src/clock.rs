//! How far this machine's clock is from those of the databases and the identity providers, as evidence: what an entry's
//! `time` is worth, and whether a token's or a grant's end came when it should.
//!
//! One entry of kind `clock` comes a minute after the start, in each `clock_interval`, and at once where the clock was
//! set. Nothing is decided by it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    config::Upstream,
    connection::upstream,
    log::{Entry, Kind},
    runtime::Gateway,
};

/// How long after the start the first look is: by then the time service of a machine that just booted has done its work.
const FIRST: Duration = Duration::from_secs(60);
/// How often the two clocks of this machine are compared.
const LOOK: Duration = Duration::from_secs(10);
/// By so much they may part within that. A time service that slews does 5 ms (500 ppm).
const PARTED: TimeDelta = TimeDelta::milliseconds(500);
/// From this on somebody is told.
const FAR: TimeDelta = TimeDelta::seconds(1);
/// How often a database is asked; the answer that came soonest counts.
const TIMES: usize = 3;

const ASKED: &str = "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())";

/// By how much this clock is ahead of another's (less than zero: behind), and how exactly that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Ahead by this.
    pub ahead: TimeDelta,
    /// Give or take this.
    pub within: TimeDelta,
}

impl Offset {
    /// The other said `said` between `asked` and `took` later; it may have meant anything up to `coarse` more, since that
    /// is how finely it tells. As in NTP, the middle is the best guess (RFC 5905, section 8).
    #[must_use]
    pub fn between(asked: DateTime<Utc>, took: Duration, said: DateTime<Utc>, coarse: TimeDelta) -> Self {
        let half = TimeDelta::from_std(took / 2).unwrap_or(TimeDelta::MAX);
        Self { ahead: (asked + half) - (said + coarse / 2), within: half + coarse / 2 }
    }

    /// Whether it is off by more than a second, however one takes it.
    fn is_far(self) -> bool {
        self.ahead.abs() - self.within > FAR
    }
}

/// One of the others, and what was found.
struct Compared {
    of: String,
    found: Result<Offset, String>,
}

impl Compared {
    fn told(&self) -> Value {
        let milliseconds = |span: TimeDelta| span.num_microseconds().map(|micros| (micros / 100) as f64 / 10.0);
        match &self.found {
            Ok(offset) => json!({
                "of": self.of, "ahead_ms": milliseconds(offset.ahead), "within_ms": milliseconds(offset.within),
            }),
            Err(why) => json!({ "of": self.of, "unknown": why }),
        }
    }
}

/// The wall's clock beside the one that only counts.
struct Clocks {
    wall: DateTime<Utc>,
    ticks: Instant,
}

impl Clocks {
    fn read() -> Self {
        Self { wall: Utc::now(), ticks: Instant::now() }
    }

    /// By how much the wall's was set since the last look (the machine may also have slept), where it was.
    fn set_by(&mut self, now: Self) -> Option<TimeDelta> {
        let counted = TimeDelta::from_std(now.ticks - self.ticks).unwrap_or(TimeDelta::MAX);
        let parted = (now.wall - self.wall) - counted;
        *self = now;
        (parted.abs() > PARTED).then_some(parted)
    }
}

/// Looks, and writes down what it saw, until it is dropped.
pub async fn keep(gateway: std::sync::Arc<Gateway>) {
    let every = gateway.config.gateway.clock_interval;
    let (mut clocks, mut due) = (Clocks::read(), Instant::now() + every.min(FIRST));
    loop {
        tokio::time::sleep(LOOK.min(due.saturating_duration_since(Instant::now()))).await;
        let set = clocks.set_by(Clocks::read());
        if set.is_some() || Instant::now() >= due {
            note(&gateway, set).await;
            due = Instant::now() + every;
        }
    }
}

async fn note(gateway: &Gateway, set: Option<TimeDelta>) {
    let mut compared = Vec::new();
    for (name, connection) in &gateway.config.connections {
        let of = format!("database of {name}");
        compared.push(Compared { of, found: database(&connection.upstream).await });
    }
    for issuer in gateway.issuers.all_names() {
        let (asked, began) = (Utc::now(), Instant::now());
        let said = gateway.issuers.date(issuer).await;
        let found = said.map(|said| Offset::between(asked, began.elapsed(), said, TimeDelta::seconds(1)));
        compared.push(Compared { of: format!("issuer {issuer}"), found });
    }
    for one in &compared {
        if let Ok(offset) = one.found {
            gateway.metrics.clock_is_ahead(&one.of, offset.ahead.as_seconds_f64());
        }
    }
    let entry = entry(&compared, set);
    if let Some(outcome) = entry.outcome.as_ref().filter(|_| entry.detail["far"] == true || set.is_some()) {
        tracing::warn!("{outcome}; look at this machine's time service (timedatectl, chronyc tracking)");
    }
    if let Err(error) = gateway.log.append_durably(&entry).await {
        tracing::warn!(%error, "how far the clock is off could not be written down");
    }
}

/// What was seen, for the log. Pure.
fn entry(compared: &[Compared], set: Option<TimeDelta>) -> Entry {
    let seconds = |span: TimeDelta| format!("{:.1} s", span.abs().as_seconds_f64());
    let way = |span: TimeDelta| if span < TimeDelta::zero() { "behind" } else { "ahead of" };
    let known = compared.iter().filter_map(|one| one.found.as_ref().ok().map(|offset| (one, offset)));
    let worst = known.max_by_key(|(_, offset)| offset.ahead.abs() - offset.within);
    let far = worst.as_ref().is_some_and(|(_, offset)| offset.is_far());
    let stands = match worst {
        Some((one, offset)) if far => {
            format!("this clock is {} {} that of the {}", seconds(offset.ahead), way(offset.ahead), one.of)
        }
        Some(_) => "this clock is within a second of the others".to_owned(),
        None => "no other clock could be asked".to_owned(),
    };
    let outcome = match set {
        Some(by) => {
            let way = if by < TimeDelta::zero() { "back" } else { "forward" };
            format!("this clock was set {way} by {}, or the machine slept; {stands}", seconds(by))
        }
        None => stands,
    };
    let others: Vec<Value> = compared.iter().map(Compared::told).collect();
    Entry {
        outcome: Some(outcome),
        detail: json!({ "others": others, "far": far, "set_by_ms": set.map(|by| by.num_milliseconds()) }),
        ..Entry::new(Kind::Clock)
    }
}

async fn database(to: &Upstream) -> Result<Offset, String> {
    let own =
        [("application_name", "countersign"), ("default_transaction_read_only", "on"), ("statement_timeout", "10000")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let failed = |error: upstream::UpstreamError| format!("it can't be asked: {error}");
    let mut end = upstream::open(to, &own).await.map_err(failed)?.end;
    let mut best: Option<Offset> = None;
    for _ in 0..TIMES {
        let (asked, began) = (Utc::now(), Instant::now());
        let rows = upstream::query(&mut end, ASKED).await.map_err(failed)?;
        let took = began.elapsed();
        let said = rows.first().and_then(|row| row.first()).and_then(Option::as_deref).and_then(moment);
        let said = said.ok_or_else(|| "it says no time".to_owned())?;
        let offset = Offset::between(asked, took, said, TimeDelta::zero());
        if best.is_none_or(|best| offset.within < best.within) {
            best = Some(offset);
        }
    }
    best.ok_or_else(|| "it says no time".to_owned())
}

/// Seconds since 1970 with a fraction, as PostgreSQL writes a double.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let seconds: f64 = text.parse().ok()?;
    let micros = (seconds * 1e6).round();
    (micros.abs() < 1e17).then(|| DateTime::from_timestamp_micros(micros as i64)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    const fn ms(milliseconds: i64) -> TimeDelta {
        TimeDelta::milliseconds(milliseconds)
    }

    #[test]
    fn an_offset_is_from_the_middle_and_as_exact_as_the_way_was_short() {
        let asked = at("2026-11-24T10:00:00Z");
        let table = [
            ("the same", "2026-11-24T10:00:00.010Z", 20, 0, 0, 10),
            ("we are ahead", "2026-11-24T09:59:57.010Z", 20, 0, 3000, 10),
            ("we are behind", "2026-11-24T10:00:03.010Z", 20, 0, -3000, 10),
            ("whole seconds, as HTTP tells them", "2026-11-24T10:00:00Z", 0, 1000, -500, 500),
        ];
        for (case, said, took, coarse, ahead, within) in table {
            let took = Duration::from_millis(took);
            let offset = Offset::between(asked, took, at(said), ms(coarse));
            assert_eq!(offset, Offset { ahead: ms(ahead), within: ms(within) }, "{case}");
        }
    }

    #[test]
    fn a_clock_that_is_set_parts_from_the_one_that_counts() {
        let begin = Clocks::read();
        let after = |wall: i64, ticks: u64| Clocks {
            wall: begin.wall + ms(wall),
            ticks: begin.ticks + Duration::from_millis(ticks),
        };
        let table = [
            (10_000, 10_000, None),
            (10_400, 10_000, None),
            (70_000, 10_000, Some(60_000)),
            (0, 10_000, Some(-10_000)),
        ];
        for (wall, ticks, expected) in table {
            let mut clocks = after(0, 0);
            assert_eq!(clocks.set_by(after(wall, ticks)), expected.map(ms), "{wall}");
        }
    }

    #[test]
    fn the_entry_says_the_worst_that_is_certain_and_all_that_was_asked() {
        let one = |of: &str, ahead, within| Compared {
            of: of.into(),
            found: Ok(Offset { ahead: ms(ahead), within: ms(within) }),
        };
        let fine = [one("database of shop", 12, 3), one("issuer https://login.acme.dev", -1400, 600)];
        let said = entry(&fine, None);
        assert_eq!(said.outcome.as_deref(), Some("this clock is within a second of the others"));
        assert_eq!(said.detail["others"][0], json!({ "of": "database of shop", "ahead_ms": 12.0, "within_ms": 3.0 }));
        let far =
            [one("database of shop", -4200, 3), Compared { of: "database of crm".into(), found: Err("away".into()) }];
        let said = entry(&far, Some(ms(-4200)));
        let expected = "this clock was set back by 4.2 s, or the machine slept; this clock is 4.2 s behind that of the database of shop";
        assert_eq!(said.outcome.as_deref(), Some(expected));
        assert_eq!(said.detail["others"][1]["unknown"], "away");
        assert_eq!((&said.detail["far"], &said.detail["set_by_ms"]), (&json!(true), &json!(-4200)));
        assert_eq!(entry(&far[1..], None).outcome.as_deref(), Some("no other clock could be asked"));
    }

    #[test]
    fn a_databases_seconds_are_a_moment() {
        assert_eq!(moment("1795514400.123456"), Some(at("2026-11-24T10:00:00.123456Z")));
        for nonsense in ["", "infinity", "NaN", "x", "1e300"] {
            assert_eq!(moment(nonsense), None, "{nonsense}");
        }
    }
}
