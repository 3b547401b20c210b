//! A world for the gateway to stand in: a database with a shop, an identity provider, and the
//! config that leads to them. The gateway and the bot are started by whoever asked for the world.

mod banner;
mod configuration;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use countersign_shared::secret::Secret;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use url::Url;

use self::configuration::Configuration;
pub use self::{banner::banner, configuration::POLICIES};
use crate::{
    database::{DatabaseError, Login, Server},
    idp::{Idp, IdpConfig, IdpError},
    people::People,
    ports,
    shop::Shops,
};

/// What clients call the connection.
pub const CONNECTION: &str = "shop";
/// As long as the gateway takes a token for fresh, so that a pasted line works all day.
const TOKEN_LIFETIME: Duration = Duration::from_hours(12);

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// No database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No identity provider.
    #[error(transparent)]
    Idp(#[from] IdpError),
    /// No files.
    #[error("cannot write the demo's files into {folder}: {source}")]
    Files {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How the gateway and the bot reach Slack, or its stand-in.
#[derive(Clone, Debug)]
pub struct SlackAccess {
    /// `http://127.0.0.1:…/api/`.
    pub api_url: Url,
    /// `xapp-…`.
    pub app_token: Secret<String>,
    /// `xoxb-…`.
    pub bot_token: Secret<String>,
    /// `C…`, where requests are posted.
    pub channel: String,
    /// The page on which people press buttons.
    pub page: Url,
}

/// What a world is made of.
#[derive(Debug, Default)]
pub struct WorldConfig {
    /// Where its files are kept; a temporary folder if none.
    pub dir: Option<PathBuf>,
    /// A database to use in place of a private one. Nothing is made in it.
    pub database_url: Option<Url>,
    /// Slack, started by whoever starts the world: without it, the config has no `[slack]` and
    /// holds wait for the control API.
    pub slack: Option<SlackAccess>,
    /// Who works here; Acme's staff by default.
    pub people: People,
}

/// A line to paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsqlLine {
    /// Who it is.
    pub title: String,
    /// The whole command, with a token as the password.
    pub command: String,
}

/// What somebody has to know to use the world.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `countersign.toml`.
    pub config: PathBuf,
    /// The folder of policies.
    pub policy: PathBuf,
    /// Where the gateway is told to listen.
    pub listen: SocketAddr,
    /// Where its pages and its API are.
    pub control: Url,
    /// The identity provider.
    pub issuer: String,
    /// For Ana and Ben.
    pub psql: Vec<PsqlLine>,
    /// Slack's page.
    pub slack_page: Option<Url>,
    /// The private server's log.
    pub database_log: Option<PathBuf>,
    /// Whether the database holds the demo's shop.
    pub has_shop: bool,
    /// Whether the folder outlives the demo.
    pub kept: bool,
}

/// A running world. It ends when it is dropped.
#[derive(Debug)]
pub struct World {
    /// Signs people in.
    pub idp: Idp,
    /// The private server, unless another database was named.
    pub database: Option<Server>,
    /// The gateway's way into the database.
    pub upstream: Login,
    /// How to use it all.
    pub facts: Facts,
    _temporary: Option<TempDir>,
}

/// Ports that a kept folder uses again: the issuer's address is part of who somebody is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Ports {
    issuer: u16,
    listen: u16,
    control: u16,
}

impl World {
    /// Starts the database and the identity provider and writes the files. Returns when both answer.
    ///
    /// # Errors
    /// What is missing or went wrong, and what to do about it.
    pub async fn start(config: WorldConfig) -> Result<Self, WorldError> {
        let kept = config.dir.is_some();
        let (folder, temporary) = settle(config.dir)?;
        let failed = |source| WorldError::Files { folder: folder.clone(), source };
        let mut ports = remembered(&folder);
        let (database, upstream) = open_database(config.database_url.as_ref(), kept.then_some(&folder)).await?;
        let lasting = IdpConfig { people: config.people.clone(), port: ports.issuer, lifetime: TOKEN_LIFETIME };
        let idp = Idp::start_with(lasting).await?;
        ports.issuer = idp.port();
        ports.listen = ports::free_or(ports.listen).map_err(failed)?;
        ports.control = ports::free_or(ports.control).map_err(failed)?;
        let (listen, control) = (loopback(ports.listen), loopback(ports.control));
        let written = Configuration {
            listen,
            control,
            issuer: idp.url(),
            people: &config.people,
            upstream: &upstream,
            slack: config.slack.as_ref(),
        };
        let file = written.write(&folder).map_err(failed)?;
        remember(&folder, ports).map_err(failed)?;
        let facts = Facts {
            config: file,
            policy: folder.join("policy"),
            listen,
            control: Url::parse(&format!("http://{control}")).map_err(|error| failed(io::Error::other(error)))?,
            issuer: idp.url().to_owned(),
            psql: vec![psql(&idp, listen, "ana")?, psql(&idp, listen, "ben")?],
            slack_page: config.slack.map(|slack| slack.page),
            database_log: database.as_ref().map(Server::log_path),
            has_shop: database.is_some(),
            kept,
        };
        Ok(Self { idp, database, upstream, facts, _temporary: temporary })
    }
}

/// The line that logs somebody in through the gateway.
///
/// # Errors
/// Where nobody is called so.
pub fn psql(idp: &Idp, listen: SocketAddr, who: &str) -> Result<PsqlLine, IdpError> {
    let person = idp.person(who)?;
    let token = idp.token_for(who)?;
    Ok(PsqlLine {
        title: format!("{} ({})", person.name, person.groups.join(", ")),
        command: format!(
            "PGPASSWORD='{token}' psql \"host={} port={} dbname={CONNECTION} user={}\"",
            listen.ip(),
            listen.port(),
            person.email
        ),
    })
}

/// The database that somebody named, or a private one with a shop in it.
async fn open_database(
    named: Option<&Url>,
    folder: Option<&PathBuf>,
) -> Result<(Option<Server>, Login), DatabaseError> {
    if let Some(url) = named {
        return Ok((None, Login::from_url(url)?));
    }
    let server = Server::start(folder.map(|folder| folder.join("database"))).await?;
    let shops = Shops::prepare(&server).await?;
    let upstream = shops.open(&server, CONNECTION).await?;
    Ok((Some(server), upstream))
}

fn settle(dir: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), WorldError> {
    if let Some(folder) = dir {
        let failed = |source| WorldError::Files { folder: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        // The database below may belong to another account, which must pass, and need not look.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        return Ok((fs::canonicalize(&folder).map_err(failed)?, None));
    }
    let made = tempfile::Builder::new().prefix("countersign-demo-").tempdir();
    let made = made.map_err(|source| WorldError::Files { folder: std::env::temp_dir(), source })?;
    Ok((made.path().to_owned(), Some(made)))
}

fn remembered(folder: &Path) -> Ports {
    let text = fs::read_to_string(folder.join("ports.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn remember(folder: &Path, ports: Ports) -> io::Result<()> {
    fs::write(folder.join("ports.json"), serde_json::to_vec(&ports)?)
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
