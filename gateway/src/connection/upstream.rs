//! The gateway's own connections to a database. The client never sees the password.

use std::{io, time::Duration};

use bytes::{Buf as _, BytesMut};
use countersign_shared::secret::Secret;
use postgres_protocol::{IsNull, message::frontend};

use super::{
    dial::dial,
    live::Backend,
    login::{Words, log_in},
    pipe::End,
};
use crate::{
    config::Upstream,
    wire::{
        Violation,
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
    #[error("the server says: {} {:?}", .0.code, .0.message)]
    Server(Report),
    /// The server's bytes.
    #[error("{0}")]
    Protocol(#[from] Violation),
    /// An authentication method that is not spoken.
    #[error("the server asks for an authentication method that is not supported ({0})")]
    Method(i32),
    /// It asks for the password where others may listen.
    #[error("the server asks for the password in clear text, and the connection is not encrypted")]
    ClearText,
    /// It offers to bind the login to TLS, and its certificate says no hash.
    #[error("the login can't be bound to the server's certificate, whose signature names no hash; use RSA or ECDSA")]
    Unbindable,
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

/// Logs in as the connection's login, with these startup parameters beside user and database, in
/// protocol 3.0.
///
/// # Errors
/// Why not.
pub async fn open(to: &Upstream, parameters: &[(String, String)]) -> Result<Opened, UpstreamError> {
    open_speaking(to, parameters, 0).await
}

/// As [`open`], in protocol 3.`minor` where the server speaks it. Where the server refuses the password,
/// another is tried once, if there is another by now.
///
/// # Errors
/// Why not.
pub async fn open_speaking(
    to: &Upstream,
    parameters: &[(String, String)],
    minor: u16,
) -> Result<Opened, UpstreamError> {
    let attempt = async |password: Option<&Secret<String>>| {
        let words = Words { user: &to.user, password, database: &to.database, minor, parameters };
        let work = async {
            let mut opened = log_in(dial(to).await?, &words).await?;
            opened.end.backend = opened.cancel.as_ref().map(|key| Backend::opened(to, key.pid));
            Ok(opened)
        };
        tokio::time::timeout(CONNECT_WITHIN, work).await.map_err(|_| UpstreamError::TimedOut)?
    };
    let Some(source) = &to.password else { return attempt(None).await };
    let password = source.current().await;
    match attempt(Some(&password)).await {
        Err(UpstreamError::Server(report)) if refuses_the_login(&report) => match source.instead_of(&password).await {
            Some(another) => attempt(Some(&another)).await,
            None => Err(UpstreamError::Server(report)),
        },
        result => result,
    }
}

fn refuses_the_login(report: &Report) -> bool {
    matches!(report.code.as_str(), "28P01" | "28000")
}

/// Sends a CancelRequest on a connection of its own, encrypted where the session's is.
///
/// # Errors
/// Where the server can't be reached.
pub async fn cancel(to: &Upstream, key: &CancelKey) -> Result<(), UpstreamError> {
    let work = async {
        let mut end = dial(to).await?.end;
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

/// Runs one query of the gateway's own and reads its rows as text.
///
/// # Errors
/// The server's error, or the network's.
pub async fn query(end: &mut End, sql: &str) -> Result<Vec<Vec<Option<String>>>, UpstreamError> {
    Ok(queries(end, &[sql]).await?.pop().unwrap_or_default())
}

/// A parameter of a question: its type's oid (0 lets the server say), its format, its value.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// Its type.
    pub of: u32,
    /// 0 text, 1 binary.
    pub format: u16,
    /// `None` for NULL.
    pub value: Option<&'a [u8]>,
}

/// Runs one query of the gateway's own with parameters and reads its rows as text. After an error of the
/// server's the connection is ready for the next.
///
/// # Errors
/// The server's error, or the network's.
pub async fn query_with(
    end: &mut End,
    sql: &str,
    bound: &[Bound<'_>],
) -> Result<Vec<Vec<Option<String>>>, UpstreamError> {
    let mut out = BytesMut::new();
    frontend::parse("", sql, bound.iter().map(|one| one.of), &mut out)?;
    let formats = bound.iter().map(|one| i16::try_from(one.format).unwrap_or_default());
    let write = |value: Option<&[u8]>, out: &mut BytesMut| {
        Ok(match value {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    };
    let built = frontend::bind("", "", formats, bound.iter().map(|one| one.value), write, [0], &mut out);
    built.map_err(|_| Violation::new("a question's parameters can't be sent"))?;
    frontend::execute("", 0, &mut out)?;
    frontend::sync(&mut out);
    end.send(&out);
    end.flush().await?;
    let (mut rows, mut error) = (Vec::new(), None);
    loop {
        let (tag, body) = read(end).await?;
        match tag {
            b'D' => rows.push(row(&body)?),
            b'E' if error.is_none() => error = Some(report(&body)?),
            b'Z' => return error.map_or(Ok(rows), |report| Err(UpstreamError::Server(report))),
            b'1' | b'2' | b'C' | b'E' | b'I' | b'N' | b'S' | b'A' => {}
            other => return Err(Violation::new(format!("{:?} in answer to a query", char::from(other))).into()),
        }
    }
}

/// Runs queries that are sent at once, and gives the rows of each as text.
///
/// # Errors
/// The server's first error, or the network's.
pub async fn queries(end: &mut End, texts: &[&str]) -> Result<Vec<Vec<Vec<Option<String>>>>, UpstreamError> {
    let mut out = BytesMut::new();
    texts.iter().try_for_each(|sql| frontend::query(sql, &mut out))?;
    end.send(&out);
    end.flush().await?;
    let (mut answers, mut rows, mut error) = (Vec::new(), Vec::new(), None);
    while answers.len() < texts.len() {
        let (tag, body) = read(end).await?;
        match tag {
            b'D' => rows.push(row(&body)?),
            b'E' if error.is_none() => error = Some(report(&body)?),
            b'Z' => answers.push(std::mem::take(&mut rows)),
            b'T' | b'C' | b'E' | b'I' | b'N' | b'S' | b'A' => {}
            other => return Err(Violation::new(format!("{:?} in answer to a query", char::from(other))).into()),
        }
    }
    error.map_or(Ok(answers), |report| Err(UpstreamError::Server(report)))
}
