//! COPY TO STDOUT in binary format under a plan (manual, COPY, Binary Format): a header, tuples, a trailer. The server
//! sends a tuple as a whole in one message; the header comes with the first of them.

use super::copied::{Column, Hides};
use super::value::{HashKey, masked};
use crate::wire::Fields;

/// Signature, flags (none) and the length of what extends the header (nothing): all that servers since 12 write.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What of the format has gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Start,
    /// The header, and tuples.
    Tuples,
    /// The trailer: nothing may follow.
    Over,
}

/// One message as it leaves. `None` where it is not what the format says.
pub(super) fn message(place: &mut Place, columns: &[Column], message: &[u8], key: &HashKey) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len());
    let mut rest = message;
    if *place == Place::Start {
        rest = rest.strip_prefix(HEADER)?;
        out.extend_from_slice(HEADER);
        *place = Place::Tuples;
    }
    let mut fields = Fields::of(rest);
    while !fields.rest().is_empty() {
        let count = fields.u16().ok().filter(|_| *place == Place::Tuples)?;
        out.extend_from_slice(&count.to_be_bytes());
        if count == u16::MAX {
            *place = Place::Over;
            continue;
        }
        if usize::from(count) != columns.len() {
            return None;
        }
        for column in columns {
            // -1 is NULL, and there is no other that is negative.
            let length = fields.i32().ok().filter(|length| *length >= -1)?;
            let value = match usize::try_from(length) {
                Ok(size) => fields.take(size).ok()?,
                Err(_) if column.is_some_and(|column| column.nulls) => b"",
                Err(_) => {
                    out.extend_from_slice(&length.to_be_bytes());
                    continue;
                }
            };
            match column {
                None => field(&mut out, value)?,
                Some(Hides { mask, kind, .. }) => match masked(*mask, *kind, true, value, key) {
                    None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                    Some(value) => field(&mut out, &value)?,
                },
            }
        }
    }
    Some(out)
}

fn field(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    out.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
    out.extend_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::mask::{rules::Mask, value::Kind};

    const TRAILER: [u8; 2] = [0xff, 0xff];

    fn tuple(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => out.extend((-1_i32).to_be_bytes()),
                Some(value) => field(&mut out, value).unwrap(),
            }
        }
        out
    }

    fn columns() -> Vec<Column> {
        let hides = |mask, kind| Some(Hides { mask, kind, nulls: false });
        vec![None, hides(Mask::Last4, Kind::Text(None)), hides(Mask::Redact, Kind::Other)]
    }

    fn all(messages: &[Vec<u8>]) -> Option<Vec<u8>> {
        let (mut place, key) = (Place::Start, HashKey::new(b"k"));
        let mut out = Vec::new();
        for one in messages {
            out.extend(message(&mut place, &columns(), one, &key)?);
        }
        Some(out)
    }

    #[test]
    fn tuples_keep_their_shape() {
        let clear = tuple(&[Some(b"\0\0\0\x01"), Some(b"078-05-1120"), Some(b"\0\0\0\x2a")]);
        let masked = tuple(&[Some(b"\0\0\0\x01"), Some(b"****1120"), None]);
        let nulls = tuple(&[None, None, None]);
        let whole = |tuples: &[&Vec<u8>]| {
            let mut all = HEADER.to_vec();
            tuples.iter().for_each(|tuple| all.extend(*tuple));
            all.extend(TRAILER);
            all
        };
        let first = [HEADER, &clear].concat();
        let sent = [first.clone(), nulls.clone(), clear.clone(), TRAILER.to_vec()];
        assert_eq!(all(&sent), Some(whole(&[&masked, &nulls, &masked])), "as servers send it");
        assert_eq!(all(&[whole(&[&clear, &nulls])]), Some(whole(&[&masked, &nulls])), "in one message");
        assert_eq!(all(&[whole(&[])]), Some(whole(&[])), "no rows");
    }

    #[test]
    fn of_an_expression_nobody_learns_whether_it_is_null() {
        let columns = [Some(Hides { mask: Mask::Redact, kind: Kind::Text(None), nulls: true })];
        let leaves = |value: Option<&[u8]>| {
            let first = [HEADER, &tuple(&[value])].concat();
            message(&mut Place::Start, &columns, &first, &HashKey::new(b"k"))
        };
        assert!(leaves(None).is_some_and(|out| out.ends_with(b"[redacted]")));
        assert_eq!(leaves(None), leaves(Some(b"x")));
    }

    #[test]
    fn what_is_not_of_the_format_does_not_leave() {
        let good = tuple(&[Some(b"a"), Some(b"secret"), None]);
        let header = |more: &[u8]| [HEADER, more].concat();
        let mut with_flags = HEADER.to_vec();
        with_flags[12] = 1;
        let table: [(&str, Vec<Vec<u8>>); 8] = [
            ("no header", vec![good.clone()]),
            ("flags", vec![with_flags]),
            ("a tuple cut", vec![header(&good[..good.len() - 5])]),
            ("the rest of a tuple in another message", vec![header(&good[..9]), good[9..].to_vec()]),
            ("another number of columns", vec![header(&tuple(&[Some(b"a"), Some(b"secret")]))]),
            ("a negative length", vec![header(&[0, 3, 0xff, 0xff, 0xff, 0xfe])]),
            ("tuples after the trailer", vec![header(&TRAILER), good.clone()]),
            ("a length beyond the message", vec![header(&[0, 3, 0x7f, 0xff, 0xff, 0xff, b'x'])]),
        ];
        for (why, messages) in table {
            assert_eq!(all(&messages), None, "{why}");
        }
    }
}
