//! What every part of a running gateway shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use countersign_shared::{bot_token::BotVerifier, ids::RequestId};
use tokio::sync::{Notify, oneshot, watch};

use crate::{
    approval::seal::SealKey, config::Config, identity::Issuers, log::Log, metrics::Metrics, policy::Policies,
    sessions::Sessions, store::Store,
};

/// A running gateway. Made once, shared by all sessions and by the control API.
pub struct Gateway {
    /// The file.
    pub config: Config,
    /// The policies in force; changes when the folder does.
    pub policies: watch::Receiver<Arc<Policies>>,
    /// What is wrong with a newer version, which is not in force.
    pub policies_refused: watch::Receiver<Vec<crate::config::Problem>>,
    /// State.
    pub store: Arc<dyn Store>,
    /// Evidence.
    pub log: Log,
    /// Who vouches for whom.
    pub issuers: Issuers,
    /// The bot's public key.
    pub bot: BotVerifier,
    /// Signs approvals.
    pub seal: SealKey,
    /// What the connections' databases hold.
    pub catalogs: Arc<crate::connection::catalogs::Catalogs>,
    /// How often DDL has passed; a catalog read before that is old.
    pub changes: Arc<std::sync::atomic::AtomicU64>,
    /// Live sessions.
    pub sessions: Sessions,
    /// Grants that count now.
    pub grants: crate::access::book::Book,
    /// Rings where somebody's groups have changed.
    pub regrouped: Notify,
    /// Held while a statement is asked for with which no session waits: of many who ask at once, one does.
    pub asking: tokio::sync::Mutex<()>,
    /// Sessions that wait for a request.
    pub holds: Holds,
    /// What Slack's channels are called.
    pub channels: crate::channels::ChannelNames,
    /// Counters.
    pub metrics: Metrics,
}

impl Gateway {
    /// The policies in force now.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.borrow())
    }
}

/// Rings the session that waits for a request. It only says "look again": what counts is in the store.
#[derive(Clone, Default)]
pub struct Holds(Arc<Mutex<HashMap<RequestId, Arc<Bells>>>>);

#[derive(Default)]
struct Bells {
    look: Notify,
    asked: Notify,
    park: Notify,
    wish: Mutex<Option<ParkWish>>,
}

/// Somebody wants a hold parked.
pub struct ParkWish {
    /// Who.
    pub by: String,
    /// Takes the id of the request that waits in its place, or why there is none.
    pub answer: oneshot::Sender<Result<RequestId, String>>,
}

/// A session's place in [`Holds`]; leaves when it is dropped.
pub struct Waiting {
    holds: Holds,
    id: RequestId,
    bells: Arc<Bells>,
}

impl Holds {
    /// Waits for `id` from now on. Taken before the request is made, so that no ring is missed.
    #[must_use]
    pub fn wait_for(&self, id: &RequestId) -> Waiting {
        let bells = Arc::new(Bells::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), Arc::clone(&bells));
        Waiting { holds: self.clone(), id: id.clone(), bells }
    }

    /// Says that something about `id` changed.
    pub fn ring(&self, id: &RequestId) {
        if let Some(bells) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            bells.look.notify_one();
        }
    }

    /// Says that somebody asked something about `id`. Apart from [`ring`](Self::ring): a question ends no hold, so
    /// nothing that could end it is looked at.
    pub fn ask(&self, id: &RequestId) {
        if let Some(bells) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            bells.asked.notify_one();
        }
    }
}

impl Holds {
    /// Asks the session that waits for `id` to park it. What it answers; nothing where none waits. Where the hold ends
    /// otherwise, nothing is answered.
    #[must_use]
    pub fn park(&self, id: &RequestId, by: &str) -> Option<oneshot::Receiver<Result<RequestId, String>>> {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        let (answer, answered) = oneshot::channel();
        let wish = ParkWish { by: by.to_owned(), answer };
        *bells.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(wish);
        bells.park.notify_one();
        Some(answered)
    }

    /// Says that something about all of them changed.
    pub fn ring_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|bells| bells.look.notify_one());
    }
}

impl Waiting {
    /// Until the next ring; a ring since the last call counts.
    pub async fn rung(&self) {
        self.bells.look.notified().await;
    }

    /// Until somebody wants it parked.
    pub async fn park_wished(&self) -> ParkWish {
        loop {
            self.bells.park.notified().await;
            if let Some(wish) = self.bells.wish.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return wish;
            }
        }
    }

    /// Until the next question; one since the last call counts.
    pub async fn asked(&self) {
        self.bells.asked.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.holds.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
