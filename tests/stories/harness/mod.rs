//! One story: a shop of its own, a workspace, an identity provider, and the binary.
//!
//! ```text
//! client   a program that speaks PostgreSQL       process  the binary, started, stopped and killed
//! people   colleagues in Slack                    control  the control API, as a person calls it
//! psql     the real one                           state    the state's file, as a burglar opens it
//! raw      a client that says bytes               tls      authorities, and what they vouch for
//! grants   access for a time, as a person asks for it
//! guarded  a database server with TLS             between  somebody on the path to a database
//! wire     a client that sends what no driver would pieces   a path that cuts what is sent
//! bucket   an S3 that keeps locks, and can be away
//! directory  whoever keeps the identities        chromium  the workspace's page in a real browser
//! ```

pub mod between;
pub mod bucket;
pub mod chromium;
pub mod client;
pub mod control;
pub mod directory;
pub mod grants;
pub mod guarded;
pub mod people;
pub mod pieces;
pub mod process;
pub mod psql;
pub mod raw;
pub mod state;
pub mod tls;
pub mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use countersign_demo::{
    database::{Login, Server},
    people::People,
    shop::Shops,
    slack::{self, Workspace, WorkspaceConfig},
    world::{SlackAccess, World, WorldConfig},
};
use countersign_shared::secret::Secret;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use self::{
    client::Client,
    people::Colleague,
    process::{NotStarted, Process},
};

/// Where cards are posted.
pub const CHANNEL: &str = "C0APPROVALS";
/// Where a connection may have its own.
pub const OTHER_CHANNEL: &str = "C0PAYROLL01";
/// How long anything may take on a machine that builds something else beside it.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// One server for all stories, each with a database of its own. It ends with the process.
static SERVER: OnceCell<(Server, Shops, Mutex<()>)> = OnceCell::const_new();
static STORIES: AtomicUsize = AtomicUsize::new(0);

/// A way into a shop of its own, without the gateway.
pub async fn shop() -> Login {
    let start = || async {
        let server = Server::start(None).await.expect("a PostgreSQL server");
        let shops = Shops::prepare(&server).await.expect("a shop to copy");
        (server, shops, Mutex::new(()))
    };
    let (server, shops, copying) = SERVER.get_or_init(start).await;
    let number = STORIES.fetch_add(1, Ordering::Relaxed);
    let _one_at_a_time = copying.lock().await;
    shops.open(server, &format!("story_{number}")).await.expect("a copy of the shop")
}

/// The server that all stories share.
pub fn server() -> &'static Server {
    &SERVER.get().expect("the server was started").0
}

/// A story's surroundings. All of it ends when it is dropped.
pub struct Story {
    pub world: World,
    pub workspace: Workspace,
    /// What was started last under each verb.
    pub gateway: Option<Process>,
    pub bot: Option<Process>,
    /// Whether what is started tells all that it can.
    pub traces: bool,
    database: String,
    log_began: u64,
    runs: usize,
}

impl Story {
    /// Gateway and bot in one process, both at work.
    pub async fn begin() -> Self {
        Self::begin_with(&[]).await
    }

    /// The same, under one more policy.
    pub async fn begin_under(policy: &str) -> Self {
        let mut story = Self::prepare().await;
        fs::write(story.folder().join("policy/90-story.cedar"), policy).expect("a policy");
        story.starts("serve").await;
        story
    }

    /// The same, with words of the config changed.
    pub async fn begin_with(changes: &[(&str, &str)]) -> Self {
        for _ in 0..3 {
            let mut story = Self::prepare().await;
            let file = &story.world.facts.config;
            let mut config = fs::read_to_string(file).expect("the config");
            for (from, to) in changes {
                assert!(config.contains(from), "the config says {from}");
                config = config.replace(from, to);
            }
            fs::write(file, config).expect("a changed config");
            match story.try_start("serve").await {
                Ok(process) => story.gateway = Some(process),
                // Somebody took the port between the world's look and the gateway's.
                Err(NotStarted(said)) if said.contains("in use") => continue,
                Err(NotStarted(said)) => panic!("the gateway did not start:\n{said}"),
            }
            story.bot_is_there().await;
            return story;
        }
        panic!("no port stays free");
    }

