//! A Slack workspace in memory, on loopback: the Web API, Socket Mode or signed HTTP requests, and a page on which
//! people press buttons. An app can't tell it from Slack by what goes over the wire; `demo/slack-fidelity` holds it
//! to that with Slack's own clients.
//!
//! ```text
//! config   who is in it                     act      what a user does: press, command, submit
//! message  messages, views                  payload  the JSON that Slack sends about it
//! state    the memory                       deliver  to the app, and the wait for its acknowledgement
//! api/     methods that an app calls        socket   Socket Mode
//! blocks/  what Block Kit permits           respond  answers through a response_url
//! watch    reading, and waiting for         page/    the page at `/`
//! ```

mod act;
mod api;
mod blocks;
mod config;
mod deliver;
mod events;
mod faults;
mod message;
mod page;
mod payload;
mod respond;
mod socket;
mod state;
mod submit;
mod watch;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use act::ActError;
pub use api::files::File;
pub use blocks::{Surface, validate_blocks, validate_view};
pub use config::{ALL_SCOPES, App, Channel, Mode, Person, Team, Usergroup, WorkspaceConfig};
pub use deliver::{Kind, Undelivered};
pub use message::{Button, Message, View};
pub use state::{Call, Notice};
pub use submit::Submission;
pub use watch::InVain;

use state::State;

/// A running workspace. Clones share it; it ends with `stop`, or when the last clone is dropped.
#[derive(Clone)]
pub struct Workspace {
    shared: Arc<Shared>,
    server: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// Ends the server with the last clone; absent in the clones that the server's own handlers use.
    _guard: Option<Arc<DropGuard>>,
}

/// What the server's tasks and the handles share.
struct Shared {
    state: Mutex<State>,
    changed: Sender<u64>,
    client: reqwest::Client,
    stop: CancellationToken,
    base: String,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, without telling anybody.
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes something, then wakes everybody who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }
}

impl Workspace {
    /// Starts the workspace.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(config: WorkspaceConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.addr).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(config, base.clone())),
            changed: Sender::new(0),
            client: reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?,
            stop: stop.clone(),
            base,
        });
        let routes = Router::new()
            .merge(api::routes())
            .merge(respond::routes())
            .merge(socket::routes())
            .merge(page::routes())
            .layer(DefaultBodyLimit::max(2 << 20))
            .with_state(shared.clone());
        let until = stop.clone();
        let server = tokio::spawn(async move {
            let serve = axum::serve(listener, routes).with_graceful_shutdown(until.cancelled_owned());
            if let Err(error) = serve.await {
                tracing::error!(%error, "the Slack stand-in stopped serving");
            }
        });
        Ok(Self { shared, server: Arc::new(Mutex::new(Some(server))), _guard: Some(Arc::new(stop.drop_guard())) })
    }

    /// A handle for the server's own handlers, which does not keep it alive.
    fn borrowed(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), server: Arc::default(), _guard: None }
    }

    /// The page, `http://127.0.0.1:…/`.
    pub fn url(&self) -> String {
        format!("{}/", self.shared.base)
    }

    /// What an app takes for `https://slack.com/api/`.
    pub fn api_url(&self) -> String {
        format!("{}/api/", self.shared.base)
    }

    /// The bot token that the Web API expects.
    pub fn bot_token(&self) -> String {
        self.shared.read(|state| state.config.bot_token.clone())
    }

    /// The app token that `apps.connections.open` expects.
    pub fn app_token(&self) -> String {
        self.shared.read(|state| state.config.app_token.clone())
    }

    /// The secret that signs requests in HTTP mode.
    pub fn signing_secret(&self) -> String {
        self.shared.read(|state| state.config.signing_secret.clone())
    }

    /// Changes how interactions are delivered from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.change(|state| state.config.mode = mode);
    }

    /// Ends the server and every connection to it.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server
            && let Err(error) = server.await
        {
            tracing::warn!(%error, "the Slack stand-in did not stop cleanly");
        }
    }
}

#[cfg(test)]
mod tests;
