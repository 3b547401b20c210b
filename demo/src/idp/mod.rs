//! A local identity provider: OpenID Connect on loopback, with a plain page to sign in on.
//!
//! It is a real one as far as a client can tell, and can be told to misbehave as real ones do.
//!
//! ```text
//! keys       what it signs with                token     a token in the making
//! state      what it remembers                 metadata  discovery, key set, user info, introspection
//! authorize  the sign-in page and its answer   exchange  a code, a refresh token or a device for tokens
//! device     signing in from elsewhere         page      the HTML
//! ```

mod authorize;
mod device;
mod exchange;
mod keys;
mod metadata;
mod page;
mod state;
mod token;

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{Ipv4Addr, TcpListener},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State as Extract},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use countersign_shared::secret::Secret;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::token::{Signing, Token};
use self::{
    keys::Keys,
    state::{Shared, State},
};
use crate::people::{People, Person};

/// The client that the provider knows from the start, and the audience of its tokens.
pub const CLIENT: &str = "countersign";

/// What the provider can't do.
#[derive(Debug, thiserror::Error)]
pub enum IdpError {
    /// No port.
    #[error("the identity provider cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// 0: any.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// aws-lc refuses.
    #[error("the identity provider cannot make or use its keys")]
    Keys,
    /// Not in the cast.
    #[error("the identity provider knows nobody called {0}")]
    Nobody(String),
}

/// How the provider fails its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// Not at all.
    #[default]
    None,
    /// Connections are refused.
    Refusing,
    /// Requests are taken and never answered.
    Silent,
    /// Every answer is 503.
    Failing,
    /// Every answer is 200 with a page for people in it, as captive portals do.
    Babbling,
}

/// How a provider starts.
#[derive(Clone, Debug)]
pub struct IdpConfig {
    /// Who can sign in.
    pub people: People,
    /// 0 picks a free one.
    pub port: u16,
    /// How long a token lasts.
    pub lifetime: Duration,
}

impl Default for IdpConfig {
    fn default() -> Self {
        Self { people: People::acme(), port: 0, lifetime: Duration::from_hours(1) }
    }
}

/// A running provider. Clones share it; it ends with the last one.
#[derive(Clone)]
pub struct Idp {
    shared: Arc<Shared>,
    port: u16,
    _ends_with_the_last_clone: Arc<DropGuard>,
}

impl Idp {
    /// Starts a provider for `people` on a free port.
    ///
    /// # Errors
    /// Where it can't listen or make keys.
    pub async fn start(people: People) -> Result<Self, IdpError> {
        Self::start_with(IdpConfig { people, ..IdpConfig::default() }).await
    }

    /// Starts a provider. It runs on a thread of its own, so that it may be shared by tests whose
    /// runtimes come and go.
    ///
    /// # Errors
    /// Where it can't listen or make keys.
    pub async fn start_with(config: IdpConfig) -> Result<Self, IdpError> {
        let keys = tokio::task::spawn_blocking(|| Keys::generate(1)).await.map_err(|_| IdpError::Keys)??;
        let listening = |source| IdpError::Listen { port: config.port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).map_err(listening)?;
        let port = listener.local_addr().map_err(listening)?.port();
        let state = State {
            people: config.people,
            keys: vec![keys],
            clients: HashMap::from([(CLIENT.to_owned(), None)]),
            lifetime: config.lifetime,
            bend: None,
            trusts_hints: false,
            pages: HashMap::new(),
            codes: HashMap::new(),
            refresh: HashMap::new(),
            access: HashMap::new(),
            devices: HashMap::new(),
            fetches: HashMap::new(),
        };
        let shared = Arc::new(Shared::new(format!("http://127.0.0.1:{port}"), state));
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(listening)?;
        let work = serve(listener, Arc::clone(&shared), stop.clone());
        std::thread::Builder::new()
            .name("identity-provider".into())
            .spawn(move || runtime.block_on(work))
            .map_err(listening)?;
        Ok(Self { shared, port, _ends_with_the_last_clone: Arc::new(stop.drop_guard()) })
    }

    /// The issuer, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Somebody by address or handle.
    ///
    /// # Errors
    /// [`IdpError::Nobody`].
    pub fn person(&self, who: &str) -> Result<Person, IdpError> {
        self.shared.lock().people.person(who).cloned().ok_or_else(|| IdpError::Nobody(who.into()))
    }

    /// A good token for a person, as signing in would give: what a `psql` line has as its password.
    ///
    /// # Errors
    /// [`IdpError::Nobody`].
    pub fn token_for(&self, who: &str) -> Result<String, IdpError> {
        self.token(who)?.jwt()
    }

    /// A token for a person (address or handle) or a workload (name), to be bent before it is signed.
    ///
    /// # Errors
    /// [`IdpError::Nobody`].
    pub fn token(&self, who: &str) -> Result<Token, IdpError> {
        let (person, workload) = {
            let state = self.shared.lock();
            (state.people.person(who).cloned(), state.people.workload(who).cloned())
        };
        match (person, workload) {
            (Some(person), _) => self.shared.token_of(&person, CLIENT),
            (None, Some(workload)) => self.shared.token_of_workload(&workload, CLIENT),
            (None, None) => Err(IdpError::Nobody(who.into())),
        }
    }

    /// Changes who works here and in which groups; tokens that are out stay as they are.
    pub fn change_people(&self, change: impl FnOnce(&mut People)) {
        change(&mut self.shared.lock().people);
    }

    /// From now on whoever a `login_hint` names is signed in without a page.
    pub fn trust_hints(&self) {
        self.shared.lock().trusts_hints = true;
    }

