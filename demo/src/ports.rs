//! Free ports on loopback.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// A port that nobody listens on now. Somebody may a moment later: whoever can, binds port 0.
///
/// # Errors
/// Where there is none.
pub fn free() -> io::Result<u16> {
    free_or(0)
}

/// `wanted` if nobody listens on it now, else another.
///
/// # Errors
/// Where there is none.
pub fn free_or(wanted: u16) -> io::Result<u16> {
    let on = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr();
    on(wanted).or_else(|_| on(0)).map(|address| address.port())
}
