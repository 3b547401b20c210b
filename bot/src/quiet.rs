//! How much a request matters, and the hours in which what matters less is not told. Pure.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{RequestKind, RequestView},
    impact::NO_WHERE,
};
use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

/// How much a request matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Reads, and access for a time.
    Low,
    /// Writes.
    Normal,
    /// Changes of the schema, of privileges, of what can't be seen; every row of a table; break-glass.
    High,
}

impl Severity {
    /// Of a request. An action that is not named here matters most.
    #[must_use]
    pub fn of(view: &RequestView) -> Self {
        match view.kind {
            RequestKind::Review => return Self::High,
            RequestKind::Access => return Self::Low,
            RequestKind::Statement => {}
        }
        if view.notes.iter().any(|note| note == NO_WHERE) {
            return Self::High;
        }
        let of = |action: &str| match action {
            "select" | "copy_out" | "transaction" | "set" | "listen" | "temp" | "call" | "reveal" => Self::Low,
            "insert" | "update" | "delete" | "merge" | "copy_in" | "lock" | "notify" => Self::Normal,
            _ => Self::High,
        };
        view.effects.iter().map(|effect| of(&effect.action)).max().unwrap_or(Self::High)
    }
}

/// Hours of each day.
#[derive(Clone, Debug)]
pub struct Quiet {
    from: civil::Time,
    until: civil::Time,
    zone: TimeZone,
    below: Severity,
}

impl Quiet {
    /// From one time of day to another, overnight where that is not after it; `None` where there is no such time
    /// or zone.
    #[must_use]
    pub fn new(from: (u8, u8), until: (u8, u8), zone: &str, below: Severity) -> Option<Self> {
        let time = |(hour, minute): (u8, u8)| {
            civil::Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()
        };
        Some(Self { from: time(from)?, until: time(until)?, zone: TimeZone::get(zone).ok()?, below })
    }

    /// What matters as much as this is told all the same.
    #[must_use]
    pub const fn below(&self) -> Severity {
        self.below
    }

    /// When the quiet hours end that `at` falls into; nothing outside of them.
    #[must_use]
    pub fn end_of(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let there = Timestamp::from_second(at.timestamp()).ok()?.to_zoned(self.zone.clone());
        let (now, today) = (there.time(), there.date());
        let overnight = self.until <= self.from;
        let inside =
            if overnight { now >= self.from || now < self.until } else { now >= self.from && now < self.until };
        let day = if overnight && now >= self.from { today.checked_add(1.day()).ok()? } else { today };
        let end = day.to_datetime(self.until).to_zoned(self.zone.clone()).ok()?;
        inside.then(|| DateTime::from_timestamp(end.timestamp().as_second(), 0)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use countersign_shared::api::EffectView;

    use super::*;
    use crate::cards::samples;

    #[test]
    fn quiet_hours_end_when_they_say_also_overnight_and_where_the_clocks_change() {
        let (night, noon) = (((22, 0), (7, 0)), ((12, 0), (13, 30)));
        // hours, zone, at, the end of the quiet hours that it falls into
        let table = [
            (night, "UTC", "2026-11-24T21:59:59Z", None),
            (night, "UTC", "2026-11-24T22:00:00Z", Some("2026-11-25T07:00:00Z")),
            (night, "UTC", "2026-11-25T06:59:59Z", Some("2026-11-25T07:00:00Z")),
            (night, "UTC", "2026-11-25T07:00:00Z", None),
            (night, "Asia/Tokyo", "2026-11-24T14:00:00Z", Some("2026-11-24T22:00:00Z")),
            (noon, "UTC", "2026-11-24T12:00:00Z", Some("2026-11-24T13:30:00Z")),
            (noon, "UTC", "2026-11-24T13:30:00Z", None),
            // The night in which 02:00 becomes 03:00, and the one in which 03:00 becomes 02:00.
            (night, "Europe/Berlin", "2026-03-28T22:00:00Z", Some("2026-03-29T05:00:00Z")),
            (night, "Europe/Berlin", "2026-10-24T22:00:00Z", Some("2026-10-25T06:00:00Z")),
        ];
        for ((from, until), zone, at, end) in table {
            let quiet = Quiet::new(from, until, zone, Severity::High).unwrap();
            let end: Option<DateTime<Utc>> = end.map(|end| end.parse().unwrap());
            assert_eq!(quiet.end_of(at.parse().unwrap()), end, "{zone} {at}");
        }
        assert!(Quiet::new((24, 0), (7, 0), "UTC", Severity::High).is_none());
    }

    #[test]
    fn what_matters_most_of_a_request_counts() {
        let with = |actions: &[&str]| {
            let effect =
                |action: &&str| EffectView { action: (*action).to_owned(), object: "Table::\"shop/public.o\"".into() };
            Severity::of(&RequestView {
                effects: actions.iter().map(effect).collect(),
                notes: vec![],
                ..samples::view()
            })
        };
        let table: [(&[&str], Severity); 6] = [
            (&["select"], Severity::Low),
            (&["select", "delete"], Severity::Normal),
            (&["delete", "drop"], Severity::High),
            (&["privilege"], Severity::High),
            (&["something new"], Severity::High),
            (&[], Severity::High),
        ];
        for (actions, expected) in table {
            assert_eq!(with(actions), expected, "{actions:?}");
        }
        let every_row = RequestView { notes: vec![NO_WHERE.into()], ..samples::view() };
        assert_eq!(Severity::of(&every_row), Severity::High, "every row of a table");
        let kind = |kind| Severity::of(&RequestView { kind, ..samples::view() });
        assert_eq!((kind(RequestKind::Access), kind(RequestKind::Review)), (Severity::Low, Severity::High));
    }
}
