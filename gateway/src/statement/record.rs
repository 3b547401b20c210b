//! record: opened before forward, closed after the server's answer. What can't be recorded is not
//! forwarded.

use std::time::Instant;

use countersign_shared::{digest::Digest, ids::RequestId};
use serde_json::json;

use super::{assemble::Request, effect::Effect, hold::Permit};
use crate::{
    config::Durability,
    log::{Entry, Kind, Log, LogDown},
    wire::backend::Report,
};

/// Who and where, the same in all entries of a session.
#[derive(Clone, Debug)]
pub struct Header {
    /// An entry with the session's own fields filled in.
    pub entry: Entry,
}

impl Header {
    /// An entry of this session.
    #[must_use]
    pub fn entry(&self, kind: Kind) -> Entry {
        Entry { time: chrono::Utc::now(), kind, ..self.entry.clone() }
    }
}

/// Proof that a statement's entry was handed to the operating system (or fsynced, for what is more
/// than a read). Only [`open`] makes one; `forward` takes it by value.
#[derive(Debug)]
pub struct Recorded {
    open: Open,
}

/// A statement whose outcome is not recorded yet.
#[derive(Clone, Debug)]
pub struct Open {
    request: Option<RequestId>,
    since: Instant,
    /// Command tags so far; a simple Query may have several.
    pub tags: Vec<String>,
}

impl Recorded {
    /// Keeps what the outcome's entry needs.
    #[must_use]
    pub fn into_open(self) -> Open {
        self.open
    }
}

impl Open {
    /// The released request, if it was a held statement.
    #[must_use]
    pub const fn request(&self) -> Option<&RequestId> {
        self.request.as_ref()
    }

    /// Milliseconds since it was forwarded.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn effects(effects: &[Effect], connection: &str) -> Vec<String> {
    effects.iter().map(|effect| format!("{} {}", effect.action, effect.object.display(connection))).collect()
}

/// What is told of a statement in an entry's detail.
#[must_use]
pub fn detail(request: &Request, all: &[Effect], connection: &str, digest: Option<Digest>) -> serde_json::Value {
    json!({
        "parameters": request.parameters_as_text(),
        "effects": effects(all, connection),
        "digest": digest,
    })
}

/// Opens a statement's record, just before it is forwarded.
///
/// # Errors
/// [`LogDown`]: nothing may be forwarded.
pub async fn open(
    log: &Log,
    header: &Header,
    request: &Request,
    all: &[Effect],
    permit: &Permit,
    durability: Durability,
) -> Result<Recorded, LogDown> {
    let held = permit.request();
    let mut entry = header.entry(Kind::Statement);
    let connection = entry.connection.clone().unwrap_or_default();
    entry.sql = Some(request.sql.to_string());
    entry.request = held.cloned();
    entry.outcome = Some(permit.outcome().to_owned());
    entry.detail = detail(request, all, &connection, None);
    let only_reads = held.is_none() && all.iter().all(|effect| effect.action.group() == Some("read"));
    if only_reads && durability == Durability::Relaxed {
        log.append(&entry)?;
    } else {
        log.append_durably(&entry).await?;
    }
    Ok(Recorded { open: Open { request: held.cloned(), since: Instant::now(), tags: Vec::new() } })
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With these command tags.
    Completed(Vec<String>),
    /// With the server's error.
    Failed(Report),
    /// The server skipped it, after an error before it.
    Skipped,
    /// The connection broke first.
    Lost,
}

impl End {
    /// One line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Completed(tags) => tags.join("; "),
            Self::Failed(report) => format!("{} {}", report.code, report.message),
            Self::Skipped => "skipped".to_owned(),
            Self::Lost => "the connection to the database broke before it answered".to_owned(),
        }
    }
}

/// Closes a statement's record.
///
/// # Errors
/// [`LogDown`]: nothing more may be forwarded.
pub fn close(log: &Log, header: &Header, open: &Open, end: &End) -> Result<(), LogDown> {
    let mut entry = header.entry(Kind::Outcome);
    entry.request.clone_from(&open.request);
    entry.outcome = Some(end.line());
    entry.detail = json!({ "milliseconds": open.milliseconds() });
    log.append(&entry).map(|_| ())
}
