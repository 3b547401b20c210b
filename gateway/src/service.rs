//! Starts a gateway from its config, and ends it in an orderly way.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use countersign_shared::secret::Secret;
use tokio::{net::TcpListener, sync::mpsc::UnboundedReceiver};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{keep, poll, uses},
    approval::{allowance, keys::load_or_create_bot_key, seal::SealKey},
    bucket::custody::Custody,
    clock,
    config::{Config, Problem},
    connection::{accept::Listener, shards::Shards, tls::web_acceptor},
    control, evidence,
    identity::Issuers,
    log::{Entry, Kind},
    metrics::{LoadResult, Metrics},
    policy::{self, Coming, Looking, Watched},
    records::{index, retention},
    runtime::{Gateway, Holds},
    sessions::Sessions,
    siem,
    store::{Store, sqlite::SqliteStore},
};

/// How long sessions may finish what they run once the gateway stops.
pub const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether the policy folder can still be read.
const LOOK: Duration = Duration::from_secs(5);

/// A gateway that is ready to take clients.
pub struct Service {
    gateway: Arc<Gateway>,
    clients: Listener,
    control: TcpListener,
    public: Option<(TcpListener, Option<TlsAcceptor>)>,
    /// The bot's private key, for a bot in the same process.
    pub bot_key: Secret<String>,
    custody: Custody,
    loads: Loads,
}

/// What the policy folder comes to from now on.
struct Loads {
    coming: UnboundedReceiver<Coming>,
    looking: Looking,
}

/// Why a gateway does not start, in sentences for whoever starts it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct NotStarted(pub Vec<String>);

pub(crate) fn not(what: impl std::fmt::Display) -> NotStarted {
    NotStarted(vec![what.to_string()])
}

impl Service {
    /// Opens state, log, keys and policies, ends what nobody waits for any more, and binds both
    /// addresses. Takes no client yet.
    ///
    /// # Errors
    /// Everything that is in the way.
    pub async fn start(config: Config) -> Result<Self, NotStarted> {
        let settings = &config.gateway;
        let Watched { policies, refused, coming, looking } =
            policy::watch(&settings.policy, settings.policy_signers.clone())
                .map_err(|problems| NotStarted(problems.iter().map(ToString::to_string).collect()))?;
        let (bot_key, bot) = load_or_create_bot_key(&settings.bot_key).map_err(not)?;
        let seal = SealKey::load_or_create(&settings.log_key).map_err(not)?;
        let store = SqliteStore::open(&settings.state).await.map_err(|e| not(format!("[gateway] state: {e}")))?;
        let (log, custody) = evidence::open(&config, &store).await?;
        let issuers = Issuers::new(&config.identities, &config.agents).map_err(not)?;
        let store: Arc<dyn Store> = Arc::new(store);

        log.append_durably(&evidence::start(&log, &policies.borrow())).await.map_err(not)?;
        let in_force = Arc::clone(&policies.borrow());
        evidence::loaded(&log, &config, &in_force).await.map_err(not)?;
        evidence::keep(&log, settings, &*store).await?;
        let void = store.end_orphans("the gateway restarted while it waited").await.map_err(not)?;
        for request in void {
            let mut entry = Entry::new(Kind::HoldEnded);
            entry.request = Some(request);
            entry.outcome = Some("the gateway restarted while it waited".to_owned());
            log.append_durably(&entry).await.map_err(not)?;
        }
        let metrics = Metrics::default();
        metrics.policy_load(LoadResult::Loaded);
        let control = TcpListener::bind(settings.control)
            .await
            .map_err(|e| not(format!("[gateway] control = {}: {e}", settings.control)))?;
        let public = match settings.public {
            Some(address) => {
                let tls = settings.tls.as_ref().map(web_acceptor).transpose().map_err(not)?;
                let bound = TcpListener::bind(address).await;
                Some((bound.map_err(|e| not(format!("[gateway] public = {address}: {e}")))?, tls))
            }
            None => None,
        };
        let gateway = Arc::new(Gateway {
            config,
            policies,
            policies_refused: refused,
            store,
            log,
            issuers,
            bot,
            seal,
            catalogs: Arc::default(),
            changes: Arc::default(),
            sessions: Sessions::default(),
            grants: crate::access::book::Book::default(),
            regrouped: tokio::sync::Notify::new(),
            asking: tokio::sync::Mutex::default(),
            holds: Holds::default(),
            channels: crate::channels::ChannelNames::default(),
            metrics,
        });
        keep::read(&gateway).await.map_err(|e| not(format!("the grants can't be read: {e}")))?;
        let clients = Listener::bind(Arc::clone(&gateway)).await.map_err(not)?;
        tell_of_classified(&gateway);
        let loads = Loads { coming, looking };
        Ok(Self { gateway, clients, control, public, bot_key, custody, loads })
    }

