//! The manifest against the methods in use.
