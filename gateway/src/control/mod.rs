//! The control API and its pages: one file per noun.
