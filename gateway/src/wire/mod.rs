//! Frames of the PostgreSQL protocol. Knows no policy.
