//! What a laptop lacks: a database, an identity provider and a Slack workspace, all on loopback.
//!
//! `countersign demo` starts them for a newcomer; the stories under `tests/` start the same ones.

pub mod browser;
pub mod database;
pub mod files;
pub mod idp;
pub mod people;
pub mod ports;
pub mod random;
pub mod shop;
pub mod slack;
pub mod world;
