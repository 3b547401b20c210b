//! Which live session a cancel key belongs to. A guessed key gets nothing, and no answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::{config::Upstream, wire::startup::CancelKey};

/// What a CancelRequest reaches.
#[derive(Clone)]
pub struct Target {
    /// The database server.
    pub upstream: Upstream,
    /// Rings the session while it holds a statement.
    pub withdraw: Arc<Withdraw>,
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

    /// The one session with this key; `None` where there is none, or more than one.
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
