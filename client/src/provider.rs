//! The identity provider: what it offers, and its tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use countersign_shared::{api::AboutIssuer, secret::Secret};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::{NotSignedIn, gateway};

/// The part of a provider's metadata that is used (OpenID Connect Discovery 1.0 §3, RFC 8628 §4).
#[derive(Clone, Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<Url>,
    device_authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// A provider that a gateway trusts.
#[derive(Clone, Debug)]
pub struct Provider {
    pub(crate) http: Client,
    /// What the gateway says of it.
    pub issuer: AboutIssuer,
    document: Document,
}

/// What a sign-in or a renewal gives.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The password.
    pub token: Secret<String>,
    /// What renews it.
    pub refresh: Option<Secret<String>>,
    /// Its end.
    pub expires_at: DateTime<Utc>,
    /// Whom the gateway will take it for.
    pub user: String,
}

/// What the token endpoint answers (RFC 6749 §5). Never printed.
#[derive(Deserialize)]
struct Answer {
    id_token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Why the token endpoint gives nothing.
#[derive(Debug)]
pub(crate) enum NoTokens {
    /// An error code of RFC 6749 §5.2 or RFC 8628 §3.5, with its description.
    Said(String, Option<String>),
    /// Anything else.
    Failed(NotSignedIn),
}

impl From<NoTokens> for NotSignedIn {
    fn from(none: NoTokens) -> Self {
        match none {
            NoTokens::Said(error, description) => Self::Refused(description.unwrap_or(error)),
            NoTokens::Failed(error) => error,
        }
    }
}

impl Provider {
    /// Asks what the provider offers.
    ///
    /// # Errors
    /// [`NotSignedIn::Provider`].
    pub async fn discover(issuer: AboutIssuer) -> Result<Self, NotSignedIn> {
        let name = issuer.issuer.clone();
        let say = |why: String| NotSignedIn::Provider(format!("the identity provider {name} can't be asked: {why}"));
        let address = format!("{}/.well-known/openid-configuration", name.trim_end_matches('/'));
        let url: Url = address.parse().map_err(|_| say("that is no address".to_owned()))?;
        if !gateway::is_private(&url) {
            return Err(say("its address must be https".to_owned()));
        }
        let http = gateway::http()?;
        let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let document = answer.map_err(|error| say(error.without_url().to_string()))?.json::<Document>().await;
        let document = document.map_err(|error| say(error.without_url().to_string()))?;
        if document.issuer != name {
            return Err(say(format!("it calls itself {:?}", document.issuer)));
        }
        Ok(Self { http, issuer, document })
    }

    fn offered(&self, endpoint: Option<&Url>, what: &str) -> Result<Url, NotSignedIn> {
        let found = endpoint.filter(|url| gateway::is_private(url)).cloned();
        found.ok_or_else(|| NotSignedIn::Provider(format!("{} offers no {what}", self.issuer.issuer)))
    }

    pub(crate) fn authorization(&self) -> Result<Url, NotSignedIn> {
        self.offered(self.document.authorization_endpoint.as_ref(), "sign-in page")
    }

    pub(crate) fn device_authorization(&self) -> Result<Url, NotSignedIn> {
        self.offered(
            self.document.device_authorization_endpoint.as_ref(),
            "sign-in on another device; use `countersign login --browser`",
        )
    }

    /// Whether somebody can sign in on another device.
    #[must_use]
    pub fn knows_devices(&self) -> bool {
        self.document.device_authorization_endpoint.is_some()
    }

    /// What is asked for: who it is, in which groups, and a token that renews the other.
    pub(crate) fn scope(&self) -> String {
        let mut scope = "openid email profile".to_owned();
        for more in ["groups", "offline_access"] {
            if self.document.scopes_supported.iter().any(|known| known == more) {
                scope.push(' ');
                scope.push_str(more);
            }
        }
        scope
    }

    /// Asks the token endpoint.
    pub(crate) async fn tokens(&self, form: &[(&str, &str)], nonce: Option<&str>) -> Result<Tokens, NoTokens> {
        let failed = |why: String| {
            NoTokens::Failed(NotSignedIn::Provider(format!("{} gives no token: {why}", self.issuer.issuer)))
        };
        let url = self.offered(self.document.token_endpoint.as_ref(), "token endpoint").map_err(NoTokens::Failed)?;
        let form = [&[("client_id", self.issuer.client_id.as_str())], form].concat();
        let answer = self.http.post(url).form(&form).send().await;
        let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
        let status = answer.status();
        let answer: Answer =
            answer.json().await.map_err(|_| failed(format!("it answered {status} and something else than JSON")))?;
        if let Some(error) = answer.error {
            return Err(NoTokens::Said(error, answer.error_description));
        }
        // Where the audience is the client, the ID token is what the gateway takes.
        let own = self.issuer.audience == self.issuer.client_id;
        let token = if own { answer.id_token } else { answer.access_token };
        let Some(token) = token else {
            let which = if own { "ID token" } else { "access token" };
            return Err(failed(format!("it answered {status} and no {which}")));
        };
        let refresh = answer.refresh_token.map(Secret::new);
        self.read(token, refresh, nonce).map_err(failed)
    }

    /// Reads the claims. The token came from the provider itself, over a connection that nobody else
    /// reads: its signature is the gateway's business (OpenID Connect Core 1.0 §3.1.3.7).
    fn read(&self, token: String, refresh: Option<Secret<String>>, nonce: Option<&str>) -> Result<Tokens, String> {
        let claims = claims_of(&token).ok_or("its token is no JWT; the gateway could not verify it")?;
        if claims["iss"] != self.issuer.issuer.as_str() {
            return Err("its token is another issuer's".to_owned());
        }
        if nonce.is_some_and(|nonce| claims["nonce"] != nonce) {
            return Err("its token was made for another sign-in".to_owned());
        }
        let expires_at = end_of(&claims);
        let user = claims[self.issuer.user_claim.as_str()].as_str().map(str::to_lowercase);
        Ok(Tokens {
            token: Secret::new(token),
            refresh,
            expires_at: expires_at.ok_or("its token has no end")?,
            user: user
                .ok_or_else(|| format!("its token does not say {}; the account may lack it", self.issuer.user_claim))?,
        })
    }
}

fn claims_of(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())?;
    serde_json::from_slice(&payload).ok()
}

fn end_of(claims: &Value) -> Option<DateTime<Utc>> {
    claims["exp"].as_i64().and_then(|at| DateTime::from_timestamp(at, 0))
}

/// When a token says that it ends.
#[must_use]
pub fn end_of_token(token: &str) -> Option<DateTime<Utc>> {
    end_of(&claims_of(token)?)
}
