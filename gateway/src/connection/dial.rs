//! A socket to a database, with TLS as configured.

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};

use super::{
    binding::Binding,
    pipe::{End, Socket},
    tls,
    upstream::UpstreamError,
};
use crate::config::Upstream;

/// A socket, and what a login over it may rest on.
pub struct Dialed {
    /// The server's end.
    pub end: End,
    /// Nobody but this machine or TLS carries what is said.
    pub private: bool,
    /// What ties a login to it.
    pub binding: Binding,
}

/// Opens a socket. TLS is negotiated by SSLRequest, which every version understands.
///
/// # Errors
/// Why there is none.
pub async fn dial(to: &Upstream) -> Result<Dialed, UpstreamError> {
    if to.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", to.host.trim_end_matches('/'), to.port);
        let end = End::new(Box::new(UnixStream::connect(path).await?));
        return Ok(Dialed { end, private: true, binding: Binding::NoTls });
    }
    let failed = |error: &dyn std::fmt::Display| UpstreamError::Tls(error.to_string());
    let connector = tls::connector(&to.tls).map_err(|error| failed(&error))?;
    let socket = TcpStream::connect((to.host.as_str(), to.port)).await?;
    socket.set_nodelay(true)?;
    let private = socket.peer_addr()?.ip().to_canonical().is_loopback();
    let mut end = End::new(Box::new(socket));
    let Some(connector) = connector else {
        return Ok(Dialed { end, private, binding: Binding::NoTls });
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    end.send(&request);
    end.flush().await?;
    let answer = end.exactly(1).await?;
    // Nobody vouches for bytes that come before the handshake.
    if answer.as_ref() != b"S" || !end.input.is_empty() {
        return Err(UpstreamError::Tls("the server does not offer it".into()));
    }
    let name = ServerName::try_from(to.host.clone()).map_err(|error| failed(&error))?;
    let stream = connector.connect(name, end.into_socket()).await.map_err(|error| failed(&error))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let binding = certificate.map_or(Binding::NoHash, |certificate| Binding::to(certificate));
    let socket: Box<dyn Socket> = Box::new(stream);
    Ok(Dialed { end: End::new(socket), private: true, binding })
}
