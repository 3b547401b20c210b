//! A private PostgreSQL: a real server in a folder of its own, on loopback, that ends with us.

mod account;
mod binaries;
mod login;

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use countersign_shared::secret::Secret;
use tempfile::TempDir;

use self::account::Account;
pub use self::{binaries::BIN_VARIABLE, login::Login};
use crate::{ports, random};

const SUPERUSER: &str = "postgres";
/// How long a server may take to answer, on a machine that builds something else beside it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings for a server whose data nobody misses, and whose log tells everything that it ran.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
password_encryption = 'scram-sha-256'
max_connections = 700
max_prepared_transactions = 10
wal_level = logical
shared_buffers = 64MB
fsync = off
full_page_writes = off
log_destination = 'stderr'
logging_collector = off
log_statement = 'all'
log_line_prefix = '%m [%p] user=%u db=%d app=%a '
";

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No programs.
    #[error(
        "no PostgreSQL server is installed: neither in /usr/lib/postgresql nor on the PATH. \
         Install one (Debian: apt install postgresql), or name its bin folder in {BIN_VARIABLE}"
    )]
    NotInstalled,
    /// The environment leads nowhere.
    #[error("{BIN_VARIABLE} names {0}, which holds no initdb and postgres")]
    NotThere(PathBuf),
    /// No account to run as.
    #[error("PostgreSQL refuses to run as root, and this machine has neither a postgres nor a nobody account")]
    OnlyRoot,
    /// The server's account can't reach its own folder.
    #[error(
        "PostgreSQL refuses to run as root, and its own account may not pass {0}; choose a folder that it can reach, under /tmp or /var/lib for example"
    )]
    Barred(PathBuf),
    /// The folder can't be used.
    #[error("cannot prepare {path}: {source}")]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program can't be started, or failed.
    #[error("{program} failed: {why}")]
    Program {
        /// Its path.
        program: PathBuf,
        /// What it said.
        why: String,
    },
    /// The server ended, or never answered.
    #[error("the PostgreSQL server did not start: {why}\nits log is {log}")]
    NotStarted {
        /// The end of its log.
        why: String,
        /// All of its log.
        log: PathBuf,
    },
    /// A URL that somebody gave.
    #[error("the database URL is of no use: {0}; write postgres://user:password@host:port/database")]
    Url(&'static str),
    /// What PostgreSQL says.
    #[error("PostgreSQL says: {}", told(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

impl DatabaseError {
    fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}

fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// A running server. It ends when this is dropped, and also when the process is killed.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    superuser: Secret<String>,
    /// The watchdog; the server is its child. It ends when its standard input is closed.
    watchdog: Mutex<Child>,
    /// Dropped after the server.
    _temporary: Option<TempDir>,
}

