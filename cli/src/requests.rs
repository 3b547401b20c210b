//! `requests`: the control API from a terminal.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_gateway::service::load;
use countersign_shared::{
    api::{DecisionBody, DecisionTaken, Problem, RequestView},
    ids::RequestId,
    request::Choice,
};
use reqwest::Method;

/// What to do with requests.
#[derive(Subcommand)]
pub enum What {
    /// Lists what waits.
    List,
    /// Shows one whole.
    Show {
        /// Its id.
        id: RequestId,
    },
    /// Says yes.
    Approve {
        /// Its id.
        id: RequestId,
    },
    /// Says no.
    Deny {
        /// Its id.
        id: RequestId,
        /// Why; the requester reads it.
        reason: String,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    let config = match load(config) {
        Ok(config) => config,
        Err(error) => return crate::fail(&error.to_string(), 2),
    };
    let token = match crate::login::own_token().await {
        Ok(token) => token,
        Err(error) => return crate::fail(&format!("{error}, or put a token of yours into COUNTERSIGN_TOKEN"), 2),
    };
    let api = Api { base: format!("http://{}/v1/requests", config.gateway.control), token };
    match work(&api, what, json).await {
        Ok(text) => {
            crate::say(&text);
            ExitCode::SUCCESS
        }
        Err(message) => crate::fail(&message, 1),
    }
}

struct Api {
    base: String,
    token: String,
}

impl Api {
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&DecisionBody>,
    ) -> Result<T, String> {
        let client = reqwest::Client::new();
        let mut request = client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| format!("the gateway can't be reached: {e}"))?;
        if answer.status().is_success() {
            return answer.json().await.map_err(|e| format!("the gateway's answer can't be read: {e}"));
        }
        let problem: Problem = answer.json().await.map_err(|e| format!("the gateway's answer can't be read: {e}"))?;
        Err(problem.hint.map_or_else(|| problem.error.clone(), |hint| format!("{}\n{hint}", problem.error)))
    }
}

async fn work(api: &Api, what: What, json: bool) -> Result<String, String> {
    let print = |value: &dyn erased::Json| if json { value.json() } else { value.text() };
    match what {
        What::List => {
            let list: Vec<RequestView> = api.call(Method::GET, "?state=pending", None).await?;
            Ok(print(&list))
        }
        What::Show { id } => {
            let view: RequestView = api.call(Method::GET, &format!("/{id}"), None).await?;
            Ok(print(&vec![view]))
        }
        What::Approve { id } => decide(api, &id, Choice::Approve, None).await,
        What::Deny { id, reason } => decide(api, &id, Choice::Deny, Some(reason)).await,
    }
}

async fn decide(api: &Api, id: &RequestId, choice: Choice, reason: Option<String>) -> Result<String, String> {
    let view: RequestView = api.call(Method::GET, &format!("/{id}"), None).await?;
    let body = DecisionBody { choice, digest: view.digest, reason };
    let taken: DecisionTaken = api.call(Method::POST, &format!("/{id}/decisions"), Some(&body)).await?;
    Ok(taken.message)
}

/// A list of requests, for people or for programs.
mod erased {
    use countersign_shared::api::RequestView;

    pub trait Json {
        fn json(&self) -> String;
        fn text(&self) -> String;
    }

    impl Json for Vec<RequestView> {
        fn json(&self) -> String {
            serde_json::to_string_pretty(self).unwrap_or_default()
        }

        fn text(&self) -> String {
            if self.is_empty() {
                return "nothing waits".to_owned();
            }
            let line = |view: &RequestView| {
                let RequestView { id, state, principal, connection, sql, .. } = view;
                // SQL is printed with its control characters spelled out: a terminal obeys them.
                format!("{id}  {state}  {principal}  {connection}\n    {}", sql.escape_debug())
            };
            self.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}
