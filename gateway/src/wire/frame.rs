//! The head of a frame: a tag, and a length that counts itself but not the tag.

use super::Violation;

/// The bytes of a head.
pub const HEAD: usize = 5;

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message type.
    pub tag: u8,
    /// The whole frame's bytes, head included.
    pub size: usize,
}

/// Reads the head at the start of `buf`; `None` where it is not all there yet.
///
/// # Errors
/// Where the length is smaller than itself or over `cap` bytes (a bound for this tag).
pub fn head(buf: &[u8], cap: impl FnOnce(u8) -> usize) -> Result<Option<Head>, Violation> {
    let Some(bytes) = buf.first_chunk::<HEAD>() else { return Ok(None) };
    let tag = bytes[0];
    let length = i32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    let size = usize::try_from(length).ok().filter(|length| *length >= 4).ok_or_else(|| {
        Violation::new(format!("a message of type {:?} says that its length is {length}", char::from(tag)))
    })? + 1;
    let cap = cap(tag);
    if size > cap {
        return Err(Violation::new(format!(
            "a message of type {:?} has {size} bytes; {cap} are allowed",
            char::from(tag)
        )));
    }
    Ok(Some(Head { tag, size }))
}

/// The bytes of the rows (DataRow, CopyData) that stand whole at the start of `buf`, one after the other.
#[must_use]
pub fn whole_rows(buf: &[u8]) -> usize {
    let mut at = 0;
    while let Some([b'D' | b'd', length @ ..]) = buf.get(at..).and_then(<[u8]>::first_chunk::<HEAD>) {
        let size = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|length| *length >= 4);
        match size.map(|length| at + length + 1) {
            Some(end) if end <= buf.len() => at = end,
            // On its way still, or no length: `head` says which.
            _ => break,
        }
    }
    at
}

/// The most that one message of a logged-in client may have, in bytes of the whole frame: what must be
/// read whole is bounded before it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Query and Parse.
    pub statement: usize,
    /// Bind.
    pub parameters: usize,
    /// CopyData.
    pub copy_data: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { statement: 4 << 20, parameters: 64 << 20, copy_data: 64 << 20 }
    }
}

impl Caps {
    /// The cap for a message type, and the setting that says so.
    const fn of(&self, tag: u8) -> (usize, Option<&'static str>) {
        match tag {
            b'Q' | b'P' => (self.statement, Some("max_statement")),
            b'B' => (self.parameters, Some("max_parameters")),
            b'd' => (self.copy_data, Some("max_copy_data")),
            b'D' | b'E' | b'C' | b'f' => (64 << 10, None),
            _ => (8 << 10, None),
        }
    }
}

/// Why a client's message is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is not the protocol.
    Violation(Violation),
    /// It is over a bound that somebody can raise.
    TooBig {
        /// The bytes of the whole frame.
        size: usize,
        /// The bound.
        cap: usize,
        /// The key in `[gateway]`.
        setting: &'static str,
    },
}

/// As [`head`], for a logged-in client.
///
/// # Errors
/// Where the length is smaller than itself, or over the cap for its type.
pub fn client_head(buf: &[u8], caps: &Caps) -> Result<Option<Head>, Unread> {
    let cap = |tag| caps.of(tag).1.map_or(caps.of(tag).0, |_| usize::MAX);
    let head = head(buf, cap).map_err(Unread::Violation)?;
    match head.map(|head| (head.size, caps.of(head.tag))) {
        Some((size, (cap, Some(setting)))) if size > cap => Err(Unread::TooBig { size, cap, setting }),
        _ => Ok(head),
    }
}

/// The most that one message of a server may have where it must be read whole.
pub const SERVER_CAP: usize = 16 << 20;

/// The most that one message may have before its sender is logged in, on either side.
pub const LOGIN_CAP: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_as_far_as_they_are_whole() {
        let row = [b'D', 0, 0, 0, 6, 0, 0];
        let (data, done) = ([b'd', 0, 0, 0, 5, b'x'], [b'C', 0, 0, 0, 4]);
        let table: [(&str, Vec<u8>, usize); 7] = [
            ("nothing", vec![], 0),
            ("two of them, and what is no row", [&row[..], &data, &done].concat(), 13),
            ("the second on its way", [&row[..], &row[..6]].concat(), 7),
            ("the second's head on its way", [&row[..], &row[..4]].concat(), 7),
            ("the first on its way", row[..6].to_vec(), 0),
            ("a length smaller than itself", vec![b'D', 0, 0, 0, 3, 0, 0], 0),
            ("a negative length", vec![b'D', 0xff, 0, 0, 0, 0, 0], 0),
        ];
        for (case, bytes, whole) in table {
            assert_eq!(whole_rows(&bytes), whole, "{case}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let table: [(&str, [u8; 5], bool); 6] = [
            ("smaller than itself", [b'Q', 0, 0, 0, 3], false),
            ("zero", [b'Q', 0, 0, 0, 0], false),
            ("negative", [b'Q', 0xff, 0xff, 0xff, 0xff], false),
            ("2 GiB", [b'Q', 0x7f, 0xff, 0xff, 0xff], false),
            ("over the cap for its type", [b'S', 0, 1, 0, 0], false),
            ("an empty body", [b'S', 0, 0, 0, 4], true),
        ];
        for (case, bytes, good) in table {
            assert_eq!(client_head(&bytes, &Caps::default()).is_ok(), good, "{case}");
        }
    }

    #[test]
    fn what_is_too_big_names_the_setting_that_says_so() {
        let caps = Caps { statement: 1 << 16, parameters: 1 << 17, copy_data: 1 << 18 };
        let sized = |tag: u8, size: u32| {
            let length = (size - 1).to_be_bytes();
            client_head(&[tag, length[0], length[1], length[2], length[3]], &caps)
        };
        for (tag, cap, setting) in [
            (b'Q', caps.statement, "max_statement"),
            (b'P', caps.statement, "max_statement"),
            (b'B', caps.parameters, "max_parameters"),
            (b'd', caps.copy_data, "max_copy_data"),
        ] {
            let most = u32::try_from(cap).unwrap();
            assert_eq!(sized(tag, most), Ok(Some(Head { tag, size: cap })), "{setting}");
            assert_eq!(sized(tag, most + 1), Err(Unread::TooBig { size: cap + 1, cap, setting }));
        }
        assert!(matches!(sized(b'D', 1 << 17), Err(Unread::Violation(_))), "no setting raises this one");
    }

    #[test]
    fn a_head_in_pieces_is_waited_for() {
        assert_eq!(client_head(&[b'Q', 0, 0], &Caps::default()), Ok(None));
    }
}
