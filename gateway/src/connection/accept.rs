//! accept: listens; bounds before allocation; TLS; the first packet.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    authenticate::{LOGIN_WITHIN, authenticate},
    cancel::CancelKeys,
    pipe::End,
    session, upstream,
};
use crate::{
    config::TlsConfig,
    refusal::Farewell,
    runtime::Gateway,
    wire::startup::{self, First, Startup},
};

/// The most connections at once, in all and from one address.
const MOST: usize = 5_000;
const MOST_FROM_ONE: usize = 2_500;

/// Listens for clients.
pub struct Listener {
    gateway: Arc<Gateway>,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    keys: CancelKeys,
    count: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Reads certificate and key.
///
/// # Errors
/// In a sentence, with the file.
pub fn tls(config: &TlsConfig) -> Result<TlsAcceptor, String> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&config.cert)
            .and_then(Iterator::collect)
            .map_err(|e| format!("{}: not a certificate chain in PEM: {e}", config.cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|e| format!("{}: not a private key in PEM: {e}", config.key.display()))?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| format!("{}: {e}", config.cert.display()))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

struct Place {
    address: IpAddr,
    count: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = count.get_mut(&self.address) {
            *n -= 1;
            if *n == 0 {
                count.remove(&self.address);
            }
        }
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
        let tls = config.tls.as_ref().map(tls).transpose().map_err(io::Error::other)?;
        Ok(Self { socket, tls, gateway, keys: CancelKeys::default(), count: Arc::default() })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = count.values().sum();
        let mine = count.entry(address).or_default();
        if all >= MOST || *mine >= MOST_FROM_ONE {
            return None;
        }
        *mine += 1;
        Some(Place { address, count: Arc::clone(&self.count) })
    }

    /// Takes clients until `stop`; the sessions go on in `tasks`.
    pub async fn run(self, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            };
            let place = self.place(from.ip());
            let (gateway, tls, keys) = (Arc::clone(&self.gateway), self.tls.clone(), self.keys.clone());
            tasks.spawn(async move {
                serve(gateway, socket, from, tls, keys, place.is_some()).await;
                drop(place);
            });
        }
    }
}

async fn serve(
    gateway: Arc<Gateway>,
    socket: TcpStream,
    from: SocketAddr,
    tls: Option<TlsAcceptor>,
    keys: CancelKeys,
    placed: bool,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a client went at once");
    }
    let mut end = End::new(Box::new(socket));
    let address = from.ip().to_string();
    let login = async {
        if !placed {
            return Err(Farewell::TooMany);
        }
        let (secured, startup) = match first(&mut end, tls.as_ref(), from.ip().is_loopback(), &keys).await? {
            Some((secured, startup)) => (secured, startup),
            None => return Ok(None),
        };
        end = secured;
        let admitted = authenticate(&gateway, &mut end, &startup, &address).await?;
        Ok(Some((startup, admitted)))
    };
    let login = tokio::time::timeout(LOGIN_WITHIN, login).await.unwrap_or(Err(Farewell::TooSlow));
    let farewell = match login {
        Ok(None) => return,
        Ok(Some((startup, admitted))) => session::run(gateway, &mut end, startup, admitted, address, keys).await,
        Err(farewell) => Some(farewell),
    };
    if let Some(farewell) = farewell {
        end.send(&farewell.frame());
        // Whoever does not read their last word is not waited for.
        let _written = tokio::time::timeout(std::time::Duration::from_secs(5), end.flush()).await;
    }
}

/// Reads first packets until a StartupMessage comes over a channel that is good enough. `None`
/// where the client wanted something else (a cancel) and got it.
async fn first(
    end: &mut End,
    tls: Option<&TlsAcceptor>,
    loopback: bool,
    keys: &CancelKeys,
) -> Result<Option<(End, Startup)>, Farewell> {
    let mut secured = false;
    let mut gss_asked = false;
    loop {
        let packet = packet(end).await?;
        match startup::parse(&packet).map_err(|v| Farewell::Protocol { message: v.to_string() })? {
            First::Ssl if !secured => {
                // Bytes behind the request came before the handshake: nobody vouches for them.
                if !end.input.is_empty() {
                    return Err(Farewell::Protocol { message: "bytes came before the TLS handshake".into() });
                }
                let Some(acceptor) = tls else {
                    answer(end, b"N").await?;
                    continue;
                };
                answer(end, b"S").await?;
                let plain = std::mem::replace(end, End::new(Box::new(tokio::io::empty())));
                let Ok(stream) = acceptor.accept(plain.into_socket()).await else { return Ok(None) };
                *end = End::new(Box::new(stream));
                secured = true;
            }
            First::Gss if !secured && !gss_asked => {
                gss_asked = true;
                answer(end, b"N").await?;
            }
            First::Ssl | First::Gss => {
                return Err(Farewell::Protocol { message: "encryption was asked for twice".into() });
            }
            First::Cancel(key) => {
                cancel(keys, &key).await;
                return Ok(None);
            }
            First::Startup(startup) => {
                if tls.is_some() && !secured && !loopback {
                    return Err(Farewell::NeedsTls);
                }
                if startup.get("replication").is_some_and(|r| !matches!(r, "false" | "off" | "no" | "0")) {
                    return Err(Farewell::Protocol { message: "replication is not supported".into() });
                }
                let end = std::mem::replace(end, End::new(Box::new(tokio::io::empty())));
                return Ok(Some((end, startup)));
            }
        }
    }
}

async fn packet(end: &mut End) -> Result<bytes::Bytes, Farewell> {
    let gone = |_| Farewell::Protocol { message: "the client closed before its startup message".into() };
    let length = end.exactly(4).await.map_err(gone)?;
    let size = startup::size([length[0], length[1], length[2], length[3]])
        .map_err(|v| Farewell::Protocol { message: v.to_string() })?;
    end.exactly(size - 4).await.map_err(gone)
}

async fn answer(end: &mut End, byte: &[u8]) -> Result<(), Farewell> {
    end.send(byte);
    end.flush().await.map_err(|_| Farewell::Protocol { message: "the client closed".into() })
}

async fn cancel(keys: &CancelKeys, key: &startup::CancelKey) {
    let Some(target) = keys.find(key) else { return };
    if target.withdraw.ring() {
        return;
    }
    if let Err(error) = upstream::cancel(&target.upstream, key).await {
        tracing::warn!(%error, "a cancel request could not be passed on");
    }
}
