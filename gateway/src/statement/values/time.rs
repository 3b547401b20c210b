//! Dates, times and intervals in the ISO style. With a time zone: in UTC, which is what is sent.

use std::fmt::Write as _;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// From 1970-01-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH: i64 = 10_957;

/// Days since 2000-01-01.
pub(super) fn date(days: i32) -> Option<String> {
    Some(match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (day, before) = calendar(days.into());
            format!("{day}{before}")
        }
    })
}

/// Microseconds since 2000-01-01; `zone` is written behind the time.
pub(super) fn timestamp(microseconds: i64, zone: &str) -> Option<String> {
    Some(match microseconds {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let (day, before) = calendar(microseconds.div_euclid(DAY));
            format!("{day} {}{zone}{before}", clock(microseconds.rem_euclid(DAY)))
        }
    })
}

/// Microseconds since midnight; 24:00 is a time.
pub(super) fn time(microseconds: i64) -> Option<String> {
    (0..=DAY).contains(&microseconds).then(|| clock(microseconds))
}

/// The same, then the zone in seconds west of Greenwich.
pub(super) fn time_with_zone(bytes: &[u8]) -> Option<String> {
    let (time_of_day, zone) = bytes.split_first_chunk::<8>()?;
    let west = i32::from_be_bytes(zone.try_into().ok()?);
    let east = west.checked_neg().filter(|east| east.abs() < 16 * 3_600)?;
    let mut text = time(i64::from_be_bytes(*time_of_day))?;
    let _written = write!(text, "{}{:02}", if east < 0 { '-' } else { '+' }, east.abs() / 3_600);
    for part in [east.abs() / 60 % 60, east.abs() % 60].into_iter().take(parts(east)) {
        let _written = write!(text, ":{part:02}");
    }
    Some(text)
}

/// How many of minutes and seconds a zone has to say.
const fn parts(zone: i32) -> usize {
    match (zone % 3_600, zone % 60) {
        (_, 1.. | ..=-1) => 2,
        (1.. | ..=-1, _) => 1,
        _ => 0,
    }
}

/// Microseconds, days and months, in the style `postgres`.
pub(super) fn interval(bytes: &[u8]) -> Option<String> {
    let (time, rest) = bytes.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let time = i64::from_be_bytes(*time);
    let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(months.try_into().ok()?));
    let (mut text, mut negative) = (String::new(), false);
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number == 0 {
            continue;
        }
        let (space, plus) = (if text.is_empty() { "" } else { " " }, if negative && number > 0 { "+" } else { "" });
        let _written = write!(text, "{space}{plus}{number} {unit}{}", if number == 1 { "" } else { "s" });
        negative = number < 0;
    }
    if time != 0 || text.is_empty() {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match (time < 0, negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let _written = write!(text, "{space}{sign}{}", clock_of(time.unsigned_abs()));
    }
    Some(text)
}

/// A day of the Gregorian calendar, and ` BC` where it is before our era.
fn calendar(days: i64) -> (String, &'static str) {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil turned round.
    let shifted = days + EPOCH + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    } else {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    }
}

fn clock(microseconds: i64) -> String {
    clock_of(microseconds.unsigned_abs())
}

fn clock_of(microseconds: u64) -> String {
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push('.');
        text.push_str(format!("{fraction:06}").trim_end_matches('0'));
    }
    text
}
