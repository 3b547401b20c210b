//! A client that sends the protocol's messages one by one, in orders that no driver would.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres_protocol::{IsNull, message::frontend};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

/// Messages of one group or more, in order.
#[derive(Clone, Default)]
pub struct Script(BytesMut);

impl Script {
    pub fn parse(self, name: &str, sql: &str) -> Self {
        self.parse_typed(name, sql, &[])
    }

    pub fn parse_typed(mut self, name: &str, sql: &str, types: &[u32]) -> Self {
        frontend::parse(name, sql, types.iter().copied(), &mut self.0).expect("a Parse");
        self
    }

    pub fn bind(self, portal: &str, statement: &str) -> Self {
        self.bind_with(portal, statement, &[])
    }

    pub fn bind_with(mut self, portal: &str, statement: &str, values: &[&str]) -> Self {
        let value = |value: &&str, out: &mut BytesMut| {
            out.put_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        let bound = frontend::bind(portal, statement, [], values, value, [], &mut self.0);
        assert!(bound.is_ok(), "a Bind");
        self
    }

    /// The same, of values in the binary format.
    pub fn bind_binary(mut self, portal: &str, statement: &str, values: &[&[u8]]) -> Self {
        let value = |value: &&[u8], out: &mut BytesMut| {
            out.put_slice(value);
            Ok(IsNull::No)
        };
        let bound = frontend::bind(portal, statement, [1], values, value, [], &mut self.0);
        assert!(bound.is_ok(), "a Bind");
        self
    }

    pub fn describe(mut self, statement: &str) -> Self {
        frontend::describe(b'S', statement, &mut self.0).expect("a Describe");
        self
    }

    /// No more than so many rows.
    pub fn execute_some(mut self, portal: &str, rows: i32) -> Self {
        frontend::execute(portal, rows, &mut self.0).expect("an Execute");
        self
    }

    pub fn execute(mut self, portal: &str) -> Self {
        frontend::execute(portal, 0, &mut self.0).expect("an Execute");
        self
    }

    /// Parse, Bind and Execute, all unnamed.
    pub fn runs(self, sql: &str) -> Self {
        self.parse("", sql).bind("", "").execute("")
    }

    pub fn close(mut self, statement: &str) -> Self {
        frontend::close(b'S', statement, &mut self.0).expect("a Close");
        self
    }

    pub fn sync(mut self) -> Self {
        frontend::sync(&mut self.0);
        self
    }

    pub fn flush(mut self) -> Self {
        frontend::flush(&mut self.0);
        self
    }

    pub fn query(mut self, sql: &str) -> Self {
        frontend::query(sql, &mut self.0).expect("a Query");
        self
    }
}

/// A logged-in session.
pub struct Wire {
    socket: TcpStream,
    input: BytesMut,
}

impl Wire {
    pub async fn log_in(gateway: SocketAddr, connection: &str, token: &str) -> Self {
        let mut wire =
            Self { socket: TcpStream::connect(gateway).await.expect("the gateway"), input: BytesMut::default() };
        let mut out = BytesMut::new();
        frontend::startup_message([("user", ""), ("database", connection)], &mut out).expect("a startup");
        frontend::password_message(token.as_bytes(), &mut out).expect("a password");
        wire.socket.write_all(&out).await.expect("a login");
        wire.until_ready(1).await;
        wire
    }

    /// Sends it all at once.
    pub async fn sends(&mut self, script: Script) {
        self.socket.write_all(&script.0).await.expect("sent");
    }

    /// Sends it, and reads until the server was ready `times`: what completed and what failed, by
    /// command tag and SQLSTATE.
    pub async fn says(&mut self, script: Script, times: usize) -> Vec<String> {
        self.sends(script).await;
        self.until_ready(times).await
    }

    pub async fn until_ready(&mut self, times: usize) -> Vec<String> {
        self.until_ready_with_rows(times).await.1
    }

    /// The same, and how many rows came.
    pub async fn until_ready_with_rows(&mut self, mut times: usize) -> (usize, Vec<String>) {
        let (mut rows, mut said) = (0, Vec::new());
        while times > 0 {
            let (tag, body) = self.message().await;
            match tag {
                b'C' => said.push(String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()),
                b'E' => said.push(code(&body)),
                b'D' => rows += 1,
                b'Z' => times -= 1,
                _ => {}
            }
        }
        (rows, said)
    }

    /// Reads until a statement is held, the id in its notice; or refused.
    pub async fn is_held_or_refused(&mut self) -> Option<String> {
        loop {
            let (tag, body) = self.message().await;
            let text = String::from_utf8_lossy(&body);
            if let Some((_, rest)) = text.split_once("held for approval ") {
                return rest.split_whitespace().next().map(str::to_owned);
            }
            if matches!(tag, b'E' | b'Z') {
                assert_eq!(tag, b'E', "held or refused, and not run");
                return None;
            }
        }
    }

    /// Reads until a statement is held: the id in its notice.
    pub async fn is_held(&mut self) -> String {
        loop {
            let (tag, body) = self.message().await;
            let text = String::from_utf8_lossy(&body);
            assert_ne!(tag, b'E', "held, not refused: {text}");
            if let Some((_, rest)) = text.split_once("held for approval ") {
                return rest.split_whitespace().next().expect("an id").to_owned();
            }
        }
    }

    /// Reads until a statement is held, the id in its notice; or refused, or the session is ready in such a state.
    pub async fn is_held_or_ready(&mut self, in_states: &[u8]) -> Option<String> {
        loop {
            let (tag, body) = self.message().await;
            let text = String::from_utf8_lossy(&body);
            if let Some((_, rest)) = text.split_once("held for approval ") {
                return rest.split_whitespace().next().map(str::to_owned);
            }
            if tag == b'E' || tag == b'Z' && body.first().is_some_and(|state| in_states.contains(state)) {
                return None;
            }
        }
    }

    /// Reads until a statement is held, of which no row may have come: the id in its notice.
    pub async fn is_held_before_any_row(&mut self) -> String {
        loop {
            let (tag, body) = self.message().await;
            let text = String::from_utf8_lossy(&body);
            assert!(!matches!(tag, b'D' | b'C' | b'E'), "nothing of it is said yet: {text}");
            if let Some((_, rest)) = text.split_once("held for approval ") {
                return rest.split_whitespace().next().expect("an id").to_owned();
            }
        }
    }

    async fn message(&mut self) -> (u8, Bytes) {
        loop {
            if let Some(head) = self.input.first_chunk::<5>() {
                let tag = head[0];
                let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize + 1;
                if self.input.len() >= size {
                    let mut whole = self.input.split_to(size).freeze();
                    whole.advance(5);
                    return (tag, whole);
                }
            }
            let read = timeout(PATIENCE, self.socket.read_buf(&mut self.input)).await.expect("an answer");
            assert!(read.expect("a socket that is read") > 0, "the gateway closed the session");
        }
    }
}

/// The SQLSTATE of an ErrorResponse.
fn code(body: &[u8]) -> String {
    let field = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'C'));
    field.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
}