    /// The gateway alone, from a config that `change` makes of the usual one. It may write files for it
    /// into the folder.
    pub async fn gateway_with(change: impl Fn(&str, &Path) -> String) -> Self {
        Self::changed("gateway", change).await
    }

    /// The same, and the bot.
    pub async fn serves_with(change: impl Fn(&str, &Path) -> String) -> Self {
        let story = Self::changed("serve", change).await;
        story.bot_is_there().await;
        story
    }

    /// What `verb` starts, from a config that `change` makes of the usual one.
    pub async fn changed(verb: &str, change: impl Fn(&str, &Path) -> String) -> Self {
        for _ in 0..3 {
            let mut story = Self::prepare().await;
            let file = &story.world.facts.config;
            let config = fs::read_to_string(file).expect("the config");
            fs::write(file, change(&config, &story.folder())).expect("a changed config");
            match story.try_start(verb).await {
                Ok(process) => story.gateway = Some(process),
                Err(NotStarted(said)) if said.contains("in use") => continue,
                Err(NotStarted(said)) => panic!("the gateway did not start:\n{said}"),
            }
            return story;
        }
        panic!("no port stays free");
    }

    /// Everything but the gateway and the bot.
    pub async fn prepare() -> Self {
        let people = People::acme();
        let upstream = shop().await;
        let workspace = Workspace::start(workspace(&people)).await.expect("a workspace");
        let address = |text: String| Url::parse(&text).expect("an address");
        let slack = SlackAccess {
            api_url: address(workspace.api_url()),
            app_token: Secret::new(workspace.app_token()),
            bot_token: Secret::new(workspace.bot_token()),
            channel: CHANNEL.to_owned(),
            page: address(workspace.url()),
        };
        let mut url = address(upstream.url());
        url.set_password(Some(upstream.password.reveal())).expect("a password in the address");
        let config = WorldConfig { dir: None, database_url: Some(url), slack: Some(slack), people };
        let world = World::start(config).await.expect("a world");
        let log_began = server().log_position();
        Self {
            world,
            workspace,
            gateway: None,
            bot: None,
            traces: false,
            database: upstream.database,
            log_began,
            runs: 0,
        }
    }

    pub async fn try_start(&mut self, verb: &str) -> Result<Process, NotStarted> {
        self.runs += 1;
        let said = self.folder().join(format!("{verb}-{}.stderr", self.runs));
        Process::start(&self.world.facts, verb, said, self.traces).await
    }

