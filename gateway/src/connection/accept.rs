//! accept: listens; bounds before allocation; TLS; the first packet.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    authenticate::authenticate,
    cancel::CancelKeys,
    pipe::{End, Socket},
    places::{Full, Place, Places},
    session::{self, Over},
    shards::Shards,
    tls,
};
use crate::{
    refusal::Farewell,
    runtime::Gateway,
    wire::{
        Violation,
        startup::{self, First, Startup},
    },
};

/// How long a client has to take its last word.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(5);
/// How long a client that is refused may go on sending before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);
/// The first byte of a TLS handshake (RFC 8446, section 5.1); as a packet's length it would be over any.
const HANDSHAKE: u8 = 0x16;

/// Listens for clients.
pub struct Listener {
    socket: TcpListener,
    door: Door,
}

/// What every client meets.
#[derive(Clone)]
struct Door {
    gateway: Arc<Gateway>,
    tls: Option<TlsAcceptor>,
    keys: CancelKeys,
    places: Places,
}

impl From<Full> for Farewell {
    fn from(full: Full) -> Self {
        Self::TooMany { from_address: full.from_address }
    }
}

impl From<Violation> for Farewell {
    fn from(violation: Violation) -> Self {
        Self::Protocol { message: violation.to_string() }
    }
}

impl Listener {
    /// Binds the address of `[gateway] listen`.
    ///
    /// # Errors
    /// Where the address is taken, or the certificate can't be used.
    pub async fn bind(gateway: Arc<Gateway>) -> io::Result<Self> {
        let config = &gateway.config.gateway;
        let socket = TcpListener::bind(config.listen)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("[gateway] listen = {}: {e}", config.listen)))?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose().map_err(io::Error::other)?;
        let places = Places::new(&config.bounds);
        Ok(Self { socket, door: Door { gateway, tls, keys: CancelKeys::default(), places } })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes clients until `stop`; the sessions go on in `tasks`, on `shards`.
    pub async fn run(self, stop: CancellationToken, tasks: TaskTracker, shards: Arc<Shards>) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            // A socket belongs to the event loop that it was accepted on, and must go to the session's.
            match accepted.and_then(|(socket, from)| Ok((socket.into_std()?, from.ip()))) {
                Ok((socket, from)) => {
                    // On a socket for both, IPv4 comes in IPv6's clothes.
                    let from = from.to_canonical();
                    let place = self.door.places.knock(from);
                    let door = self.door.clone();
                    let session = async move {
                        match TcpStream::from_std(socket) {
                            Ok(socket) => door.serve(socket, from, place).await,
                            Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
                        }
                    };
                    tasks.spawn_on(session, shards.next());
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Says the last word, if there is one, and closes.
async fn part(mut end: End, farewell: Option<Farewell>) {
    if let Some(farewell) = &farewell {
        say(&mut end, farewell).await;
    } else {
        // The server's own last word may still be on its way.
        let _written = tokio::time::timeout(LAST_WORD_WITHIN, end.flush()).await;
    }
    let mut socket = end.into_socket();
    close(&mut socket).await;
    if farewell.is_some_and(|farewell| !matches!(farewell, Farewell::Ended { .. })) {
        linger(socket).await;
    }
}

impl Door {
    async fn serve(self, socket: TcpStream, from: IpAddr, place: Result<Place, Full>) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a client went at once");
        }
        let mut place = match place {
            Ok(place) => place,
            // Not even heard: whoever is this many gets no work done for them.
            Err(full) => return say(&mut End::new(Box::new(socket)), &full.into()).await,
        };
        let address = from.to_string();
        let mut end = nowhere();
        // Boxed: what a login needs is not kept for the whole session.
        let login = Box::pin(async {
            let Some(opened) = self.opened(socket).await else { return Ok(None) };
            let secured = opened.secured;
            end = opened.end;
            let Some(startup) = self.first(&mut end, secured, from.is_loopback()).await? else { return Ok(None) };
            place.sit().inspect_err(|full| tracing::warn!(%from, ?full, "a client found no place"))?;
            let admitted = authenticate(&self.gateway, &mut end, &startup, &address).await?;
            Ok(Some((startup, admitted)))
        });
        let within = self.gateway.config.gateway.bounds.login_timeout;
        let login = tokio::time::timeout(within, login).await.unwrap_or(Err(Farewell::TooSlow));
        let Over { farewell, finishing } = match login {
            Ok(None) => Over::default(),
            Ok(Some((startup, admitted))) => {
                session::run(self.gateway, &mut end, startup, admitted, address, self.keys).await
            }
            Err(farewell) => farewell.into(),
        };
        Box::pin(part(end, farewell)).await;
        // It has its place until the database is rid of it too.
        if let Some(finishing) = finishing
            && let Err(error) = finishing.await
        {
            tracing::error!(%error, "the backend of a session that was ended was left alone");
        }
    }

    /// The client's end, behind TLS where it begins with that (direct TLS, as since PostgreSQL 17).
    /// `None` where that fails.
    async fn opened(&self, socket: TcpStream) -> Option<Opened> {
        let mut first = [0];
        // What is peeked at stays to be read.
        match socket.peek(&mut first).await {
            Ok(1) if first[0] == HANDSHAKE => {}
            Ok(1) => return Some(Opened { end: End::new(Box::new(socket)), secured: false }),
            _ => return None,
        }
        let stream = handshake(self.tls.as_ref()?, socket).await?;
        // Without ALPN the handshake may have been meant for somebody else. PostgreSQL closes too.
        let ours = stream.get_ref().1.alpn_protocol() == Some(tls::ALPN);
        ours.then(|| Opened { end: End::new(Box::new(stream)), secured: true })
    }

    /// Reads first packets until a StartupMessage comes over a channel that is good enough. `None`
    /// where the client wanted something else (a cancel) and got it.
    async fn first(&self, end: &mut End, secured: bool, loopback: bool) -> Result<Option<Startup>, Farewell> {
        let (mut secured, mut tls_asked, mut gss_asked) = (secured, secured, secured);
        loop {
            let packet = packet(end).await?;
            match startup::parse(&packet)? {
                First::Ssl if !tls_asked => {
                    tls_asked = true;
                    nothing_early(end)?;
                    let Some(acceptor) = &self.tls else {
                        answer(end, b"N").await?;
                        continue;
                    };
                    answer(end, b"S").await?;
                    let plain = std::mem::replace(end, nowhere());
                    let Some(stream) = handshake(acceptor, plain.into_socket()).await else { return Ok(None) };
                    *end = End::new(Box::new(stream));
                    (secured, gss_asked) = (true, true);
                }
                First::Gss if !gss_asked => {
                    gss_asked = true;
                    nothing_early(end)?;
                    answer(end, b"N").await?;
                }
                First::Ssl | First::Gss => {
                    return Err(Farewell::Protocol { message: "encryption was asked for twice".into() });
                }
                First::Cancel(key) => {
                    self.cancel(&key).await;
                    return Ok(None);
                }
                First::Unsupported { major, minor } => return Err(Farewell::OtherProtocol { major, minor }),
                First::Startup(startup) => {
                    if self.tls.is_some() && !secured && !loopback {
                        return Err(Farewell::NeedsTls);
                    }
                    if startup.get("replication").is_some_and(|r| !matches!(r, "false" | "off" | "no" | "0")) {
                        return Err(Farewell::Replication);
                    }
                    return Ok(Some(startup));
                }
            }
        }
    }

    /// The client gets no answer, whatever becomes of it; that the connection closes says that it is done.
    async fn cancel(&self, key: &startup::CancelKey) {
        let Some(target) = self.keys.find(key) else { return };
        if let Err(error) = target.cancel(key).await {
            tracing::warn!(%error, "a cancel request could not be passed on");
        }
    }
}

