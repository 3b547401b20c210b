//! `serve`, `gateway`, `bot`.

use std::{collections::BTreeSet, path::Path, process::ExitCode, time::Duration};

use axum::Router;
use chrono::TimeDelta;
use countersign_bot::{
    Bot, BotConfig, BotError, SlackSettings,
    quiet::{self, Quiet},
    reaching::Stop,
    schedule::Daily,
};
use countersign_gateway::{
    approval::keys::load_or_create_bot_key,
    config::{CardContent, Config, ConnectionConfig, RouteConfig, Severity, SlackConfig},
    service::{NotStarted, Service, load},
};
use countersign_shared::{bot_token::BotKey, secret::Secret};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use url::Url;

/// How long the bot still hears of what the gateway's stop has ended.
const LAST_EVENTS: Duration = Duration::from_millis(700);

/// What runs in this process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Gateway and bot.
    Both,
    /// The gateway.
    Gateway,
    /// The bot.
    Bot,
}

/// Runs until SIGTERM or Ctrl-C.
pub async fn run(file: &Path, parts: Parts) -> ExitCode {
    let config = match load(file) {
        Ok(config) => config,
        Err(NotStarted(problems)) => {
            return crate::fail(&format!("{} problems\n{}", problems.len(), problems.join("\n")), 2);
        }
    };
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signals(stop.clone()) {
        return crate::fail(&format!("signals can't be listened to: {error}"), 1);
    }
    match serve(config, parts, stop, |_, _| {}).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => crate::fail(&message, 1),
    }
}

/// Cancels `stop` on SIGTERM and Ctrl-C.
///
/// # Errors
/// Where signals can't be listened to.
pub fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// Runs until `stop`; `ready` is told where clients and control API are reached.
pub async fn serve(
    config: Config,
    parts: Parts,
    stop: CancellationToken,
    ready: impl FnOnce(std::net::SocketAddr, std::net::SocketAddr),
) -> Result<(), String> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let slack = slack_settings(&config);
    let page_url = config.gateway.url.clone();
    if parts == Parts::Bot {
        return run_bot(&bot_beside(&config)?, stop).await;
    }
    let service = Service::start(config).await.map_err(|e| e.to_string())?;
    let (clients, control) = service.addresses().map_err(|e| e.to_string())?;
    tracing::info!(%clients, %control, "the gateway is ready");
    ready(clients, control);
    let mut routes = Router::new();
    // The bot goes last: it tells on the cards how the gateway's stop ended what was held.
    let bot_stop = CancellationToken::new();
    let mut bot_task = None;
    if let Some(slack) = slack.filter(|_| parts == Parts::Both) {
        let bot = bot(slack, reachable(control), page_url, &service.bot_key)?;
        routes = countersign_bot::slack_routes(&bot).unwrap_or_default();
        let stop = bot_stop.clone();
        bot_task = Some(tokio::spawn(async move {
            // Without Slack, holds wait to their deadline; the gateway goes on.
            if let Err(error) = run_bot(&bot, stop).await {
                tracing::error!(error, "the bot ended");
            }
        }));
    }
    let last = async {
        if let Some(task) = bot_task {
            tokio::time::sleep(LAST_EVENTS).await;
            bot_stop.cancel();
            let _ended = tokio::time::timeout(Duration::from_secs(12), task).await;
        }
    };
    service.run(routes, stop, last).await.map_err(|e| e.to_string())
}

/// The bot, tried again while Slack can't be reached.
async fn run_bot(bot: &Bot, stop: CancellationToken) -> Result<(), String> {
    bot.run(stop).await.map_err(|error: BotError| error.to_string())
}

/// The bot that `config` speaks of, beside a gateway that runs already.
pub(crate) fn bot_beside(config: &Config) -> Result<Bot, String> {
    let slack =
        slack_settings(config).ok_or("there is no [slack] in the config, so there is nothing for a bot to do")?;
    let (key, _) = load_or_create_bot_key(&config.gateway.bot_key).map_err(|e| e.to_string())?;
    bot(slack, reachable(config.gateway.control), config.gateway.url.clone(), &key)
}

/// How the config reaches Slack.
pub(crate) fn slack_settings(config: &Config) -> Option<SlackSettings> {
    let SlackConfig { app_token, signing_secret, bot_token, channel, api_url, digest } = config.slack.clone()?;
    let place = |c: &ConnectionConfig| (c.name.clone(), c.channel.clone().unwrap_or_else(|| channel.clone()));
    let places = config.connections.values().map(place).collect();
    let named = |keep: &dyn Fn(CardContent) -> bool| -> BTreeSet<String> {
        config.connections.values().filter(|c| keep(c.card)).map(|c| c.name.clone()).collect()
    };
    let redacted = named(&|card| card != CardContent::Full);
    let looked_at = named(&|card| card == CardContent::Auto);
    let digest = digest.and_then(|digest| Daily::new(digest.at, &digest.timezone));
    let way = |connection: &ConnectionConfig| -> Vec<Stop> {
        let fits = config.routes.iter().filter(|route| route.fits(connection));
        let stop = |route: &RouteConfig| Stop {
            channel: route.channel.clone(),
            usergroup: route.usergroup.clone(),
            webhook: route.webhook.clone(),
            escalate_after: route.escalate_after.and_then(|after| TimeDelta::from_std(after).ok()),
            quiet: route.quiet.as_ref().and_then(|quiet| {
                let below = match quiet.below {
                    Severity::Low => quiet::Severity::Low,
                    Severity::Normal => quiet::Severity::Normal,
                    Severity::High => quiet::Severity::High,
                };
                Quiet::new(quiet.from, quiet.until, &quiet.timezone, below)
            }),
        };
        fits.map(stop).collect()
    };
    let routes = config.connections.values().map(|connection| (connection.name.clone(), way(connection))).collect();
    Some(SlackSettings {
        app_token,
        signing_secret,
        bot_token,
        channel,
        places,
        redacted,
        looked_at,
        api_url,
        digest,
        routes,
    })
}

fn bot(slack: SlackSettings, control: Url, page_url: Url, key: &Secret<String>) -> Result<Bot, String> {
    let key = BotKey::from_pem(key.reveal().as_bytes()).map_err(|e| e.to_string())?;
    Bot::new(BotConfig { control, key, slack, page_url }).map_err(|e| e.to_string())
}

/// The control address as a client of this machine says it.
fn reachable(address: std::net::SocketAddr) -> Url {
    let ip = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut url = Url::parse("http://localhost/").unwrap_or_else(|_| unreachable!("a constant that parses"));
    let _set = (url.set_ip_host(ip), url.set_port(Some(address.port())));
    url
}
