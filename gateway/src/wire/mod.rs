//! Frames of the PostgreSQL protocol (manual, chapter "Frontend/Backend Protocol"). Knows no policy.
//!
//! Raw bytes are forwarded unchanged; only control messages are decoded, each from an exact slice
//! that must be used up. Decoding is ours, since a decoder of hostile bytes must not panic, read
//! past its frame, or mend text; building the messages that clients read is pgwire's.

pub mod backend;
pub mod bearer;
pub mod frame;
pub mod frontend;
#[cfg(test)]
mod hostile_tests;
pub mod replies;
pub mod startup;

/// Why bytes are not the protocol. The connection that sent them ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol violation: {0}")]
pub struct Violation(pub String);

impl Violation {
    /// A violation, in words.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Reads fields from one frame's body and nothing beyond it.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Starts at the body's first byte.
    #[must_use]
    pub const fn of(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Where the body is shorter.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Violation> {
        let (head, rest) = self.0.split_at_checked(n).ok_or_else(|| Violation::new("a message ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    /// A byte.
    ///
    /// # Errors
    /// Where the body is shorter.
    pub fn u8(&mut self) -> Result<u8, Violation> {
        Ok(self.take(1)?[0])
    }

    /// A 16-bit number.
    ///
    /// # Errors
    /// Where the body is shorter.
    pub fn u16(&mut self) -> Result<u16, Violation> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    /// A signed 32-bit number.
    ///
    /// # Errors
    /// Where the body is shorter.
    pub fn i32(&mut self) -> Result<i32, Violation> {
        let b = self.take(4)?;
        Ok(i32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// A text up to its NUL, which is left out.
    ///
    /// # Errors
    /// Where there is no NUL, or the text is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Violation> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(|| Violation::new("a text has no end"))?;
        let text = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(text).map_err(|_| Violation::new("a text is not valid UTF-8"))
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Demands that nothing is left.
    ///
    /// # Errors
    /// Where bytes are left.
    pub fn end(self) -> Result<(), Violation> {
        if self.0.is_empty() { Ok(()) } else { Err(Violation::new("a message is longer than its fields")) }
    }
}