    /// Demands `secret` of the client, or of a further one.
    pub fn set_client_secret(&self, client: &str, secret: &str) {
        self.shared.lock().clients.insert(client.into(), Some(Secret::new(secret.into())));
    }

    /// How long tokens last from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.shared.lock().lifetime = lifetime;
    }

    /// Bends every ID token that is given out by signing in, in place of an earlier bend.
    pub fn bend(&self, bend: impl Fn(Token) -> Token + Send + Sync + 'static) {
        self.shared.lock().bend = Some(Arc::new(bend));
    }

    /// Gives out right tokens again.
    pub fn unbend(&self) {
        self.shared.lock().bend = None;
    }

    /// Signs with new keys, and publishes the old ones beside them if `keep_old`.
    ///
    /// # Errors
    /// Where no keys can be made.
    pub fn rotate_keys(&self, keep_old: bool) -> Result<(), IdpError> {
        let generation = u32::try_from(self.fetches("/rotations") + 2).unwrap_or(u32::MAX);
        let keys = Keys::generate(generation)?;
        let mut state = self.shared.lock();
        *state.fetches.entry("/rotations".into()).or_default() += 1;
        if !keep_old {
            state.keys.clear();
        }
        state.keys.push(keys);
        Ok(())
    }

    /// Fails from now on, or works again.
    pub fn set_outage(&self, outage: Outage) {
        self.shared.outage.send_replace(outage);
    }

    /// Ends what a person's tokens can do here: refreshing fails, introspection says inactive.
    ///
    /// # Errors
    /// [`IdpError::Nobody`].
    pub fn sign_out(&self, who: &str) -> Result<(), IdpError> {
        let mut state = self.shared.lock();
        let subject = state.people.person(who).map(|person| person.subject.clone());
        let subject = subject.ok_or_else(|| IdpError::Nobody(who.into()))?;
        state.refresh.retain(|_, sign_in| sign_in.subject != subject);
        state.access.retain(|_, sign_in| sign_in.subject != subject);
        Ok(())
    }

    /// How often the key set was fetched.
    #[must_use]
    pub fn key_fetches(&self) -> u64 {
        self.fetches(metadata::KEYS)
    }

    /// How often `path` was asked for.
    #[must_use]
    pub fn fetches(&self, path: &str) -> u64 {
        self.shared.lock().fetches.get(path).copied().unwrap_or(0)
    }
}

impl std::fmt::Debug for Idp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idp").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

/// Listens until `stop`, and not while it refuses.
async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let address = listener.local_addr();
    let mut listener = Some(listener);
    let mut outage = shared.outage.subscribe();
    let mut closed;
    loop {
        let bound = match listener.take() {
            Some(listener) => Ok(listener),
            None => address.as_ref().map_err(|e| io::Error::other(e.to_string())).and_then(TcpListener::bind),
        };
        let bound = bound.and_then(|bound| bound.set_nonblocking(true).and(Ok(bound)));
        match bound.and_then(tokio::net::TcpListener::from_std) {
            Ok(bound) => {
                let mut refusing = shared.outage.subscribe();
                let (closes, closing) = tokio::sync::oneshot::channel::<()>();
                let ends = async move {
                    drop(refusing.wait_for(|outage| *outage == Outage::Refusing).await);
                    drop(closes);
                };
                // Not awaited: it ends when its last connection has, which may be never.
                tokio::spawn(
                    axum::serve(bound, router(Arc::clone(&shared))).with_graceful_shutdown(ends).into_future(),
                );
                // The refusal itself may be over before this task looks; that it began is not missed.
                closed = Some(closing);
            }
            // The old listener may go a moment later.
            Err(error) => {
                tracing::debug!(%error, "the identity provider can't listen again yet");
                closed = None;
            }
        }
        let round = async {
            match closed.take() {
                Some(closing) => drop(closing.await),
                None => return tokio::time::sleep(Duration::from_millis(20)).await,
            }
            drop(outage.wait_for(|outage| *outage != Outage::Refusing).await);
        };
        if ends_first(stop.cancelled(), round).await {
            return;
        }
    }
}

async fn ends_first(first: impl Future<Output = ()>, second: impl Future<Output = ()>) -> bool {
    let (first, second) = (pin!(first), pin!(second));
    matches!(futures_util::future::select(first, second).await, futures_util::future::Either::Left(_))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page::home))
        .route(metadata::DISCOVERY, get(metadata::discovery))
        .route(metadata::KEYS, get(metadata::keys))
        .route("/userinfo", get(metadata::user_info).post(metadata::user_info))
        .route("/introspect", post(metadata::introspect))
        .route("/revoke", post(metadata::revoke))
        .route("/end_session", get(metadata::end_session))
        .route("/authorize", get(authorize::ask).post(authorize::answer))
        .route("/token", post(exchange::token))
        .route("/device_authorization", post(device::begin))
        .route("/device", get(device::ask).post(device::answer))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), weather))
        .with_state(shared)
}

/// Counts the request, and fails it where an outage was asked for.
async fn weather(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    *shared.lock().fetches.entry(request.uri().path().to_owned()).or_default() += 1;
    let outage = *shared.outage.borrow();
    match outage {
        Outage::None => next.run(request).await,
        Outage::Silent => std::future::pending().await,
        Outage::Failing | Outage::Refusing => {
            (StatusCode::SERVICE_UNAVAILABLE, [("connection", "close")], "out of order").into_response()
        }
        Outage::Babbling => page::babble(),
    }
}
