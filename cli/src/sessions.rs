//! `sessions`: who is connected, and ending it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::Subcommand;
use countersign_gateway::records::{
    search,
    sessions::{Session, Sessions},
};
use countersign_shared::{api::SessionView, ids::SessionId};
use reqwest::Method;

use crate::{
    api::{Api, NOTHING, plain, with},
    evidence,
    indexed::By,
};

/// What to do with sessions.
#[derive(Subcommand)]
pub enum What {
    /// Lists those that live: one's own, or all of connections that one administers.
    List {
        /// Those that are over, from the records' files; needs no login.
        #[arg(long)]
        ended: bool,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        #[arg(long, requires = "ended")]
        records: Option<PathBuf>,
    },
    /// Shows one.
    Show {
        /// Its id.
        id: SessionId,
        /// From the records' files, whether it is over or not; needs no login.
        #[arg(long)]
        ended: bool,
        /// The folder of records, or s3://bucket/prefix. Default: the config's.
        #[arg(long, requires = "ended")]
        records: Option<PathBuf>,
    },
    /// Ends one now; what runs in it is cancelled.
    Kill {
        /// Its id.
        id: SessionId,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    match what {
        What::List { ended: true, records } => recorded(config, records, None, json),
        What::Show { id, ended: true, records } => recorded(config, records, Some(&id), json),
        what => with(config, async |api| work(api, what, json).await).await,
    }
}

/// Sessions as the log has them: all that are over, or one.
fn recorded(config: &Path, records: Option<PathBuf>, only: Option<&SessionId>, json: bool) -> ExitCode {
    let records = match evidence::records(config, records) {
        Ok(records) => records,
        Err(problem) => return crate::fail(&problem, 2),
    };
    let index = By::default().index(&records, false);
    let read = match only {
        None => search::sessions(&records, index.as_ref()),
        Some(id) => search::of_session(&records, index.as_ref(), id.as_str()).map(|entries| {
            let mut sessions = Sessions::default();
            entries.iter().for_each(|entry| sessions.take(entry));
            sessions.into_all()
        }),
    };
    let mut found = match read {
        Ok(found) => found,
        Err(error) => return crate::fail(&format!("the log can't be read: {error}"), 1),
    };
    found.retain(|session| only.map_or(session.ended_at.is_some(), |id| session.id == *id));
    match (only, found.as_slice()) {
        (Some(id), []) => return crate::fail(&format!("the log has no session {id}"), 1),
        (Some(_), [one, ..]) if json => crate::say_json(one),
        (None, all) if json => crate::say_json(&all),
        (None, []) => crate::say("no session is over"),
        (_, all) => all.iter().for_each(|session| crate::say(&over(session))),
    }
    ExitCode::SUCCESS
}

fn over(session: &Session) -> String {
    let Session { id, principal, connection, address, application, began_at, ended_at, end, statements, held, denied } =
        session;
    let time = |at: &DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let from = address.as_deref().map(|address| format!(", from {}", plain(address))).unwrap_or_default();
    let with = application.as_deref().map(|name| format!(" with {}", plain(name))).unwrap_or_default();
    let until = ended_at.as_ref().map_or_else(|| "now".to_owned(), &time);
    let end = end.as_deref().map(|end| format!(" ({})", plain(end))).unwrap_or_default();
    format!(
        "{id}  {} to {until} UTC{end}  {} on {}{from}{with}: {statements} statements, {held} held, {denied} denied",
        time(began_at),
        plain(principal),
        plain(connection)
    )
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::List { .. } => {
            let sessions: Vec<SessionView> = api.call(Method::GET, "/v1/sessions", NOTHING).await?;
            if json {
                crate::say_json(&sessions);
            } else if sessions.is_empty() {
                crate::say("nobody is connected");
            } else {
                sessions.iter().for_each(|session| crate::say(&line(session)));
            }
        }
        What::Show { id, .. } => {
            let sessions: Vec<SessionView> = api.call(Method::GET, "/v1/sessions", NOTHING).await?;
            let session = sessions.into_iter().find(|session| session.id == id);
            let session =
                session.ok_or_else(|| format!("there is no session {id} that you may see; it may be over: `sessions show {id} --ended` reads the records"))?;
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
