//! `request`: asks ahead for what will be run later, as a migration's file.
//!
//! The text goes to the gateway in a session that runs nothing (`countersign.ask`), by the same way as it will be
//! run: so the names in it mean what they will mean then.

use std::{
    future::poll_fn,
    io::Read as _,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use countersign_client::{
    NotSignedIn,
    proxy::{Pass, Proxy},
};
use countersign_gateway::{config::Authorities, statement::steps::split};
use countersign_shared::{
    api::{About, RequestView},
    ids::{RequestId, SessionId},
    request::State,
    secret::Secret,
};
use reqwest::Method;
use tokio::net::TcpListener;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

use crate::api::{Api, NOTHING, plain};

/// How often the gateway is asked whether somebody has decided.
const AGAIN: Duration = Duration::from_secs(1);

/// For what, and what to do once it is approved.
#[derive(Args)]
pub struct What {
    /// The connection.
    connection: String,
    /// The file with the statements, `-` for standard input. Without --each all of it is one text, and so one transaction.
    #[arg(short, long)]
    file: PathBuf,
    /// Why; the approvers read it.
    #[arg(long)]
    reason: Option<String>,
    /// Asks for each statement by itself, on one request: once it is approved, they are sent one by one in this order and
    /// in one session, as `psql -f FILE` does, and each runs once.
    #[arg(long)]
    each: bool,
    /// Waits until it is decided; fails where it is not approved.
    #[arg(long)]
    wait: bool,
    /// Waits, and runs it once it is approved, or where no approval is needed.
    #[arg(long)]
    run: bool,
    /// A PEM file to verify the gateway by, in place of the system's.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// Runs it.
pub async fn run(config: &Path, what: What) -> ExitCode {
    let text = match read(&what.file) {
        Ok(text) => text,
        Err(message) => return crate::fail(&message, 2),
    };
    let api = match Api::open(config).await {
        Ok(api) => api,
        Err(error) => return crate::fail(&error, 2),
    };
    match work(&api, &what, &text).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => crate::fail(&message, 1),
    }
}

/// The text as `psql -c "$(cat FILE)"` would send it: without the line's end at its end.
fn read(file: &Path) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(&error))?;
    } else {
        text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.trim().is_empty() { Err(wrong(&"there is no statement in it")) } else { Ok(text) }
}

async fn work(api: &Api, what: &What, text: &str) -> Result<(), String> {
    let about: About = api.call(Method::GET, "/v1/about", NOTHING).await?;
    let authorities = what.ca.as_deref().map(Authorities::of_file).transpose()?;
    let pass = Pass {
        host: about.host,
        port: about.port,
        tls: about.tls,
        authorities,
        user: String::new(),
        token: Secret::new(api.token().to_owned()),
        expires_at: None,
    };
    let asked = ask(&pass, what, text).await?;
    match asked {
        Asked::NotNeeded if what.run => crate::say("policy lets this pass without an approval"),
        Asked::NotNeeded => {
            crate::say("policy lets this pass without an approval; nothing was asked for, and nothing was run");
            return Ok(());
        }
        Asked::For { id, told } => {
            crate::say(&told);
            if !what.wait && !what.run {
                return Ok(());
            }
            approved(api, &id).await?;
            crate::say(&format!("request {id} is approved"));
        }
    }
    if what.run { go(&pass, what, text).await } else { Ok(()) }
}

/// What the gateway said.
enum Asked {
    NotNeeded,
    For { id: RequestId, told: String },
}

async fn ask(pass: &Pass, what: &What, text: &str) -> Result<Asked, String> {
    let session = connect(pass, what, true).await?;
    // A gateway that does not know the setting would run the text.
    let knows = session.simple_query("SHOW countersign.ask").await;
    if knows.is_err() {
        return Err("this gateway can't be asked ahead: it is older than this program".to_owned());
    }
    let Err(error) = session.simple_query(text).await else {
        return Err("the gateway ran it, and was not to: tell its administrator".to_owned());
    };
    let Some(said) = error.as_db_error() else { return Err(broke(&error)) };
    if said.code().code() == "55000" && said.message() == "policy lets this pass without an approval" {
        return Ok(Asked::NotNeeded);
    }
    let id = said.message().strip_prefix("request ").and_then(|rest| rest.split_whitespace().next());
    match id.and_then(|id| id.parse().ok()) {
        Some(id)
            if said.code().code() == "42501"
                && what.each
                && !said.hint().is_some_and(|hint| hint.contains("one by one")) =>
        {
            Err(format!("this gateway asks for all of it as one text, as request {id}: it is older than this program"))
        }
        Some(id) if said.code().code() == "42501" => Ok(Asked::For { id, told: sentences(&error) }),
        _ => Err(sentences(&error)),
    }
}

