//! `gateway.public`: the address that browsers of people, Slack and a provider of identities reach. It serves
//! only what is for them, and speaks TLS wherever it is not loopback.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    middleware::{self, Next},
    response::Response,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{future::FutureExt as _, sync::CancellationToken};

/// How many are connected at once.
const CONNECTIONS: usize = 1_024;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long nobody is accepted where that fails, as where no file can be opened.
const PAUSE: Duration = Duration::from_millis(200);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, and its place among those that there may be.
pub struct Caller {
    stream: Box<dyn Stream>,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where it comes from.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Public>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Public>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Connections whose handshake is done. One that is slow with it keeps no other waiting.
struct Public {
    arrivals: mpsc::Receiver<(Caller, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Public {
    type Io = Caller;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Caller, SocketAddr) {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            // Whoever accepts has stopped, and so does the server.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn shake(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(timeout(HANDSHAKE, tls.accept(stream)).await??)),
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, arrived: mpsc::Sender<(Caller, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "nobody can be accepted on the public address right now");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, arrived) = (tls.clone(), arrived.clone());
        tokio::spawn(async move {
            match shake(stream, tls).await {
                Ok(stream) => drop(arrived.send((Caller { stream, _place: place }, from)).await),
                Err(error) => tracing::debug!(%error, %from, "a handshake on the public address failed"),
            }
        });
    }
}

/// Every handler finds the peer where it finds it on `control`.
async fn known(ConnectInfo(Peer(from)): ConnectInfo<Peer>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(ConnectInfo(from));
    next.run(request).await
}

/// Serves `pages` until `stop`.
///
/// # Errors
/// Where the socket is gone.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pages: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let (arrived, arrivals) = mpsc::channel(64);
    let public = Public { arrivals, address: listener.local_addr()? };
    let pages = pages.layer(middleware::from_fn(known)).into_make_service_with_connect_info::<Peer>();
    let accepting = tokio::spawn(accept(listener, tls, arrived));
    // What is under way when it stops is cut: it is not waited for whom nobody knows.
    let served = axum::serve(public, pages).into_future().with_cancellation_token_owned(stop).await;
    accepting.abort();
    served.unwrap_or(Ok(()))
}