/// A client's end, and whether it is behind TLS.
struct Opened {
    end: End,
    secured: bool,
}

/// An end that reads nothing, in place of one that is elsewhere.
fn nowhere() -> End {
    End::new(Box::new(tokio::io::empty()))
}

async fn handshake<S: Socket>(acceptor: &TlsAcceptor, socket: S) -> Option<TlsStream<S>> {
    acceptor.accept(socket).await.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
}

/// Bytes behind a request for encryption came before the handshake: nobody vouches for them.
fn nothing_early(end: &End) -> Result<(), Farewell> {
    if end.input.is_empty() {
        return Ok(());
    }
    Err(Farewell::Protocol { message: "received unencrypted data after a request for encryption".into() })
}

async fn packet(end: &mut End) -> Result<bytes::Bytes, Farewell> {
    let gone = |_| Farewell::Protocol { message: "the client closed before its startup message".into() };
    let length = end.exactly(4).await.map_err(gone)?;
    let size = startup::size([length[0], length[1], length[2], length[3]])?;
    end.exactly(size - 4).await.map_err(gone)
}

async fn answer(end: &mut End, byte: &[u8]) -> Result<(), Farewell> {
    end.send(byte);
    end.flush().await.map_err(|_| Farewell::Protocol { message: "the client closed".into() })
}

/// Says a last word. Whoever does not read it is not waited for.
async fn say(end: &mut End, farewell: &Farewell) {
    end.send(&farewell.frame());
    let _written = tokio::time::timeout(LAST_WORD_WITHIN, end.flush()).await;
}

/// Ends the channel as TLS wants it: without that, a client can't tell an end from a cut, and libpq
/// takes a cancel for failed.
async fn close(socket: &mut Box<dyn Socket>) {
    let _closed = tokio::time::timeout(LINGER, socket.shutdown()).await;
}

/// Lets the client read its last word: a socket that is closed with bytes unread is reset, and takes
/// back what was said.
async fn linger(mut socket: Box<dyn Socket>) {
    let work = async {
        let mut unread = [0; 4096];
        while socket.read(&mut unread).await.is_ok_and(|n| n > 0) {}
    };
    let _drained = tokio::time::timeout(LINGER, work).await;
}
