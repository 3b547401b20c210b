//! A path on which everything arrives, but in other pieces than it was sent.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Interval, interval, timeout},
};

/// How bytes are passed on, in both directions.
#[derive(Clone, Debug)]
pub enum Pieces {
    /// One by one, as far as [`ONE_BY_ONE`] of what comes at once; the rest in pieces that grow.
    Single,
    /// What comes at once, in two pieces, the first of so many bytes.
    Cut(Arc<AtomicUsize>),
    /// [`FEW`] in a [`BEAT`].
    Slow,
    /// Nothing before it is quiet for a [`BEAT`]: the messages of many sends come at once.
    Together,
}

/// Most answers are shorter; what the gateway reads of a catalog is longer.
const ONE_BY_ONE: usize = 200;
const FEW: usize = 5000;
/// So much may come at once.
const ROOM: usize = 64 << 10;
/// Long enough that a piece is read before the next one comes.
const BEAT: Duration = Duration::from_millis(1);

/// A relay on a port of its own. It ends when it is dropped.
pub struct Path {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Path {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Path {
    /// Leads to `server`.
    pub async fn to(server: SocketAddr, pieces: Pieces) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let pieces = pieces.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    // Each piece leaves as one.
                    client.set_nodelay(true).and(server.set_nodelay(true)).expect("no delay");
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(pass(from_client, to_server, &pieces), pass(from_server, to_client, &pieces));
                });
            }
        });
        Self { address, task }
    }
}

/// Until one side closes.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, pieces: &Pieces) {
    let mut beat = interval(BEAT);
    // Else it comes in small pieces, and never much at once.
    let mut come = BytesMut::with_capacity(ROOM);
    while from.read_buf(&mut come).await.is_ok_and(|n| n > 0) {
        if matches!(pieces, Pieces::Together) {
            while let Ok(Ok(1..)) = timeout(BEAT, from.read_buf(&mut come)).await {}
        }
        if send(&mut to, &come, pieces, &mut beat).await.is_err() {
            break;
        }
        come.clear();
        come.reserve(ROOM);
    }
    let _gone = to.shutdown().await;
}

async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    pieces: &Pieces,
    beat: &mut Interval,
) -> std::io::Result<()> {
    match pieces {
        Pieces::Single => {
            let (mut rest, mut sent) = (bytes, 0);
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(rest.len().min(1 + usize::saturating_sub(sent, ONE_BY_ONE) / 8));
                to.write_all(piece).await?;
                tokio::task::yield_now().await;
                (rest, sent) = (more, sent + piece.len());
            }
            Ok(())
        }
        Pieces::Cut(at) => {
            let (first, rest) = bytes.split_at(at.load(Ordering::Relaxed).min(bytes.len()));
            to.write_all(first).await?;
            if !(first.is_empty() || rest.is_empty()) {
                beat.reset();
                beat.tick().await;
            }
            to.write_all(rest).await
        }
        Pieces::Slow => {
            for piece in bytes.chunks(FEW) {
                beat.tick().await;
                to.write_all(piece).await?;
            }
            Ok(())
        }
        Pieces::Together => to.write_all(bytes).await,
    }
}
