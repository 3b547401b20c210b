//! `countersign.toml`: a struct per concern; everything is parsed, then all errors are told at once.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use countersign_shared::secret::Secret;
use url::Url;

use crate::{
    bucket::BucketConfig,
    log::{
        Records,
        seal::{Opener, SealSecret},
    },
    siem::SiemConfig,
    statement::{
        guard::Tolerance,
        mask::rules::{OnDoubt, Rule},
    },
    wire::frame::Caps,
};

mod check;
mod classify;
mod connection;
mod gateway;
mod identity;
mod password;
mod places;
mod read;
mod reader;
mod route;
mod s3;
mod scim;
mod secrets;
mod siem;
mod slack;
mod upstream;
pub(crate) mod values;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_upstream;

pub use check::{Checked, check, check_all, policy_folder};
pub use password::Password;
pub use places::{Places, places};
pub(crate) use reader::nearest;
pub use route::{QuietConfig, RouteConfig, Severity};
pub use scim::ScimTokens;
pub use upstream::{Authorities, LoginRule, Upstream, UpstreamTls, Whose};

/// One thing that is wrong, with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: PathBuf,
    /// One-based; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// The whole file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from; relative paths in it start at its folder.
    pub file: PathBuf,
    /// What it says, as it was read; not for printing, since a command may hold a secret.
    pub text: Secret<String>,
    /// `[gateway]`.
    pub gateway: GatewayConfig,
    /// `[[identity]]`.
    pub identities: Vec<IdentityConfig>,
    /// `[[agent]]`.
    pub agents: Vec<AgentConfig>,
    /// `[[connection]]` by name.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// `[[role]]`.
    pub roles: Vec<RoleConfig>,
    /// `[[route]]`, in the order of the file.
    pub routes: Vec<RouteConfig>,
    /// `[slack]`.
    pub slack: Option<SlackConfig>,
    /// `[siem]`; without it, nothing is sent.
    pub siem: Option<SiemConfig>,
    /// `[scim]`; without it there is no `/scim/v2`.
    pub scim: Option<ScimTokens>,
    /// What is allowed but worth a look.
    pub warnings: Vec<Problem>,
}

/// `[gateway]`.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// PostgreSQL protocol.
    pub listen: SocketAddr,
    /// Control API, pages, metrics.
    pub control: SocketAddr,
    /// How browsers reach the pages; no trailing slash.
    pub url: Url,
    /// Pages only, where it is set.
    pub public: Option<SocketAddr>,
    /// The state's URL; a relative `sqlite://` path is made absolute.
    pub state: String,
    /// The folder of records and log; where they go on to a bucket, its spool.
    pub records: PathBuf,
    /// Where the log goes on to (`s3://`).
    pub bucket: Option<BucketConfig>,
    /// Segments that are over for so long are packed; `None`: none are.
    pub compress_after: Option<Duration>,
    /// Whether segments that are over are indexed for searches.
    pub index: bool,
    /// The folder of policies.
    pub policy: PathBuf,
    /// Who signs policies before they count, where somebody must.
    pub policy_signers: Option<crate::policy::Signers>,
    /// Certificate chain and key, PEM files.
    pub tls: Option<TlsConfig>,
    /// The bot's private key; made at first start where absent.
    pub bot_key: PathBuf,
    /// The key that signs approvals and checkpoints; made at first start where absent.
    pub log_key: PathBuf,
    /// How often the log is signed, where there are new entries.
    pub checkpoint_interval: Duration,
    /// How often this machine's clock is compared with others.
    pub clock_interval: Duration,
    /// How long a hold waits.
    pub hold_timeout: Duration,
    /// How long it waits while a transaction is open.
    pub hold_timeout_in_transaction: Duration,
    /// How long what was asked for ahead may wait, and be run.
    pub ask_timeout: Duration,
    /// How long a session may do nothing.
    pub idle_timeout: Duration,
    /// What clients may take.
    pub bounds: Bounds,
}

/// What clients may take before they are refused.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Sessions at once, in all.
    pub connections: usize,
    /// Sessions at once from one address; of IPv6, from one /64.
    pub connections_per_address: usize,
    /// How long a client has from its first byte until it is logged in.
    pub login_timeout: Duration,
    /// The most that one message may have once its client is logged in.
    pub caps: Caps,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 5_000,
            connections_per_address: 2_500,
            login_timeout: Duration::from_secs(30),
            caps: Caps::default(),
        }
    }
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// `[[identity]]`.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// As in tokens, byte for byte.
    pub issuer: String,
    /// Required `aud`.
    pub audience: String,
    /// For sign-in pages; default the audience.
    pub client_id: String,
    /// Where the provider demands one.
    pub client_secret: Option<Secret<String>>,
    /// Default `email`.
    pub user_claim: String,
    /// Default `groups`.
    pub groups_claim: String,
    /// Default 12 h.
    pub max_token_age: Duration,
    /// How its tokens are asked about (RFC 7662), where they are.
    pub poll: Option<PollConfig>,
    /// E-mail domains that it may assert; `None`: all.
    pub domains: Option<Vec<String>>,
    /// Groups that it may assert; `None`: all. `*` matches any.
    pub groups: Option<Vec<String>>,
}

