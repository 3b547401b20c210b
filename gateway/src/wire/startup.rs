//! The first packet, which has no tag: SSLRequest, GSSENCRequest, CancelRequest or StartupMessage
//! (manual, "Message Formats").

use super::{Fields, Violation};

/// The most that a first packet may have, as in PostgreSQL.
pub const CAP: usize = 10_000;

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// Wants TLS.
    Ssl,
    /// Wants GSSAPI encryption.
    Gss,
    /// Wants a running statement stopped.
    Cancel(CancelKey),
    /// Wants a session.
    Startup(Startup),
}

/// A server's process id and secret: 4 bytes in protocol 3.0, up to 256 in 3.2.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The backend's process id.
    pub pid: i32,
    /// The secret.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl CancelKey {
    /// The packet that asks for it.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let size = u32::try_from(12 + self.secret.len()).unwrap_or(u32::MAX);
        let mut packet = Vec::with_capacity(12 + self.secret.len());
        packet.extend(size.to_be_bytes());
        packet.extend(CANCEL.to_be_bytes());
        packet.extend(self.pid.to_be_bytes());
        packet.extend(&self.secret);
        packet
    }
}

/// A StartupMessage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The minor version of protocol 3.
    pub minor: u16,
    /// Names and values, each name once.
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

const SSL: i32 = 80_877_103;
const GSS: i32 = 80_877_104;
const CANCEL: i32 = 80_877_102;

/// Checks the length in a first packet's first four bytes; the whole packet's size.
///
/// # Errors
/// Where it is shorter than 8 or longer than [`CAP`].
pub fn size(first: [u8; 4]) -> Result<usize, Violation> {
    let size = usize::try_from(i32::from_be_bytes(first)).unwrap_or(0);
    if (8..=CAP).contains(&size) { Ok(size) } else { Err(Violation::new("the first packet's length is out of bounds")) }
}

/// Reads a first packet, without its length.
///
/// # Errors
/// Where it is none, of another protocol version, or says a parameter twice.
pub fn parse(body: &[u8]) -> Result<First, Violation> {
    let mut fields = Fields::of(body);
    let code = fields.i32()?;
    match code {
        SSL | GSS => {
            fields.end()?;
            Ok(if code == SSL { First::Ssl } else { First::Gss })
        }
        CANCEL => {
            let pid = fields.i32()?;
            let secret = fields.rest();
            if (4..=256).contains(&secret.len()) {
                Ok(First::Cancel(CancelKey { pid, secret: secret.to_vec() }))
            } else {
                Err(Violation::new("a cancel key of this length does not exist"))
            }
        }
        _ if code >> 16 == 3 => {
            let mut parameters: Vec<(String, String)> = Vec::new();
            loop {
                let name = fields.text()?;
                if name.is_empty() {
                    break;
                }
                let value = fields.text()?;
                // PostgreSQL takes the last of two; whoever checks the first is fooled.
                if parameters.iter().any(|(n, _)| n == name) {
                    return Err(Violation::new(format!("the startup parameter {name:?} is given twice")));
                }
                parameters.push((name.to_owned(), value.to_owned()));
            }
            fields.end()?;
            Ok(First::Startup(Startup { minor: u16::try_from(code & 0xffff).unwrap_or(0), parameters }))
        }
        _ => Err(Violation::new("only protocol 3 is spoken here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(parameters: &[&str]) -> Vec<u8> {
        let mut body = (3_i32 << 16).to_be_bytes().to_vec();
        for text in parameters {
            body.extend(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        body
    }

    #[test]
    fn a_parameter_said_twice_is_refused() {
        assert!(parse(&startup(&["user", "ana", "user", "postgres"])).is_err());
    }

    #[test]
    fn what_is_cut_or_padded_is_refused() {
        let whole = startup(&["user", "ana", "database", "shop"]);
        assert!(matches!(parse(&whole), Ok(First::Startup(s)) if s.get("database") == Some("shop")));
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(parse(&[whole, vec![0]].concat()).is_err(), "padded");
    }

    #[test]
    fn a_cancel_packet_survives_its_bytes() {
        for length in [4, 32, 256] {
            let key = CancelKey { pid: 7, secret: vec![9; length] };
            assert_eq!(parse(&key.packet()[4..]), Ok(First::Cancel(key)));
        }
        assert!(parse(&CancelKey { pid: 7, secret: vec![9; 3] }.packet()[4..]).is_err());
    }
}
