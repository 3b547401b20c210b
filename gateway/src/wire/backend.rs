//! The messages of a server: a few are read, and those that the gateway itself answers are built
//! (by pgwire).

use bytes::{Bytes, BytesMut};
use pgwire::{
    error::ErrorInfo,
    messages::{
        data::{DataRow, FieldDescription, NoData, RowDescription},
        extendedquery::{BindComplete, CloseComplete, ParseComplete},
        response::{
            CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
        },
        startup::ParameterStatus,
    },
};

use super::{Fields, Violation};

/// The fields of an ErrorResponse or NoticeResponse that we read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `ERROR`, `FATAL`, never localized.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// Message.
    pub message: String,
}

/// Reads an ErrorResponse's or NoticeResponse's body. Text that is not UTF-8 is shown as such.
///
/// # Errors
/// Where the fields do not fill it exactly, or none is an SQLSTATE.
pub fn report(body: &[u8]) -> Result<Report, Violation> {
    let mut fields = Fields::of(body);
    let mut report = Report::default();
    loop {
        let kind = fields.u8()?;
        if kind == 0 {
            fields.end()?;
            let sqlstate = report.code.len() == 5 && report.code.bytes().all(|b| b.is_ascii_alphanumeric());
            return if sqlstate { Ok(report) } else { Err(Violation::new("an error without an SQLSTATE")) };
        }
        let end = fields.rest().iter().position(|b| *b == 0).ok_or_else(|| Violation::new("a field has no end"))?;
        let text = String::from_utf8_lossy(fields.take(end)?).into_owned();
        fields.take(1)?;
        match kind {
            b'V' => report.severity = text,
            b'C' => report.code = text,
            b'M' => report.message = text,
            _ => {}
        }
    }
}

/// Encodes; pgwire fails only on lengths over 2 GiB, which we never build.
fn encode(message: &impl pgwire::messages::Message) -> Bytes {
    let mut buf = BytesMut::new();
    if let Err(error) = message.encode(&mut buf) {
        tracing::error!(%error, "a message could not be encoded");
    }
    buf.freeze()
}

/// An ErrorResponse.
#[must_use]
pub fn error(info: ErrorInfo) -> Bytes {
    encode(&ErrorResponse::from(info))
}

/// A NoticeResponse.
#[must_use]
pub fn notice(info: ErrorInfo) -> Bytes {
    encode(&NoticeResponse::from(info))
}

/// ReadyForQuery with the status byte `I`, `T` or `E`.
#[must_use]
pub fn ready(status: u8) -> Bytes {
    let status = match status {
        b'T' => TransactionStatus::Transaction,
        b'E' => TransactionStatus::Error,
        _ => TransactionStatus::Idle,
    };
    encode(&ReadyForQuery::new(status))
}

/// ParameterStatus.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    encode(&ParameterStatus::new(name.to_owned(), value.to_owned()))
}

/// CommandComplete.
#[must_use]
pub fn complete(tag: &str) -> Bytes {
    encode(&CommandComplete::new(tag.to_owned()))
}

/// ParseComplete.
#[must_use]
pub fn parse_complete() -> Bytes {
    encode(&ParseComplete::new())
}

/// BindComplete.
#[must_use]
pub fn bind_complete() -> Bytes {
    encode(&BindComplete::new())
}

/// CloseComplete.
#[must_use]
pub fn close_complete() -> Bytes {
    encode(&CloseComplete::new())
}

/// PortalSuspended.
#[must_use]
pub fn portal_suspended() -> Bytes {
    Bytes::from_static(&[b's', 0, 0, 0, 4])
}

/// NoData.
#[must_use]
pub fn no_data() -> Bytes {
    encode(&NoData::new())
}

/// EmptyQueryResponse.
#[must_use]
pub fn empty_query() -> Bytes {
    encode(&EmptyQueryResponse::new())
}

/// ParameterDescription without parameters.
#[must_use]
pub fn no_parameters() -> Bytes {
    Bytes::from_static(b"t\0\0\0\x06\0\0")
}

