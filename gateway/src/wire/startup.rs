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
    /// Wants a session in another protocol than 3.
    Unsupported {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
}

/// The newest minor version of protocol 3 that is spoken. As PostgreSQL 18, 3.1 is taken and is no
/// more than 3.0.
pub const NEWEST: u16 = 2;

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
    /// The minor version of protocol 3 that the client asks for.
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

    /// The minor version that is spoken.
    #[must_use]
    pub fn spoken(&self) -> u16 {
        self.minor.min(NEWEST)
    }

    /// NegotiateProtocolVersion, where the client asks for a newer version than is spoken, or for
    /// protocol options, of which none is known.
    #[must_use]
    pub fn negotiation(&self) -> Option<Vec<u8>> {
        let names = self.parameters.iter().map(|(name, _)| name);
        let unknown: Vec<_> = names.filter(|name| name.starts_with("_pq_.")).collect();
        if self.minor <= NEWEST && unknown.is_empty() {
            return None;
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        let mut body = version(self.spoken()).to_vec();
        body.extend(number(unknown.len()));
        for name in unknown {
            body.extend(name.as_bytes());
            body.push(0);
        }
        Some([b"v".as_slice(), &number(body.len() + 4), &body].concat())
    }
}

fn version(minor: u16) -> [u8; 4] {
    ((3 << 16) | u32::from(minor)).to_be_bytes()
}

/// A StartupMessage for a server.
///
/// # Errors
/// Where a name or a value holds a NUL byte.
pub fn message(minor: u16, parameters: &[(&str, &str)]) -> Result<Vec<u8>, Violation> {
    let mut body = version(minor).to_vec();
    for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
        if text.contains('\0') {
            return Err(Violation::new("a startup parameter holds a NUL byte"));
        }
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let size = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    Ok([size.to_be_bytes().as_slice(), &body].concat())
}

/// Reads a server's NegotiateProtocolVersion, after it was asked for 3.`asked` without options.
///
/// # Errors
/// Where it speaks of something that was not asked for.
pub fn negotiated(body: &[u8], asked: u16) -> Result<u16, Violation> {
    let mut fields = Fields::of(body);
    let (spoken, unknown) = (fields.i32()?, fields.i32()?);
    fields.end()?;
    let minor = u16::try_from(spoken & 0xffff).unwrap_or(u16::MAX);
    if spoken >> 16 == 3 && minor < asked && unknown == 0 {
        Ok(minor)
    } else {
        Err(Violation::new(format!("the server negotiates {}.{minor}, and 3.{asked} was asked for", spoken >> 16)))
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
/// Where it is none, or says a parameter twice.
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
        _ => {
            let half = |n: i32| u16::try_from(n & 0xffff).unwrap_or(u16::MAX);
            Ok(First::Unsupported { major: half(code >> 16), minor: half(code) })
        }
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
    fn versions_and_options_are_negotiated_as_postgresql_18_does() {
        // Asked for, options; what is answered: version, names.
        let table = [
            (0, vec![], None),
            (1, vec![], None),
            (2, vec![], None),
            (3, vec![], Some((2, ""))),
            (9999, vec!["_pq_.grease"], Some((2, "_pq_.grease\0"))),
            (0, vec!["_pq_.a", "_pq_.b"], Some((0, "_pq_.a\0_pq_.b\0"))),
            (2, vec!["_pq_.a"], Some((2, "_pq_.a\0"))),
            (0, vec!["_PQ_.a"], None),
        ];
        for (minor, options, expected) in table {
            let parameters = options.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
            let startup = Startup { minor, parameters };
            let expected = expected.map(|(spoken, names)| {
                let count = u8::try_from(options.len()).unwrap();
                let mut body = vec![0, 3, 0, spoken, 0, 0, 0, count];
                body.extend(names.as_bytes());
                let size = u8::try_from(body.len() + 4).unwrap();
                [vec![b'v', 0, 0, 0, size], body].concat()
            });
            assert_eq!(startup.negotiation(), expected, "3.{minor} {options:?}");
        }
    }

    #[test]
    fn another_protocol_is_told_apart() {
        let asks = |major: u16, minor: u16| parse(&[major.to_be_bytes(), minor.to_be_bytes()].concat());
        assert_eq!(asks(2, 0), Ok(First::Unsupported { major: 2, minor: 0 }));
        assert_eq!(asks(4, 1), Ok(First::Unsupported { major: 4, minor: 1 }));
    }

    #[test]
    fn a_server_may_only_speak_less_than_was_asked_for() {
        let body = |major: u8, minor: u8, options: u8| [0, major, 0, minor, 0, 0, 0, options];
        let table = [
            ("an older server", body(3, 0, 0), 2, Ok(0)),
            ("as asked: then it had nothing to say", body(3, 2, 0), 2, Err(())),
            ("newer", body(3, 9, 0), 2, Err(())),
            ("nothing was to be negotiated", body(3, 0, 0), 0, Err(())),
            ("another protocol", body(2, 0, 0), 2, Err(())),
            ("an option that nobody sent", body(3, 0, 1), 2, Err(())),
        ];
        for (case, body, asked, expected) in table {
            assert_eq!(negotiated(&body, asked).map_err(|_| ()), expected, "{case}");
        }
        assert!(negotiated(&[0, 3, 0, 0], 2).is_err(), "cut");
    }

    #[test]
    fn a_startup_message_survives_its_bytes() {
        let bytes = message(2, &[("user", "ana"), ("database", "shop")]).expect("a message");
        let size = size([bytes[0], bytes[1], bytes[2], bytes[3]]).expect("a size");
        assert_eq!(size, bytes.len());
        let Ok(First::Startup(startup)) = parse(&bytes[4..]) else { panic!("a startup") };
        assert_eq!((startup.minor, startup.get("database")), (2, Some("shop")));
        assert!(message(0, &[("user", "ana\0b")]).is_err());
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
