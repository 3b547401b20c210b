//! One value under one mask, in the text or binary format of its type. What a mask does not fit is
//! redacted; NULL never comes here.

use aws_lc_rs::hmac;
use chrono::{Datelike as _, NaiveDate, TimeDelta};

use super::rules::Mask;

/// What a text becomes. Its length says nothing.
pub const REDACTED: &str = "[redacted]";
/// The same where the type has no room for that.
const SHORT: &str = "***";

/// What kind of value a type holds, as masks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Characters, the same in both formats; at most so many.
    Text(Option<usize>),
    /// 16 bytes.
    Uuid,
    /// Days.
    Date,
    /// Microseconds, without a time zone.
    Timestamp,
    /// Microseconds, with a time zone.
    TimestampTz,
    /// Anything else.
    Other,
}

impl Kind {
    /// Of one of the server's own types, or of `citext` by its name. `modifier` as in RowDescription.
    #[must_use]
    pub fn of(oid: u32, modifier: i32, name: Option<&str>) -> Self {
        match oid {
            // text, name, unknown, cstring
            25 | 19 | 705 | 2275 => Self::Text(None),
            // varchar and char: the modifier is the length and 4
            1043 | 1042 => Self::Text(usize::try_from(modifier - 4).ok().filter(|_| modifier >= 4)),
            2950 => Self::Uuid,
            1082 => Self::Date,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            _ if name == Some("citext") => Self::Text(None),
            _ => Self::Other,
        }
    }

    /// Whether a mask can give a value of this kind that is more than a redaction.
    #[must_use]
    pub const fn fits(self, mask: Mask) -> bool {
        match mask {
            Mask::Redact | Mask::Null => true,
            Mask::Hash => matches!(self, Self::Text(_) | Self::Uuid),
            Mask::Email | Mask::Last4 => matches!(self, Self::Text(_)),
            Mask::Year => matches!(self, Self::Date | Self::Timestamp | Self::TimestampTz),
        }
    }
}

/// The key of hashes.
#[derive(Clone)]
pub struct HashKey(hmac::Key);

