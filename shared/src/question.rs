//! Questions about a request, and how long one may be.

/// The longest question, in characters.
pub const LONGEST: usize = 500;