/// Waits until somebody has decided.
async fn approved(api: &Api, id: &RequestId) -> Result<(), String> {
    loop {
        let view: RequestView = api.call(Method::GET, &format!("/v1/requests/{id}"), NOTHING).await?;
        match view.state {
            State::Approved => return Ok(()),
            State::Pending => tokio::time::sleep(AGAIN).await,
            over => {
                let outcome = view.outcome.unwrap_or_default();
                let by = outcome.by.map(|by| format!(" by {}", plain(&by))).unwrap_or_default();
                let why = outcome.reason.map(|why| format!(": {}", plain(&why))).unwrap_or_default();
                return Err(format!("request {id} is {over}{by}{why}; nothing was run"));
            }
        }
    }
}

/// Runs the text, as one, or statement by statement.
async fn go(pass: &Pass, what: &What, text: &str) -> Result<(), String> {
    let session = connect(pass, what, false).await?;
    if what.each {
        return go_one_by_one(&session, text).await;
    }
    let answers = session.simple_query(text).await.map_err(|error| sentences(&error))?;
    let mut at = 0;
    for answer in answers {
        if let SimpleQueryMessage::CommandComplete(rows) = answer {
            at += 1;
            crate::say(&format!("statement {at} ran: {rows} rows"));
        }
    }
    Ok(())
}

/// Runs its statements, each as a query of its own, up to the first that fails.
async fn go_one_by_one(session: &Client, text: &str) -> Result<(), String> {
    let pieces = split(text).map_err(|doubt| format!("it can't be read: {doubt:?}"))?;
    for (number, piece) in (1..).zip(pieces) {
        let sql = text.get(piece.range).unwrap_or_default();
        let answers = session.simple_query(sql).await;
        let answers = answers.map_err(|error| format!("statement {number}: {}", sentences(&error)))?;
        let rows = answers.into_iter().find_map(|answer| match answer {
            SimpleQueryMessage::CommandComplete(rows) => Some(rows),
            _ => None,
        });
        crate::say(&format!("statement {number} ran: {} rows", rows.unwrap_or_default()));
    }
    Ok(())
}

/// A session at the gateway, by a port of this machine that is there for it alone.
async fn connect(pass: &Pass, what: &What, asks: bool) -> Result<Client, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| format!("no port can be had: {error}"))?;
    let port = listener.local_addr().map_err(|error| format!("no port can be had: {error}"))?.port();
    let secret = format!("{}{}", SessionId::random(), SessionId::random());
    let pass = pass.clone();
    let passes = move || -> Pin<Box<dyn Future<Output = Result<Pass, NotSignedIn>> + Send>> {
        let pass = pass.clone();
        Box::pin(async move { Ok(pass) })
    };
    let proxy =
        Proxy { connection: what.connection.clone(), secret: Secret::new(secret.clone()), passes: Arc::new(passes) };
    tokio::spawn(proxy.serve(listener));
    let mut options = Vec::new();
    if asks {
        options.push(format!("-c countersign.ask={}", if what.each { "each" } else { "on" }));
    }
    if let Some(reason) = &what.reason {
        let escape = |c: char| if c == '\\' || c.is_whitespace() { format!("\\{c}") } else { c.to_string() };
        options.push(format!("-c countersign.reason={}", reason.chars().map(escape).collect::<String>()));
    }
    let mut to = tokio_postgres::Config::new();
    to.host("127.0.0.1").port(port).user("me").password(secret).dbname(&what.connection);
    to.application_name("countersign request").options(options.join(" "));
    let (session, mut connection) = to.connect(NoTls).await.map_err(|error| sentences(&error))?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                tell(&plain(notice.message()));
            }
        }
    });
    Ok(session)
}

/// A notice of the gateway's, beside what a program may read.
#[allow(clippy::print_stderr, reason = "what to know is for the person, not for who reads the result")]
fn tell(message: &str) {
    eprintln!("{message}");
}

/// What an error says, and what to do next.
fn sentences(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else { return broke(error) };
    let parts = [Some(said.message()), said.detail(), said.hint()];
    parts.into_iter().flatten().map(plain).collect::<Vec<_>>().join("\n")
}

fn broke(error: &tokio_postgres::Error) -> String {
    format!("the session broke off: {error}")
}
