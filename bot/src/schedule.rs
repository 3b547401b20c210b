//! When the digest is due: a time of day in a time zone. Pure.

use chrono::{DateTime, Utc};
use jiff::{Timestamp, ToSpan as _, Zoned, civil, tz::TimeZone};

/// A moment of each day.
#[derive(Clone, Debug)]
pub struct Daily {
    time: civil::Time,
    zone: TimeZone,
}

impl Daily {
    /// At hour and minute in a zone of the IANA's; `None` where there is no such time or zone.
    #[must_use]
    pub fn new((hour, minute): (u8, u8), zone: &str) -> Option<Self> {
        let time = civil::Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        Some(Self { time, zone: TimeZone::get(zone).ok()? })
    }

    /// On `date`; where the clocks skip that time, as much later.
    fn on(&self, date: civil::Date) -> Option<Zoned> {
        date.to_datetime(self.time).to_zoned(self.zone.clone()).ok()
    }

    /// The last time that it was due, by its date there.
    #[must_use]
    pub fn last(&self, now: DateTime<Utc>) -> Option<(String, DateTime<Utc>)> {
        let now = Timestamp::from_second(now.timestamp()).ok()?;
        let today = now.to_zoned(self.zone.clone()).date();
        let mut due = self.on(today)?;
        if due.timestamp() > now {
            due = self.on(today.checked_sub(1.day()).ok()?)?;
        }
        Some((due.date().to_string(), DateTime::from_timestamp(due.timestamp().as_second(), 0)?))
    }

    /// The next time.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at = Timestamp::from_second(now.timestamp()).ok()?;
        let today = at.to_zoned(self.zone.clone()).date();
        let mut due = self.on(today)?;
        if due.timestamp() <= at {
            due = self.on(today.checked_add(1.day()).ok()?)?;
        }
        DateTime::from_timestamp(due.timestamp().as_second(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_digest_also_where_the_clocks_change() {
        // at, zone, now, the day that was due last, when, and the next
        let table = [
            (
                (9, 0),
                "Europe/Berlin",
                "2026-11-24T07:59:59Z",
                "2026-11-23",
                "2026-11-23T08:00:00Z",
                "2026-11-24T08:00:00Z",
            ),
            (
                (9, 0),
                "Europe/Berlin",
                "2026-11-24T08:00:00Z",
                "2026-11-24",
                "2026-11-24T08:00:00Z",
                "2026-11-25T08:00:00Z",
            ),
            (
                (9, 0),
                "Asia/Tokyo",
                "2026-11-24T08:00:00Z",
                "2026-11-24",
                "2026-11-24T00:00:00Z",
                "2026-11-25T00:00:00Z",
            ),
            (
                (23, 30),
                "America/New_York",
                "2026-11-24T04:00:00Z",
                "2026-11-22",
                "2026-11-23T04:30:00Z",
                "2026-11-24T04:30:00Z",
            ),
            // 02:30 does not exist in Berlin on 29 March, and comes twice on 25 October.
            (
                (2, 30),
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-29",
                "2026-03-29T01:30:00Z",
                "2026-03-30T00:30:00Z",
            ),
            (
                (2, 30),
                "Europe/Berlin",
                "2026-10-25T00:45:00Z",
                "2026-10-25",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z",
            ),
            (
                (2, 30),
                "Europe/Berlin",
                "2026-10-25T01:45:00Z",
                "2026-10-25",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z",
            ),
        ];
        for (at, zone, now, day, last, next) in table {
            let daily = Daily::new(at, zone).unwrap();
            let now: DateTime<Utc> = now.parse().unwrap();
            assert_eq!(daily.last(now), Some((day.to_owned(), last.parse().unwrap())), "{at:?} {zone} {now}");
            assert_eq!(daily.next(now), Some(next.parse().unwrap()), "{at:?} {zone} {now}");
        }
        assert!(Daily::new((24, 0), "UTC").is_none());
        assert!(Daily::new((9, 0), "Mars/Olympus").is_none());
    }
}
