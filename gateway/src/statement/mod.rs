//! The life of a statement: assemble → classify → decide → hold → forward → record.
//!
//! Knows no sockets. `Permit` is made in `hold` alone, and `forward` takes it by value.

pub mod classify;
pub mod decide;
pub mod effect;