    /// Where clients and the control API are reached.
    ///
    /// # Errors
    /// Where a socket is gone.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.clients.address()?, self.control.local_addr()?))
    }

    /// Takes clients until `stop`; then refuses new ones, ends holds with a reason, gives running
    /// statements [`GRACE`], and ends. `more` is served beside the control API, which answers until
    /// `last` is done: whoever follows it learns how the holds ended.
    ///
    /// # Errors
    /// Where the control API fails.
    pub async fn run(self, more: Router, stop: CancellationToken, last: impl Future<Output = ()>) -> io::Result<()> {
        let Self { gateway, clients, control, public, mut custody, loads, .. } = self;
        let sessions = TaskTracker::new();
        let shards = Arc::new(Shards::start()?);
        let accepting = tokio::spawn(clients.run(stop.clone(), sessions.clone(), Arc::clone(&shards)));
        let evidence = tokio::spawn(evidence::keep_on(Arc::clone(&gateway)));
        let keep = stop.clone();
        let custody = tokio::spawn(async move {
            tokio::select! {
                () = custody.run() => {}
                () = keep.cancelled() => {}
            }
            custody
        });
        let sending = siem::start(&gateway, stop.clone());
        let forgetting = tokio::spawn(retention::keep(Arc::clone(&gateway)));
        let indexing = tokio::spawn(index::keep(Arc::clone(&gateway)));
        let watching = tokio::spawn(tell_policy_loads(Arc::clone(&gateway), loads, stop.clone()));
        let keeping = tokio::spawn(keep::keep(Arc::clone(&gateway)));
        let polling = tokio::spawn(poll::poll(Arc::clone(&gateway)));
        let writing = tokio::spawn(keep::keep_written(Arc::clone(&gateway)));
        let clocks = tokio::spawn(clock::keep(Arc::clone(&gateway)));
        let allowing = tokio::spawn(allowance::keep(Arc::clone(&gateway)));
        if let Some((listener, tls)) = public {
            let pages = control::public_router(Arc::clone(&gateway)).merge(more.clone());
            let stop = stop.clone();
            tokio::spawn(control::public::serve(listener, tls, pages, stop));
        }
        let pages = control::router(Arc::clone(&gateway)).merge(more);
        let pages = pages.into_make_service_with_connect_info::<SocketAddr>();
        let ended = CancellationToken::new();
        let serving = {
            let ended = ended.clone();
            tokio::spawn(async move {
                axum::serve(control, pages).with_graceful_shutdown(async move { ended.cancelled().await }).await
            })
        };
        stop.cancelled().await;
        tracing::info!("stopping: new logins are refused, holds end, running statements may finish");
        gateway.sessions.drain("the gateway is stopping; connect again in a moment");
        sessions.close();
        if tokio::time::timeout(GRACE, sessions.wait()).await.is_err() {
            let left = gateway.sessions.kill_all("the gateway stopped before the statement was finished");
            tracing::warn!(left, "sessions were still busy after the grace time");
            let _done = tokio::time::timeout(Duration::from_secs(2), sessions.wait()).await;
        }
        uses::flush(&gateway).await;
        uses::flush_permissions(&gateway).await;
        last.await;
        ended.cancel();
        // Event streams stay open as long as their listeners do; they are not waited for.
        let served = tokio::time::timeout(Duration::from_secs(1), serving).await;
        accepting.abort();
        watching.abort();
        keeping.abort();
        writing.abort();
        allowing.abort();
        clocks.abort();
        evidence.abort();
        polling.abort();
        forgetting.abort();
        indexing.abort();
        evidence::stop(&gateway).await;
        if let Some(Ok(Some(mut siem))) = match sending {
            Some(sending) => Some(sending.await),
            None => None,
        } {
            siem.last(&gateway).await;
        }
        if let Ok(custody) = custody.await {
            evidence::last_round(custody).await;
        }
        match served {
            Ok(Ok(result)) => result,
            _ => Ok(()),
        }
    }
}

/// Says beside the start what of `classify` does not fit the databases. A mask that does not fit redacts.
fn tell_of_classified(gateway: &Arc<Gateway>) {
    if gateway.config.connections.values().all(|connection| connection.classify.is_empty()) {
        return;
    }
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let looked = crate::classified::look(&gateway.config).await;
        looked.problems.iter().for_each(|problem| tracing::error!(%problem, "values are redacted instead"));
        looked.warnings.iter().for_each(|problem| tracing::warn!(%problem, "nothing is masked by it"));
    });
}

/// Every load of policy is an entry of the log, before anything is decided by it.
async fn tell_policy_loads(gateway: Arc<Gateway>, loads: Loads, stop: CancellationToken) {
    let Loads { mut coming, looking } = loads;
    let mut looks = tokio::time::interval(LOOK);
    let mut policies = gateway.policies.clone();
    policies.mark_unchanged();
    let mut refused = gateway.policies_refused.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            next = coming.recv() => {
                let Some(next) = next else { return };
                let done = evidence::reloaded(&gateway, &next.policies).await;
                next.written(done.map_err(|down| down.to_string()));
                continue;
            }
            _ = looks.tick() => {
                looking.complain_where_stuck(Instant::now());
                continue;
            }
            changed = policies.changed() => if changed.is_err() { return },
            changed = refused.changed() => {
                if changed.is_err() {
                    return;
                }
                let problems = refused.borrow_and_update().clone();
                gateway.metrics.policy_is_stale(!problems.is_empty());
                if !problems.is_empty() {
                    tell_refused_load(&gateway, &problems).await;
                }
                continue;
            }
        }
        policies.mark_unchanged();
        gateway.metrics.policy_load(LoadResult::Loaded);
        // Whatever waits is looked at again under the new policies.
        gateway.holds.ring_all();
    }
}

/// A version that is not put in force is news too.
async fn tell_refused_load(gateway: &Gateway, problems: &[Problem]) {
    gateway.metrics.policy_load(LoadResult::Refused);
    let mut entry = Entry::new(Kind::Load);
    let in_force = gateway.policies().version();
    entry.outcome = Some(format!("refused for {} problems; policy {in_force} stays in force", problems.len()));
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    entry.detail = serde_json::json!({ "problems": problems });
    if let Err(down) = gateway.log.append_durably(&entry).await {
        tracing::error!(%down, "a refused load of policy is not in the log");
    }
}

/// Reads a config, or says everything that is wrong with it.
///
/// # Errors
/// The problems, a line or two each.
pub fn load(file: &Path) -> Result<Config, NotStarted> {
    Config::load(file).map_err(|problems| NotStarted(problems.iter().map(ToString::to_string).collect()))
}
