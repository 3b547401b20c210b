//! `sessions`: who is connected, and ending it.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_shared::{api::SessionView, ids::SessionId};
use reqwest::Method;

use crate::api::{Api, NOTHING, plain, with};

/// What to do with sessions.
#[derive(Subcommand)]
pub enum What {
    /// Lists those that live: one's own, or all of connections that one administers.
    List,
    /// Shows one.
    Show {
        /// Its id.
        id: SessionId,
    },
    /// Ends one now; what runs in it is cancelled.
    Kill {
        /// Its id.
        id: SessionId,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    with(config, async |api| work(api, what, json).await).await
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::List => {
            let sessions: Vec<SessionView> = api.call(Method::GET, "/v1/sessions", NOTHING).await?;
            if json {
                crate::say_json(&sessions);
            } else if sessions.is_empty() {
                crate::say("nobody is connected");
            } else {
                sessions.iter().for_each(|session| crate::say(&line(session)));
            }
        }
        What::Show { id } => {
            let sessions: Vec<SessionView> = api.call(Method::GET, "/v1/sessions", NOTHING).await?;
            let session = sessions.into_iter().find(|session| session.id == id);
            let session =
                session.ok_or_else(|| format!("there is no session {id} that you may see; it may be over"))?;
            if json { crate::say_json(&session) } else { crate::say(&line(&session)) }
        }
        What::Kill { id } => {
            api.order(Method::DELETE, &format!("/v1/sessions/{id}")).await?;
            crate::say(&format!("session {id} is over"));
        }
    }
    Ok(())
}

fn line(session: &SessionView) -> String {
    let SessionView { id, principal, connection, address, application, started_at, state } = session;
    let with = application.as_deref().filter(|name| !name.is_empty()).map(|name| format!(" with {}", plain(name)));
    let since = started_at.format("%Y-%m-%d %H:%M:%S UTC");
    format!("{id}  {state}  {principal} on {connection}, from {address}{}, since {since}", with.unwrap_or_default())
}
