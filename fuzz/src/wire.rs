//! Bytes of clients and of servers: what a decoder reads must account for every byte of the frame.

use bytes::Bytes;
use countersign_gateway::{
    connection::facts::startup_parameters,
    statement::values,
    wire::{
        backend,
        frame::{self, Caps},
        frontend::{self, Message},
        replies::{Meaning, Replies, Sent},
        startup::{self, First, Startup},
    },
};

fn framed(tag: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len() + 4).expect("inputs are short").to_be_bytes();
    [&[tag], length.as_slice(), body].concat().into()
}

/// A frame's head, before its sender is logged in and after.
pub fn head(data: &[u8]) {
    let caps = Caps { statement: 1 << 10, parameters: 1 << 12, copy_data: 1 << 14 };
    if let Ok(head) = frame::client_head(data, &caps) {
        assert_eq!(head.is_none(), data.len() < frame::HEAD);
        assert!(head.is_none_or(|head| (frame::HEAD..=1 << 16).contains(&head.size)));
    }
    if let Ok(Some(head)) = frame::head(data, |_| frame::LOGIN_CAP) {
        assert!((frame::HEAD..=frame::LOGIN_CAP).contains(&head.size));
    }
}

/// A client's first packet, without its length; and what of it goes upstream.
pub fn first_packet(data: &[u8]) {
    if let Some(first) = data.first_chunk::<4>()
        && let Ok(size) = startup::size(*first)
    {
        assert!((8..=startup::CAP).contains(&size));
    }
    match startup::parse(data) {
        Ok(First::Startup(startup)) => {
            let pairs: Vec<_> = startup.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let again = startup::message(startup.minor, &pairs).expect("texts that were read hold no NUL");
            assert_eq!(again[4..], *data);
            if let Some(frame) = startup.negotiation() {
                let head = frame::head(&frame, |_| frame::SERVER_CAP).expect("ours").expect("whole");
                assert_eq!(head.size, frame.len());
            }
            passed_on(&startup);
        }
        Ok(First::Cancel(key)) => assert_eq!(key.packet()[4..], *data),
        Ok(_) | Err(_) => {}
    }
}

/// The startup parameter `options`, whose words the gateway takes apart itself.
pub fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !text.contains('\0') {
        passed_on(&Startup { minor: 0, parameters: vec![("options".to_owned(), text.to_owned())] });
    }
}

/// What is pinned stays pinned, whatever the client asked for, and it all fits a message.
fn passed_on(startup: &Startup) {
    let Ok((upstream, _)) = startup_parameters(startup, "ana@acme.dev") else { return };
    let pairs: Vec<_> = upstream.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert!(startup::message(0, &pairs).is_ok());
    for (name, pinned) in [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")] {
        let given: Vec<_> = pairs.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).collect();
        assert_eq!(given, [&(name, pinned)]);
    }
    for forbidden in ["user", "database", "options", "replication", "role", "session_authorization"] {
        assert!(pairs.iter().all(|(name, _)| !name.eq_ignore_ascii_case(forbidden)), "{forbidden}");
    }
}

/// A message of a client that is logged in: its type, and a body.
pub fn client_message(data: &[u8]) {
    let Some((tag, body)) = data.split_first() else { return };
    let frame = framed(*tag, body);
    let Ok(message) = frontend::parse(&frame) else { return };
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
            assert!(
                (0..bind.parameters.len())
                    .all(|index| bind.formats.is_empty() || bind.formats.contains(&bind.format(index)))
            );
        }
        Message::Execute { portal, .. } => assert_eq!(portal.len() + 5, body.len()),
        Message::Describe { name, .. } | Message::Close { name, .. } => assert_eq!(name.len() + 2, body.len()),
        Message::CopyData | Message::CopyFail | Message::FunctionCall => {}
        Message::Flush | Message::Sync | Message::CopyDone | Message::Terminate => assert!(body.is_empty()),
    }
}

/// A message of a server: every reader of one is given it.
pub fn server_message(data: &[u8]) {
    if let Ok(report) = backend::report(data) {
        assert!(report.code.len() == 5 && report.code.is_ascii());
    }
    if let Ok(values) = backend::row(data) {
        let bytes: usize = values.iter().map(|value| 4 + value.as_ref().map_or(0, String::len)).sum();
        assert_eq!(bytes + 2, data.len());
    }
    if let Ok(types) = backend::parameter_types(data) {
        assert_eq!(types.len() * 4 + 2, data.len());
    }
    let frame = framed(b'T', data);
    for formats in [&[][..], &[1], &[1, 0]] {
        if let Ok(changed) = backend::with_formats(&frame, formats) {
            assert_eq!(changed.len(), frame.len());
            assert_eq!(changed[..frame::HEAD + 2], frame[..frame::HEAD + 2]);
        }
    }
}

/// A server's NegotiateProtocolVersion: it never gets more than was asked for.
pub fn negotiation(data: &[u8]) {
    for asked in 0..=startup::NEWEST {
        if let Ok(minor) = startup::negotiated(data, asked) {
            assert!(minor < asked);
        }
    }
}

/// The reply queue between a client that sends anything and a server that answers anything: each run
/// ends once at most, and what was not asked for is not believed.
pub fn replies(data: &[u8]) {
    let (mut queue, mut run, mut ended) = (Replies::default(), 0_u64, std::collections::BTreeSet::new());
    for pair in data.as_chunks::<2>().0 {
        let [what, of] = *pair;
        let sent = match what % 16 {
            0 => Sent::Parse { name: if of & 2 == 0 { String::new() } else { "s".to_owned() }, of: of.into() },
            1 => Sent::Bind,
            2 => Sent::Close,
            3 => Sent::DescribeStatement { of: of.into() },
            4 => Sent::DescribePortalByStatement { of: of.into(), formats: vec![1] },
            5 => Sent::DescribePortal,
            6 => Sent::Execute {
                run: {
                    run += 1;
                    run
                },
            },
            7 => Sent::Query {
                run: {
                    run += 1;
                    run
                },
            },
            8 => Sent::Sync,
            9 => {
                queue.answer(Bytes::from_static(b"ours"));
                continue;
            }
            _ => {
                while queue.due().is_some() {}
                assert!(!queue.has_due());
                let quiet = queue.is_quiet();
                assert!(!quiet || queue.rows().is_err(), "rows that nobody asked for");
                let Ok((_, meaning)) = queue.take(of) else { return };
                let over = match meaning {
                    Meaning::Completed { run, last: true } | Meaning::Ready { run: Some(run) } => vec![run],
                    Meaning::Failed { skipped, .. } => skipped,
                    Meaning::Completed { run, .. } | Meaning::Suspended { run } => {
                        assert!(!ended.contains(&run), "run {run} goes on after its end");
                        continue;
                    }
                    _ => continue,
                };
                for run in over {
                    assert!(ended.insert(run), "run {run} ends twice");
                }
                continue;
            }
        };
        if of & 1 == 0 {
            queue.sent(sent);
        } else {
            queue.sent_for_us(sent);
        }
    }
}

/// A bound value, of which approvers read a text: its type's oid, and its bytes.
pub fn value(data: &[u8]) {
    let Some((oid, bytes)) = data.split_first_chunk::<2>() else { return };
    let shown = values::binary(u16::from_be_bytes(*oid).into(), bytes);
    assert!(shown.len() <= 256 + bytes.len() * 16, "{} bytes make a text of {}", bytes.len(), shown.len());
    let text = values::text(bytes);
    assert!(std::str::from_utf8(bytes).map_or(true, |same| same == text));
}
