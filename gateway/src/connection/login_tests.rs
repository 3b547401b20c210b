//! Servers that lie, each a list of frames that it sends whatever the gateway answers.

use countersign_shared::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::{
    binding::Binding,
    dial::Dialed,
    login::{Words, log_in},
    pipe::End,
    upstream::{Opened, UpstreamError},
};

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

fn asks(kind: i32, rest: &[u8]) -> Vec<u8> {
    frame(b'R', &[kind.to_be_bytes().as_slice(), rest].concat())
}

fn ok() -> Vec<u8> {
    asks(0, b"")
}

fn ready() -> Vec<u8> {
    frame(b'Z', b"I")
}

fn key(length: usize) -> Vec<u8> {
    frame(b'K', &[[0, 0, 0, 7].as_slice(), &vec![9; length]].concat())
}

/// What a server that says `frames` makes of a login, and what it was told.
async fn told(minor: u16, private: bool, binding: Binding, frames: &[Vec<u8>]) -> (Result<Opened, String>, Vec<u8>) {
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(&frames.concat()).await.expect("room");
    let dialed = Dialed { end: End::new(Box::new(ours)), private, binding };
    let password = Secret::new("hunter2".to_owned());
    let words = Words { user: "app", password: Some(&password), database: "shop", minor, parameters: &[] };
    // A server that stops in mid-login is no answer; the script ends where the server would wait.
    let login = async {
        let opened = log_in(dialed, &words).await;
        opened.map_err(|error: UpstreamError| error.to_string())
    };
    let mut heard = Vec::new();
    let result = tokio::select! {
        biased;
        result = login => result,
        () = tokio::time::sleep(std::time::Duration::from_secs(60)) => Err("it waits".to_owned()),
    };
    if result.is_err() {
        theirs.shutdown().await.expect("shut");
        theirs.read_to_end(&mut heard).await.expect("all that was said");
    }
    (result, heard)
}

async fn says(minor: u16, frames: &[Vec<u8>]) -> Result<Opened, String> {
    told(minor, true, Binding::NoTls, frames).await.0
}

