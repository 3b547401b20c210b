//! Free ports on loopback.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where ports are drawn: below those that the system gives to outgoing connections (ip(7), `ip_local_port_range`),
/// which would take one between its being drawn and its being listened on, or while its gateway starts again.
const RANGE: Range<u16> = 10_000..32_768;

/// Counts from anywhere, so that two processes seldom draw the same.
static DRAWN: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(()) >> 1));

/// A port that nobody listens on now, and that this process has not drawn lately. Somebody else may listen a moment
/// later: whoever can, binds port 0.
///
/// # Errors
/// Where there is none.
pub fn free() -> io::Result<u16> {
    let mut last = None;
    for _ in RANGE {
        let at = DRAWN.fetch_add(1, Ordering::Relaxed) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(at).unwrap_or_default();
        match bound(port) {
            Ok(()) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// `wanted` if nobody listens on it now, else another; 0 is nobody's wish.
///
/// # Errors
/// Where there is none.
pub fn free_or(wanted: u16) -> io::Result<u16> {
    if wanted != 0 && bound(wanted).is_ok() { Ok(wanted) } else { free() }
}

fn bound(port: u16) -> io::Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_drawn_twice_nor_one_that_somebody_listens_on() {
        let taken = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        let drawn: std::collections::BTreeSet<u16> = (0..100).map(|_| free().unwrap()).collect();
        assert!(drawn.len() == 100 && !drawn.contains(&taken) && drawn.iter().all(|port| RANGE.contains(port)));
        let other = free_or(taken).unwrap();
        assert_ne!(other, taken);
        assert_eq!(free_or(other).unwrap(), other);
    }
}
