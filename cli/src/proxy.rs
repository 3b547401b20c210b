//! `proxy`: ports of this machine for programs that keep a password in a dialog.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use countersign_client::{
    NotSignedIn, gateway,
    kept::Kept,
    place::Place,
    ports::Ports,
    provider::{Tokens, end_of_token},
    proxy::{Pass, Proxy},
};
use countersign_gateway::config::Authorities;
use countersign_shared::{api::About, secret::Secret};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

/// For which connections, and as whom.
#[derive(Args)]
pub struct What {
    /// The connections.
    #[arg(required = true)]
    connections: Vec<String>,
    /// The port of this machine, for the first of them; the others get the next ones. Kept for later.
    #[arg(long)]
    port: Option<u16>,
    /// Whose token: that of who is signed in, or `file:PATH`, read anew for each login (a workload's).
    #[arg(long, default_value = "login", value_parser = whose)]
    identity: Whose,
    /// The address of the gateway's pages, with `--identity file:PATH`.
    #[arg(long, env = "COUNTERSIGN_URL")]
    gateway: Option<Url>,
    /// A PEM file to verify the gateway by, in place of the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum Whose {
    Login,
    File(PathBuf),
}

fn whose(text: &str) -> Result<Whose, String> {
    match text.split_once(':') {
        None if text == "login" => Ok(Whose::Login),
        Some(("file", path)) if !path.is_empty() => Ok(Whose::File(path.into())),
        _ => Err("it is `login` or `file:PATH`".to_owned()),
    }
}

/// Runs until Ctrl-C.
pub async fn run(what: What) -> ExitCode {
    match serve(what).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => crate::fail(&message, 1),
    }
}

async fn serve(what: What) -> Result<(), String> {
    let told = |error: NotSignedIn| error.to_string();
    let place = Place::usual().map_err(told)?;
    let authorities = what.ca.as_deref().map(Authorities::of_file).transpose()?;
    let about = match (&what.identity, &what.gateway) {
        (Whose::Login, _) => None,
        (Whose::File(_), Some(url)) => {
            let about = gateway::ask(url).await.map_err(told)?;
            if !gateway::keeps_tokens_private(&about) {
                return Err(format!("{} speaks no TLS: everybody on the way could read the token", about.host));
            }
            Some(about)
        }
        (Whose::File(_), None) => {
            return Err("with --identity file:PATH, say where the gateway is: --gateway".to_owned());
        }
    };
    let (from, identity) = (place.clone(), what.identity.clone());
    let passes = move || -> std::pin::Pin<Box<dyn Future<Output = Result<Pass, NotSignedIn>> + Send>> {
        let (place, identity, about, authorities) =
            (from.clone(), identity.clone(), about.clone(), authorities.clone());
        Box::pin(async move { pass(&place, identity, about, authorities).await })
    };
    // Who can't log in now learns it here, not from a program's dialog.
    passes().await.map_err(told)?;
    let passes = Arc::new(passes);
    let mut ports = Ports::read(&place).map_err(told)?;
    let mut served = JoinSet::new();
    for (index, connection) in what.connections.iter().enumerate() {
        let wanted = what.port.map(|port| port.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)));
        let port = ports.of(connection, wanted);
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener =
            listener.map_err(|error| format!("port {port} can't be had for {connection}: {error}; choose: --port"))?;
        crate::say(&format!(
            "{connection}: host 127.0.0.1, port {port}, database {connection}, password {}",
            ports.secret.reveal()
        ));
        let proxy = Proxy { connection: connection.clone(), secret: ports.secret.clone(), passes: passes.clone() };
        served.spawn(proxy.serve(listener));
    }
    ports.write(&place).map_err(told)?;
    crate::say("The user may be anything. Host, ports and password stay the same; Ctrl-C ends it.");
    let _stopped = tokio::signal::ctrl_c().await;
    Ok(())
}

async fn pass(
    place: &Place,
    identity: Whose,
    about: Option<About>,
    authorities: Option<Authorities>,
) -> Result<Pass, NotSignedIn> {
    match (identity, about) {
        (Whose::File(path), Some(About { host, port, tls, .. })) => {
            let wrong = |why: String| NotSignedIn::Place { path: path.display().to_string(), why };
            let text = tokio::fs::read_to_string(&path).await.map_err(|error| wrong(error.to_string()))?;
            let token = Secret::new(text.trim().to_owned());
            let expires_at = end_of_token(token.reveal());
            Ok(Pass { host, port, tls, authorities, user: String::new(), token, expires_at })
        }
        _ => {
            let Kept { about: About { host, port, tls, .. }, tokens, .. } = Kept::fresh(place).await?;
            let Tokens { user, token, expires_at, .. } = tokens;
            Ok(Pass { host, port, tls, authorities, user, token, expires_at: Some(expires_at) })
        }
    }
}
