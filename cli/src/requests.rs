//! `requests`: the control API from a terminal.

use std::{
    io::{IsTerminal, Write, stderr, stdin},
    path::Path,
    process::ExitCode,
};

use clap::Subcommand;
use countersign_shared::{
    allow::{Parameters, Terms},
    api::{DecisionBody, DecisionTaken, QuestionAsked, QuestionBody, RequestParked, RequestView},
    ids::RequestId,
    request::Choice,
};
use reqwest::Method;

use crate::{
    api::{Api, NOTHING},
    whole::whole,
};

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
    /// Says yes: once, or for a time where policy lets you.
    Approve {
        /// Its id.
        id: RequestId,
        /// Allows the same text of the same principal for so many minutes, without asking again.
        #[arg(long, requires_all = ["runs", "rows"])]
        minutes: Option<u32>,
        /// So many runs, the one that waits among them.
        #[arg(long, requires = "minutes")]
        runs: Option<u32>,
        /// No run touches more rows than this.
        #[arg(long, requires = "minutes")]
        rows: Option<u64>,
        /// With any values of its parameters.
        #[arg(long, requires = "minutes")]
        free_parameters: bool,
    },
    /// Ends what was allowed for a time.
    End {
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
            let mut list: Vec<RequestView> = api.call(Method::GET, "/v1/requests?state=pending", NOTHING).await?;
            let allowed: Vec<RequestView> = api.call(Method::GET, "/v1/requests?allowed=open", NOTHING).await?;
            list.extend(allowed);
            Ok(print(&list))
        }
        What::Show { id } => {
            let view: RequestView = api.call(Method::GET, &format!("/v1/requests/{id}"), NOTHING).await?;
            Ok(print(&view))
        }
        What::Approve { id, minutes, runs, rows, free_parameters } => {
            let parameters = if free_parameters { Parameters::Free } else { Parameters::Pinned };
            let terms =
                minutes.zip(runs).zip(rows).map(|((minutes, runs), rows)| Terms { minutes, runs, rows, parameters });
            decide(api, &id, Choice::Approve, None, terms).await
        }
        What::Deny { id, reason } => decide(api, &id, Choice::Deny, Some(reason), None).await,
        What::End { id } => {
            let ended: DecisionTaken =
                api.call(Method::DELETE, &format!("/v1/requests/{id}/allowance"), NOTHING).await?;
            Ok(ended.message)
        }
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

async fn decide(
    api: &Api,
    id: &RequestId,
    choice: Choice,
    reason: Option<String>,
    allow: Option<Terms>,
) -> Result<String, String> {
    let view: RequestView = api.call(Method::GET, &format!("/v1/requests/{id}"), NOTHING).await?;
    if choice == Choice::Approve {
        seen(&view)?;
    }
    let body = DecisionBody { choice, digest: view.digest, reason, allow };
    let taken: DecisionTaken = api.call(Method::POST, &format!("/v1/requests/{id}/decisions"), Some(&body)).await?;
    Ok(taken.message)
}

/// Whoever approves at a terminal reads what it is, and says so. A script has read it, or answers for that.
fn seen(view: &RequestView) -> Result<(), String> {
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return Ok(());
    }
    let mut answer = String::new();
    let asked = write!(stderr(), "{}\napprove it? [y/N] ", whole(view)).and_then(|()| stdin().read_line(&mut answer));
    match asked {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        Ok(_) => Err("nothing was approved".to_owned()),
        Err(error) => Err(format!("nothing was approved: {error}")),
    }
}

/// A list of requests, for people or for programs.
mod erased {
    use countersign_shared::{
        api::{RequestView, steps_so_far},
        request::State,
    };

    use crate::{
        api::plain,
        whole::{allowed, stepped},
    };

    pub trait Json {
        fn json(&self) -> String;
        fn text(&self) -> String;
    }

    impl Json for RequestView {
        fn json(&self) -> String {
            serde_json::to_string_pretty(&[self]).unwrap_or_default()
        }

        fn text(&self) -> String {
            crate::whole::whole(self)
        }
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
                let mut text = format!("{id}  {state}  {principal}  {connection}\n    {what}");
                if let Some(most) = view.allowable.filter(|_| *state == State::Pending) {
                    text.push_str(&format!("\n    may be allowed {}", most.sentence()));
                }
                for step in &view.steps {
                    text.push_str(&format!("\n    {}", stepped(step)));
                }
                if let Some(so_far) = steps_so_far(&view.steps) {
                    text.push_str(&format!("\n    {so_far}"));
                }
                if let Some(allowance) = &view.allowance {
                    text.push_str(&format!("\n    allowed {}", allowed(allowance)));
                }
                text
            };
            self.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}
