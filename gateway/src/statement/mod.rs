//! The life of a statement: assemble → classify → decide → hold → forward → record.
//!
//! What a text is, is worked out once ([`understood`]) and for all texts of its [`shape`].
//!
//! Knows no sockets. `Permit` is made in `hold` alone, and `forward` takes it by value.

pub mod assemble;
pub mod classify;
pub mod copied;
pub mod counting;
pub mod decide;
pub mod effect;
pub mod forward;
pub mod guard;
pub mod hold;
pub mod locks;
pub mod mask;
pub mod record;
pub mod review;
pub mod rows;
pub mod said;
pub mod shape;
pub mod steps;
pub mod tokens;
pub mod understood;
pub mod values;
pub mod wall;
