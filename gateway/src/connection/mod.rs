//! accept → authenticate → session: one client's connection.
