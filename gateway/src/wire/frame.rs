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

/// The most that one message of a logged-in client may have, by type: texts and parameters that must
/// be read whole are bounded, rows of COPY pass in pieces.
#[must_use]
pub const fn client_cap(tag: u8) -> usize {
    match tag {
        b'Q' | b'P' => 4 << 20,
        b'B' => 64 << 20,
        b'd' => 1 << 30,
        b'D' | b'E' | b'C' | b'f' => 64 << 10,
        _ => 8 << 10,
    }
}

/// The most that one message of a server may have where it must be read whole.
pub const SERVER_CAP: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(head(&bytes, client_cap).is_ok(), good, "{case}");
        }
    }

    #[test]
    fn a_head_in_pieces_is_waited_for() {
        assert_eq!(head(&[b'Q', 0, 0], client_cap), Ok(None));
    }
}