impl Server {
    /// Starts a server in `folder`, which is made or taken up again, or in a temporary one. It
    /// answers when this returns.
    ///
    /// # Errors
    /// What is missing or went wrong, and what to do about it.
    pub async fn start(folder: Option<PathBuf>) -> Result<Self, DatabaseError> {
        let bin = binaries::find()?;
        let (folder, temporary) = settle(folder)?;
        let account = Account::to_run_as(&folder.join("server.log"))?;
        if let Some(account) = account {
            if let Some(bar) = account.barred_by(&folder) {
                return Err(DatabaseError::Barred(bar));
            }
            account.own(&folder)?;
        }
        let place = Place { folder, bin, account, remove: temporary.is_some() };
        let superuser = place.initialise().await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let port = ports::free().map_err(|error| DatabaseError::folder(&place.folder, error))?;
            let mut watchdog = place.launch(port)?;
            match place.until_ready(&mut watchdog, port, &superuser).await {
                Ok(()) => {
                    return Ok(Self {
                        folder: place.folder,
                        bin: place.bin,
                        port,
                        superuser,
                        watchdog: Mutex::new(watchdog),
                        _temporary: temporary,
                    });
                }
                // Somebody took the port between our look and the server's.
                Err(DatabaseError::NotStarted { why, .. }) if attempts < 10 && why.contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// TCP port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// One of PostgreSQL's programs: `psql`, `pg_dump`, `pgbench`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let beside = self.bin.join(name);
        if beside.is_file() { beside } else { PathBuf::from(name) }
    }

    /// `psql`.
    #[must_use]
    pub fn psql(&self) -> PathBuf {
        self.program("psql")
    }

    /// Everything that the server was told to run, in its own words.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Where the log ends now, to look at what comes later.
    #[must_use]
    pub fn log_position(&self) -> u64 {
        fs::metadata(self.log_path()).map_or(0, |meta| meta.len())
    }

    /// The log from `position` on. A statement is in it before its result is sent.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub fn log_since(&self, position: u64) -> Result<String, DatabaseError> {
        let path = self.log_path();
        let bytes = fs::read(&path).map_err(|error| DatabaseError::folder(&path, error))?;
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[start..]).into_owned())
    }

    /// The superuser's way into `database`.
    #[must_use]
    pub fn superuser(&self, database: &str) -> Login {
        login(self.port, database, &self.superuser)
    }

    /// Makes an empty database that `owner` owns, and tells the superuser's way into it.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn create_database(&self, name: &str, owner: Option<&str>) -> Result<Login, DatabaseError> {
        self.copy_database("template1", name, owner).await
    }

    /// Makes a database as a copy of `template`, which nobody may be connected to.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn copy_database(&self, template: &str, name: &str, owner: Option<&str>) -> Result<Login, DatabaseError> {
        let sql = format!(
            "CREATE DATABASE {} TEMPLATE {} OWNER {}",
            quoted(name),
            quoted(template),
            quoted(owner.unwrap_or(SUPERUSER))
        );
        self.superuser("postgres").connect().await?.batch_execute(&sql).await?;
        Ok(self.superuser(name))
    }

    /// Makes a role that may log in, or gives it another password, and tells its way in.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn create_login(&self, name: &str, database: &str) -> Result<Login, DatabaseError> {
        let client = self.superuser("postgres").connect().await?;
        let password = random::token();
        let there = client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&name]).await?.is_some();
        let verb = if there { "ALTER" } else { "CREATE" };
        // The password is made of letters and digits; it stays out of the server's log.
        client.batch_execute("SET log_statement = none").await?;
        let sql = format!("{verb} ROLE {} LOGIN PASSWORD '{password}'", quoted(name));
        client.batch_execute(&sql).await?;
        Ok(Login { user: name.into(), password: Secret::new(password), ..self.superuser(database) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let watchdog = self.watchdog.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(watchdog.stdin.take());
        if let Err(error) = watchdog.wait() {
            tracing::warn!(%error, "cannot tell whether the database has ended");
        }
    }
}

/// An identifier in double quotes.
#[must_use]
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn login(port: u16, database: &str, password: &Secret<String>) -> Login {
    Login {
        host: "127.0.0.1".into(),
        port,
        database: database.into(),
        user: SUPERUSER.into(),
        password: password.clone(),
    }
}

/// Makes the folder, closed to others, with an empty log in it.
fn settle(folder: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), DatabaseError> {
    let (folder, temporary) = match folder {
        Some(folder) => {
            fs::create_dir_all(&folder).map_err(|error| DatabaseError::folder(&folder, error))?;
            (fs::canonicalize(&folder).map_err(|error| DatabaseError::folder(&folder, error))?, None)
        }
        None => {
            // Not $TMPDIR: the path of a Unix socket may be 107 bytes long, and another account must reach it.
            let made = tempfile::Builder::new().prefix("countersign-pg-").tempdir_in("/tmp");
            let made = made.map_err(|error| DatabaseError::folder(Path::new("/tmp"), error))?;
            (made.path().to_owned(), Some(made))
        }
    };
    let log = folder.join("server.log");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .and_then(|()| if log.exists() { Ok(()) } else { File::create(&log).map(drop) })
        .and_then(|()| fs::set_permissions(&log, fs::Permissions::from_mode(0o600)))
        .map_err(|error| DatabaseError::folder(&log, error))?;
    Ok((folder, temporary))
}

