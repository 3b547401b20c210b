//! For programs that keep a password in a dialog: a port of this machine for each connection, with a
//! password that only this machine's user knows and that is worth nothing elsewhere. The token, which the
//! gateway wants and which ends, is put in on the way.

use std::{future::Future, io, pin::Pin, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use countersign_gateway::{
    config::{Authorities, Upstream, UpstreamTls},
    connection::{dial::dial, pipe::End},
    refusal::Farewell,
    wire::{
        frame,
        startup::{self, First, Startup},
    },
};
use countersign_shared::secret::Secret;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{NotSignedIn, relay::Relay};

/// What is known of the gateway at the time of a login, and the token for it.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The gateway's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The CA to verify it by; the system's where there is none.
    pub authorities: Option<Authorities>,
    /// Who logs in; the gateway reads it in the token where this is empty.
    pub user: String,
    /// The token.
    pub token: Secret<String>,
    /// Its end, where that is known.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Gives a pass that is good now.
pub type Passes = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Pass, NotSignedIn>> + Send>> + Send + Sync;

/// One connection's way through.
#[derive(Clone)]
pub struct Proxy {
    /// The connection.
    pub connection: String,
    /// What a client must send as its password.
    pub secret: Secret<String>,
    /// Gives a pass that is good now.
    pub passes: Arc<Passes>,
}

impl Proxy {
    /// Serves clients until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let mut clients = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let proxy = self.clone();
            while clients.try_join_next().is_some() {}
            clients.spawn(async move {
                let _nodelay = socket.set_nodelay(true);
                let mut end = End::new(Box::new(socket));
                if let Err(farewell) = proxy.client(&mut end).await {
                    // Whoever is gone reads nothing.
                    end.send(&farewell.frame());
                    let _gone = end.flush().await;
                }
            });
        }
    }

    async fn client(&self, client: &mut End) -> Result<(), Farewell> {
        let Some(startup) = self.first(client).await? else { return Ok(()) };
        let asked = startup.get("database").or_else(|| startup.get("user")).unwrap_or_default();
        if !asked.is_empty() && asked != self.connection && startup.get("database").is_some() {
            let message = format!("this port is for {}, not for {asked}", self.connection);
            return Err(Farewell::Protocol { message });
        }
        client.send(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]);
        let word = message(client).await?;
        let said = word.get(frame::HEAD..).and_then(|body| body.strip_suffix(&[0])).unwrap_or_default();
        if word[0] != b'p' || !same(said, self.secret.reveal().as_bytes()) {
            let message = "this is not the password that `countersign proxy` told".to_owned();
            return Err(Farewell::Ended { reason: message });
        }
        let pass = (self.passes)().await.map_err(|error| Farewell::Ended { reason: error.to_string() })?;
        let mut gateway = self.gateway(&pass).await?;
        let mut parameters = vec![("user", pass.user.as_str()), ("database", self.connection.as_str())];
        let others = startup.parameters.iter().filter(|(name, _)| name != "user" && name != "database");
        parameters.extend(others.map(|(name, value)| (name.as_str(), value.as_str())));
        gateway.send(&startup::message(startup.minor, &parameters)?);
        loop {
            let frame = message(&mut gateway).await?;
            match (frame[0], frame.get(frame::HEAD..).unwrap_or_default()) {
                (b'R', [0, 0, 0, 3]) => break,
                (b'v', _) => client.send(&frame),
                (b'E', _) => {
                    client.send(&frame);
                    return client.flush().await.map_err(gone);
                }
                _ => return Err(Farewell::Protocol { message: "the gateway asks for something else".into() }),
            }
        }
        gateway.send(&password(pass.token.reveal()));
        gateway.flush().await.map_err(unreachable)?;
        let client = std::mem::replace(client, End::new(Box::new(tokio::io::empty())));
        Relay::new(client, gateway, &pass, Arc::clone(&self.passes)).run().await.map_err(gone)
    }

    /// Reads until a StartupMessage comes. `None` where it was a cancel, which is passed on.
    async fn first(&self, client: &mut End) -> Result<Option<Startup>, Farewell> {
        // SSLRequest and GSSENCRequest, each once.
        for _ in 0..3 {
            let size = client.exactly(4).await.map_err(gone)?;
            let size = usize::try_from(i32::from_be_bytes([size[0], size[1], size[2], size[3]])).unwrap_or(0);
            if !(8..=startup::CAP).contains(&size) {
                return Err(Farewell::Protocol { message: "the first packet has no sensible length".into() });
            }
            let packet = client.exactly(size - 4).await.map_err(gone)?;
            match startup::parse(&packet)? {
                First::Ssl | First::Gss => {
                    client.send(b"N");
                    client.flush().await.map_err(gone)?;
                }
                First::Cancel(key) => {
                    if let Ok(pass) = (self.passes)().await {
                        let mut gateway = self.gateway(&pass).await?;
                        gateway.send(&key.packet());
                        gateway.flush().await.map_err(unreachable)?;
                    }
                    return Ok(None);
                }
                First::Unsupported { major, minor } => return Err(Farewell::OtherProtocol { major, minor }),
                First::Startup(startup) => return Ok(Some(startup)),
            }
        }
        Err(Farewell::Protocol { message: "encryption was asked for again and again".into() })
    }

    async fn gateway(&self, pass: &Pass) -> Result<End, Farewell> {
        let tls = match (&pass.authorities, pass.tls) {
            (_, false) => UpstreamTls::Disable,
            (Some(authorities), true) => UpstreamTls::VerifyFull(authorities.clone()),
            (None, true) => UpstreamTls::VerifyFull(Authorities::of_the_system()),
        };
        let to = Upstream {
            host: pass.host.clone(),
            port: pass.port,
            user: String::new(),
            password: None,
            database: String::new(),
            tls,
        };
        dial(&to).await.map(|dialed| dialed.end).map_err(unreachable)
    }
}

fn gone(_: io::Error) -> Farewell {
    Farewell::Protocol { message: "the client has gone".into() }
}

fn unreachable(error: impl std::fmt::Display) -> Farewell {
    Farewell::Ended { reason: format!("the gateway can't be reached: {error}") }
}

fn password(token: &str) -> Vec<u8> {
    let size = u32::try_from(token.len() + 5).unwrap_or(u32::MAX);
    [b"p".as_slice(), &size.to_be_bytes(), token.as_bytes(), &[0]].concat()
}

/// Compares without telling by its time where the difference is.
fn same(said: &[u8], secret: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(said, secret).is_ok()
}

/// The next message, whole.
async fn message(end: &mut End) -> Result<Bytes, Farewell> {
    end.flush().await.map_err(gone)?;
    loop {
        if let Some(head) = frame::head(&end.input, |_| frame::LOGIN_CAP)?
            && end.input.len() >= head.size
        {
            return Ok(end.input.split_to(head.size).freeze());
        }
        end.read().await.map_err(gone)?;
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("connection", &self.connection).finish_non_exhaustive()
    }
}
