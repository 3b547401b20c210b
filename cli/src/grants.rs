//! `grants`: who has which role until when.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_shared::{
    api::{AccessAnswer, AccessBody, ExtendBody, GrantView},
    ids::GrantId,
};
use reqwest::Method;

use crate::api::{Api, NOTHING, plain, with};

/// What to do with grants.
#[derive(Subcommand)]
pub enum What {
    /// Lists those that count now.
    List {
        /// Lists those that have ended too.
        #[arg(long)]
        all: bool,
    },
    /// Ends one now, in running sessions too.
    Revoke {
        /// Its id.
        id: GrantId,
    },
    /// Asks for a role.
    Ask {
        /// The connection.
        connection: String,
        /// The role.
        role: String,
        /// For how long: `90m`, `8h`.
        duration: String,
        /// Why; approvers read it.
        reason: String,
    },
    /// Asks for more time.
    Extend {
        /// The grant's id.
        id: GrantId,
        /// For how long from the moment that it is given: `90m`, `8h`.
        duration: String,
        /// Why; approvers read it.
        reason: String,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    with(config, async |api| work(api, what, json).await).await
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::List { all } => {
            let state = if all { "all" } else { "active" };
            let grants: Vec<GrantView> = api.call(Method::GET, &format!("/v1/grants?state={state}"), NOTHING).await?;
            if json {
                crate::say_json(&grants);
            } else if grants.is_empty() {
                crate::say("nobody has a role for now");
            } else {
                grants.iter().for_each(|grant| crate::say(&line(grant)));
            }
        }
        What::Revoke { id } => {
            let grant: GrantView = api.call(Method::DELETE, &format!("/v1/grants/{id}"), NOTHING).await?;
            if json { crate::say_json(&grant) } else { crate::say(&line(&grant)) }
        }
        What::Ask { connection, role, duration, reason } => {
            let body = AccessBody { connection, role, duration, reason };
            tell(&api.call(Method::POST, "/v1/access", Some(&body)).await?, json);
        }
        What::Extend { id, duration, reason } => {
            let body = ExtendBody { duration, reason };
            tell(&api.call(Method::POST, &format!("/v1/grants/{id}/extend"), Some(&body)).await?, json);
        }
    }
    Ok(())
}

fn tell(answer: &AccessAnswer, json: bool) {
    if json { crate::say_json(answer) } else { crate::say(&answer.message) }
}

fn line(grant: &GrantView) -> String {
    let GrantView { id, principal, connection, role, reason, state, .. } = grant;
    let until = grant.expires_at.format("%Y-%m-%d %H:%M:%S UTC");
    let by = if grant.approved_by.is_empty() {
        "given by policy".to_owned()
    } else {
        format!("approved by {}", grant.approved_by.join(", "))
    };
    format!("{id}  {state}  {principal}  {role} on {connection}  until {until}\n    {by}: {}", plain(reason))
}
