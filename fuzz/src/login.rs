//! A server's half of a login, whatever the gateway answers.

use countersign_gateway::connection::{
    binding::Binding,
    dial::Dialed,
    login::{Words, log_in},
    pipe::End,
};
use countersign_shared::secret::Secret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    runtime::Builder,
};

/// More than all that a login may say.
const ROOM: usize = 1 << 20;
const PASSWORD: &str = "never in clear";

/// Frames of a server, of which the first byte says what the gateway knows of the connection. None is in
/// unless the server said so, and the password goes nowhere in clear but to where nobody listens.
pub fn login(data: &[u8]) {
    let Some((how, frames)) = data.split_first() else { return };
    let private = how & 1 == 1;
    let binding = match how >> 1 & 3 {
        0 => Binding::NoTls,
        1 => Binding::NoHash,
        _ => Binding::EndPoint(vec![7; 32]),
    };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (inside, heard) = runtime.block_on(async {
        let (ours, mut theirs) = duplex(ROOM);
        theirs.write_all(frames).await.expect("inputs are short");
        theirs.shutdown().await.expect("nothing follows");
        let dialed = Dialed { end: End::new(Box::new(ours)), private, binding };
        let password = Secret::new(PASSWORD.to_owned());
        let minor = u16::from(how >> 3 & 3);
        let words = Words { user: "app", password: Some(&password), database: "shop", minor, parameters: &[] };
        let opened = log_in(dialed, &words).await;
        let inside = opened.is_ok();
        drop(opened);
        (inside, rest(theirs).await)
    });
    let said = |what: &[u8]| frames.windows(what.len()).any(|window| window == what);
    assert!(!inside || said(b"R\0\0\0\x08\0\0\0\0") && said(b"Z\0\0\0\x05"), "nobody let it in");
    let told = heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
    assert!(private || !told, "the password was told in clear");
}

/// What the gateway said.
async fn rest(mut from: DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    from.read_to_end(&mut heard).await.expect("its end is closed");
    heard
}