#[tokio::test(start_paused = true)]
async fn what_comes_out_of_turn_ends_the_login() {
    let scram = asks(10, b"SCRAM-SHA-256\0\0");
    let parameter = frame(b'S', b"server_version\x0015\0");
    let older = frame(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
    let table: [(&str, Vec<Vec<u8>>, &str); 18] = [
        ("ready before it asked for anything", vec![ready()], "'Z' out of turn"),
        ("a parameter before the login is over", vec![parameter.clone(), ok(), ready()], "'S' out of turn"),
        ("a key before the login is over", vec![key(4), ok(), ready()], "'K' out of turn"),
        ("two keys", vec![ok(), key(4), key(4), ready()], "'K' out of turn"),
        ("a second question", vec![asks(3, b""), asks(3, b"")], "message 3 out of turn"),
        ("in, and then another question", vec![ok(), asks(3, b"")], "message 3 out of turn"),
        ("in twice", vec![ok(), ok(), ready()], "message 0 out of turn"),
        ("SCRAM ends without the server's proof", vec![scram.clone(), ok(), ready()], "message 0 out of turn"),
        ("a proof without a challenge", vec![scram.clone(), asks(12, b"v=AAAA")], "message 12 out of turn"),
        ("a challenge out of the blue", vec![asks(11, b"r=a,s=AAAA,i=4096")], "message 11 out of turn"),
        ("rows", vec![ok(), frame(b'D', b"\0\0")], "'D' out of turn"),
        ("a negotiation that nobody began", vec![older.clone(), ok(), ready()], "the server negotiates 3.0"),
        ("a negotiation behind its time", vec![ok(), older], "'v' out of turn"),
        ("GSSAPI", vec![asks(7, b"")], "not supported (7)"),
        ("an error without an SQLSTATE", vec![frame(b'E', b"SFATAL\0Mno\0\0")], "without an SQLSTATE"),
        ("ready, and something more", vec![ok(), frame(b'Z', b"I\0\0")], "does not end in a transaction"),
        ("ready in a transaction", vec![ok(), frame(b'Z', b"T")], "does not end in a transaction"),
        ("an MD5 salt that is cut", vec![asks(5, b"ab")], "ends early"),
    ];
    for (case, frames, expected) in table {
        let error = says(0, &frames).await.err().unwrap_or_else(|| panic!("{case}: it is let pass"));
        assert!(error.contains(expected), "{case}: {error}");
    }
    let good = says(0, &[ok(), parameter, key(4), ready()]).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(good.parameters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_bounded() {
    let notice = frame(b'N', &vec![b'x'; 60 << 10]);
    let challenge = |iterations: &str| asks(11, format!("r=nonce,s=AAAA,i={iterations}").as_bytes());
    let scram = asks(10, b"SCRAM-SHA-256\0\0");
    let table = [
        ("a message of 64 kB", vec![frame(b'N', &vec![b'x'; 64 << 10])], "are allowed"),
        ("no end of notices", vec![notice; 5], "says too much"),
        ("an hour of hashing", vec![scram.clone(), challenge("4000000000")], "iteration count is out of bounds"),
        ("none", vec![scram.clone(), challenge("0")], "iteration count is out of bounds"),
        ("a number that is none", vec![scram.clone(), challenge("-1")], "iteration count is out of bounds"),
        ("no number", vec![scram.clone(), asks(11, b"r=nonce,s=AAAA")], "iteration count is out of bounds"),
        ("somebody else's nonce", vec![scram, challenge("4096")], "invalid nonce"),
    ];
    for (case, frames, expected) in table {
        let error = says(0, &frames).await.err().unwrap_or_else(|| panic!("{case}: it is let pass"));
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_change_how_texts_are_read_are_refused() {
    for (setting, good) in [
        ("client_encoding\0UTF8\0", true),
        ("client_encoding\0SJIS\0", false),
        ("standard_conforming_strings\0on\0", true),
        ("standard_conforming_strings\0off\0", false),
        ("DateStyle\0German\0", true),
    ] {
        let said = says(0, &[ok(), frame(b'S', setting.as_bytes()), ready()]).await;
        assert_eq!(said.is_ok(), good, "{setting:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_key_is_as_long_as_the_protocol_allows() {
    let older = frame(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
    let table = [
        (0, vec![], 4, true),
        (0, vec![], 32, false),
        (0, vec![], 3, false),
        (2, vec![], 4, true),
        (2, vec![], 32, true),
        (2, vec![], 256, true),
        (2, vec![], 257, false),
        (2, vec![], 3, false),
        // A server that speaks 3.0 only.
        (2, vec![older.clone()], 4, true),
        (2, vec![older], 32, false),
    ];
    for (minor, before, length, good) in table {
        let said = says(minor, &[before, vec![ok(), key(length), ready()]].concat()).await;
        match said {
            Ok(opened) => {
                assert!(good, "3.{minor} with {length}");
                assert_eq!(opened.cancel.expect("a key").secret.len(), length);
            }
            Err(error) => assert!(!good, "3.{minor} with {length}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clear_password_goes_where_nobody_else_hears_it() {
    let asks = [asks(3, b"")];
    let (result, heard) = told(0, false, Binding::NoTls, &asks).await;
    assert!(result.is_err_and(|error| error.contains("clear text")));
    assert!(!heard.windows(7).any(|window| window == b"hunter2"));
    let (result, heard) = told(0, true, Binding::EndPoint(vec![1; 32]), &asks).await;
    assert_eq!(result.err().as_deref(), Some("it waits"));
    assert!(heard.windows(7).any(|window| window == b"hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_login_is_bound_to_tls_wherever_the_server_can() {
    let both = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0".as_slice();
    let plain = b"SCRAM-SHA-256\0\0".as_slice();
    let bound = || Binding::EndPoint(vec![1; 32]);
    let table = [
        ("bound", bound(), both, Ok("SCRAM-SHA-256-PLUS\0\0\0\0\x35p=tls-server-end-point,,")),
        ("the server can't: told that we could", bound(), plain, Ok("SCRAM-SHA-256\0\0\0\0\x20y,,")),
        ("no TLS", Binding::NoTls, plain, Ok("SCRAM-SHA-256\0\0\0\0\x20n,,")),
        ("PLUS without TLS", Binding::NoTls, both, Err("there is no TLS")),
        ("a certificate that says no hash", Binding::NoHash, both, Err("can't be bound")),
        ("such a certificate, and no PLUS", Binding::NoHash, plain, Ok("SCRAM-SHA-256\0\0\0\0\x20n,,")),
        ("nothing that we speak", bound(), b"OAUTHBEARER\0\0", Err("not supported (10)")),
    ];
    for (case, binding, offered, expected) in table {
        let (result, heard) = told(0, true, binding, &[asks(10, offered)]).await;
        match expected {
            Ok(said) => {
                assert_eq!(result.err().as_deref(), Some("it waits"), "{case}");
                let heard = String::from_utf8_lossy(&heard).into_owned();
                assert!(heard.contains(said), "{case}: {heard:?}");
            }
            Err(why) => assert!(result.is_err_and(|error| error.contains(why)), "{case}"),
        }
    }
}
