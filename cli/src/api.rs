//! The control API from a terminal, with a token of one's own.

use std::{path::Path, process::ExitCode};

use countersign_gateway::service::load;
use countersign_shared::api::Problem;
use reqwest::{Method, Response};
use serde::{Serialize, de::DeserializeOwned};

/// Where the API is, and who asks.
pub struct Api {
    base: String,
    token: String,
}

/// How long a call may take.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// No body.
pub const NOTHING: Option<&()> = None;

impl Api {
    /// The API of the gateway that `config` is of.
    ///
    /// # Errors
    /// What is wrong with config or sign-in; that is usage.
    pub async fn open(config: &Path) -> Result<Self, String> {
        let config = load(config).map_err(|error| error.to_string())?;
        let token = crate::login::own_token().await;
        let token = token.map_err(|error| format!("{error}, or put a token of yours into COUNTERSIGN_TOKEN"))?;
        Ok(Self { base: format!("http://{}", config.gateway.control), token })
    }

    /// Calls `path`.
    ///
    /// # Errors
    /// What went wrong, and what to do next.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, String> {
        let answer = self.send(method, path, body).await?;
        answer.json().await.map_err(|e| format!("the gateway's answer can't be read: {e}"))
    }

    /// Calls `path`, which answers nothing.
    ///
    /// # Errors
    /// What went wrong, and what to do next.
    pub async fn order(&self, method: Method, path: &str) -> Result<(), String> {
        self.send(method, path, NOTHING).await.map(|_| ())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response, String> {
        // A redirect would carry the token elsewhere; a proxy would read it.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(WITHIN);
        let client = client.build().map_err(|e| format!("the gateway can't be called: {e}"))?;
        let mut request = client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| format!("the gateway can't be reached: {e}"))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let problem: Problem = answer.json().await.map_err(|e| format!("the gateway's answer can't be read: {e}"))?;
        Err(problem.hint.map_or_else(|| problem.error.clone(), |hint| format!("{}\n{hint}", problem.error)))
    }
}

/// Does `work` with the API of the gateway that `config` is of; the exit code.
pub async fn with(config: &Path, work: impl AsyncFnOnce(&Api) -> Result<(), String>) -> ExitCode {
    let api = match Api::open(config).await {
        Ok(api) => api,
        Err(error) => return crate::fail(&error, 2),
    };
    match work(&api).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => crate::fail(&message, 1),
    }
}

/// Text that somebody else wrote, with its control characters spelled out: a terminal obeys them.
#[must_use]
pub fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}
