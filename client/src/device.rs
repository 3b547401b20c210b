//! Signing in on another device: this one has no browser, or is reached over SSH (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{
    NotSignedIn,
    provider::{NoTokens, Provider, Tokens},
};

/// What to tell the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Where to go.
    pub address: String,
    /// What to type there.
    pub code: String,
    /// The same with the code in it, where the provider has that.
    pub complete: Option<String>,
}

#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

const fn five() -> u64 {
    5
}

/// Signs in; `say` tells the person what to do, once.
///
/// # Errors
/// Why nobody signed in.
pub async fn sign_in(provider: &Provider, say: impl FnOnce(&Prompt)) -> Result<Tokens, NotSignedIn> {
    let url = provider.device_authorization()?;
    let failed = |why: String| NotSignedIn::Provider(format!("{} begins no sign-in: {why}", provider.issuer.issuer));
    let scope = provider.scope();
    let form = [("client_id", provider.issuer.client_id.as_str()), ("scope", &scope)];
    let answer = provider.http.post(url).form(&form).send().await;
    let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(failed(format!("it answered {status}; is this client allowed to sign in on devices?")));
    }
    let begun: Begun = answer.json().await.map_err(|error| failed(error.without_url().to_string()))?;
    say(&Prompt { address: begun.verification_uri, code: begun.user_code, complete: begun.verification_uri_complete });
    let form =
        [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", begun.device_code.as_str())];
    let mut interval = Duration::from_secs(begun.interval.clamp(1, 60));
    let until = Instant::now() + Duration::from_secs(begun.expires_in.min(3600));
    while Instant::now() < until {
        sleep(interval).await;
        match provider.tokens(&form, None).await {
            Ok(tokens) => return Ok(tokens),
            Err(NoTokens::Said(error, _)) if error == "authorization_pending" => {}
            Err(NoTokens::Said(error, _)) if error == "slow_down" => interval += Duration::from_secs(5),
            Err(NoTokens::Said(error, _)) if error == "expired_token" => break,
            Err(other) => return Err(other.into()),
        }
    }
    Err(NotSignedIn::Refused("nobody signed in before the code's time was over".to_owned()))
}
