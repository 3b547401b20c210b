//! The command line: verbs only, no logic.
//!
//! Exit codes: 0 fine, 1 failed, 2 usage or config. Errors go to stderr.

mod api;
mod audit;
mod bypass;
mod check;
mod classify;
mod demo;
mod digest;
mod evidence;
mod grants;
mod indexed;
mod logging;
mod login;
mod policy;
mod progress;
mod prove;
mod proxy;
mod replay;
mod report;
mod request;
mod requests;
mod reviews;
mod serve;
mod sessions;
mod tokens;
mod users;
mod whole;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use url::Url;

/// An access gateway for PostgreSQL: a second person countersigns what is risky.
#[derive(Parser)]
#[command(name = "countersign", version)]
struct Arguments {
    /// The config file.
    #[arg(long, global = true, default_value = "countersign.toml")]
    config: PathBuf,
    /// Logs as JSON, a line each.
    #[arg(long, global = true, env = "COUNTERSIGN_LOG_JSON")]
    log_json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Starts everything on this machine, to try it: a database, Slack, sign-in, the gateway.
    Demo {
        /// Keeps state and records in this folder.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Uses this database in place of a private one.
        #[arg(long)]
        database_url: Option<Url>,
    },
    /// Runs the gateway and the bot in one process.
    Serve,
    /// Runs the gateway alone.
    Gateway,
    /// Runs the bot alone, beside a gateway.
    Bot,
    /// Tells everything that is wrong with the config and its policies.
    Check {
        /// Asks Slack, too: tokens, scopes, channels, the clock.
        #[arg(long)]
        slack: bool,
    },
    /// Suggests which columns of a connection's database to classify. Reads samples, and changes nothing.
    Classify {
        /// The connection.
        connection: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tests the policies.
    Policy {
        #[command(subcommand)]
        what: policy::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Tells what policy makes of a statement, and why. Runs nothing.
    ExplainPolicy {
        /// The connection.
        connection: String,
        /// The statement.
        sql: String,
        #[command(flatten)]
        subject: policy::As,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reports from the log.
    Report {
        #[command(subcommand)]
        what: report::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// The log: whether it is what was signed, and what is in it. Reads the records' files.
    Audit {
        #[command(subcommand)]
        what: audit::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Who holds what they don't use: posts it to Slack, beside a gateway that runs.
    Digest {
        /// Now, and not at its time.
        #[arg(long)]
        now: bool,
        /// Prints it, and posts nothing.
        #[arg(long)]
        dry_run: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Signs in at the identity provider and keeps the token, for `psql`, `env`, `token` and the verbs that
    /// speak to the gateway.
    Login(login::How),
    /// Forgets the sign-in.
    Logout,
    /// Prints a token, renewed where it must be.
    Token,
    /// Prints the PG* variables for a connection: `eval "$(countersign env shop)"`.
    Env {
        /// The connection.
        connection: String,
    },
    /// Runs psql on a connection.
    Psql {
        /// The connection.
        connection: String,
        /// What psql is given.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Opens a port of this machine for each connection, with a password of its own, for programs that keep
    /// one in a dialog.
    Proxy(proxy::What),
    /// Plays a session back as it went. Reads the records' files.
    Replay(replay::How),
    /// Who is connected, and ending it; and who was. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Sessions {
        #[command(subcommand)]
        what: sessions::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Who has which role until when, and asking for one. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Grants {
        #[command(subcommand)]
        what: grants::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Who reviewed a connection's grants. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Reviews {
        #[command(subcommand)]
        what: reviews::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Whom the gateway and the directory know. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Users {
        #[command(subcommand)]
        what: users::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Tokens that count no more, for one that leaked. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Tokens {
        #[command(subcommand)]
        what: tokens::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Asks ahead for what will be run later, as a migration. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Request(request::What),
    /// What waits for approval. Needs a login, or a token in COUNTERSIGN_TOKEN.
    Requests {
        #[command(subcommand)]
        what: requests::What,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.log_json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(16 << 20).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime can't start: {error}"), 1),
    };
    // One TLS and one crypto backend for everything in the process.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = arguments.config;
    runtime.block_on(async {
        match arguments.verb {
            Verb::Demo { dir, database_url } => demo::run(dir, database_url).await,
            Verb::Serve => serve::run(&config, serve::Parts::Both).await,
            Verb::Gateway => serve::run(&config, serve::Parts::Gateway).await,
            Verb::Bot => serve::run(&config, serve::Parts::Bot).await,
            Verb::Classify { connection, json } => classify::run(&config, &connection, json).await,
            Verb::Check { slack } => check::run(&config, slack).await,
            Verb::Policy { what: policy::What::Manifest { folder }, .. } => policy::manifest(&config, folder),
            Verb::Policy { what: policy::What::Test { folder, live }, json } => {
                policy::test(&config, folder, live, json).await
            }
            Verb::ExplainPolicy { connection, sql, subject, json } => {
                policy::explain(&config, &connection, &sql, subject, json).await
            }
            Verb::Report { what, json } => report::run(&config, &what, json),
            Verb::Audit { what, json } => audit::run(&config, what, json).await,
            Verb::Replay(how) => replay::run(&config, &how),
            Verb::Digest { now, dry_run, json } => digest::run(&config, now, dry_run, json).await,
            Verb::Login(how) => login::login(&config, how).await,
            Verb::Logout => login::logout(),
            Verb::Token => login::token().await,
            Verb::Env { connection } => login::env(&connection).await,
            Verb::Proxy(what) => proxy::run(what).await,
            Verb::Psql { connection, arguments } => login::psql(&connection, &arguments).await,
            Verb::Sessions { what, json } => sessions::run(&config, what, json).await,
            Verb::Grants { what, json } => grants::run(&config, what, json).await,
            Verb::Reviews { what, json } => reviews::run(&config, what, json).await,
            Verb::Users { what, json } => users::run(&config, what, json).await,
            Verb::Tokens { what, json } => tokens::run(&config, what, json).await,
            Verb::Request(what) => request::run(&config, what).await,
            Verb::Requests { what, json } => requests::run(&config, what, json).await,
        }
    })
}

/// Says what went wrong; the exit code.
#[allow(clippy::print_stderr, reason = "errors of the command line go to stderr")]
fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("countersign: {message}");
    ExitCode::from(code)
}

/// Prints a result. Whoever reads only its beginning (`head`) is no failure.
fn say(message: &str) {
    use std::io::Write as _;
    let _closed = writeln!(std::io::stdout(), "{message}");
}

/// Prints a result as JSON.
fn say_json(result: &impl serde::Serialize) {
    // Texts, numbers and lists: nothing that JSON can't hold.
    say(&serde_json::to_string_pretty(result).unwrap_or_default());
}
