//! The gateway's signature over each approval, so that a row written past us counts for nothing.

/// Ed25519.
pub struct SealKey {}