/// `poll` of `[[identity]]`.
#[derive(Clone, Debug)]
pub struct PollConfig {
    /// Default 60 s.
    pub every: Duration,
    /// Who asks; default the client that signs people in.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret<String>,
}

/// `[[agent]]`.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The principal, `Agent::"deploy"`.
    pub name: String,
    /// Its issuer, one of `[[identity]]` or its own.
    pub issuer: String,
    /// Its `sub`.
    pub subject: String,
    /// The user who answers for it, lower case.
    pub owner: String,
    /// Groups it is in; default none.
    pub groups: Vec<String>,
}

/// `[[connection]]`.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// What clients say as `dbname`.
    pub name: String,
    /// The database, and the login of whoever none of `logins` is for.
    pub upstream: Upstream,
    /// Other logins there, in the order in which they are tried.
    pub logins: Vec<LoginRule>,
    /// Tags for policies.
    pub tags: BTreeMap<String, String>,
    /// Enforce or observe.
    pub mode: Mode,
    /// Slack channel for its requests.
    pub channel: Option<String>,
    /// What its requests' cards show in that channel.
    pub card: CardContent,
    /// See DESIGN §9.
    pub durability: Durability,
    /// Classified columns.
    pub classify: Vec<Rule>,
    /// What happens to rows of which it is not known where their values come from.
    pub on_doubt: OnDoubt,
    /// What a client does while its statement is held.
    pub on_hold: OnHold,
    /// What its records are sealed with, where they are.
    pub seal: Option<SealSecret>,
    /// How long the keys of sealed records are kept.
    pub record_keep: Option<Duration>,
    /// So many rows of each statement's result are in its record, after masking.
    pub record_rows: usize,
    /// With how many rows more than its card stated a write still counts as approved.
    pub row_tolerance: Tolerance,
    /// How many denials end a request.
    pub denials: u32,
}

/// `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Hold and deny.
    #[default]
    Enforce,
    /// Forward everything, report what would have been held or denied.
    Observe,
}

/// `card`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CardContent {
    /// All of it.
    #[default]
    Full,
    /// Who asks and where: others read the channel than those who decide.
    Redacted,
    /// Redacted where others are in the channel than those who decide.
    Auto,
}

/// `on_hold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHold {
    /// It waits.
    #[default]
    Wait,
    /// It is refused, and asks again.
    Retry,
}

/// `durability`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A read's entry is fsynced within 50 ms.
    #[default]
    Relaxed,
    /// Before its result reaches the client.
    Strict,
}

/// `[[role]]`.
#[derive(Clone, Debug)]
pub struct RoleConfig {
    /// Name.
    pub name: String,
    /// The longest grant.
    pub max_duration: Duration,
}

/// `[slack]`.
#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// Socket Mode, `xapp-…`.
    pub app_token: Option<Secret<String>>,
    /// HTTP mode.
    pub signing_secret: Option<Secret<String>>,
    /// `xoxb-…`.
    pub bot_token: Secret<String>,
    /// Where cards go that no connection sends elsewhere.
    pub channel: String,
    /// With a trailing slash.
    pub api_url: Url,
    /// Posted once a day, where it is set.
    pub digest: Option<DigestConfig>,
}

/// `digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestConfig {
    /// Hour and minute.
    pub at: (u8, u8),
    /// An IANA name.
    pub timezone: String,
    /// After so long without use a grant is stale.
    pub stale_after: Duration,
}

impl Config {
    /// Where the log is read, with what its sealed records are opened.
    #[must_use]
    pub fn records(&self) -> Records {
        let GatewayConfig { records, bucket, .. } = &self.gateway;
        Records::spooled(records.clone(), bucket.clone()).opened(Opener::new(records, self.seals()))
    }

    /// What the records of each connection are sealed with, where they are.
    #[must_use]
    pub fn seals(&self) -> HashMap<String, SealSecret> {
        let seals = self.connections.iter().filter_map(|(name, c)| Some((name.clone(), c.seal.clone()?)));
        seals.collect()
    }
}

impl ConnectionConfig {
    /// The same connection, with the login that it names for somebody in these groups and roles: the
    /// first that fits, else that of `upstream`.
    #[must_use]
    pub fn as_seen_by(&self, groups: &[String], roles: &[String]) -> Self {
        let fits = |rule: &&LoginRule| match &rule.whose {
            Whose::Group(group) => groups.contains(group),
            Whose::Role(role) => roles.contains(role),
        };
        let mut connection = self.clone();
        if let Some(rule) = self.logins.iter().find(fits) {
            connection.upstream.user.clone_from(&rule.user);
            connection.upstream.password.clone_from(&rule.password);
        }
        connection
    }
}

impl Config {
    /// Reads and checks `file`. Secrets are resolved; nothing is started or written.
    ///
    /// # Errors
    /// Everything that is wrong at once.
    pub fn load(file: &std::path::Path) -> Result<Self, Vec<Problem>> {
        read::load(file).0
    }
}
