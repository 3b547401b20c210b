//! Approvals: a verified choice becomes a signed approval, a denial or a withdrawal; and what was
//! approved is checked again at release.

pub mod release;
pub mod seal;
