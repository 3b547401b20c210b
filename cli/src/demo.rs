//! `demo`: everything that a laptop lacks, and the gateway in front of it.

use std::{path::PathBuf, process::ExitCode};

use countersign_demo::{
    people::People,
    slack::{self, Workspace, WorkspaceConfig},
    world::{SlackAccess, World, WorldConfig, banner},
};
use countersign_gateway::service::load;
use countersign_shared::secret::Secret;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::serve::{Parts, serve, stop_on_signals};

/// Runs until Ctrl-C, and ends everything that it started.
pub async fn run(dir: Option<PathBuf>, database_url: Option<Url>) -> ExitCode {
    match demo(dir, database_url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => crate::fail(&message, 1),
    }
}

async fn demo(dir: Option<PathBuf>, database_url: Option<Url>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone()).map_err(|e| text(&e))?;
    let people = People::acme();
    let workspace = Workspace::start(workspace(&people)).await.map_err(|e| format!("Slack's stand-in: {e}"))?;
    let slack = SlackAccess {
        api_url: Url::parse(&workspace.api_url()).map_err(|e| text(&e))?,
        app_token: Secret::new(workspace.app_token()),
        bot_token: Secret::new(workspace.bot_token()),
        channel: CHANNEL.to_owned(),
        page: Url::parse(&workspace.url()).map_err(|e| text(&e))?,
    };
    crate::say("Starting a PostgreSQL, an identity provider and a Slack workspace on this machine ...");
    let config = WorldConfig { dir, database_url, slack: Some(slack), people };
    let world = World::start(config).await.map_err(|e| text(&e))?;
    let config = load(&world.facts.config).map_err(|e| text(&e))?;
    serve(config, Parts::Both, stop, |_, _| crate::say(&banner(&world.facts))).await?;
    workspace.stop().await;
    drop(world);
    Ok(())
}

/// Where the demo's requests are posted.
const CHANNEL: &str = "C0APPROVALS";

fn workspace(people: &People) -> WorkspaceConfig {
    let account = |person: &countersign_demo::people::Person| {
        let mut account = slack::Person::new(&person.slack_id, person.handle(), &person.name, &person.email);
        account.tz.clone_from(&person.time_zone);
        account.is_restricted = person.guest;
        account
    };
    WorkspaceConfig {
        people: people.people.iter().map(account).collect(),
        channels: vec![slack::Channel::public(CHANNEL, "db-approvals")],
        commands: vec!["/access".to_owned()],
        ..WorkspaceConfig::default()
    }
}
