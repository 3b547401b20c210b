//! The connection to Slack's Web API: one client, our own deadlines, one identity.

use std::{sync::Arc, time::Duration};

use countersign_shared::secret::Secret;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient, hyper_tokio::SlackClientHyperHttpsConnector};
use url::Url;

/// How long a TCP connection to Slack may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one answer from Slack may take. A post that times out may have been posted all the
/// same, so this is generous.
const ANSWER: Duration = Duration::from_secs(30);

/// The client type of slack-morphism that we use.
pub type Client = SlackClient<SlackClientHyperHttpsConnector>;

/// Slack's Web API with the bot's token.
pub struct Slack {
    pub(crate) client: Arc<Client>,
    pub(crate) token: SlackApiToken,
    /// For response URLs, which must never see the bot's token.
    pub(crate) plain: reqwest::Client,
}

/// Why the client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TLS cannot be set up.
    #[error("the connection to Slack cannot be set up: {0}; is the package ca-certificates installed?")]
    Tls(String),
}

/// Wraps a token for slack-morphism, whose own `Debug` shows only its length.
pub(crate) fn token(secret: &Secret<String>) -> SlackApiToken {
    SlackApiToken::new(SlackApiTokenValue(secret.reveal().clone()))
}

impl Slack {
    /// A client for the API at `api_url`. Nothing is called yet.
    ///
    /// # Errors
    /// Where TLS is needed and cannot be set up.
    pub fn new(api_url: &Url, bot_token: &Secret<String>) -> Result<Self, ConnectError> {
        let connector = SlackClientHyperHttpsConnector::with_connector(connector(api_url)?)
            .with_slack_api_url(api_url.as_str().trim_end_matches('/'));
        let plain = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| ConnectError::Tls(error.to_string()))?;
        Ok(Self { client: Arc::new(SlackClient::new(connector)), token: token(bot_token), plain })
    }

    /// For addresses that must never see the bot's token.
    pub(crate) const fn plain(&self) -> &reqwest::Client {
        &self.plain
    }

    /// How long one call may take.
    pub(crate) const fn deadline() -> Duration {
        ANSWER
    }
}

/// TLS with the system's roots; plain HTTP only where the URL says so, which a stand-in on
/// loopback does and which works without any root.
fn connector(api_url: &Url) -> Result<HttpsConnector<HttpConnector>, ConnectError> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let provider = Arc::new(aws_lc_rs::default_provider());
    if api_url.scheme() == "https" {
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| ConnectError::Tls(error.to_string()))?;
        return Ok(builder.https_only().enable_http1().wrap_connector(tcp));
    }
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls(error.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp))
}
