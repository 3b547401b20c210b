//! What an approval binds.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// SHA-256, printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a digest is 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let nibble = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok()).ok_or(NotADigest);
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| NotADigest)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Hashes named fields, each behind its name's and its own length, so that no two different lists
/// of fields give the same bytes. The domain keeps digests of different kinds apart.
pub struct Fields(Context);

impl Fields {
    /// Starts a digest of one kind, `countersign/statement/v1`.
    #[must_use]
    pub fn of(domain: &str) -> Self {
        let mut fields = Self(Context::new(&SHA256));
        fields.bytes(domain.as_bytes());
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.bytes(name.as_bytes());
        self.bytes(value.as_ref());
        self
    }

    /// Adds a field that may be absent; absent and empty differ.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self.field(&format!("{name}?"), []),
        }
    }

    /// Adds a list of fields under one name, with its length.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<T> = values.into_iter().collect();
        self = self.field(name, (values.len() as u64).to_be_bytes());
        for value in &values {
            self.bytes(value.as_ref());
        }
        self
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest(bytes)
    }
}

/// The digest of plain bytes.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref());
    Digest(out)
}

/// The digest by which a token is denied and remembered: of what is signed, `header.payload`, the text before its
/// last dot. Not of the signature: of one that ECDSA made, anybody makes another that verifies too, `(r, n - s)`,
/// and a denied token would come back with it. Of a text without a dot, which is no token, it is of the whole.
#[must_use]
pub fn of_token(token: &str) -> Digest {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    of_bytes(signed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_digest() {
        let one = Fields::of("t").field("a", "xy").field("b", "z").finish();
        let two = Fields::of("t").field("a", "x").field("b", "yz").finish();
        assert_ne!(one, two);
    }

    #[test]
    fn absent_and_empty_differ() {
        let absent = Fields::of("t").optional("a", None::<&str>).finish();
        assert_ne!(absent, Fields::of("t").optional("a", Some("")).finish());
    }

    #[test]
    fn a_token_has_one_digest_whatever_its_signature() {
        let digest = of_bytes(b"e30.e30");
        for token in ["e30.e30.c2ln", "e30.e30.other", "e30.e30."] {
            assert_eq!(of_token(token), digest, "{token}");
        }
        assert_ne!(of_token("e30.e31.c2ln"), digest);
        assert_eq!(of_token("e30"), of_bytes(b"e30"));
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Fields::of("t").list("l", ["a", "b"]).finish();
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("zz".repeat(32).parse::<Digest>(), Err(NotADigest));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(NotADigest));
    }
}
