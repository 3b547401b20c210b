//! The backends that this process has opened, and that may live. Who is in `pg_stat_activity` and not here did not
//! come through.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::config::Upstream;

/// A server, its database, and a backend's process id; how many have it. Of the process, since a server's process ids are.
static LIVE: Mutex<BTreeMap<(String, u16, String, i32), usize>> = Mutex::new(BTreeMap::new());

/// A backend; it counts until this is dropped.
#[derive(Debug)]
pub struct Backend((String, u16, String, i32));

impl Backend {
    /// One that has been opened just now.
    #[must_use]
    pub fn opened(to: &Upstream, pid: i32) -> Self {
        let key = (to.host.clone(), to.port, to.database.clone(), pid);
        *LIVE.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default() += 1;
        Self(key)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = live.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.0);
            }
        }
    }
}

/// The process ids of those that live on a database.
#[must_use]
pub fn on(to: &Upstream) -> BTreeSet<i32> {
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = |(host, port, database, _): &&(String, u16, String, i32)| {
        (host.as_str(), *port, database.as_str()) == (to.host.as_str(), to.port, to.database.as_str())
    };
    live.keys().filter(here).map(|(.., pid)| *pid).collect()
}
