//! Every message that the bot posts, one function each. Pure: a view in, blocks out.

pub mod answer;
pub mod blocks;
pub mod deny;
pub mod direct;
pub mod effects;
mod impact;
pub mod outcome;
pub mod request;
pub mod samples;
pub mod visible;

#[cfg(test)]
mod tests;

pub use blocks::Message;
pub use samples::samples;
