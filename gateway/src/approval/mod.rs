//! Approvals: a verified choice becomes a signed approval, a denial or a withdrawal; and what was
//! approved is checked again at release.
//!
//! `take` is the one way in, whether the choice came from Slack, a page or the command line;
//! `release` is the one way out.

pub mod allowance;
pub mod ask;
pub mod count;
pub mod keys;
pub mod park;
pub mod release;
pub(crate) mod say;
pub mod seal;
pub mod steps;
pub mod take;
pub mod view;
pub mod whom;

#[cfg(test)]
pub(crate) mod house;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod stories;
#[cfg(test)]
pub(crate) mod stories_allowing;
#[cfg(test)]
mod stories_steps;
