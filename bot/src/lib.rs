//! The Slack app beside the gateway.
//!
//! It decides nothing and knows no SQL. It shows requests as cards, and delivers what people press,
//! signed with its own key, to the gateway's control API. Whether a press counts is the gateway's
//! to say.
//!
//! - [`cards`] is every message, pure;
//! - `events` hears of requests, `board` keeps their cards true;
//! - [`slack`] connects, verifies, decodes and posts;
//! - `press` and `commands` do what people ask, through [`control`].

mod account;
mod acts;
mod audience;
mod backoff;
mod board;
pub mod cap;
pub mod cards;
mod channels;
mod commands;
pub mod control;
mod control_posts;
mod counting;
mod details;
pub mod digest;
pub mod digest_parts;
mod events;
mod held;
mod home;
mod life;
mod linking;
mod outbox;
mod press;
mod question;
pub mod quiet;
pub mod reaching;
pub mod schedule;
mod seen;
pub mod slack;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use countersign_shared::{api::RequestView, bot_token::BotKey, ids::RequestId, secret::Secret};
use tokio::sync::{Mutex, OnceCell};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::TaskTracker,
};
use url::Url;

use crate::{
    audience::Audience,
    backoff::Backoff,
    board::Board,
    control::Control,
    counting::Counting,
    digest_parts::Places,
    life::Life,
    linking::Linking,
    reaching::{Reached, Routes},
    schedule::Daily,
    seen::Seen,
    slack::{Slack, SlackError, connect::ConnectError, decode::Incoming, post::Identity},
};

/// How long work in progress may take when the bot stops; a post that is under way must be
/// written down, or it would be posted again.
const GRACE: Duration = Duration::from_secs(10);

/// How long the start waits for channels' names.
const CHANNELS_WITHIN: Duration = Duration::from_secs(5);

/// How to reach Slack.
#[derive(Clone, Debug)]
pub struct SlackSettings {
    /// `xapp-…`, for Socket Mode.
    pub app_token: Option<Secret<String>>,
    /// For HTTP mode; see [`slack_routes`].
    pub signing_secret: Option<Secret<String>>,
    /// `xoxb-…`.
    pub bot_token: Secret<String>,
    /// Where requests are posted whose connection names no channel.
    pub channel: String,
    /// Where each connection's requests are posted, and its part of the digest.
    pub places: Places,
    /// The connections whose cards show nothing of what is asked: more people read their channel than decide.
    pub redacted: BTreeSet<String>,
    /// Those of them whose channels are looked at: their cards are redacted only where that is so.
    pub looked_at: BTreeSet<String>,
    /// `https://slack.com/api/`, or a stand-in.
    pub api_url: Url,
    /// When the digest is posted, if it is.
    pub digest: Option<Daily>,
    /// Whom a request reaches, by connection.
    pub routes: Routes,
}

/// What the bot needs to know.
pub struct BotConfig {
    /// The gateway's control API.
    pub control: Url,
    /// What it signs with.
    pub key: BotKey,
    /// How to reach Slack.
    pub slack: SlackSettings,
    /// Where browsers find the gateway's pages.
    pub page_url: Url,
}

/// Why the bot can't run.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The client for Slack can't be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client for the gateway can't be made.
    #[error("the connection to the gateway cannot be set up: {0}")]
    Control(#[from] reqwest::Error),
    /// The bot token is no good.
    #[error("{0}; check [slack] bot_token, and that the app is installed in the workspace")]
    Token(SlackError),
}

struct Inner {
    control: Control,
    slack: Slack,
    settings: SlackSettings,
    page_url: Url,
    identity: OnceCell<Identity>,
    board: Board,
    audience: Audience,
    counting: Counting,
    seen: Seen,
    life: Life,
    linking: Linking,
    reached: Reached,
    refreshing: Mutex<()>,
    work: TaskTracker,
    stop: CancellationToken,
}

/// The bot; clones are the same one.
#[derive(Clone)]
pub struct Bot(Arc<Inner>);

