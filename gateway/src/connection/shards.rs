//! The threads that carry sessions. Each has an event loop of its own, and a session stays on the
//! thread that it was given: its two sockets, its timer and its task meet without waking another
//! thread. A runtime that moves tasks between threads pays a futex and two switches of context for
//! that, at nearly every statement.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread::JoinHandle,
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use super::awake;

/// Room for the parser and its visitor on the thread itself; a text that nests deeper gets a thread
/// of its own. Address space only, until it is used.
const STACK: usize = 16 << 20;

/// The threads; they end when this is dropped, with the sessions that are still on them.
pub struct Shards {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
    stop: CancellationToken,
}

impl Shards {
    /// Starts a thread for every two cores. A thread that finds many sockets ready at once serves them
    /// with fewer calls of the system than two that find few each, and it is the clients and the
    /// database that need the other cores.
    ///
    /// # Errors
    /// Where a thread or its event loop can't be had.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = cores.div_ceil(2);
        let mut shards = Self {
            handles: Vec::new(),
            threads: Vec::new(),
            next: AtomicUsize::new(0),
            stop: CancellationToken::new(),
        };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().thread_stack_size(STACK).build()?;
            let stop = shards.stop.clone();
            shards.handles.push(runtime.handle().clone());
            let thread = std::thread::Builder::new().name(format!("sessions-{number}")).stack_size(STACK);
            shards.threads.push(thread.spawn(move || {
                runtime.spawn(awake::keep());
                runtime.block_on(stop.cancelled_owned());
            })?);
        }
        Ok(shards)
    }

    /// The thread that the next session goes to.
    #[must_use]
    pub fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that carries sessions died");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_are_spread_over_the_threads_and_end_with_them() {
        let shards = Shards::start().unwrap();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..shards.handles.len() {
            let name = shards.next().spawn(async { std::thread::current().name().map(str::to_owned) });
            names.insert(name.await.unwrap().unwrap());
        }
        assert_eq!(names.len(), shards.handles.len());
        let forever = shards.next().spawn(std::future::pending::<()>());
        drop(shards);
        assert!(forever.await.unwrap_err().is_cancelled());
    }
}
