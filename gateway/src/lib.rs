//! The gateway in front of PostgreSQL, in the order in which a statement meets it:
//!
//! | stage | module |
//! |---|---|
//! | accept, authenticate, session | [`connection`] over [`wire`] |
//! | assemble, classify, decide, hold, forward, record | [`statement`], with [`catalog`] and [`policy`] |
//! | approve | [`approval`], reached through [`control`] |
//! | access for a time, and its end | [`access`] |
//! | who it is | [`identity`], and who still is: [`scim`], [`directory`] |
//! | what is kept | [`store`] (state), [`log`] (evidence), which [`evidence`] opens and closes, with [`loads`]; [`bucket`] keeps it elsewhere, [`records`] tells what is in it |
//!
//! `ARCHITECTURE.md` tells the same path with links.

pub mod access;
pub mod approval;
pub mod bucket;
pub mod bypass;
pub mod catalog;
pub mod channels;
pub mod classified;
pub mod clock;
pub mod config;
pub mod connection;
pub mod control;
pub mod directory;
pub mod evidence;
pub mod explain;
pub mod friction;
pub mod identity;
pub mod impact;
pub mod loads;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod records;
pub mod refusal;
mod regular;
pub mod runtime;
pub mod scim;
pub mod service;
pub mod sessions;
pub mod siem;
pub mod statement;
pub mod store;
pub mod suggest;
pub mod visible;
pub mod wire;
