//! `login`, `logout`, `token`, `env`, `psql`: a person's own side.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use clap::Args;
use countersign_client::{
    NotSignedIn, browser, connect, device, gateway,
    kept::Kept,
    place::{Place, What},
    provider::Provider,
};
use countersign_gateway::{control::about, service::load};
use countersign_shared::api::About;
use url::Url;

/// Where and how to sign in.
#[derive(Args)]
pub struct How {
    /// The address of the gateway's pages; by default that of the config file, or of the last login.
    #[arg(long, env = "COUNTERSIGN_URL")]
    gateway: Option<Url>,
    /// Which identity provider, where there are several.
    #[arg(long)]
    issuer: Option<String>,
    /// Signs in on another device; the default where no browser can be opened here.
    #[arg(long, conflicts_with = "browser")]
    device: bool,
    /// Signs in with a browser of this machine.
    #[arg(long)]
    browser: bool,
    /// Where the gateway speaks PostgreSQL's protocol, if it is reached otherwise than it says.
    #[arg(long)]
    host: Option<String>,
    /// The port there.
    #[arg(long)]
    port: Option<u16>,
}

/// Signs in and keeps the token.
pub async fn login(config: &Path, how: How) -> ExitCode {
    let place = match Place::usual() {
        Ok(place) => place,
        Err(error) => return crate::fail(&error.to_string(), 2),
    };
    let mut about = match about_what(config, &how, &place).await {
        Ok(about) => about,
        Err((message, code)) => return crate::fail(&message, code),
    };
    about.host = how.host.clone().unwrap_or(about.host);
    about.port = how.port.unwrap_or(about.port);
    if !gateway::keeps_tokens_private(&about) {
        let message = format!(
            "{} is not this machine and speaks no TLS: everybody on the way could read the token. Give the gateway TLS, \
             or reach it through a tunnel and say --host 127.0.0.1",
            about.host
        );
        return crate::fail(&message, 1);
    }
    let chosen = about.issuers.iter().filter(|one| how.issuer.as_ref().is_none_or(|name| *name == one.issuer));
    let issuer = match chosen.collect::<Vec<_>>().as_slice() {
        [one] => (*one).clone(),
        _ => {
            let names: Vec<_> = about.issuers.iter().map(|one| format!("  --issuer {}", one.issuer)).collect();
            return crate::fail(&format!("say at which identity provider to sign in:\n{}", names.join("\n")), 2);
        }
    };
    match sign_in(about, issuer, &how).await.and_then(|kept| kept.write(&place).map(|()| kept)) {
        Ok(kept) => {
            crate::say(&format!(
                "signed in as {}, until {}{}. Next: countersign psql CONNECTION",
                kept.tokens.user,
                kept.tokens.expires_at.format("%Y-%m-%d %H:%M UTC"),
                if kept.tokens.refresh.is_some() { " and renewed by itself after that" } else { "" },
            ));
            ExitCode::SUCCESS
        }
        Err(error) => crate::fail(&error.to_string(), 1),
    }
}

/// What is known of the gateway: asked of it, read in its config where that is here, or kept.
async fn about_what(config: &Path, how: &How, place: &Place) -> Result<About, (String, u8)> {
    if let Some(url) = &how.gateway {
        return gateway::ask(url).await.map_err(|error| (error.to_string(), 1));
    }
    if config.exists() {
        return load(config).map(|config| about(&config)).map_err(|error| (error.to_string(), 2));
    }
    Kept::read(place).map(|kept| kept.about).map_err(|_| {
        let what = "there is no config file here and no login before; say where the gateway is";
        (format!("{what}: countersign login --gateway https://…"), 2)
    })
}

async fn sign_in(about: About, issuer: countersign_shared::api::AboutIssuer, how: &How) -> Result<Kept, NotSignedIn> {
    let provider = Provider::discover(issuer.clone()).await?;
    let here = how.browser || !how.device && (can_open() || !provider.knows_devices());
    let tokens = if here {
        browser::sign_in(&provider, |address| {
            tell(&format!("Sign in with this machine's browser:\n  {address}"));
            if !how.browser {
                open(address);
            }
        })
        .await?
    } else {
        device::sign_in(&provider, |prompt| {
            let quick = prompt.complete.as_ref().map(|address| format!("\n  or at once: {address}"));
            let quick = quick.unwrap_or_default();
            tell(&format!("Sign in on any device:\n  {}\n  with the code {}{quick}", prompt.address, prompt.code));
        })
        .await?
    };
    Ok(Kept { about, issuer, tokens })
}

/// Tells the person what to do, beside a result that a program may read.
#[allow(clippy::print_stderr, reason = "what to do next is for the person, not for who reads the result")]
fn tell(message: &str) {
    eprintln!("{message}");
}

/// Whether a browser of this machine would be seen.
fn can_open() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let desktop = cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY");
    desktop && !set("SSH_CONNECTION") && std::io::stderr().is_terminal()
}

/// Opens the browser. Where that fails, the person has the address.
fn open(address: &Url) {
    let command: &[&str] = if cfg!(windows) {
        &["rundll32", "url.dll,FileProtocolHandler"]
    } else if cfg!(target_os = "macos") {
        &["open"]
    } else {
        &["xdg-open"]
    };
    let mut opens = Command::new(command[0]);
    opens.args(&command[1..]).arg(address.as_str());
    let _opened = opens.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

/// Forgets the sign-in.
pub fn logout() -> ExitCode {
    match Place::usual().and_then(|place| place.remove(What::Login)) {
        Ok(true) => crate::say("signed out on this machine; sessions that are open stay open"),
        Ok(false) => crate::say("nobody was signed in"),
        Err(error) => return crate::fail(&error.to_string(), 1),
    }
    ExitCode::SUCCESS
}

/// A token of the person who is signed in: that of `COUNTERSIGN_TOKEN`, else the one that is kept.
pub async fn own_token() -> Result<String, NotSignedIn> {
    if let Ok(token) = std::env::var("COUNTERSIGN_TOKEN") {
        return Ok(token);
    }
    Ok(Kept::fresh(&Place::usual()?).await?.tokens.token.reveal().clone())
}

/// Prints a token, for scripts and for `PGPASSWORD`.
pub async fn token() -> ExitCode {
    match own_token().await {
        Ok(token) => {
            crate::say(&token);
            ExitCode::SUCCESS
        }
        Err(error) => crate::fail(&error.to_string(), 1),
    }
}

async fn kept() -> Result<Kept, NotSignedIn> {
    Kept::fresh(&Place::usual()?).await
}

/// Prints the variables for a shell.
pub async fn env(connection: &str) -> ExitCode {
    match kept().await {
        Ok(kept) => {
            let _closed = std::io::stdout().write_all(connect::shell(&kept, connection).as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => crate::fail(&error.to_string(), 1),
    }
}

/// Becomes psql.
pub async fn psql(connection: &str, arguments: &[String]) -> ExitCode {
    let kept = match kept().await {
        Ok(kept) => kept,
        Err(error) => return crate::fail(&error.to_string(), 1),
    };
    let mut command = Command::new("psql");
    // The token goes by the environment: command lines are for everybody to see.
    command.args(arguments).envs(connect::variables(&kept, connection));
    let hint = "install PostgreSQL's client (on Debian: apt install postgresql-client)";
    #[cfg(unix)]
    {
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        crate::fail(&format!("psql can't be started: {error}; {hint}"), 1)
    }
    #[cfg(not(unix))]
    match command.status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => crate::fail(&format!("psql can't be started: {error}; {hint}"), 1),
    }
}
