//! Two sockets and what is on its way between them.

use std::{io, pin::Pin, task::Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

/// Anything that bytes go through: TCP, TLS, a Unix socket.
pub trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// One end, with what was read and not yet used, and what is to be written.
pub struct End {
    socket: Box<dyn Socket>,
    /// Read, not yet used.
    pub input: BytesMut,
    /// To be written.
    pub output: BytesMut,
    /// The other side has closed.
    pub closed: bool,
}

/// No more than this is read ahead of a client that waits, or buffered for a slow reader.
const AHEAD: usize = 256 << 10;

impl End {
    /// An end with nothing on its way.
    #[must_use]
    pub fn new(socket: Box<dyn Socket>) -> Self {
        Self { socket, input: BytesMut::new(), output: BytesMut::new(), closed: false }
    }

    /// Queues bytes to be written.
    pub fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn poll_write(&mut self, cx: &mut std::task::Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.output.advance(n);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(progress),
            }
        }
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(progress),
        }
    }

    fn poll_read(&mut self, cx: &mut std::task::Context<'_>) -> io::Result<bool> {
        if self.closed {
            return Ok(false);
        }
        match poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.input) {
            Poll::Ready(Ok(0)) => {
                self.closed = true;
                Ok(true)
            }
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes all that is queued.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| match self.poll_write(cx) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(_) if self.output.is_empty() => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
        })
        .await
    }

    /// Reads some more; an end of the stream is an error here.
    ///
    /// # Errors
    /// Where the socket fails or closes.
    pub async fn read(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| match self.poll_read(cx) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(_) if self.closed => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
        })
        .await
    }

    /// Reads until `n` bytes are there, and takes them.
    ///
    /// # Errors
    /// Where the socket fails or closes first.
    pub async fn exactly(&mut self, n: usize) -> io::Result<Bytes> {
        while self.input.len() < n {
            self.read().await?;
        }
        Ok(self.input.split_to(n).freeze())
    }

    /// The socket itself, for a TLS handshake. Nothing may be on its way.
    #[must_use]
    pub fn into_socket(self) -> Box<dyn Socket> {
        self.socket
    }
}

/// A client and a server.
pub struct Pipe {
    /// The client's end.
    pub client: End,
    /// The server's end.
    pub upstream: End,
}

impl Pipe {
    /// Writes what is queued and reads what comes, both ways at once, so that neither side's full
    /// buffer blocks the other. Returns after any progress. `want` bounds what is read ahead of the
    /// client: a whole message where one is on its way.
    ///
    /// # Errors
    /// Where a socket fails.
    pub async fn step(&mut self, want: usize) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            // A client that is gone must not fail the server's side: it is told by `closed`.
            let mut progress = match self.client.poll_write(cx) {
                Ok(progress) => progress,
                Err(_) => {
                    self.client.closed = true;
                    self.client.output.clear();
                    true
                }
            };
            match self.upstream.poll_write(cx) {
                Ok(moved) => progress |= moved,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if self.client.output.len() < AHEAD {
                match self.upstream.poll_read(cx) {
                    Ok(moved) => progress |= moved,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if self.upstream.output.len() < AHEAD && self.client.input.len() < want.max(8 << 10) {
                match self.client.poll_read(cx) {
                    Ok(moved) => progress |= moved,
                    Err(_) => {
                        self.client.closed = true;
                        progress = true;
                    }
                }
            }
            if progress { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}
