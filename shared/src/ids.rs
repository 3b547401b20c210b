//! Identifiers as types, so that one cannot be passed where another is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Crockford's base 32 without the letters that people misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// `len` random characters of [`ALPHABET`], five bits each.
fn random(len: usize) -> String {
    let mut bytes = [0_u8; 32];
    // The operating system's generator does not fail on the systems that we run on.
    #[allow(clippy::expect_used, reason = "no identifier can be made without randomness")]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random generator answers");
    bytes.iter().take(len).map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}

/// Why a text is not an identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an id: 4 to 32 letters and digits")]
pub struct NotAnId(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> Self {
                Self(random($len))
            }

            /// The text, upper case.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let fits = (4..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
                if fits { Ok(Self(text.to_ascii_uppercase())) } else { Err(NotAnId(text.chars().take(40).collect())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id!(
    /// A review of a connection's grants.
    ReviewId,
    10
);

id!(
    /// One client's connection through the gateway.
    SessionId,
    16
);
id!(
    /// What approvers see: a hold, or a wish for access. Short, since people read it aloud.
    RequestId,
    8
);
id!(
    /// A role given to a principal on a connection for a bounded time.
    GrantId,
    12
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_typed_in_lower_case() {
        let id = RequestId::random();
        assert_eq!(id.as_str().to_ascii_lowercase().parse::<RequestId>().as_ref(), Ok(&id));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in ["", "abc", "a b c d", "../../etc", "x'; drop", &"A".repeat(33)] {
            assert!(text.parse::<RequestId>().is_err(), "{text:?}");
        }
    }
}