impl Bot {
    /// A bot that does nothing yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(config: BotConfig) -> Result<Self, BotError> {
        // Socket Mode's TLS takes the process's provider. The command line may have set it before.
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            tracing::trace!("the process has its TLS provider already");
        }
        Ok(Self(Arc::new(Inner {
            control: Control::new(config.control, config.key)?,
            slack: Slack::new(&config.slack.api_url, &config.slack.bot_token)?,
            settings: config.slack,
            page_url: config.page_url,
            identity: OnceCell::new(),
            board: Board::default(),
            audience: Audience::default(),
            counting: Counting::default(),
            seen: Seen::default(),
            life: Life::default(),
            linking: Linking::default(),
            reached: Reached::default(),
            refreshing: Mutex::default(),
            work: TaskTracker::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// Works until `shutdown`, whether Slack or the gateway is there or not.
    ///
    /// # Errors
    /// Where Slack says that the token is no good.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), BotError> {
        let introduced = tokio::select! {
            introduced = self.introduce() => introduced,
            () = shutdown.cancelled() => Ok(()),
        };
        if introduced.is_ok() {
            // Not for long: notices can do with a channel's id.
            let _done = tokio::time::timeout(CHANNELS_WITHIN, channels::introduce(self)).await;
            let socket = async {
                match &self.0.settings.app_token {
                    Some(token) => slack::socket::serve(self, token, &shutdown).await,
                    None => shutdown.cancelled().await,
                }
            };
            let digest = async {
                if let Some(daily) = &self.0.settings.digest {
                    digest::follow(self, daily, &shutdown).await;
                }
            };
            tokio::join!(
                socket,
                events::follow(self, &shutdown),
                counting::follow(self, &shutdown),
                life::follow(self, &shutdown),
                linking::follow(self, &shutdown),
                reaching::follow(self, &shutdown),
                digest
            );
        }
        self.0.stop.cancel();
        self.0.work.close();
        if tokio::time::timeout(GRACE, self.0.work.wait()).await.is_err() {
            tracing::warn!("the bot stops with work unfinished");
        }
        introduced
    }

    /// Learns who the bot is, which takes Slack to be there.
    async fn introduce(&self) -> Result<(), BotError> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            match self.identity().await {
                Ok(identity) => {
                    tracing::info!(team = identity.team_id, user = identity.user_id, "the bot knows its workspace");
                    return Ok(());
                }
                Err(error) if error.is_about_the_token() => return Err(BotError::Token(error)),
                Err(error) => {
                    tracing::warn!(%error, "Slack is away; trying again");
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Who the bot is; asked once.
    pub(crate) async fn identity(&self) -> Result<&Identity, SlackError> {
        self.0.identity.get_or_try_init(|| self.0.slack.identity()).await
    }

    /// Takes what somebody did, and returns at once.
    pub(crate) fn receive(&self, incoming: Incoming) {
        if incoming.number().is_some_and(|number| !self.0.seen.is_new(number, Instant::now())) {
            tracing::info!("Slack delivered something twice; it is done once");
            return;
        }
        let bot = self.clone();
        self.0.work.spawn(async move {
            match incoming {
                Incoming::Press(press) => press::press(&bot, press).await,
                Incoming::DenyForm(form) => press::denied(&bot, form).await,
                Incoming::AllowForm(form) => press::allowed(&bot, form).await,
                Incoming::End(press) => press::ends(&bot, press).await,
                Incoming::Question(press) => question::pressed(&bot, press).await,
                Incoming::Details(press) => details::pressed(&bot, press).await,
                Incoming::Link(press) => linking::pressed(&bot, press).await,
                Incoming::QuestionForm(form) => question::submitted(&bot, form).await,
                Incoming::Grant(press) => press::at_grant(&bot, press).await,
                Incoming::AskForm(form) => commands::request::submitted(&bot, form).await,
                Incoming::KeepForm(form) => press::kept(&bot, form).await,
                Incoming::Review(press) => commands::review::pressed(&bot, press).await,
                Incoming::ReviewForm(form) => commands::review::submitted(&bot, form).await,
                Incoming::Home(opened) => home::show(&bot, &opened.person).await,
                Incoming::Command(command) => commands::run(&bot, command).await,
            }
        });
    }

    /// Makes Slack show `id` as it is.
    pub(crate) fn touch(&self, id: &RequestId) {
        if self.0.board.claim(id) {
            self.0.work.spawn(board::keep(self.clone(), id.clone()));
        }
    }

    /// Lets the card of `id` be posted, which waited for its turn.
    pub(crate) fn let_post(&self, id: &RequestId) {
        if self.0.board.let_post(id) {
            self.touch(id);
        }
    }

    /// Keeps the card of `id` back: enough wait before it.
    pub(crate) fn keep_back(&self, id: &RequestId) {
        if self.0.board.keep_back(id) {
            self.touch(id);
        }
    }

    /// Tells the gateway what channels are called, beside whatever else goes on.
    pub(crate) fn introduce_channels(&self) {
        let bot = self.clone();
        self.0.work.spawn(async move { channels::introduce(&bot).await });
    }

    /// As [`Bot::touch`], unless the request is over and Slack shows so.
    pub(crate) fn touch_unless_told(&self, id: &RequestId) {
        if !self.0.board.is_told(id) {
            self.touch(id);
        }
    }

    /// Works on something beside whatever else goes on.
    pub(crate) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Self) -> F) {
        self.0.work.spawn(work(self.clone()));
    }

    pub(crate) fn counting(&self) -> &Counting {
        &self.0.counting
    }

    pub(crate) fn reached(&self) -> &Reached {
        &self.0.reached
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.0.settings.routes
    }

    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    pub(crate) fn linking(&self) -> &Linking {
        &self.0.linking
    }

    /// Held by whoever rewrites a digest.
    pub(crate) fn refreshing(&self) -> &Mutex<()> {
        &self.0.refreshing
    }

    pub(crate) fn board(&self) -> &Board {
        &self.0.board
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    pub(crate) fn slack(&self) -> &Slack {
        &self.0.slack
    }

    pub(crate) fn channel(&self) -> &str {
        &self.0.settings.channel
    }

    pub(crate) fn places(&self) -> &Places {
        &self.0.settings.places
    }

    /// Whether the channel of a request reads nothing of what is asked.
    pub(crate) fn is_redacted(&self, view: &RequestView) -> bool {
        let (redacted, places) = (&self.0.settings.redacted, self.places());
        if self.looks_at(view) {
            return !self.0.audience.is_narrow(&view.id);
        }
        // One that this bot's config does not know yet may be one of those.
        redacted.contains(&view.connection) || !places.is_empty() && !places.contains_key(&view.connection)
    }

    /// Whether it depends on who is in the channel of a request what its card shows.
    pub(crate) fn looks_at(&self, view: &RequestView) -> bool {
        self.0.settings.looked_at.contains(&view.connection)
    }

    pub(crate) fn audience(&self) -> &Audience {
        &self.0.audience
    }

    /// The connections whose channels read nothing of what is asked.
    pub(crate) fn redacted(&self) -> &BTreeSet<String> {
        &self.0.settings.redacted
    }

    /// Every channel that cards go to.
    pub(crate) fn channels(&self) -> BTreeSet<&str> {
        let settings = &self.0.settings;
        let routes = settings.routes.values().flatten().filter_map(|stop| stop.channel.as_ref());
        settings.places.values().chain([&settings.channel]).chain(routes).map(String::as_str).collect()
    }

    pub(crate) fn page_url(&self) -> &Url {
        &self.0.page_url
    }

    /// Resolves when the bot stops.
    pub(crate) fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.0.stop.cancelled()
    }
}

/// Makes a bot and runs it.
///
/// # Errors
/// As [`Bot::new`] and [`Bot::run`].
pub async fn run(config: BotConfig, shutdown: CancellationToken) -> Result<(), BotError> {
    Bot::new(config)?.run(shutdown).await
}

/// HTTP mode's `POST /slack/events`, `/slack/interactive` and `/slack/commands`, for the listener
/// that Slack can reach. `None` where the settings hold no signing secret.
#[must_use]
pub fn slack_routes(bot: &Bot) -> Option<Router> {
    let secret = bot.0.settings.signing_secret.clone()?;
    Some(slack::http::routes(bot.clone(), secret))
}
