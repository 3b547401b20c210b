//! The messages of a client that are read: SQL, parameters, names. The frame itself is kept and
//! forwarded as it came.

use bytes::Bytes;

use super::{Fields, Violation};

/// A statement or a portal, in Describe and Close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// A client's message, as it stands in its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Simple query.
    Query {
        /// The text.
        sql: &'a str,
    },
    /// Prepares a statement.
    Parse {
        /// Its name; empty for the unnamed one.
        name: &'a str,
        /// The text.
        sql: &'a str,
        /// Types of the first parameters, by oid; 0 where the server is to find out.
        types: Vec<u32>,
    },
    /// Makes a portal of a prepared statement.
    Bind(Bind),
    /// Asks for a description.
    Describe {
        /// Of what.
        target: Target,
        /// Its name.
        name: &'a str,
    },
    /// Runs a portal.
    Execute {
        /// Its name.
        portal: &'a str,
        /// At most so many rows; 0 for all.
        limit: i32,
    },
    /// Forgets.
    Close {
        /// What.
        target: Target,
        /// Its name.
        name: &'a str,
    },
    /// Asks for what is there so far.
    Flush,
    /// Ends a group.
    Sync,
    /// A piece of COPY data.
    CopyData,
    /// The end of COPY data.
    CopyDone,
    /// The client's failure in COPY.
    CopyFail,
    /// A call of a function by its oid, which nobody could read.
    FunctionCall,
    /// The end of the session.
    Terminate,
}

/// The parts of a Bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The portal's name.
    pub portal: String,
    /// The statement's name.
    pub statement: String,
    /// Formats of parameters: none, one for all, or one each.
    pub formats: Vec<u16>,
    /// Parameters; `None` for NULL. Slices of the frame.
    pub parameters: Vec<Option<Bytes>>,
    /// Formats of results.
    pub result_formats: Vec<u16>,
}

impl Bind {
    /// The format of a parameter: 0 text, 1 binary.
    #[must_use]
    pub fn format(&self, index: usize) -> u16 {
        match self.formats.as_slice() {
            [] => 0,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(0),
        }
    }
}

/// Reads a message from a whole frame.
///
/// # Errors
/// Where it is not one that a client may send here, or its fields do not fill it exactly.
pub fn parse(frame: &Bytes) -> Result<Message<'_>, Violation> {
    let (Some(tag), Some(body)) = (frame.first(), frame.get(super::frame::HEAD..)) else {
        return Err(Violation::new("a message has no head"));
    };
    let mut fields = Fields::of(body);
    let message = match tag {
        b'Q' => Message::Query { sql: fields.text()? },
        b'P' => {
            let name = fields.text()?;
            let sql = fields.text()?;
            let count = fields.u16()?;
            let types = fields.take(usize::from(count) * 4)?;
            let types = types.as_chunks().0.iter().copied().map(u32::from_be_bytes).collect();
            Message::Parse { name, sql, types }
        }
        b'B' => Message::Bind(bind(frame, &mut fields)?),
        b'D' => Message::Describe { target: target(&mut fields)?, name: fields.text()? },
        b'C' => Message::Close { target: target(&mut fields)?, name: fields.text()? },
        b'E' => Message::Execute { portal: fields.text()?, limit: fields.i32()? },
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'c' => Message::CopyDone,
        b'd' | b'f' => {
            return Ok(if *tag == b'd' { Message::CopyData } else { Message::CopyFail });
        }
        b'F' => return Ok(Message::FunctionCall),
        other => return Err(Violation::new(format!("unknown message type {:?}", char::from(*other)))),
    };
    fields.end()?;
    Ok(message)
}

fn target(fields: &mut Fields<'_>) -> Result<Target, Violation> {
    match fields.u8()? {
        b'S' => Ok(Target::Statement),
        b'P' => Ok(Target::Portal),
        _ => Err(Violation::new("neither a statement nor a portal")),
    }
}

fn formats(fields: &mut Fields<'_>) -> Result<Vec<u16>, Violation> {
    let count = fields.u16()?;
    (0..count).map(|_| fields.u16()).collect()
}

fn bind(frame: &Bytes, fields: &mut Fields<'_>) -> Result<Bind, Violation> {
    let portal = fields.text()?.to_owned();
    let statement = fields.text()?.to_owned();
    let formats_of_parameters = formats(fields)?;
    let count = fields.u16()?;
    let mut parameters = Vec::new();
    for _ in 0..count {
        parameters.push(match fields.i32()? {
            -1 => None,
            length => {
                let length = usize::try_from(length).map_err(|_| Violation::new("a parameter's length is negative"))?;
                Some(frame.slice_ref(fields.take(length)?))
            }
        });
    }
    let result_formats = formats(fields)?;
    if formats_of_parameters.len() > 1 && formats_of_parameters.len() != parameters.len() {
        return Err(Violation::new("a Bind has another number of formats than of parameters"));
    }
    Ok(Bind { portal, statement, formats: formats_of_parameters, parameters, result_formats })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Bytes {
        let mut frame = vec![tag];
        frame.extend(u32::try_from(body.len() + 4).expect("short").to_be_bytes());
        frame.extend(body);
        frame.into()
    }

    #[test]
    fn every_cut_and_every_padding_is_refused() {
        let whole: [(u8, &[u8]); 5] = [
            (b'Q', b"SELECT 1\0"),
            (b'P', b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            (b'B', b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01\0\x01"),
            (b'D', b"Ss\0"),
            (b'E', b"p\0\0\0\0\0"),
        ];
        for (tag, body) in whole {
            assert!(parse(&frame(tag, body)).is_ok(), "{}", char::from(tag));
            for end in 0..body.len() {
                assert!(parse(&frame(tag, &body[..end])).is_err(), "{} cut at {end}", char::from(tag));
            }
            assert!(parse(&frame(tag, &[body, b"\0"].concat())).is_err(), "{} padded", char::from(tag));
        }
    }

    #[test]
    fn a_bind_keeps_nulls_and_bytes_apart() {
        let Ok(Message::Bind(bind)) = parse(&frame(b'B', b"\0s\0\0\0\0\x02\0\0\0\0\xff\xff\xff\xff\0\0")) else {
            panic!("a Bind")
        };
        assert_eq!(bind.parameters, [Some(Bytes::new()), None]);
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        for tag in [b'Z', b'T', b'p', 0, 255] {
            assert!(parse(&frame(tag, b"")).is_err(), "{tag}");
        }
        assert!(parse(&frame(b'Q', b"\xff\0")).is_err(), "invalid UTF-8");
        assert!(parse(&frame(b'B', b"\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0")).is_err(), "a negative length");
    }
}
