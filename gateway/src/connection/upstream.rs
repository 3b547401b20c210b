//! The gateway's own login at the database. The client never sees its password.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf as _, BytesMut};
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::frontend,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::{TcpStream, UnixStream};

use super::pipe::{End, Socket};
use crate::{
    config::{Upstream, UpstreamTls},
    wire::{
        Fields, Violation,
        backend::{Report, report, row},
        frame,
        startup::CancelKey,
    },
};

/// Why there is no connection to the database. For the gateway's own log.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The network, or a server that closes.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server's error.
    #[error("the server says: {} {}", .0.code, .0.message)]
    Server(Report),
    /// The server's bytes.
    #[error("{0}")]
    Protocol(#[from] Violation),
    /// An authentication method that is not spoken.
    #[error("the server asks for an authentication method that is not supported ({0})")]
    Method(i32),
    /// It needs a password and none is configured.
    #[error("the server asks for a password, and the connection has none")]
    NoPassword,
    /// It took too long.
    #[error("the server did not answer in time")]
    TimedOut,
}

/// A logged-in connection.
pub struct Opened {
    /// The server's end, ready for queries.
    pub end: End,
    /// ParameterStatus frames, as they came.
    pub parameters: Vec<BytesMut>,
    /// The key that cancels this backend.
    pub cancel: Option<CancelKey>,
}

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Opens a socket, with TLS as configured.
///
/// # Errors
/// Why there is none.
pub async fn dial(to: &Upstream) -> Result<Box<dyn Socket>, UpstreamError> {
    if to.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", to.host.trim_end_matches('/'), to.port);
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    let socket = TcpStream::connect((to.host.as_str(), to.port)).await?;
    socket.set_nodelay(true)?;
    let UpstreamTls::VerifyFull { ca } = &to.tls else { return Ok(Box::new(socket)) };
    let mut end = End::new(Box::new(socket));
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    end.send(&request);
    end.flush().await?;
    let answer = end.exactly(1).await?;
    if answer.as_ref() != b"S" || !end.input.is_empty() {
        return Err(UpstreamError::Tls("the server does not offer it".into()));
    }
    let tls = |error: &dyn std::fmt::Display| UpstreamError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for cert in CertificateDer::pem_file_iter(ca).map_err(|e| tls(&e))? {
            roots.add(cert.map_err(|e| tls(&e))?).map_err(|e| tls(&e))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(to.host.clone()).map_err(|e| tls(&e))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, end.into_socket()).await?;
    Ok(Box::new(stream))
}

/// Logs in as the connection's login, with these startup parameters beside user and database.
///
/// # Errors
/// Why not.
pub async fn open(to: &Upstream, parameters: &[(String, String)]) -> Result<Opened, UpstreamError> {
    tokio::time::timeout(CONNECT_WITHIN, log_in(to, parameters)).await.map_err(|_| UpstreamError::TimedOut)?
}

/// Sends a CancelRequest on a connection of its own.
///
/// # Errors
/// Where the server can't be reached.
pub async fn cancel(to: &Upstream, key: &CancelKey) -> Result<(), UpstreamError> {
    let work = async {
        let mut end = End::new(dial(to).await?);
        end.send(&key.packet());
        end.flush().await?;
        // The server closes when it is done; an end of the stream is what we wait for.
        while end.read().await.is_ok() {}
        Ok(())
    };
    tokio::time::timeout(CONNECT_WITHIN, work).await.map_err(|_| UpstreamError::TimedOut)?
}

/// Reads one whole frame: its type, and its body.
async fn read(end: &mut End) -> Result<(u8, BytesMut), UpstreamError> {
    loop {
        if let Some(head) = frame::head(&end.input, |_| frame::SERVER_CAP)?
            && end.input.len() >= head.size
        {
            let mut whole = end.input.split_to(head.size);
            whole.advance(frame::HEAD);
            return Ok((head.tag, whole));
        }
        end.read().await?;
    }
}