    /// Starts the gateway with its log on a disk of so many kilobytes; `None` where this machine lets nobody mount one.
    /// Only the gateway sees it, so it is read below the folder that is returned, as long as the gateway lives.
    pub async fn starts_on_a_small_disk(&mut self, kilobytes: u32) -> Option<PathBuf> {
        let log = self.folder().join("records/log");
        fs::create_dir_all(&log).expect("a folder");
        let mounts = format!("mount -t tmpfs -o size={kilobytes}k,mode=700 none '{}'", log.display());
        let may = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &mounts]).output();
        if !may.is_ok_and(|tried| tried.status.success()) {
            return None;
        }
        let mut command = tokio::process::Command::new("unshare");
        let become_it = format!("{mounts} && exec \"$0\" \"$@\"");
        command.args(["-rm", "sh", "-c", &become_it, env!("CARGO_BIN_EXE_countersign-under-test")]);
        self.runs += 1;
        let said = self.folder().join(format!("gateway-{}.stderr", self.runs));
        let process = Process::start_by(command, &self.world.facts, "gateway", said, self.traces).await;
        let process = process.unwrap_or_else(|NotStarted(said)| panic!("the gateway:\n{said}"));
        let seen = PathBuf::from(format!("/proc/{}/root{}", process.id(), self.folder().join("records").display()));
        self.gateway = Some(process);
        Some(seen)
    }

    /// Starts the binary with `verb`: `gateway` or `serve` takes clients then, `bot` reaches Slack.
    pub async fn starts(&mut self, verb: &str) {
        let process = self.try_start(verb).await.unwrap_or_else(|NotStarted(said)| panic!("{verb}:\n{said}"));
        if verb == "bot" {
            self.bot = Some(process);
        } else {
            self.gateway = Some(process);
        }
        if verb != "gateway" {
            self.bot_is_there().await;
        }
    }

    pub async fn bot_is_there(&self) {
        self.workspace.wait_for_connection(PATIENCE).await.expect("the bot reaches Slack");
    }

    /// Kills gateway and bot as a power cut would; waits until they are gone.
    pub async fn kills_the_gateway(&mut self) {
        self.gateway.take().expect("a gateway").kill().await;
    }

    /// Waits until something is so.
    pub async fn until(&self, so: impl Fn() -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let waits = async {
            while !so() {
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.expect("it comes to be so");
    }

    /// The folder of config, state and records.
    pub fn folder(&self) -> PathBuf {
        self.world.facts.config.parent().expect("a folder").to_owned()
    }

    /// Logs somebody in through the gateway.
    pub async fn logs_in(&self, who: &str) -> Client {
        let token = self.world.idp.token_for(who).expect("a token");
        Client::log_in(self.world.facts.listen, "shop", &token).await.unwrap_or_else(|no| panic!("{who}: {no:?}"))
    }

    /// Somebody in Slack.
    pub fn colleague(&self, who: &str) -> Colleague<'_> {
        Colleague { story: self, person: self.world.idp.person(who).expect("somebody who works here") }
    }

    /// Somebody in Slack who has linked their account.
    pub async fn linked(&self, who: &str) -> Colleague<'_> {
        let colleague = self.colleague(who);
        colleague.links().await;
        colleague
    }

    /// The number that a query gives, asked of the database itself.
    pub async fn number(&self, sql: &str) -> i64 {
        let direct = self.world.upstream.connect().await.expect("a way into the database");
        direct.query_one(sql, &[]).await.expect("a number").get(0)
    }

    /// What the database was told to run in this story's shop so far, by its own log.
    pub fn database_ran(&self, what: &str) -> bool {
        self.times_database_ran(what) > 0
    }

    /// The words in that log that begin with `prefix`.
    pub fn database_saw(&self, prefix: &str) -> std::collections::BTreeSet<String> {
        let log = server().log_since(self.log_began).expect("the server's log");
        let database = format!("db={} ", self.database);
        let lines = log.lines().filter(|line| line.contains(&database));
        let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        words.filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// How many lines of that log say so.
    pub fn times_database_ran(&self, what: &str) -> usize {
        let log = server().log_since(self.log_began).expect("the server's log");
        let (database, what) = (format!("db={} ", self.database), what.to_lowercase());
        log.lines().filter(|line| line.contains(&database) && line.to_lowercase().contains(&what)).count()
    }

    /// Everything that was written below the story's folder: the records, and what was said on stderr.
    pub fn everything_written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.folder(), &mut found);
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            // One that was put in another's place meanwhile is there by the other's name.
            match fs::read(&path) {
                Ok(bytes) => found.push((path, bytes)),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display()),
            }
        }
    }
}

/// What `manifest.yaml` asks Slack for: a call that needs more fails here as it would there.
pub fn declared_scopes() -> Vec<String> {
    let manifest = include_str!("../../../manifest.yaml");
    let lines = manifest.lines().skip_while(|line| line.trim() != "bot:").skip(1);
    let scopes = lines.map_while(|line| line.trim().strip_prefix("- "));
    scopes.map(|scope| scope.split('#').next().unwrap_or_default().trim().to_owned()).collect()
}

fn workspace(people: &People) -> WorkspaceConfig {
    let account = |person: &countersign_demo::people::Person| {
        let mut account = slack::Person::new(&person.slack_id, person.handle(), &person.name, &person.email);
        account.is_restricted = person.guest;
        account
    };
    WorkspaceConfig {
        people: people.people.iter().map(account).collect(),
        channels: vec![
            slack::Channel::public(CHANNEL, "db-approvals"),
            slack::Channel::public(OTHER_CHANNEL, "payroll-approvals"),
        ],
        commands: vec!["/access".to_owned()],
        scopes: declared_scopes(),
        events: vec!["app_home_opened".to_owned()],
        // The machine builds something else beside it.
        ack_within: PATIENCE,
        trigger_lives: PATIENCE,
        ..WorkspaceConfig::default()
    }
}
