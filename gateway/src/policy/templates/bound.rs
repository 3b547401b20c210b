//! What a template lets a parameter be.

use chrono::NaiveDate;
use serde::Deserialize;

/// The longest text that a bound may admit, in characters.
const LONGEST: usize = 10_000;
/// Digits behind the point that numbers are compared with.
const FRACTION: usize = 9;
/// Digits before it.
const WHOLE: usize = 18;

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(rename = "type")]
    kind: String,
    min: Option<toml::Value>,
    max: Option<toml::Value>,
    one_of: Option<Vec<String>>,
    longest: Option<usize>,
}

/// What one may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// From, to, each included; in billionths. Whether only whole ones.
    Number {
        min: i128,
        max: i128,
        whole: bool,
    },
    /// Of these.
    OneOf(Vec<String>),
    /// Any of so many characters.
    Text(usize),
    /// From, to, each included.
    Date(NaiveDate, NaiveDate),
    Uuid,
    Boolean,
}

/// A parameter that a client binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its value.
    pub text: String,
    /// The type's oid that the client says it has, by which the server reads it; 0 where the statement says it.
    pub declared: u32,
}

/// What one is, as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A bound parameter.
    Bound(Given),
    /// A number in the text, with its sign.
    Number(String),
    /// What a string in the text means.
    Text(String),
    /// A word in the text.
    Word(String),
}

impl TryFrom<Written> for Bound {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { kind, min, max, one_of, longest } = written;
        let takes = |names: &[&str]| {
            let given = [("min", min.is_some()), ("max", max.is_some()), ("one_of", one_of.is_some())];
            let given = given.into_iter().chain([("longest", longest.is_some())]);
            match given.into_iter().find(|(name, given)| *given && !names.contains(name)) {
                Some((name, _)) => Err(format!("`{name}` bounds no {kind}")),
                None => Ok(()),
            }
        };
        let both = || match (&min, &max) {
            (Some(min), Some(max)) => Ok((shown(min), shown(max))),
            _ => Err(format!("a {kind} wants `min` and `max`")),
        };
        match kind.as_str() {
            "integer" | "number" => {
                takes(&["min", "max"])?;
                let (min, max) = both()?;
                let whole = kind == "integer";
                let read = |text: &str| number(text, whole).ok_or_else(|| format!("{text:?} is no {kind}"));
                let (min, max) = (read(&min)?, read(&max)?);
                in_order(min, max).map(|()| Self::Number { min, max, whole })
            }
            "date" => {
                takes(&["min", "max"])?;
                let (min, max) = both()?;
                let read = |text: &str| date(text).ok_or_else(|| format!("{text:?} is no date like 2026-01-31"));
                let (min, max) = (read(&min)?, read(&max)?);
                in_order(min, max).map(|()| Self::Date(min, max))
            }
            "text" => {
                takes(&["one_of", "longest"])?;
                match (one_of, longest) {
                    (Some(of), None) if !of.is_empty() => Ok(Self::OneOf(of)),
                    (None, Some(longest)) if (1..=LONGEST).contains(&longest) => Ok(Self::Text(longest)),
                    _ => Err(format!("a text wants `one_of`, or `longest` from 1 to {LONGEST}")),
                }
            }
            "uuid" => takes(&[]).map(|()| Self::Uuid),
            "boolean" => takes(&[]).map(|()| Self::Boolean),
            other => Err(format!("there is no type {other:?}: integer, number, text, date, uuid, boolean")),
        }
    }
}

fn in_order<T: PartialOrd>(min: T, max: T) -> Result<(), String> {
    if min <= max { Ok(()) } else { Err("`min` is greater than `max`".to_owned()) }
}

/// A number, a date or a text in the file, as it is written there.
fn shown(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The types whose texts mean what these bounds take them for, by oid (`pg_type.dat`); `unknown` is left to the server.
const INFERRED: [u32; 2] = [0, 705];
const INTEGERS: [u32; 3] = [20, 21, 23];
const NUMERIC: u32 = 1700;
/// `text` and `varchar`. `bpchar` drops blanks, `name` and `"char"` cut.
const TEXTS: [u32; 2] = [25, 1043];
const DATE: u32 = 1082;
const UUID: u32 = 2950;
const BOOLEAN: u32 = 16;

impl Bound {
    /// Whether a value that the client says is of this type is read as the bound reads it. '101' is a hundred and one,
    /// and as a bit string five.
    fn is_of(&self, declared: u32) -> bool {
        INFERRED.contains(&declared)
            || match self {
                Self::Number { whole, .. } => INTEGERS.contains(&declared) || !whole && declared == NUMERIC,
                Self::OneOf(_) | Self::Text(_) => TEXTS.contains(&declared),
                Self::Date(..) => declared == DATE,
                Self::Uuid => declared == UUID,
                Self::Boolean => declared == BOOLEAN,
            }
    }

    /// Whether a value lies within. Of what may read in several ways, no.
    pub fn admits(&self, value: &Value) -> bool {
        let (Value::Bound(Given { text, .. }) | Value::Number(text) | Value::Text(text) | Value::Word(text)) = value;
        if matches!(value, Value::Bound(given) if !self.is_of(given.declared)) {
            return false;
        }
        if let (Value::Word(word), Self::Boolean) = (value, self) {
            return matches!(word.as_str(), "true" | "false" | "TRUE" | "FALSE");
        }
        // Any other word names something.
        if matches!(value, Value::Word(_))
            || (matches!(value, Value::Number(_)) && !matches!(self, Self::Number { .. }))
        {
            return false;
        }
        match self {
            Self::Number { min, max, whole } => {
                number(text, *whole).is_some_and(|number| *min <= number && number <= *max)
            }
            Self::OneOf(texts) => texts.contains(text),
            Self::Text(longest) => text.chars().count() <= *longest,
            Self::Date(min, max) => date(text).is_some_and(|date| *min <= date && date <= *max),
            Self::Uuid => uuid(text),
            Self::Boolean => matches!(text.as_str(), "true" | "false" | "t" | "f"),
        }
    }
}

/// A plain decimal number in billionths; nothing where it is written in any other way, or too long.
fn number(text: &str, whole: bool) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (before, behind) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = plain(before) && plain(behind) && before.len() <= WHOLE && behind.len() <= FRACTION;
    if !fits || (whole && digits.contains('.')) {
        return None;
    }
    let billionths = format!("{before}{behind:0<FRACTION$}").parse::<i128>().ok()?;
    Some(sign * billionths)
}

/// `2026-01-31`, and no other way to write a day.
fn date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == text).then_some(date)
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    lengths.eq([8, 4, 4, 4, 12]) && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}
