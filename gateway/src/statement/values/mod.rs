//! Bound parameters as people read them. Pure.
//!
//! A binary value is shown as PostgreSQL itself would print it, by the type that the server reads it
//! as. What is not understood whole is shown as its bytes, and said to be bytes: an approver must
//! never read a value that is not the one that runs.

mod array;
mod number;
mod time;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

/// The types that are understood, by their fixed oids (`pg_type.dat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Bytea,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Json,
    Jsonb,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
}

impl Type {
    const fn of(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            26 => Self::Oid,
            // name, text, unknown, bpchar, varchar
            19 | 25 | 705 | 1042 | 1043 => Self::Text,
            114 => Self::Json,
            700 => Self::Float4,
            701 => Self::Float8,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1186 => Self::Interval,
            1266 => Self::TimeTz,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            _ => return None,
        })
    }

    /// The element's oid, where `oid` is that of an array type.
    const fn element_of(oid: u32) -> Option<u32> {
        Some(match oid {
            199 => 114,
            1000 => 16,
            1001 => 17,
            1003 => 19,
            1005 => 21,
            1007 => 23,
            1009 => 25,
            1014 => 1042,
            1015 => 1043,
            1016 => 20,
            1021 => 700,
            1022 => 701,
            1028 => 26,
            1115 => 1114,
            1182 => 1082,
            1183 => 1083,
            1185 => 1184,
            1187 => 1186,
            1231 => 1700,
            1270 => 1266,
            2951 => 2950,
            3807 => 3802,
            _ => return None,
        })
    }
}

/// A binary value of the type `oid`; 0 where the type is not known.
#[must_use]
pub fn binary(oid: u32, bytes: &[u8]) -> String {
    value(oid, bytes).unwrap_or_else(|| as_bytes(oid, bytes))
}

/// A bound value as the server reads it; nothing where it is not known whole. `format`: 0 text, 1 binary.
#[must_use]
pub fn known(oid: u32, format: u16, bytes: &[u8]) -> Option<String> {
    match format {
        0 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        1 => scalar(Type::of(oid)?, bytes),
        _ => None,
    }
}

/// A value in the text format, which is what the server is sent.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| as_bytes(0, bytes), str::to_owned)
}

/// The same, of a type that the client declares. Where a value of that type may be another than its text looks like, the
/// type stands before it, as in SQL: `oid '-1'` is 4294967295, `bit '101'` five.
#[must_use]
pub fn text_of(declared: u32, bytes: &[u8]) -> String {
    let text = text(bytes);
    match read_as(declared) {
        None => text,
        Some(name) => format!("{name} '{text}'"),
    }
}

/// The name of a type, where its values may be others than their texts look like.
#[must_use]
pub fn read_as(oid: u32) -> Option<String> {
    let name = match oid {
        // Left to the server; text, varchar, int2, int4, int8, numeric, bool, date, timestamp, timestamptz, uuid, bytea, json, jsonb.
        0 | 705 | 25 | 1043 | 21 | 23 | 20 | 1700 | 16 | 1082 | 1114 | 1184 | 2950 | 17 | 114 | 3802 => return None,
        18 => "\"char\"",
        19 => "name",
        26 => "oid",
        28 => "xid",
        29 => "cid",
        700 => "float4",
        701 => "float8",
        790 => "money",
        1042 => "bpchar",
        1083 => "time",
        1186 => "interval",
        1266 => "timetz",
        1560 => "bit",
        1562 => "varbit",
        2205 => "regclass",
        2206 => "regtype",
        4096 => "regrole",
        other => return Some(format!("(type {other})")),
    };
    Some(name.to_owned())
}

/// `None` where the bytes are not a whole value of a type that is known.
fn value(oid: u32, bytes: &[u8]) -> Option<String> {
    match Type::element_of(oid) {
        Some(element) => array::array(element, bytes),
        None => scalar(Type::of(oid)?, bytes),
    }
}

fn scalar(of: Type, bytes: &[u8]) -> Option<String> {
    Some(match of {
        // Any byte but zero is true to the server.
        Type::Bool => (exactly::<1>(bytes)?[0] != 0).to_string(),
        Type::Bytea => hex(bytes),
        Type::Int2 => i16::from_be_bytes(exactly(bytes)?).to_string(),
        Type::Int4 => i32::from_be_bytes(exactly(bytes)?).to_string(),
        Type::Int8 => i64::from_be_bytes(exactly(bytes)?).to_string(),
        Type::Oid => u32::from_be_bytes(exactly(bytes)?).to_string(),
        Type::Float4 => number::float4(f32::from_be_bytes(exactly(bytes)?)),
        Type::Float8 => number::float8(f64::from_be_bytes(exactly(bytes)?)),
        Type::Numeric => number::numeric(bytes)?,
        Type::Text | Type::Json => readable(bytes)?.to_owned(),
        // The only version that there is.
        Type::Jsonb => readable(bytes.strip_prefix(&[1])?)?.to_owned(),
        Type::Uuid => uuid(exactly(bytes)?),
        Type::Date => time::date(i32::from_be_bytes(exactly(bytes)?))?,
        Type::Time => time::time(i64::from_be_bytes(exactly(bytes)?))?,
        Type::TimeTz => time::time_with_zone(bytes)?,
        Type::Timestamp => time::timestamp(i64::from_be_bytes(exactly(bytes)?), "")?,
        Type::TimestampTz => time::timestamp(i64::from_be_bytes(exactly(bytes)?), "+00")?,
        Type::Interval => time::interval(bytes)?,
    })
}

fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// UTF-8 without NUL: what the server takes as text.
fn readable(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        let _written = write!(text, "{byte:02x}");
    }
    text
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes as they are, and why they are shown so.
fn as_bytes(oid: u32, bytes: &[u8]) -> String {
    let why = match oid {
        0 => "of a type that was not named".to_owned(),
        oid if Type::of(oid).is_none() && Type::element_of(oid).is_none() => format!("of the type with oid {oid}"),
        1231 | 1700 => format!("that are no value of their type, or one of very many zeros, oid {oid}"),
        oid => format!("that are no value of their type, oid {oid}"),
    };
    let number = if bytes.len() == 1 { "1 byte".to_owned() } else { format!("{} bytes", bytes.len()) };
    let says = readable(bytes).filter(|text| !text.is_empty() && !text.contains(char::is_control));
    let says = says.map(|text| format!("; as text they say: {text}")).unwrap_or_default();
    format!("{} ({number} {why}{says})", hex(bytes))
}
