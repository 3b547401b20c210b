//! `[siem]`: each entry of the log goes to a collector over HTTP, at least once, in order, beside everything else.
//!
//! What has been taken is remembered beside the log, by the entry's number; a collector that is away is tried again, later
//! and later, and gets all of it. No statement ever waits for it. Entries are sent once they are signed, and as they
//! are in the log: what is sealed stays sealed.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use countersign_shared::secret::Secret;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE, redirect};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    log::{Batch, Entry, Follower, Leaf, Log, Records},
    records::export::Format,
    runtime::Gateway,
};

/// The most entries, and bytes of them, in one request.
const MOST: usize = 500;
const BYTES: u64 = 1 << 20;
/// How long a request may take, and how many more bytes in each second beyond that.
const TIMEOUT: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 64 << 10;
/// What is left of an entry that a collector does not take: no field of its detail is longer, in bytes.
const SHORT: usize = 4 << 10;
/// After a failure it is tried again so soon, then later and later.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(60);
/// How long the last entries of a gateway that stops may take.
const LAST: Duration = Duration::from_secs(3);

/// `[siem]`.
#[derive(Clone, Debug)]
pub struct SiemConfig {
    /// Where entries are posted.
    pub url: Url,
    /// Sent as a bearer token, where there is one.
    pub token: Option<Secret<String>>,
    /// As what.
    pub format: Format,
}

/// What the collector has, on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// Of which log.
    log: String,
    /// The newest entry that it took.
    sent: u64,
}

impl Cursor {
    fn path(records: &Path) -> PathBuf {
        records.join("siem.json")
    }

    /// What an earlier run left of this log. Where there is none, what came before this run is not sent; where it can't be
    /// read, nobody knows what the collector has, and it gets all of it again.
    fn read(records: &Path, log: &Log) -> Self {
        let (opened, path) = (log.opened(), Self::path(records));
        let from = |sent| Self { log: opened.origin.clone(), sent };
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return from(opened.entries),
            Err(error) => Err(error),
        };
        match read {
            Ok(cursor) if cursor.log == opened.origin && cursor.sent <= opened.entries => cursor,
            Ok(cursor) if cursor.log != opened.origin => from(opened.entries),
            other => {
                let error = other.map_or_else(
                    |error| error.to_string(),
                    |cursor| format!("it says {} entries, and the log has {}", cursor.sent, opened.entries),
                );
                tracing::error!(%error, path = %path.display(), "what [siem] has is not known; it gets the whole log again");
                from(0)
            }
        }
    }

    fn write(&self, records: &Path) -> io::Result<()> {
        let (path, draft) = (Self::path(records), Self::path(records).with_extension("new"));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(draft, path)
    }
}

/// Why entries are not there.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    /// The log or the cursor.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not answer.
    #[error("the collector does not answer: {0}")]
    Away(String),
    /// It says no.
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    /// It does not take these: there are too many of them, or there is one that it can't take.
    #[error("the collector answered {0}")]
    NotThese(StatusCode),
}

/// Sends entries to a collector.
pub struct Siem {
    config: SiemConfig,
    client: Client,
    records: PathBuf,
    /// Where entries are that have left this machine.
    whole: Records,
    follower: Arc<std::sync::Mutex<Follower>>,
    cursor: Cursor,
    most: usize,
}

impl Siem {
    /// Goes on where an earlier run ended.
    ///
    /// # Errors
    /// Where the log can't be read.
    pub fn new(config: SiemConfig, folder: &Path, whole: Records, log: &Log) -> io::Result<Self> {
        // A redirect would carry the token elsewhere.
        let client = Client::builder().redirect(redirect::Policy::none()).build();
        let client = client.map_err(io::Error::other)?;
        let cursor = Cursor::read(folder, log);
        // At once: where it is not there at the next start either, what this run could not send would not be sent then.
        cursor.write(folder)?;
        // They are here, mostly; a bucket that is away keeps none of them back.
        let follower = Follower::new(&folder.into(), cursor.sent).or_else(|_| Follower::new(&whole, cursor.sent))?;
        let follower = Arc::new(std::sync::Mutex::new(follower));
        Ok(Self { config, client, records: folder.to_owned(), whole, follower, cursor, most: MOST })
    }

