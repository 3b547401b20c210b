//! A client that speaks the protocol byte for byte, straight to the server or through the gateway.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use countersign_demo::database::Login;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{PATIENCE, Story};

/// A frame of the server's.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub tag: u8,
    pub body: Bytes,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", char::from(self.tag), self.body.escape_ascii())
    }
}

impl Frame {
    /// A field of an ErrorResponse or NoticeResponse.
    pub fn field(&self, kind: u8) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        fields
            .filter(|field| field.first() == Some(&kind))
            .map(|f| String::from_utf8_lossy(&f[1..]).into_owned())
            .next()
    }

    /// Whether this says the same as `other`. An error of the gateway's own has all fields but the
    /// place in PostgreSQL's source.
    pub fn is_like(&self, other: &Self) -> bool {
        let own = self.tag == b'E' && self.field(b'R').is_none();
        if self.tag != other.tag || !own {
            return self == other;
        }
        let fields = |frame: &Self| -> Vec<Vec<u8>> {
            let all = frame.body.split(|byte| *byte == 0).map(<[u8]>::to_vec);
            all.filter(|field| !matches!(field.first(), Some(b'F' | b'L' | b'R'))).collect()
        };
        fields(self) == fields(other)
    }

    /// The id in the notice that says that a statement is held.
    pub fn held(&self) -> Option<String> {
        let message = (self.tag == b'N').then(|| self.field(b'M'))??;
        let (_, rest) = message.split_once("held for approval ")?;
        rest.split_whitespace().next().map(str::to_owned)
    }
}

/// A client, logged in.
pub struct Wire {
    socket: TcpStream,
    input: BytesMut,
    /// What the server said of itself at the login, in order.
    pub greeting: Vec<Frame>,
}

impl Wire {
    /// Logs in at the server itself.
    pub async fn direct(login: &Login, parameters: &[(&str, &str)]) -> Self {
        let socket = TcpStream::connect((login.host.as_str(), login.port)).await.expect("the server");
        Self::start(socket, &login.user, &login.database, login.password.reveal(), parameters).await
    }

    /// Logs in through the gateway.
    pub async fn through(story: &Story, who: &str, parameters: &[(&str, &str)]) -> Self {
        let socket = TcpStream::connect(story.world.facts.listen).await.expect("the gateway");
        Self::through_socket(socket, story, who, parameters).await
    }

    /// Logs in through the gateway, over a socket that leads there.
    pub async fn through_socket(socket: TcpStream, story: &Story, who: &str, parameters: &[(&str, &str)]) -> Self {
        let person = story.world.idp.person(who).expect("somebody");
        let token = story.world.idp.token_for(who).expect("a token");
        Self::start(socket, &person.email, "shop", &token, parameters).await
    }

    async fn start(socket: TcpStream, user: &str, database: &str, password: &str, more: &[(&str, &str)]) -> Self {
        socket.set_nodelay(true).expect("no delay");
        let mut wire = Self { socket, input: BytesMut::new(), greeting: Vec::new() };
        let mut out = BytesMut::new();
        let parameters = [("user", user), ("database", database)].into_iter().chain(more.iter().copied());
        postgres_protocol::message::frontend::startup_message(parameters, &mut out).expect("a startup");
        wire.send(&out).await;
        let mut scram = None;
        loop {
            let frame = wire.frame().await.expect("an answer to the login");
            let mut out = BytesMut::new();
            match (frame.tag, frame.body.first_chunk::<4>().map(|kind| i32::from_be_bytes(*kind))) {
                (b'R', Some(0)) => {}
                (b'R', Some(3)) => {
                    postgres_protocol::message::frontend::password_message(password.as_bytes(), &mut out).expect("it");
                }
                (b'R', Some(10)) => {
                    let client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    let first = client.message().to_vec();
                    scram = Some(client);
                    postgres_protocol::message::frontend::sasl_initial_response(SCRAM_SHA_256, &first, &mut out)
                        .expect("it");
                }
                (b'R', Some(11)) => {
                    let client = scram.as_mut().expect("SCRAM has begun");
                    client.update(&frame.body[4..]).expect("the server's part");
                    postgres_protocol::message::frontend::sasl_response(client.message(), &mut out).expect("it");
                }
                (b'R', Some(12)) => {}
                (b'Z', _) => return wire,
                (b'E', _) => panic!("the login failed: {frame:?}"),
                _ => wire.greeting.push(frame),
            }
            wire.send(&out).await;
        }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        // A peer that has closed says so when it is read.
        let _gone = self.socket.write_all(bytes).await;
    }

    /// The next frame; `None` where the connection ends.
    pub async fn frame(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.next()).await.expect("a frame, or the end")
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.input.first_chunk::<5>() {
                let (tag, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
                let size = usize::try_from(length).expect("a size") + 1;
                if self.input.len() >= size {
                    let mut whole = self.input.split_to(size).freeze();
                    whole.advance(5);
                    return Some(Frame { tag, body: whole });
                }
            }
            if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

/// A client's frame.
fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.put_u32(u32::try_from(body.len() + 4).expect("short"));
    out.extend_from_slice(body);
    out
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &text(sql))
}

/// Parse, without types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Bind of text parameters; results in one format.
pub fn bind(portal: &str, statement: &str, values: &[Option<&str>], format: u16) -> Vec<u8> {
    let mut body = [text(portal), text(statement), vec![0, 0]].concat();
    body.put_u16(u16::try_from(values.len()).expect("few"));
    for value in values {
        match value {
            None => body.put_i32(-1),
            Some(value) => {
                body.put_u32(u32::try_from(value.len()).expect("short"));
                body.extend_from_slice(value.as_bytes());
            }
        }
    }
    body.put_u16(1);
    body.put_u16(format);
    frame(b'B', &body)
}

/// Describe of a statement (`S`) or a portal (`P`).
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[vec![kind], text(name)].concat())
}

/// Execute.
pub fn execute(portal: &str, limit: i32) -> Vec<u8> {
    frame(b'E', &[text(portal), limit.to_be_bytes().to_vec()].concat())
}

/// Close of a statement (`S`) or a portal (`P`).
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[vec![kind], text(name)].concat())
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

/// CopyData.
pub fn copy_data(data: &str) -> Vec<u8> {
    frame(b'd', data.as_bytes())
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    frame(b'c', &[])
}

/// CopyFail.
pub fn copy_fail(why: &str) -> Vec<u8> {
    frame(b'f', &text(why))
}