async fn log_in(to: &Upstream, parameters: &[(String, String)]) -> Result<Opened, UpstreamError> {
    let mut end = End::new(dial(to).await?);
    let pairs = [("user", to.user.as_str()), ("database", to.database.as_str())];
    let more = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut out = BytesMut::new();
    frontend::startup_message(pairs.into_iter().chain(more), &mut out)?;
    end.send(&out);
    let password = to.password.as_ref().map(|p| p.reveal().as_bytes());
    let mut opened = Opened { end, parameters: Vec::new(), cancel: None };
    let mut scram: Option<ScramSha256> = None;
    let mut proven = false;
    loop {
        opened.end.flush().await?;
        let (tag, body) = read(&mut opened.end).await?;
        let mut fields = Fields::of(&body);
        let mut out = BytesMut::new();
        match tag {
            b'R' => match fields.i32()? {
                // A server that starts SCRAM must prove that it knows the password before it is done.
                0 if scram.is_some() && !proven => {
                    return Err(Violation::new("the server ends SCRAM without its proof").into());
                }
                0 => {}
                3 => frontend::password_message(password.ok_or(UpstreamError::NoPassword)?, &mut out)?,
                5 => {
                    let salt = fields.take(4)?;
                    let salt = [salt[0], salt[1], salt[2], salt[3]];
                    let hash = md5_hash(to.user.as_bytes(), password.ok_or(UpstreamError::NoPassword)?, salt);
                    frontend::password_message(hash.as_bytes(), &mut out)?;
                }
                10 => {
                    let offered = mechanisms(fields.rest())?;
                    if !offered.iter().any(|name| name == SCRAM_SHA_256) {
                        return Err(UpstreamError::Method(10));
                    }
                    let password = password.ok_or(UpstreamError::NoPassword)?;
                    let client = ScramSha256::new(password, ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, client.message(), &mut out)?;
                    scram = Some(client);
                }
                11 => {
                    let client = scram.as_mut().ok_or_else(|| Violation::new("SCRAM out of turn"))?;
                    bounded_iterations(fields.rest())?;
                    client.update(fields.rest())?;
                    frontend::sasl_response(client.message(), &mut out)?;
                }
                12 => {
                    scram.as_mut().ok_or_else(|| Violation::new("SCRAM out of turn"))?.finish(fields.rest())?;
                    proven = true;
                }
                other => return Err(UpstreamError::Method(other)),
            },
            b'S' => opened.parameters.push(whole(b'S', &body)),
            b'K' => {
                let pid = fields.i32()?;
                opened.cancel = Some(CancelKey { pid, secret: fields.rest().to_vec() });
            }
            b'N' | b'v' => {}
            b'E' => return Err(UpstreamError::Server(report(&body)?)),
            b'Z' => return Ok(opened),
            other => return Err(Violation::new(format!("{:?} during the login", char::from(other))).into()),
        }
        opened.end.send(&out);
    }
}

/// A hostile server could ask for hours of hashing.
fn bounded_iterations(message: &[u8]) -> Result<(), Violation> {
    let text = std::str::from_utf8(message).map_err(|_| Violation::new("SCRAM is not text"))?;
    let iterations = text.split(',').find_map(|part| part.strip_prefix("i=")).and_then(|i| i.parse::<u32>().ok());
    match iterations {
        Some(1..=1_000_000) => Ok(()),
        _ => Err(Violation::new("the server's SCRAM iteration count is out of bounds")),
    }
}

fn mechanisms(rest: &[u8]) -> Result<Vec<String>, Violation> {
    let mut fields = Fields::of(rest);
    let mut names = Vec::new();
    loop {
        match fields.text()? {
            "" => return Ok(names),
            name => names.push(name.to_owned()),
        }
    }
}

fn whole(tag: u8, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(body.len() + frame::HEAD);
    frame.extend_from_slice(&[tag]);
    frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Runs one query of the gateway's own and reads its rows as text.
///
/// # Errors
/// The server's error, or the network's.
pub async fn query(end: &mut End, sql: &str) -> Result<Vec<Vec<Option<String>>>, UpstreamError> {
    let mut out = BytesMut::new();
    frontend::query(sql, &mut out)?;
    end.send(&out);
    end.flush().await?;
    let (mut rows, mut error) = (Vec::new(), None);
    loop {
        let (tag, body) = read(end).await?;
        match tag {
            b'D' => rows.push(row(&body)?),
            b'E' => error = Some(report(&body)?),
            b'Z' => return error.map_or(Ok(rows), |report| Err(UpstreamError::Server(report))),
            b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
            other => return Err(Violation::new(format!("{:?} in answer to a query", char::from(other))).into()),
        }
    }
}
