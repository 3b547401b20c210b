//! Durations as people type them: `2h`, `90m`, `1h30m`, `2 hours`, `until 17:00` in their own time zone. Pure.

use chrono::{DateTime, Utc};
use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

/// What to write instead.
pub(super) const LIKE: &str = "Write it like `2h`, `90m`, `1h30m` or `until 17:00`.";

/// A duration at the beginning of `words`: seconds, and how many words it took.
///
/// # Errors
/// What is wrong, in a sentence, as mrkdwn without anything of theirs in it.
pub(super) fn read(words: &[&str], zone: Option<&str>, now: DateTime<Utc>) -> Result<(u64, usize), String> {
    let none = || format!("There is no duration. {LIKE}");
    let first = words.first().ok_or_else(none)?;
    if first.eq_ignore_ascii_case("until") {
        let end = words.get(1).ok_or_else(none)?;
        return Ok((until(end, zone, now)?, 2));
    }
    if let Some(seconds) = compact(first) {
        return Ok((seconds, 1));
    }
    // `2 hours`
    if let (Ok(number), Some(unit)) = (first.parse::<u64>(), words.get(1).and_then(|word| unit(word))) {
        return number.checked_mul(unit).map(|seconds| (seconds, 2)).ok_or_else(none);
    }
    Err(format!("What stands where the duration belongs is none. {LIKE}"))
}

fn unit(word: &str) -> Option<u64> {
    match word.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        _ => None,
    }
}

fn compact(word: &str) -> Option<u64> {
    let (mut rest, mut seconds) = (word, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit(name)?)?)?;
        rest = after;
    }
    (seconds > 0).then_some(seconds)
}

/// `Mon`, `monday`: its morning, at nine.
fn weekday(text: &str) -> Option<civil::Weekday> {
    use civil::Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let text = text.to_ascii_lowercase();
    let names = [
        ("monday", Monday),
        ("tuesday", Tuesday),
        ("wednesday", Wednesday),
        ("thursday", Thursday),
        ("friday", Friday),
        ("saturday", Saturday),
        ("sunday", Sunday),
    ];
    names.into_iter().find(|(name, _)| *name == text || name.get(..3) == Some(text.as_str())).map(|(_, day)| day)
}

/// `17:00`, `17`, `5pm`, `5:30pm`.
fn clock(text: &str) -> Option<civil::Time> {
    let text = text.to_ascii_lowercase();
    let (digits, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        _ => (text.as_str(), None),
    };
    let (hour, minute) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str| {
        let fits = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| text.parse::<i8>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let hour = match half {
        None => hour,
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
    };
    civil::Time::new(hour, minute, 0, 0).ok()
}

/// How long it is until that time of day comes next, where the asker is.
fn until(end: &str, zone: Option<&str>, now: DateTime<Utc>) -> Result<u64, String> {
    let day = weekday(end);
    let nine = day.and_then(|_| civil::Time::new(9, 0, 0, 0).ok());
    let neither = || format!("What stands behind `until` is no time of day and no day of the week. {LIKE}");
    let end = nine.or_else(|| clock(end)).ok_or_else(neither)?;
    let unknown = || "Slack does not say in which time zone you are. Write a duration like `2h`.".to_owned();
    let zone = TimeZone::get(zone.ok_or_else(unknown)?).map_err(|_| unknown())?;
    let now = Timestamp::from_second(now.timestamp()).map_err(|_| unknown())?.to_zoned(zone.clone());
    let on = |date: civil::Date| date.to_datetime(end).to_zoned(zone.clone()).map_err(|_| unknown());
    let mut date = now.date();
    while day.is_some_and(|day| date.weekday() != day) || on(date)? <= now {
        date = date.checked_add(1.day()).map_err(|_| unknown())?;
    }
    let at = on(date)?;
    u64::try_from(at.timestamp().as_second() - now.timestamp().as_second()).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 13:30 in Berlin, 12:30 in UTC.
    fn noon() -> DateTime<Utc> {
        "2026-11-24T12:30:00Z".parse().unwrap()
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let (hour, berlin) = (3_600, Some("Europe/Berlin"));
        type Case<'a> = (&'a str, Option<&'a str>, Result<(u64, usize), &'a str>);
        let table: [Case<'_>; 28] = [
            ("2h fixing", None, Ok((2 * hour, 1))),
            ("90m", None, Ok((5_400, 1))),
            ("1h30m x", None, Ok((5_400, 1))),
            ("2hours x", None, Ok((2 * hour, 1))),
            ("2 hours x", None, Ok((2 * hour, 2))),
            ("30 min x", None, Ok((1_800, 2))),
            ("1d", None, Ok((24 * hour, 1))),
            ("until 17:00 x", berlin, Ok((hour * 7 / 2, 2))),
            ("UNTIL 5pm x", berlin, Ok((hour * 7 / 2, 2))),
            ("until 17:00", Some("UTC"), Ok((hour * 9 / 2, 2))),
            ("until 9", berlin, Ok((hour * 39 / 2, 2))),
            ("until 12am", berlin, Ok((hour * 21 / 2, 2))),
            // The noon of this table is a Tuesday's.
            ("until Wed", berlin, Ok((hour * 39 / 2, 2))),
            ("until tuesday", berlin, Ok((hour * 39 / 2 + 6 * 24 * hour, 2))),
            ("until someday", berlin, Err("no time of day")),
            ("until 17:00", None, Err("time zone")),
            ("until 17:00", Some("Mars/Olympus"), Err("time zone")),
            ("until 25:00", berlin, Err("no time of day")),
            ("until 13pm", berlin, Err("no time of day")),
            ("until +9", berlin, Err("no time of day")),
            ("until", berlin, Err("no duration")),
            ("", None, Err("no duration")),
            ("0h", None, Err("is none")),
            ("2x", None, Err("is none")),
            ("-2h", None, Err("is none")),
            ("fixing it", None, Err("is none")),
            ("2 orders", None, Err("is none")),
            ("99999999999999999999h", None, Err("is none")),
        ];
        for (text, zone, expected) in table {
            let words: Vec<&str> = text.split_whitespace().collect();
            match (read(&words, zone, noon()), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{text:?}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text:?}: {why}"),
                (read, expected) => panic!("{text:?}: {read:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_day_on_which_the_clocks_change_is_shorter_or_longer() {
        let words = ["until", "09:00"];
        // The night in which 02:00 becomes 03:00, and the one in which 03:00 becomes 02:00.
        for (now, hours) in [("2026-03-28T22:00:00Z", 9), ("2026-10-24T22:00:00Z", 10)] {
            let read = read(&words, Some("Europe/Berlin"), now.parse().unwrap());
            assert_eq!(read, Ok((hours * 3_600, 2)), "{now}");
        }
    }
}
