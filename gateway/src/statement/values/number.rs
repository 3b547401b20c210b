//! Floating point and `numeric`, as PostgreSQL prints them.

use std::fmt::{Display, LowerExp, Write as _};

/// The shortest digits that give the same number back; the exponent from six digits on.
pub(super) fn float4(value: f32) -> String {
    special(value.into()).unwrap_or_else(|| shortest(value, 6))
}

/// The same, the exponent from fifteen digits on.
pub(super) fn float8(value: f64) -> String {
    special(value).unwrap_or_else(|| shortest(value, 15))
}

fn special(value: f64) -> Option<String> {
    Some(match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => return None,
    })
}

fn shortest(value: impl Display + LowerExp, digits: i32) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..digits).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// Digits (of base 10,000) that a `numeric` may have before and behind those that were sent. Ten bytes
/// could otherwise ask for a text of 147,000 characters, and an array for millions of those.
const IMPLIED: i32 = 16;

/// `numeric` on the wire: how many digits (of base 10,000), the weight of the first, sign, scale.
/// Digits beyond the scale are cut off, as the server cuts them. `None` too where most of the text
/// would be zeros that were not sent.
pub(super) fn numeric(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks(2).map(|word| Some(u16::from_be_bytes(word.try_into().ok()?)));
    let mut word = || words.next().flatten();
    let (count, weight, sign, scale) = (word()?, word()?.cast_signed(), word()?, word()?);
    let digits: Vec<u16> = words.collect::<Option<_>>()?;
    if digits.len() != usize::from(count) || digits.iter().any(|digit| *digit > 9_999) || scale > 0x3fff {
        return None;
    }
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let places = (i32::from(weight) + 1).max(0) + i32::from(scale).div_euclid(4) + 1;
    if places > i32::from(count).saturating_add(IMPLIED) {
        return None;
    }
    let digit = |place: i32| {
        let index = i32::from(weight) - place;
        usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut whole = String::new();
    for place in (0..=i32::from(weight)).rev() {
        let _written = write!(whole, "{:04}", digit(place));
    }
    let whole = whole.trim_start_matches('0');
    let mut text = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    if scale > 0 {
        let mut fraction = String::new();
        for place in 1..=i32::from(scale).div_euclid(4) + 1 {
            let _written = write!(fraction, "{:04}", digit(-place));
        }
        fraction.truncate(scale.into());
        text = format!("{text}.{fraction}");
    }
    // There is no minus zero.
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    Some(if zero { text } else { format!("{sign}{text}") })
}
