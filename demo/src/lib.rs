//! x

pub mod slack;