impl HashKey {
    /// From 32 bytes that nobody else knows.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn of(&self, value: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.0, value);
        let mut half = [0; 16];
        half.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        half
    }

    /// The hash of a text, for records and masks.
    #[must_use]
    pub fn text(&self, value: &[u8]) -> String {
        self.of(value).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What leaves in place of `value`; `None` is NULL.
#[must_use]
pub fn masked(mask: Mask, kind: Kind, binary: bool, value: &[u8], key: &HashKey) -> Option<Vec<u8>> {
    match (mask, kind) {
        (Mask::Null, _) => None,
        (Mask::Hash, Kind::Text(room)) => fitting(key.text(value), room),
        (Mask::Hash, Kind::Uuid) => uuid(binary, value, key),
        (Mask::Email, Kind::Text(room)) => fitting(email(value), room),
        (Mask::Last4, Kind::Text(room)) => fitting(last4(value), room),
        (Mask::Year, Kind::Date | Kind::Timestamp | Kind::TimestampTz) => year(kind, binary, value),
        (_, Kind::Text(room)) => fitting(REDACTED.to_owned(), room),
        _ => None,
    }
}

/// A text for a type with so much room. A part of it could mean something else.
fn fitting(text: String, room: Option<usize>) -> Option<Vec<u8>> {
    let Some(room) = room else { return Some(text.into_bytes()) };
    if text.chars().count() <= room {
        return Some(text.into_bytes());
    }
    [REDACTED, SHORT].into_iter().find(|text| text.len() <= room).map(|text| text.as_bytes().to_vec())
}

/// The first character and the domain, where it is an address at all.
fn email(value: &[u8]) -> String {
    let address = std::str::from_utf8(value).ok().and_then(|text| text.trim().rsplit_once('@'));
    let Some((local, domain)) = address.filter(|(local, domain)| is_domain(domain) && !local.contains('@')) else {
        return SHORT.to_owned();
    };
    let mut masked = String::with_capacity(SHORT.len() + domain.len() + 5);
    let mut signs = local.chars();
    let (first, third) = (signs.next(), signs.nth(1));
    masked.extend(first.filter(|first| third.is_some() && first.is_alphanumeric()));
    masked.push_str(SHORT);
    masked.push('@');
    masked.push_str(domain);
    masked
}

/// Labels of letters, digits and hyphens, two at least, of which the last is a word: or what stands there is
/// something else.
fn is_domain(text: &str) -> bool {
    let (mut labels, mut length, mut is_word) = (1, 0, true);
    for byte in text.bytes() {
        match byte {
            b'.' if length > 0 => (labels, length, is_word) = (labels + 1, 0, true),
            byte if byte.is_ascii_alphabetic() => length += 1,
            byte if byte.is_ascii_digit() || byte == b'-' => (length, is_word) = (length + 1, false),
            _ => return false,
        }
        if length > 63 {
            return false;
        }
    }
    text.len() <= 253 && labels > 1 && length > 0 && is_word
}

/// The last four of eight or more letters and digits; of fewer they would be most of it.
fn last4(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let signs: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let last: String = match signs.len() {
        8.. => signs[signs.len() - 4..].iter().collect(),
        _ => String::new(),
    };
    format!("****{last}")
}

fn uuid(binary: bool, value: &[u8], key: &HashKey) -> Option<Vec<u8>> {
    // Both formats of one value have one hash.
    let bytes =
        if binary { <[u8; 16]>::try_from(value).ok()? } else { *uuid::Uuid::try_parse_ascii(value).ok()?.as_bytes() };
    let hash = uuid::Builder::from_random_bytes(key.of(&bytes)).into_uuid();
    Some(if binary { hash.as_bytes().to_vec() } else { hash.to_string().into_bytes() })
}

/// The first of January. What is not written as ISO 8601 is NULL.
fn year(kind: Kind, binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    if binary {
        const DAY: i64 = 86_400_000_000;
        let days = match kind {
            Kind::Date => i64::from(i32::from_be_bytes(value.try_into().ok()?)),
            _ => i64::from_be_bytes(value.try_into().ok()?).div_euclid(DAY),
        };
        let date = epoch.checked_add_signed(TimeDelta::try_days(days)?)?;
        let first = NaiveDate::from_ymd_opt(date.year(), 1, 1)?.signed_duration_since(epoch).num_days();
        return Some(match kind {
            Kind::Date => i32::try_from(first).ok()?.to_be_bytes().to_vec(),
            _ => first.checked_mul(DAY)?.to_be_bytes().to_vec(),
        });
    }
    let text = std::str::from_utf8(value).ok()?;
    let (year, rest) = text.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let iso = (4..=6).contains(&year.len())
        && digits(year)
        && rest.get(..5).is_some_and(|day| digits(&day[..2]) && day.as_bytes()[2] == b'-' && digits(&day[3..]))
        && !text.ends_with("BC");
    if !iso {
        return None;
    }
    let time = match (kind, rest.as_bytes().get(5)) {
        (Kind::Date, None) => "",
        (Kind::Timestamp, Some(b' ' | b'T')) => " 00:00:00",
        (Kind::TimestampTz, Some(b' ' | b'T')) => " 00:00:00+00",
        _ => return None,
    };
    Some(format!("{year}-01-01{time}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mask: Mask, kind: Kind, value: &str) -> Option<String> {
        masked(mask, kind, false, value.as_bytes(), &HashKey::new(b"k")).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn each_mask_gives_what_it_says_and_no_more() {
        let any = Kind::Text(None);
        let table: [(Mask, Kind, &str, Option<&str>); 26] = [
            (Mask::Redact, any, "ana@acme.dev", Some("[redacted]")),
            (Mask::Redact, Kind::Text(Some(3)), "abc", Some("***")),
            (Mask::Redact, Kind::Text(Some(2)), "ab", None),
            (Mask::Redact, Kind::Other, "42", None),
            (Mask::Null, any, "x", None),
            (Mask::Email, any, "ana@acme.dev", Some("a***@acme.dev")),
            (Mask::Email, any, "al@acme.dev", Some("***@acme.dev")),
            (Mask::Email, any, "no address", Some("***")),
            (Mask::Email, any, "a@b@acme.dev", Some("***")),
            (Mask::Email, any, "x@078-05-1120", Some("***")),
            (Mask::Email, any, "x@secret", Some("***")),
            (Mask::Email, any, "xyz@acme.dev, password 12", Some("***")),
            (Mask::Email, Kind::Text(Some(5)), "ana@acme.dev", Some("***")),
            (Mask::Email, Kind::Other, "{ana@acme.dev}", None),
            (Mask::Last4, any, "078-05-1120", Some("****1120")),
            (Mask::Last4, any, "1234567", Some("****")),
            (Mask::Last4, any, "", Some("****")),
            (Mask::Last4, Kind::Other, "4111111111111111", None),
            (Mask::Year, Kind::Date, "1990-05-06", Some("1990-01-01")),
            (Mask::Year, Kind::Date, "06.05.1990", None),
            (Mask::Year, Kind::Date, "infinity", None),
            (Mask::Year, Kind::Date, "0044-03-15 BC", None),
            (Mask::Year, Kind::Timestamp, "1990-05-06 07:08:09.123", Some("1990-01-01 00:00:00")),
            (Mask::Year, Kind::TimestampTz, "1990-05-06 07:08:09+02", Some("1990-01-01 00:00:00+00")),
            (Mask::Year, any, "1990-05-06", Some("[redacted]")),
            (Mask::Hash, Kind::Other, "1", None),
        ];
        for (mask, kind, value, expected) in table {
            assert_eq!(text(mask, kind, value).as_deref(), expected, "{mask} {kind:?} {value}");
        }
    }

    #[test]
    fn a_hash_is_the_same_for_the_same_value_and_key() {
        let one = text(Mask::Hash, Kind::Text(None), "ana@acme.dev").unwrap();
        assert_eq!(Some(one.clone()), text(Mask::Hash, Kind::Text(None), "ana@acme.dev"));
        assert_ne!(Some(one.clone()), text(Mask::Hash, Kind::Text(None), "ben@acme.dev"));
        assert_eq!(one.len(), 32);
        let other = masked(Mask::Hash, Kind::Text(None), false, b"ana@acme.dev", &HashKey::new(b"other"));
        assert_ne!(Some(one.into_bytes()), other, "another key");
    }

    #[test]
    fn both_formats_of_a_uuid_have_one_hash() {
        let value = uuid::Uuid::from_u128(0x1234);
        let key = HashKey::new(b"k");
        let text = masked(Mask::Hash, Kind::Uuid, false, value.to_string().as_bytes(), &key).unwrap();
        let binary = masked(Mask::Hash, Kind::Uuid, true, value.as_bytes(), &key).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), uuid::Uuid::from_slice(&binary).unwrap().to_string());
    }

    #[test]
    fn years_in_binary_are_those_in_text() {
        let day = |y, m, d| {
            let epoch = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
            NaiveDate::from_ymd_opt(y, m, d).unwrap().signed_duration_since(epoch).num_days()
        };
        let key = HashKey::new(b"k");
        for (y, m, d) in [(1990, 5, 6), (2000, 1, 1), (2024, 12, 31), (1999, 12, 31)] {
            let date = i32::try_from(day(y, m, d)).unwrap().to_be_bytes();
            let first = i32::try_from(day(y, 1, 1)).unwrap().to_be_bytes().to_vec();
            assert_eq!(masked(Mask::Year, Kind::Date, true, &date, &key), Some(first));
            let noon = (day(y, m, d) * 86_400_000_000 + 43_200_000_000).to_be_bytes();
            let first = (day(y, 1, 1) * 86_400_000_000).to_be_bytes().to_vec();
            assert_eq!(masked(Mask::Year, Kind::Timestamp, true, &noon, &key), Some(first));
        }
        assert_eq!(masked(Mask::Year, Kind::Date, true, &i32::MAX.to_be_bytes(), &key), None, "infinity");
        assert_eq!(masked(Mask::Year, Kind::Timestamp, true, &i64::MAX.to_be_bytes(), &key), None, "infinity");
    }
}
