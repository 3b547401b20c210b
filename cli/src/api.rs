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

    /// The token, for a session of the same person's.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
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

    /// Calls `path`, and takes the lines of its answer as they come, for as long as that takes. `take` says whether
    /// there should be more.
    ///
    /// # Errors
    /// What went wrong, and what to do next.
    pub async fn lines(&self, path: &str, mut take: impl FnMut(&str) -> Result<bool, String>) -> Result<(), String> {
        let mut answer = self.send_within(None, Method::GET, path, NOTHING).await?;
        let cut = |e: &dyn std::fmt::Display| format!("the gateway's answer broke off: {e}");
        let mut rest = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| cut(&e))? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !take(std::str::from_utf8(&line).map_err(|e| cut(&e))?.trim_end())? {
                    return Ok(());
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(cut(&"its last line has no end")) }
    }

    /// Calls `path`, which answers nothing.
    ///
    /// # Errors
    /// What went wrong, and what to do next.
    pub async fn order(&self, method: Method, path: &str) -> Result<(), String> {
        self.send(method, path, NOTHING).await.map(|_| ())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response, String> {
        self.send_within(Some(WITHIN), method, path, body).await
    }

    async fn send_within(
        &self,
        within: Option<std::time::Duration>,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response, String> {
        // A redirect would carry the token elsewhere; a proxy would read it.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let client = match within {
            Some(within) => client.timeout(within),
            None => client.connect_timeout(WITHIN),
        };
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
    let shown = |c: char| match c {
        '\'' | '"' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}
