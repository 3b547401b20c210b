//! `requests`: the control API from a terminal.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_shared::{
    api::{DecisionBody, DecisionTaken, QuestionAsked, QuestionBody, RequestParked, RequestView},
    ids::RequestId,
    request::Choice,
};
use reqwest::Method;

use crate::api::{Api, NOTHING};

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
    /// Lets a held statement of one's own wait without its session.
    Park {
        /// Its id.
        id: RequestId,
    },
    /// Asks the requester something; it decides nothing.
    Ask {
        /// Its id.
        id: RequestId,
        /// What; at most 500 characters.
        question: String,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    let api = match Api::open(config).await {
        Ok(api) => api,
        Err(error) => return crate::fail(&error, 2),
    };
    match work(&api, what, json).await {
        Ok(text) => {
            crate::say(&text);
            ExitCode::SUCCESS
        }
        Err(message) => crate::fail(&message, 1),
    }
}

async fn work(api: &Api, what: What, json: bool) -> Result<String, String> {
    let print = |value: &dyn erased::Json| if json { value.json() } else { value.text() };
    match what {
        What::List => {
            let list: Vec<RequestView> = api.call(Method::GET, "/v1/requests?state=pending", NOTHING).await?;
            Ok(print(&list))
        }
        What::Show { id } => {
            let view: RequestView = api.call(Method::GET, &format!("/v1/requests/{id}"), NOTHING).await?;
            Ok(print(&vec![view]))
        }
        What::Approve { id } => decide(api, &id, Choice::Approve, None).await,
        What::Deny { id, reason } => decide(api, &id, Choice::Deny, Some(reason)).await,
        What::Park { id } => {
            let parked: RequestParked = api.call(Method::POST, &format!("/v1/requests/{id}/park"), NOTHING).await?;
            Ok(parked.message)
        }
        What::Ask { id, question } => {
            let path = format!("/v1/requests/{id}/questions");
            let asked: QuestionAsked = api.call(Method::POST, &path, Some(&QuestionBody { question })).await?;
            Ok(asked.message)
        }
    }
}

async fn decide(api: &Api, id: &RequestId, choice: Choice, reason: Option<String>) -> Result<String, String> {
    let view: RequestView = api.call(Method::GET, &format!("/v1/requests/{id}"), NOTHING).await?;
    let body = DecisionBody { choice, digest: view.digest, reason };
    let taken: DecisionTaken = api.call(Method::POST, &format!("/v1/requests/{id}/decisions"), Some(&body)).await?;
    Ok(taken.message)
}

/// A list of requests, for people or for programs.
mod erased {
    use countersign_shared::api::RequestView;

    use crate::api::plain;

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
                let what = match &view.access {
                    Some(access) => {
                        let more = if access.extends.is_some() { "more time as " } else { "access as " };
                        let (seconds, reason) = (access.seconds, view.reason.as_deref().unwrap_or_default());
                        format!("{more}{} for {} minutes: {}", access.role, seconds.div_ceil(60), plain(reason))
                    }
                    None => plain(sql),
                };
                format!("{id}  {state}  {principal}  {connection}\n    {what}")
            };
            self.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}
