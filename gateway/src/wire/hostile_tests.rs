//! Bytes that nobody sent on purpose: good messages, changed a little and often. Every decoder must
//! return, and what it reads must be what was there: no more, no less, nothing mended.

use bytes::Bytes;

use super::{
    backend,
    frame::{self, Caps},
    frontend::{self, Message},
    startup::{self, First},
};

/// Changes of each good message. The same ones in every run.
const CHANGES: u32 = 30_000;

/// A small source of numbers that look random (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % most.max(1)
    }

    fn byte(&mut self) -> u8 {
        // Those that lengths, ends and signs turn on, and any other.
        const EDGES: [u8; 8] = [0, 1, 2, 4, 0x7f, 0x80, 0xfe, 0xff];
        if self.below(2) == 0 { EDGES[self.below(8)] } else { u8::try_from(self.below(256)).unwrap_or(0) }
    }

    /// One to four changes.
    fn change(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 => bytes.extend_from_within(at..),
                _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte = self.byte()),
            }
            bytes.truncate(4 << 10);
        }
        bytes
    }
}

/// Lets `check` look at every good message and at its changes; it gives back whether it was read.
fn hammer(good: &[&[u8]], check: impl Fn(&[u8]) -> bool + std::panic::RefUnwindSafe) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0_u32, 0_u32);
    for message in good {
        assert!(check(message), "a good message: {message:?}");
        for _ in 0..CHANGES {
            let bytes = dice.change(message);
            let looked = std::panic::catch_unwind(|| check(&bytes));
            match looked {
                Ok(true) => read += 1,
                Ok(false) => refused += 1,
                Err(_) => panic!("by these bytes: {bytes:?}"),
            }
        }
    }
    assert!(read > 100 && refused > 100, "changes are small enough and big enough: {read} read, {refused} refused");
}

fn framed(tag: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], length.as_slice(), body].concat().into()
}

#[test]
fn a_first_packet_is_read_to_the_byte() {
    let good: [&[u8]; 5] = [
        b"\x04\xd2\x16\x2f",
        b"\x04\xd2\x16\x30",
        b"\x04\xd2\x16\x2e\0\0\0\x07abcd",
        b"\0\x03\0\0user\0ana@acme.dev\0database\0shop\0\0",
        b"\0\x03\0\x02user\0ana\0options\0-c search_path=a\0_pq_.x\0\0\0",
    ];
    hammer(&good, |body| match startup::parse(body) {
        Ok(First::Startup(startup)) => {
            let pairs: Vec<_> = startup.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let again = startup::message(startup.minor, &pairs).expect("texts without NUL");
            assert_eq!(again[4..], *body);
            startup.negotiation().is_none_or(|frame| frame.len() < body.len() + 32)
        }
        Ok(First::Cancel(key)) => {
            assert_eq!(key.packet()[4..], *body);
            true
        }
        Ok(_) => true,
        Err(_) => false,
    });
}

#[test]
fn a_clients_message_is_read_to_the_byte() {
    let good: [(u8, &[u8]); 8] = [
        (b'Q', b"SELECT 1\0"),
        (b'P', b"s\0SELECT $1, $2\0\0\x02\0\0\0\x17\0\0\0\x19"),
        (b'B', b"p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\x01"),
        (b'D', b"Ss\0"),
        (b'E', b"p\0\0\0\0\x64"),
        (b'C', b"Pp\0"),
        (b'f', b"no more\0"),
        (b'd', b"1\ta\n"),
    ];
    for (tag, body) in good {
        let check = |body: &[u8]| {
            let frame = framed(tag, body);
            assert_eq!(
                frame::client_head(&frame, &Caps::default()).map(|head| head.map(|h| h.size)),
                Ok(Some(frame.len()))
            );
            let Ok(message) = frontend::parse(&frame) else { return false };
            match message {
                Message::Query { sql } => assert_eq!([sql.as_bytes(), b"\0"].concat(), body),
                Message::Parse { name, sql, types } => {
                    let texts = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0"].concat();
                    assert!(body.starts_with(&texts) && body.len() == texts.len() + 2 + 4 * types.len());
                }
                Message::Bind(bind) => {
                    let values: usize = bind.parameters.iter().flatten().map(Bytes::len).sum();
                    let counts = 6 + 2 * (bind.formats.len() + bind.result_formats.len()) + 4 * bind.parameters.len();
                    assert_eq!(bind.portal.len() + bind.statement.len() + 2 + counts + values, body.len());
                }
                Message::Execute { portal, .. } => assert_eq!(portal.len() + 5, body.len()),
                Message::Describe { name, .. } | Message::Close { name, .. } => assert_eq!(name.len() + 2, body.len()),
                _ => {}
            }
            true
        };
        if matches!(tag, b'd' | b'f') {
            assert!(check(body), "passes whatever it holds");
        } else {
            hammer(&[body], check);
        }
    }
}

#[test]
fn a_servers_message_is_read_or_refused() {
    let described = backend::one_column("answer");
    hammer(&[b"SERROR\0VERROR\0C42501\0Mno\0\0"], |body| {
        backend::report(body).is_ok_and(|report| report.code.len() == 5 && report.code.is_ascii())
    });
    hammer(&[&backend::one_value("some value")[frame::HEAD..], b"\0\x02\xff\xff\xff\xff\0\0\0\x01a"], |body| {
        let Ok(values) = backend::row(body) else { return false };
        let bytes: usize = values.iter().map(|value| 4 + value.as_ref().map_or(0, String::len)).sum();
        assert_eq!(bytes + 2, body.len());
        true
    });
    hammer(&[&described[frame::HEAD..]], |body| {
        let frame = framed(b'T', body);
        backend::with_formats(&frame, &[1]).is_ok_and(|changed| {
            assert_eq!(changed.len(), frame.len());
            true
        })
    });
    hammer(&[&[0, 3, 0, 0, 0, 0, 0, 0], &[0, 3, 0, 1, 0, 0, 0, 0]], |body| startup::negotiated(body, 2).is_ok());
}

#[test]
fn a_head_is_never_more_than_what_is_allowed() {
    hammer(&[b"Q\0\0\0\x0dSELECT 1\0", b"B\0\0\x01\0", b"S\0\0\0\x04"], |bytes| {
        match frame::client_head(bytes, &Caps::default()) {
            Ok(Some(head)) => {
                assert!(head.size >= frame::HEAD && head.size <= Caps::default().parameters);
                true
            }
            Ok(None) => bytes.len() < frame::HEAD,
            Err(_) => false,
        }
    });
}
