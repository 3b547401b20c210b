//! A client that says bytes, as no driver would.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{PATIENCE, Story};

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
pub const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub struct Raw(Box<dyn Stream>);

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Heard {
    /// A field of an ErrorResponse: `C` its SQLSTATE, `M` its message, `H` its hint.
    pub fn field(&self, kind: u8) -> String {
        let mut fields = self.body.split(|byte| *byte == 0);
        let found = fields.find(|field| field.first() == Some(&kind));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    }
}

/// A message of a client.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[tag], size.as_slice(), body].concat()
}

/// A Query.
pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// A first packet, behind its length.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [size.as_slice(), body].concat()
}

/// A StartupMessage for protocol 3.`minor`.
pub fn startup(minor: u8, parameters: &[(&str, &str)]) -> Vec<u8> {
    let texts = parameters.iter().flat_map(|(name, value)| [name.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
    packet(&[&[0, 3, 0, minor], texts.collect::<Vec<_>>().concat().as_slice(), b"\0"].concat())
}

/// A CancelRequest for the body of a BackendKeyData: a process id and a secret.
pub fn cancel(key: &[u8]) -> Vec<u8> {
    packet(&[&[4, 210, 22, 46], key].concat())
}

impl Raw {
    pub async fn connects(to: SocketAddr) -> Self {
        Self(Box::new(TcpStream::connect(to).await.expect("a connection")))
    }

    pub async fn says(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("bytes are taken");
        self.0.flush().await.expect("bytes are sent");
    }

    pub async fn hears(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(PATIENCE, self.0.read_exact(&mut bytes)).await.expect("an answer in time").expect("an answer");
        bytes
    }

    pub async fn frame(&mut self) -> Heard {
        let head = self.hears(5).await;
        let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        Heard { tag: head[0], body: self.hears(size as usize - 4).await }
    }

    /// What comes up to a message of this type, which is the last.
    pub async fn until(&mut self, tag: u8) -> Vec<Heard> {
        let mut heard = vec![self.frame().await];
        while heard.last().is_some_and(|last| last.tag != tag) {
            heard.push(self.frame().await);
        }
        heard
    }

    /// What comes until the other side closes; a reset counts as that.
    pub async fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("it closes");
        drop(ended);
        bytes
    }

    /// The other side closes without a word, and, where there is TLS, says that it does.
    pub async fn closes(mut self) {
        let mut bytes = Vec::new();
        let ended = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("it closes");
        assert_eq!((ended.expect("an orderly end"), bytes), (0, Vec::new()));
    }

    /// A TLS handshake, here and now.
    pub async fn in_tls(self, client: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = timeout(PATIENCE, TlsConnector::from(client).connect(name, self.0)).await.expect("an answer")?;
        Ok(Self(Box::new(stream)))
    }

    /// The same, after asking for it.
    pub async fn asks_for_tls(mut self, client: Arc<ClientConfig>) -> io::Result<Self> {
        self.says(&SSL_REQUEST).await;
        assert_eq!(self.hears(1).await, b"S");
        self.in_tls(client).await
    }

    /// Logs in; what comes up to ReadyForQuery, or up to an error.
    pub async fn logs_in(&mut self, minor: u8, more: &[(&str, &str)], token: &str) -> Vec<Heard> {
        let mut parameters = [&[("user", "")], more].concat();
        if !more.iter().any(|(name, _)| *name == "database") {
            parameters.push(("database", "shop"));
        }
        self.says(&startup(minor, &parameters)).await;
        let mut heard = self.until(b'R').await;
        self.says(&message(b'p', format!("{token}\0").as_bytes())).await;
        loop {
            heard.push(self.frame().await);
            if heard.last().is_some_and(|last| matches!(last.tag, b'Z' | b'E')) {
                return heard;
            }
        }
    }
}

impl Story {
    /// A raw client of the gateway.
    pub async fn raw(&self) -> Raw {
        Raw::connects(self.world.facts.listen).await
    }

    /// A raw client that is logged in, and its cancel key.
    pub async fn raw_session(&self, who: &str) -> (Raw, Vec<u8>) {
        let token = self.world.idp.token_for(who).expect("a token");
        let mut raw = self.raw().await;
        let heard = raw.logs_in(0, &[], &token).await;
        let key = heard.iter().find(|heard| heard.tag == b'K').unwrap_or_else(|| panic!("no key: {heard:?}"));
        (raw, key.body.clone())
    }
}
