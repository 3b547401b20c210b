//! Every message that the bot posts, one function each. Pure: a view in, blocks out.

pub mod access;
pub mod allow;
pub mod answer;
pub mod ask;
pub mod blocks;
pub mod csv;
pub mod deny;
pub mod details;
pub mod digest;
pub mod direct;
pub mod effects;
pub mod home;
mod impact;
pub mod keep;
pub mod life;
pub mod linking;
pub mod more;
pub mod outcome;
pub mod question;
pub mod reach;
pub mod request;
pub mod review;
pub mod samples;
mod steps;
pub mod visible;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_spoofing;

pub use blocks::Message;
pub use samples::samples;