    /// Sends everything up to `upto`.
    async fn send_all(&mut self, upto: u64) -> Result<(), NotSent> {
        while self.cursor.sent < upto {
            let batch = self.next(upto).await?;
            let Some((last, _)) = batch.entries.last() else { return Ok(()) };
            let last = *last;
            match self.post(&batch.entries).await {
                Err(NotSent::NotThese(_)) if batch.entries.len() > 1 => {
                    self.most = (self.most.min(batch.entries.len()) / 2).max(1);
                    continue;
                }
                Err(NotSent::NotThese(status)) => {
                    // One that is refused by itself must not keep back all that come after it.
                    let cut: Vec<_> = batch.entries.iter().zip(&batch.leaves).map(cut).collect();
                    self.post(&cut).await?;
                    tracing::warn!(entry = last, %status, "the collector does not take an entry; it got it cut");
                }
                other => other?,
            }
            self.follower.lock().unwrap_or_else(std::sync::PoisonError::into_inner).taken(&batch);
            self.cursor.sent = last;
            // Where it can't be written, these are sent again after a restart: at least once.
            self.cursor.write(&self.records)?;
            self.most = (2 * self.most).min(MOST);
        }
        Ok(())
    }

    async fn next(&self, upto: u64) -> Result<Batch, NotSent> {
        let (follower, most) = (Arc::clone(&self.follower), self.most);
        let read = tokio::task::spawn_blocking(move || {
            follower.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next(upto, most, BYTES)
        });
        Ok(read.await.map_err(io::Error::other)??)
    }

    /// Goes on from the spool and the bucket together.
    async fn look_everywhere(&self) {
        let (whole, sent) = (self.whole.clone(), self.cursor.sent);
        if let Ok(Ok(fresh)) = tokio::task::spawn_blocking(move || Follower::new(&whole, sent)).await {
            *self.follower.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        }
    }

    async fn post(&self, entries: &[(u64, Entry)]) -> Result<(), NotSent> {
        let mut body = String::new();
        for (seq, entry) in entries {
            body.push_str(&self.config.format.line(*seq, entry));
            body.push('\n');
        }
        let timeout = TIMEOUT + Duration::from_secs(body.len() as u64 / SLOWEST);
        let mut request =
            self.client.post(self.config.url.clone()).header(CONTENT_TYPE, "application/x-ndjson").body(body);
        if let Some(token) = &self.config.token {
            request = request.bearer_auth(token.reveal());
        }
        let request = request.timeout(timeout);
        // Without the address: it may have a key in its path.
        let answer = request.send().await.map_err(|error| NotSent::Away(error.without_url().to_string()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status @ (StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                Err(NotSent::NotThese(status))
            }
            status => Err(NotSent::Refused(status)),
        }
    }

    /// Works until it is dropped.
    pub async fn run(&mut self, gateway: &Gateway) {
        let mut checkpoints = gateway.log.checkpoints();
        let (mut wait, mut failing) = (SOON, false);
        loop {
            let upto = checkpoints.newest().map_or(0, |signed| signed.checkpoint.size);
            let sent = self.send_all(upto).await;
            gateway.metrics.siem_lags(upto.saturating_sub(self.cursor.sent));
            match sent {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the collector takes entries again");
                    }
                    wait = SOON;
                    if !checkpoints.changed().await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, sent = self.cursor.sent, of = upto, "entries wait for [siem]; it is tried again");
                    if matches!(error, NotSent::Io(_)) {
                        self.look_everywhere().await;
                    }
                    failing = true;
                    tokio::time::sleep(wait).await;
                    wait = (2 * wait).min(LATE);
                }
            }
        }
    }

    /// What a gateway that stops has not sent, as far as the time for it goes. The next start sends the rest.
    pub async fn last(&mut self, gateway: &Gateway) {
        let upto = gateway.log.checkpoints().newest().map_or(0, |signed| signed.checkpoint.size);
        if !matches!(tokio::time::timeout(LAST, self.send_all(upto)).await, Ok(Ok(()))) {
            tracing::warn!(sent = self.cursor.sent, of = upto, "entries wait for [siem]; the next start sends them");
        }
    }
}

