//! Which live session a cancel key belongs to. A guessed key gets nothing, and no answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::upstream::{self, UpstreamError};
use crate::{config::Upstream, wire::startup::CancelKey};

/// What a CancelRequest reaches.
#[derive(Clone)]
pub struct Target {
    /// The database server.
    pub upstream: Upstream,
    /// Rings the session while it holds a statement.
    pub withdraw: Arc<Withdraw>,
    /// Taken while a cancel is passed on: a session's own key opens one connection at a time, however
    /// often it is sent.
    pub passing: Arc<AsyncMutex<()>>,
}

impl Target {
    /// A session at `upstream`.
    #[must_use]
    pub fn new(upstream: Upstream, withdraw: Arc<Withdraw>) -> Self {
        Self { upstream, withdraw, passing: Arc::default() }
    }

    /// Withdraws what is held, else passes the request on and waits until the server has taken it.
    ///
    /// # Errors
    /// Where the server can't be reached.
    pub async fn cancel(&self, key: &CancelKey) -> Result<(), UpstreamError> {
        if self.withdraw.ring() {
            return Ok(());
        }
        let _one_at_a_time = self.passing.lock().await;
        upstream::cancel(&self.upstream, key).await
    }
}

/// Withdraws a hold, and nothing else: a ring while nothing is held goes to the server instead, and
/// one that came for an earlier hold does not reach a later one.
#[derive(Default)]
pub struct Withdraw(Mutex<Option<Arc<Notify>>>);

impl Withdraw {
    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hold begins; it ends when the value is dropped.
    #[must_use]
    pub fn arm(self: &Arc<Self>) -> Arm {
        let bell = Arc::new(Notify::new());
        *self.locked() = Some(Arc::clone(&bell));
        Arm { withdraw: Arc::clone(self), bell }
    }

    /// Rings if a statement is held; says whether it was.
    pub fn ring(&self) -> bool {
        self.locked().as_ref().inspect(|bell| bell.notify_one()).is_some()
    }
}

/// A hold during which a CancelRequest withdraws.
pub struct Arm {
    withdraw: Arc<Withdraw>,
    bell: Arc<Notify>,
}

impl Arm {
    /// Until somebody withdraws.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        *self.withdraw.locked() = None;
    }
}

/// The live sessions by cancel key.
#[derive(Clone, Default)]
pub struct CancelKeys(Arc<Mutex<HashMap<CancelKey, Vec<Target>>>>);

/// A session's place; leaves when it is dropped.
pub struct Registered {
    keys: CancelKeys,
    key: CancelKey,
    withdraw: Arc<Withdraw>,
}

impl CancelKeys {
    /// Adds a session.
    #[must_use]
    pub fn register(&self, key: CancelKey, target: Target) -> Registered {
        let withdraw = Arc::clone(&target.withdraw);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().push(target);
        Registered { keys: self.clone(), key, withdraw }
    }

    /// The one session with this key; `None` where there is none, or more than one. A guess is looked up
    /// by its keyed hash, so that the time it takes does not tell how much of it was right.
    #[must_use]
    pub fn find(&self, key: &CancelKey) -> Option<Target> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.get(key)?.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(targets) = keys.get_mut(&self.key) {
            targets.retain(|target| !Arc::ptr_eq(&target.withdraw, &self.withdraw));
            if targets.is_empty() {
                keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamTls;

    fn target() -> Target {
        let upstream = Upstream {
            host: "127.0.0.1".into(),
            port: 5432,
            user: "app".into(),
            password: None,
            database: "shop".into(),
            tls: UpstreamTls::Disable,
        };
        Target::new(upstream, Arc::default())
    }

    fn key(pid: i32, secret: &[u8]) -> CancelKey {
        CancelKey { pid, secret: secret.to_vec() }
    }

    #[test]
    fn only_the_whole_key_of_one_live_session_finds_it() {
        let keys = CancelKeys::default();
        let long = [7; 256];
        let first = keys.register(key(1, b"abcd"), target());
        let _long = keys.register(key(2, &long), target());
        let table = [
            ("its own", key(1, b"abcd"), true),
            ("a long one", key(2, &long), true),
            ("a long one, cut to four bytes", key(2, &long[..4]), false),
            ("longer than it is", key(1, b"abcd\0"), false),
            ("another secret", key(1, b"abce"), false),
            ("another process", key(3, b"abcd"), false),
        ];
        for (case, key, found) in table {
            assert_eq!(keys.find(&key).is_some(), found, "{case}");
        }
        let second = keys.register(key(1, b"abcd"), target());
        assert!(keys.find(&key(1, b"abcd")).is_none(), "two databases gave the same: it might be either");
        drop(first);
        assert!(keys.find(&key(1, b"abcd")).is_some(), "one of them is gone");
        drop(second);
        assert!(keys.find(&key(1, b"abcd")).is_none());
    }
}