/// RowDescription of one text column.
#[must_use]
pub fn one_column(name: &str) -> Bytes {
    const TEXT: u32 = 25;
    encode(&RowDescription::new(vec![FieldDescription::new(name.to_owned(), 0, 0, TEXT, -1, -1, 0)]))
}

/// DataRow of one text value.
#[must_use]
pub fn one_value(value: &str) -> Bytes {
    let mut data = BytesMut::new();
    data.extend(u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    data.extend_from_slice(value.as_bytes());
    encode(&DataRow::new(data, 1))
}

/// A server's answer to Describe of a statement, turned into what a portal's Describe would answer:
/// RowDescription with the portal's result formats in it. Its last two bytes per column are the format.
///
/// # Errors
/// Where the frame is no RowDescription.
pub fn with_formats(frame: &[u8], formats: &[u16]) -> Result<Bytes, Violation> {
    let mut out = frame.to_vec();
    let mut fields = Fields::of(frame.get(super::frame::HEAD..).unwrap_or_default());
    let columns = usize::from(fields.u16()?);
    for column in 0..columns {
        let name = fields.rest().iter().position(|b| *b == 0).ok_or_else(|| Violation::new("a name has no end"))?;
        fields.take(name + 1 + 16)?;
        let at = frame.len() - fields.rest().len();
        fields.take(2)?;
        let format = match formats {
            [] => 0,
            [all] => *all,
            each => each.get(column).copied().unwrap_or(0),
        };
        out[at..at + 2].copy_from_slice(&format.to_be_bytes());
    }
    fields.end()?;
    Ok(out.into())
}

/// The oids in a ParameterDescription's body.
///
/// # Errors
/// Where they do not fill the body.
pub fn parameter_types(body: &[u8]) -> Result<Vec<u32>, Violation> {
    let mut fields = Fields::of(body);
    let count = fields.u16()?;
    let types = fields.take(usize::from(count) * 4)?;
    fields.end()?;
    Ok(types.as_chunks().0.iter().copied().map(u32::from_be_bytes).collect())
}

/// The fields of a DataRow's body as text; `None` for NULL. For the gateway's own queries only.
///
/// # Errors
/// Where the fields do not fill the body, or are not UTF-8.
pub fn row(body: &[u8]) -> Result<Vec<Option<String>>, Violation> {
    let mut fields = Fields::of(body);
    let mut values = Vec::new();
    for _ in 0..fields.u16()? {
        values.push(match usize::try_from(fields.i32()?) {
            Err(_) => None,
            Ok(length) => Some(
                String::from_utf8(fields.take(length)?.to_vec()).map_err(|_| Violation::new("a value is not UTF-8"))?,
            ),
        });
    }
    fields.end()?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_its_frame() {
        let frame = error(ErrorInfo::new("ERROR".into(), "42501".into(), "no".into()));
        let report = report(&frame[5..]).expect("a report");
        assert_eq!((report.code.as_str(), report.message.as_str()), ("42501", "no"));
    }

    #[test]
    fn an_error_without_an_sqlstate_is_none() {
        for (case, body) in [
            ("no code", &b"SERROR\0Mno\0\0"[..]),
            ("an empty code", b"SERROR\0C\0Mno\0\0"),
            ("a code that is none", b"SERROR\0C4250\x1b\0Mno\0\0"),
            ("cut", b"SERROR\0C42501\0Mno"),
            ("padded", b"SERROR\0C42501\0Mno\0\0\0"),
        ] {
            assert!(report(body).is_err(), "{case}");
        }
    }

    #[test]
    fn formats_of_a_portal_replace_those_of_the_statement() {
        let patched = with_formats(&one_column("answer"), &[1]).expect("patched");
        assert_eq!(patched[patched.len() - 2..], [0, 1]);
        assert_eq!(patched.len(), one_column("answer").len());
    }

    #[test]
    fn one_value_reads_back() {
        assert_eq!(row(&one_value("é")[5..]), Ok(vec![Some("é".to_owned())]));
    }
}
