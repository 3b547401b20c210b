//! What people do, in words: against a real PostgreSQL, the stand-in for Slack, an identity
//! provider, and the real binary in a process of its own.

mod approving;
mod asking;
mod cards;
mod certified;
mod deciding;
mod directory;
mod disguised;
mod edges;
mod ending_many;
mod fidelity;
mod giving_back;
mod granting;
mod harness;
mod impact;
mod login;
mod masking;
mod outages;
mod own_catalog;
mod policies;
mod psql;
mod public;
mod reaching;
mod readers;
mod refusing;
mod renewing;
mod separation;
mod several;
mod signing_in;
mod smuggling;
mod transactions;
mod unasked;
mod upstream;
mod values;
