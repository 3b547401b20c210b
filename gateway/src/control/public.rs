//! `gateway.public`: the address that browsers of people, Slack and a provider of identities reach. It serves
//! only what is for them, and speaks TLS wherever it is not loopback.
//!
//! Whoever connects may be anybody, so nobody may take much: so many connections in all and from one address,
//! so long for a handshake, for a request's head, for a whole request, and nothing for doing nothing.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{future::FutureExt as _, sync::CancellationToken};

/// How many are connected at once.
const CONNECTIONS: usize = 1_024;
/// How many of them from one address; a proxy before the gateway is one.
const FROM_ONE: usize = 256;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request's head may take; also how long a connection may wait for the next one.
const HEAD: Duration = Duration::from_secs(10);
/// How long a request and its answer may take.
const WHOLE: Duration = Duration::from_secs(30);
/// How long nobody is accepted where that fails, as where no file can be opened.
const PAUSE: Duration = Duration::from_millis(200);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Who is connected, by address.
#[derive(Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place among those that there may be.
struct Place {
    places: Arc<Places>,
    from: IpAddr,
}

impl Places {
    /// A place, if there is one for another from there.
    fn take(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (in_all, from_there) = (all.values().sum::<usize>(), all.get(&from).copied().unwrap_or(0));
        if in_all >= CONNECTIONS || from_there >= FROM_ONE {
            return None;
        }
        all.insert(from, from_there + 1);
        Some(Place { places: Arc::clone(self), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.from);
            }
        }
    }
}

async fn shake(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Box<dyn Stream>> {
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(timeout(HANDSHAKE, tls.accept(stream)).await??)),
    }
}

/// Serves one connection to its end.
async fn answer(stream: TcpStream, from: SocketAddr, tls: Option<TlsAcceptor>, pages: Router) {
    let stream = match shake(stream, tls).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, %from, "a handshake on the public address failed"),
    };
    // Every handler finds the peer where it finds it on `control`.
    let pages = pages.layer(Extension(ConnectInfo(from)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    if let Err(error) = served.await {
        tracing::debug!(%error, %from, "a connection to the public address ended");
    }
}

/// A request is over in time, whatever comes slowly.
async fn in_time(request: Request, next: Next) -> Response {
    match timeout(WHOLE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, Body::empty()).into_response(),
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, pages: Router, stop: CancellationToken) {
    let places = Arc::new(Places::default());
    let pages = pages.layer(middleware::from_fn(in_time));
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "nobody can be accepted on the public address right now");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Whoever has no place is let go at once, so that others still come in.
        let Some(place) = places.take(from.ip().to_canonical()) else { continue };
        let (tls, pages, stop) = (tls.clone(), pages.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            // What is under way when it stops is cut: it is not waited for whom nobody knows.
            answer(stream, from, tls, pages).with_cancellation_token_owned(stop).await.unwrap_or_default();
        });
    }
}

/// Serves `pages` until `stop`.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, pages: Router, stop: CancellationToken) {
    accept(listener, tls, pages, stop.clone()).with_cancellation_token_owned(stop).await.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let places = Arc::new(Places::default());
        let address = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
        let mut taken: Vec<Place> = (0..FROM_ONE).map_while(|_| places.take(address(1))).collect();
        assert_eq!(taken.len(), FROM_ONE);
        assert!(places.take(address(1)).is_none() && places.take(address(2)).is_some(), "others still come in");
        taken.pop();
        assert!(places.take(address(1)).is_some(), "a place that was left is free");
        taken.clear();
        for last in 1..=5 {
            taken.extend((0..FROM_ONE).map_while(|_| places.take(address(last))));
        }
        assert_eq!(taken.len(), CONNECTIONS, "so many in all");
    }

    async fn says(port: u16, head: &[u8]) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(head).await.unwrap();
        let mut said = Vec::new();
        // Whoever is let go in the middle may be told so by a reset.
        let _end = stream.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn who_is_slow_is_let_go() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages =
            Router::new().route("/", get(|| async { "here" })).route("/slow", post(|body: String| async move { body }));
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, None, pages, stop.clone()));
        assert!(says(port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ends_with("here"));
        // From here on the clock runs ahead whenever nothing else happens.
        tokio::time::pause();
        assert_eq!(says(port, b"GET / HT").await, "", "a head that does not end");
        let idle = says(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(idle.ends_with("here"), "a connection that only waits, after its answer: {idle}");
        let slow = says(port, b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx").await;
        assert!(slow.starts_with("HTTP/1.1 408"), "a body that does not end: {slow}");
        stop.cancel();
    }
}
