//! Two sockets and what is on its way between them.

use std::{io, pin::Pin, task::Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::live::Backend;

/// Anything that bytes go through: TCP, TLS, a Unix socket.
pub trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// One end, with what was read and not yet used, and what is to be written.
pub struct End {
    socket: Box<dyn Socket>,
    /// Read, not yet used.
    pub input: BytesMut,
    /// To be written.
    output: BytesMut,
    /// The other side has closed.
    pub closed: bool,
    /// What is sent is kept here instead, until it may be seen.
    kept_back: Option<BytesMut>,
    /// Where it is a server: the backend that lives as long as this does.
    pub backend: Option<Backend>,
    /// How much is read at once.
    gulp: usize,
}

/// From here on nothing more is queued for an end that does not take it: a slow reader holds up its
/// own sender, and no session's rows fill the gateway.
const FULL: usize = 128 << 10;
/// What one read asks for: little where little comes, so that idle sessions stay small, and more and
/// more where reads come back full.
const SIP: usize = 2 << 10;
const GULP: usize = 64 << 10;
/// An idle end keeps no buffer larger than this.
const KEPT: usize = 4 << 10;
/// More than this is not kept back.
const MOST_KEPT_BACK: usize = 16 << 20;
/// From here on, handing a buffer over is cheaper than copying what is in it.
const WORTH_MOVING: usize = 8 << 10;

impl End {
    /// An end with nothing on its way.
    #[must_use]
    pub fn new(socket: Box<dyn Socket>) -> Self {
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self { socket, input, output, closed: false, kept_back: None, backend: None, gulp: SIP }
    }

    /// Queues bytes to be written.
    pub fn send(&mut self, bytes: &[u8]) {
        self.queue().extend_from_slice(bytes);
    }

    /// Where bytes are queued.
    pub fn queue(&mut self) -> &mut BytesMut {
        self.kept_back.as_mut().unwrap_or(&mut self.output)
    }

    /// From now on nothing that is sent leaves.
    pub fn keep_back(&mut self) {
        self.kept_back.get_or_insert_default();
    }

    /// What was kept back; from now on what is sent leaves again.
    pub fn no_longer_kept_back(&mut self) -> BytesMut {
        self.kept_back.take().unwrap_or_default()
    }

    /// Whether more is kept back than anybody should hold in memory.
    #[must_use]
    pub fn keeps_too_much(&self) -> bool {
        self.kept_back.as_ref().is_some_and(|kept| kept.len() > MOST_KEPT_BACK)
    }

    /// Queues the first `n` bytes of `from`, which is left with the rest.
    pub fn send_from(&mut self, from: &mut BytesMut, n: usize) {
        if let Some(kept) = &mut self.kept_back {
            kept.extend_from_slice(&from[..n]);
            from.advance(n);
        } else if n >= WORTH_MOVING && self.output.is_empty() {
            self.output = from.split_to(n);
        } else {
            self.output.extend_from_slice(&from[..n]);
            from.advance(n);
        }
    }

    /// Whether so much is queued that more must wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.len() >= FULL
    }

    /// Gives back what an idle end does not need.
    pub fn rest(&mut self) {
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.is_empty() && buffer.capacity() > KEPT {
                *buffer = BytesMut::new();
            }
        }
        self.gulp = SIP;
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
        if self.input.capacity() - self.input.len() < self.gulp / 2 {
            self.input.reserve(self.gulp);
        }
        let room = self.input.chunk_mut().len();
        match poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.input) {
            Poll::Ready(Ok(0)) => {
                self.closed = true;
                Ok(true)
            }
            Poll::Ready(Ok(n)) => {
                if n == room {
                    self.gulp = (self.gulp * 4).min(GULP);
                }
                Ok(true)
            }
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
    /// buffer blocks the other. Ready once something was read, a side has closed, or a queue that was
    /// full has room again. `want` bounds what is read ahead of the client: a whole message where one
    /// is on its way.
    ///
    /// # Errors
    /// Where the server's socket fails. A client that is gone must not fail the server's side: it is
    /// told by `closed`.
    pub fn poll_step(&mut self, cx: &mut std::task::Context<'_>, want: usize) -> Poll<io::Result<()>> {
        let was_full = self.upstream.is_full() || self.client.is_full();
        let mut news = false;
        if self.client.poll_write(cx).is_err() {
            self.client.closed = true;
            self.client.output.clear();
            news = true;
        }
        if let Err(error) = self.upstream.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        let full = self.upstream.is_full() || self.client.is_full();
        news |= was_full && !full;
        if !self.client.is_full() {
            match self.upstream.poll_read(cx) {
                Ok(read) => news |= read,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if !self.upstream.is_full() && self.client.input.len() < want.max(8 << 10) {
            match self.client.poll_read(cx) {
                Ok(read) => news |= read,
                Err(_) => {
                    self.client.closed = true;
                    news = true;
                }
            }
        }
        if news { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
