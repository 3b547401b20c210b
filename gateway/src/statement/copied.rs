//! What came in by COPY FROM STDIN. It comes after the approval, so the log says what it was.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

/// The data of one COPY, on its way.
#[derive(Clone)]
pub struct Copying {
    hash: Context,
    bytes: u64,
}

/// The data of one COPY, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// SHA-256 of all data in the order in which it came, in hexadecimal digits.
    pub sha256: String,
    /// How much it was.
    pub bytes: u64,
    /// Rows, as the server counted them; none where it did not take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl std::fmt::Debug for Copying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copying").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Default for Copying {
    fn default() -> Self {
        Self { hash: Context::new(&SHA256), bytes: 0 }
    }
}

impl Copying {
    /// Takes the payload of one CopyData.
    pub fn take(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes += data.len() as u64;
    }

    /// All of it has come; `tag` is the server's CommandComplete, if it took it.
    #[must_use]
    pub fn end(self, tag: Option<&str>) -> Copied {
        let sha256 = self.hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let rows = tag.and_then(|tag| tag.strip_prefix("COPY ")).and_then(|rows| rows.parse().ok());
        Copied { sha256, bytes: self.bytes, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_whole() {
        let (mut pieces, mut whole) = (Copying::default(), Copying::default());
        b"1\tx\n2\ty\n".chunks(3).for_each(|piece| pieces.take(piece));
        whole.take(b"1\tx\n2\ty\n");
        let copied = pieces.end(Some("COPY 2"));
        assert_eq!(copied, whole.end(Some("COPY 2")));
        assert_eq!((copied.bytes, copied.rows), (8, Some(2)));
        assert_eq!(copied.sha256, countersign_shared::digest::of_bytes(b"1\tx\n2\ty\n").to_string());
    }

    #[test]
    fn rows_that_the_server_did_not_take_are_not_counted() {
        assert_eq!(Copying::default().end(None).rows, None);
        assert_eq!(Copying::default().end(Some("INSERT 0 1")).rows, None);
    }
}
