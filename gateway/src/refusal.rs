//! The only maker of an ErrorResponse; a SQLSTATE per variant.
