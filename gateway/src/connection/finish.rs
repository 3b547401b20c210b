//! The server's side of a session that was ended: what runs is cancelled, and the backend is gone.
//!
//! A server looks at its socket when it has something to say, so closing it stops nothing. And a cancel
//! may come too early, before a statement on its way has begun, or be caught by a function
//! (`EXCEPTION WHEN query_canceled`). So the socket is half closed, cancels are sent until the server
//! closes its half, and from the second on the backend is terminated by the same login as well.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    pipe::{End, Socket},
    upstream,
};
use crate::{config::Upstream, wire::startup::CancelKey};

/// How long the server has for its own goodbye before a cancel is sent again.
const FIRST: Duration = Duration::from_millis(100);
/// The longest time between two.
const LONGEST: Duration = Duration::from_secs(2);
/// After so many it is left alone: it does not answer, or something else has its socket.
const TRIES: u32 = 20;

/// A session's way to its database, which it uses no more.
pub struct Leftover {
    /// The server's end.
    pub end: End,
    /// Where it is.
    pub upstream: Upstream,
    /// The key that cancels it.
    pub key: Option<CancelKey>,
    /// Whether something may be running there.
    pub busy: bool,
    /// The connection's name.
    pub connection: String,
}

impl Leftover {
    /// Ends the backend. Returns when it is gone, or can't be reached.
    pub async fn finish(self) {
        let Self { end, upstream, key, mut busy, connection } = self;
        let mut socket = end.into_socket();
        let _half_closed = tokio::time::timeout(FIRST, socket.shutdown()).await;
        let mut wait = FIRST;
        for number in 0..TRIES {
            if let (true, Some(key)) = (busy, &key) {
                let stop = stop(&upstream, key, number > 0, &connection);
                if !until_gone(&mut socket, stop).await {
                    return;
                }
            }
            if !until_gone(&mut socket, tokio::time::sleep(wait)).await {
                return;
            }
            // An idle backend goes by itself, unless it was not idle.
            busy = true;
            wait = (wait * 2).min(LONGEST);
        }
        tracing::error!(connection, "the backend of a session that was ended does not go away");
    }
}

/// Works while the server is there; `false` once it has closed. What it says is read, so that it is not
/// kept from hearing by having to speak.
async fn until_gone(socket: &mut Box<dyn Socket>, work: impl Future<Output = ()>) -> bool {
    let gone = async {
        let mut rest = vec![0; 16 << 10];
        while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        () = gone => false,
        () = work => true,
    }
}

async fn stop(to: &Upstream, key: &CancelKey, terminate: bool, connection: &str) {
    let stopped = async {
        upstream::cancel(to, key).await?;
        if terminate {
            let mut own = upstream::open(to, &[]).await?.end;
            // As long as its socket is open, the process id is its own.
            let sql = format!(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE pid = {} AND usename = current_user AND datname = current_database()",
                key.pid
            );
            upstream::query(&mut own, &sql).await?;
        }
        Ok::<(), upstream::UpstreamError>(())
    };
    match tokio::time::timeout(LONGEST, stopped).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(connection, %error, "a session that was ended could not be cancelled; trying again")
        }
        Err(_) => tracing::warn!(connection, "the database is slow to cancel a session that was ended; trying again"),
    }
}
