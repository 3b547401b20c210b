//! What nobody may guess.

/// 244 random bits as hexadecimal digits: fit for a URL, a header, a shell or an SQL string.
/// A version 4 UUID has 122 bits from the system's generator.
#[must_use]
pub fn token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