/// What it takes to start a server.
struct Place {
    folder: PathBuf,
    bin: PathBuf,
    account: Option<Account>,
    remove: bool,
}

impl Place {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C").env_remove("PGDATA");
        if let Some(account) = self.account {
            account.run(&mut command);
        }
        command
    }

    /// Makes the cluster unless there is one; gives the superuser's password, which is in a file
    /// and on no command line.
    async fn initialise(&self) -> Result<Secret<String>, DatabaseError> {
        let secret = self.folder.join("superuser.password");
        let data = self.folder.join("data");
        if data.join("PG_VERSION").exists() {
            let password = fs::read_to_string(&secret).map_err(|error| DatabaseError::folder(&secret, error))?;
            return Ok(Secret::new(password.trim().to_owned()));
        }
        let password = random::token();
        crate::files::write_secret(&secret, &password).map_err(|error| DatabaseError::folder(&secret, error))?;
        if let Some(account) = self.account {
            account.own(&secret)?;
        }
        let program = self.bin.join("initdb");
        let mut command = self.command(&program);
        command.arg("-D").arg(&data).args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]);
        command.args(["--no-sync", "--no-instructions", "--pwfile"]).arg(&secret).stdin(Stdio::null());
        let failed = |why: String| DatabaseError::Program { program: program.clone(), why };
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let conf = data.join("countersign.conf");
        let include = data.join("postgresql.auto.conf");
        let settings = format!("{SETTINGS}unix_socket_directories = '{}'\n", self.socket_setting());
        fs::write(&conf, settings).map_err(|error| DatabaseError::folder(&conf, error))?;
        fs::write(&include, "include 'countersign.conf'\n").map_err(|error| DatabaseError::folder(&include, error))?;
        Ok(Secret::new(password))
    }

    /// The server's own folder, or none where the path would be too long for a socket.
    fn socket_setting(&self) -> String {
        let folder = self.folder.to_string_lossy();
        if folder.len() > 80 || folder.contains([',', '"', '\'']) { String::new() } else { folder.into_owned() }
    }

    /// Starts the watchdog and, below it, the server; in a process group of their own, so that
    /// Ctrl-C in a terminal ends the gateway first.
    fn launch(&self, port: u16) -> Result<Child, DatabaseError> {
        let log = self.folder.join("server.log");
        let open = || File::options().append(true).open(&log).map_err(|error| DatabaseError::folder(&log, error));
        let mut command = self.command(Path::new("/bin/sh"));
        command.arg("-c").arg(include_str!("watchdog.sh")).arg("countersign-database");
        command.arg(self.bin.join("postgres")).arg("-D").arg(self.folder.join("data")).args(["-p", &port.to_string()]);
        command.env("COUNTERSIGN_REMOVE", if self.remove { self.folder.as_os_str() } else { "".as_ref() });
        command.process_group(0).stdin(Stdio::piped()).stdout(open()?).stderr(open()?);
        command.spawn().map_err(|error| DatabaseError::Program { program: "/bin/sh".into(), why: error.to_string() })
    }

    async fn until_ready(
        &self,
        watchdog: &mut Child,
        port: u16,
        superuser: &Secret<String>,
    ) -> Result<(), DatabaseError> {
        let log = self.folder.join("server.log");
        let not_started = |why: String| DatabaseError::NotStarted { why, log: log.clone() };
        let started = Instant::now();
        loop {
            let ended = watchdog.try_wait().map_err(|error| not_started(error.to_string()))?.is_some();
            if ended {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let end: Vec<_> = text.lines().rev().take(5).collect();
                return Err(not_started(end.into_iter().rev().collect::<Vec<_>>().join("\n")));
            }
            match login(port, "postgres", superuser).connect().await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > PATIENCE => return Err(not_started(error.to_string())),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}