/// An entry without what may be long: who, when, where, what came of it, and what proves that it is the log's.
fn cut(((seq, entry), leaf): (&(u64, Entry), &Leaf)) -> (u64, Entry) {
    let short = |value: &serde_json::Value| value.to_string().len() <= SHORT;
    let mut detail = entry.detail.as_object().cloned().unwrap_or_default();
    detail.retain(|name, value| !["parameters", "rows"].contains(&name.as_str()) && short(value));
    detail.insert("cut".to_owned(), json!({ "bytes": leaf.bytes, "leaf": leaf.hash }));
    let outcome = entry.outcome.as_ref().map(|text| text.chars().take(SHORT / 8).collect());
    (*seq, Entry { sql: None, outcome, detail: detail.into(), ..entry.clone() })
}

/// Begins to send, where the config says so. The task gives back what goes on sending, once `stop` is told.
#[must_use]
pub fn start(gateway: &Arc<Gateway>, stop: CancellationToken) -> Option<JoinHandle<Option<Siem>>> {
    let config = gateway.config.siem.clone()?;
    let gateway = Arc::clone(gateway);
    Some(tokio::spawn(async move {
        let settings = &gateway.config.gateway;
        // Without what opens seals: they leave as they are in the log.
        let records = Records::spooled(settings.records.clone(), settings.bucket.clone());
        let folder = settings.records.clone();
        let log = gateway.log.clone();
        let made = tokio::task::spawn_blocking(move || Siem::new(config, &folder, records, &log)).await;
        let mut siem = match made.map_err(io::Error::other).and_then(|made| made) {
            Ok(siem) => siem,
            Err(error) => {
                tracing::error!(%error, "no entry is sent to [siem]");
                return None;
            }
        };
        tokio::select! {
            () = siem.run(&gateway) => {}
            () = stop.cancelled() => {}
        }
        Some(siem)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Kind, testing::open};

    #[test]
    fn a_first_run_that_sends_nothing_leaves_a_cursor() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        let config = SiemConfig { url: "http://127.0.0.1:9/".parse().unwrap(), token: None, format: Format::Ocsf };
        let siem = |log: &Log| Siem::new(config.clone(), folder.path(), folder.path().into(), log).unwrap();
        assert_eq!(siem(&log).cursor.sent, 0);
        log.append(&Entry::new(Kind::Stop)).unwrap();
        drop(log);
        let log = open(folder.path()).unwrap();
        assert_eq!(siem(&log).cursor.sent, 0, "what that run did not send is sent by the next");
    }

    #[test]
    fn what_is_cut_says_so_and_proves_itself() {
        let entry = Entry {
            sql: Some("x".repeat(1 << 20)),
            outcome: Some("x".repeat(1 << 20)),
            detail: json!({ "parameters": ["1"], "effects": ["x".repeat(5000)], "milliseconds": 3 }),
            ..Entry::new(Kind::Statement)
        };
        let (seq, cut) = cut((&(7, entry), &Leaf { bytes: 99, hash: "ab".into() }));
        assert_eq!((seq, cut.sql), (7, None));
        assert_eq!(cut.detail, json!({ "milliseconds": 3, "cut": { "bytes": 99, "leaf": "ab" } }));
        assert!(cut.outcome.unwrap().len() < 1000);
    }

    #[test]
    fn a_cursor_counts_for_its_log_alone() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = open(one.path()).unwrap();
        log.append(&Entry::new(Kind::Stop)).unwrap();
        drop(log);
        let log = open(one.path()).unwrap();
        assert_eq!(Cursor::read(one.path(), &log).sent, 1, "what was there before is not sent");
        let cursor = Cursor { log: log.opened().origin.clone(), sent: 0 };
        cursor.write(one.path()).unwrap();
        assert_eq!(Cursor::read(one.path(), &log), cursor);
        let other = open(two.path()).unwrap();
        cursor.write(two.path()).unwrap();
        assert_eq!(Cursor::read(two.path(), &other).sent, 0);
        assert_eq!(Cursor::read(two.path(), &other).log, other.opened().origin);
        Cursor { sent: 2, ..cursor.clone() }.write(one.path()).unwrap();
        assert_eq!(Cursor::read(one.path(), &log).sent, 0, "more than there are");
        fs::write(Cursor::path(one.path()), "half a").unwrap();
        assert_eq!(Cursor::read(one.path(), &log).sent, 0, "what nobody knows to be there is sent again");
    }
}
