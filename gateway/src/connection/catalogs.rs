//! The newest snapshot of each connection's catalog, shared by its sessions and read over a
//! connection of the gateway's own.
//!
//! A snapshot is trusted for [`FRESH`] after the server last said that nothing changed. While it is
//! used it is asked again before that time is over, beside the sessions, so that no statement waits
//! for it; one that is too old, or older than DDL that has passed, is waited for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{pipe::End, upstream};
use crate::{
    catalog::{
        Snapshot,
        read::{self, CatalogQuery},
    },
    config::Upstream,
    statement::mask::{rules::Rule, sensitive::Sensitive},
};

/// How long a snapshot is trusted without asking whether it changed.
const FRESH: Duration = Duration::from_millis(500);
/// Once it is so old, it is asked again beside the sessions that use it.
const AHEAD: Duration = Duration::from_millis(200);
/// How long a database may take to tell its catalog.
const WITHIN: Duration = Duration::from_secs(30);

/// With what the gateway's own connection starts. It waits for nobody's lock: see [`read::locked`].
fn parameters() -> [(String, String); 2] {
    [("application_name".into(), "countersign".into()), ("lock_timeout".into(), "200ms".into())]
}

/// A connection to a database, for the gateway's own questions.
pub struct Own<'a>(pub &'a mut End);

#[async_trait]
impl CatalogQuery for Own<'_> {
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        upstream::query(self.0, sql).await.map_err(|error| error.to_string())
    }

    async fn all(&mut self, texts: &[&str]) -> Result<Vec<Vec<Vec<Option<String>>>>, String> {
        upstream::queries(self.0, texts).await.map_err(|error| error.to_string())
    }
}

/// The catalogs of all connections, by name. Each has locks of its own, so that a database that hangs
/// keeps only its own sessions waiting.
#[derive(Default)]
pub struct Catalogs(Mutex<BTreeMap<String, Arc<Shared>>>);

impl Catalogs {
    /// That of one connection.
    #[must_use]
    pub fn of(&self, connection: &str) -> Arc<Shared> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(connection.to_owned()).or_default())
    }
}

/// One connection's catalog.
#[derive(Default)]
pub struct Shared {
    latest: RwLock<Option<Latest>>,
    /// Asks the server; whoever holds it reads for all.
    reader: tokio::sync::Mutex<Option<Reader>>,
    /// Somebody asks ahead of time.
    asking: AtomicBool,
    /// What is classified in one snapshot, for all sessions that have the same rules.
    classified: Mutex<Option<Classified>>,
}

struct Classified {
    of: Arc<Snapshot>,
    by: Vec<Rule>,
    sensitive: Arc<Sensitive>,
}

#[derive(Clone)]
struct Latest {
    snapshot: Arc<Snapshot>,
    /// When the server was last asked whether it is still so: before it answered.
    asked: Instant,
    /// How often DDL had passed by then.
    seen: u64,
}

struct Reader {
    end: End,
    fingerprint: String,
    /// What others had locked when a snapshot was read that lacks something for it.
    locked: Option<String>,
}

impl Reader {
    /// The fingerprint as it is now, and whether the snapshot that was read last still stands.
    async fn asks(&mut self) -> Result<(String, bool), String> {
        let now = read::fingerprint(&mut Own(&mut self.end)).await?;
        let same = now == self.fingerprint
            && match &self.locked {
                Some(locked) => read::locked(&mut Own(&mut self.end)).await? == *locked,
                None => true,
            };
        Ok((now, same))
    }
}

/// How often a catalog is read again that changes, or is locked, while it is read.
const ATTEMPTS: usize = 50;

impl Shared {
    /// The snapshot, if it may be trusted now. `changes` counts how often this process has let DDL pass.
    #[must_use]
    pub fn fresh(self: &Arc<Self>, changes: &Arc<AtomicU64>, upstream: &Upstream) -> Option<Arc<Snapshot>> {
        let (snapshot, age) = {
            let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
            let latest = latest.as_ref().filter(|latest| latest.seen >= changes.load(Ordering::Acquire))?;
            (Arc::clone(&latest.snapshot), latest.asked.elapsed())
        };
        if age >= AHEAD && !self.asking.swap(true, Ordering::AcqRel) {
            let (shared, changes, upstream) = (Arc::clone(self), Arc::clone(changes), upstream.clone());
            tokio::spawn(async move {
                // Whoever needs it and can't have it says so.
                let _later: Result<_, String> = shared.ask(&changes, &upstream, AHEAD).await;
                shared.asking.store(false, Ordering::Release);
            });
        }
        (age < FRESH).then_some(snapshot)
    }

    /// The snapshot, asked of the server where it is too old.
    ///
    /// # Errors
    /// Where the database can't be asked, or takes too long.
    pub async fn read(&self, changes: &AtomicU64, upstream: &Upstream) -> Result<Arc<Snapshot>, String> {
        self.ask(changes, upstream, FRESH).await
    }

    /// The snapshot as the server says now.
    ///
    /// # Errors
    /// Where the database can't be asked, or takes too long.
    pub async fn read_now(&self, changes: &AtomicU64, upstream: &Upstream) -> Result<Arc<Snapshot>, String> {
        self.ask(changes, upstream, Duration::ZERO).await
    }

    /// The snapshot as the server says now, unless somebody else has asked within `fresh`.
    ///
    /// Whoever reads does so for all who wait: what it begins to read after a change knows of it.
    async fn ask(&self, changes: &AtomicU64, upstream: &Upstream, fresh: Duration) -> Result<Arc<Snapshot>, String> {
        let needed = changes.load(Ordering::Acquire);
        let work = async {
            let mut reader = self.reader.lock().await;
            let known = self.latest.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(latest) = &known
                && latest.seen >= needed
                && latest.asked.elapsed() < fresh
            {
                return Ok(Arc::clone(&latest.snapshot));
            }
            let (mut seen, mut asked) = (changes.load(Ordering::Acquire), Instant::now());
            // A connection that fails in between is not put back.
            let open = match reader.take() {
                Some(mut open) => match open.asks().await {
                    Ok((_, true)) if let Some(latest) = known => {
                        *reader = Some(open);
                        return Ok(self.keep(Latest { asked, seen, ..latest }));
                    }
                    now => now.ok().map(|(now, _)| (open.end, now)),
                },
                None => None,
            };
            let (mut end, fingerprint) = match open {
                Some(open) => open,
                None => {
                    let mut end = upstream::open(upstream, &parameters()).await.map_err(|error| error.to_string())?.end;
                    (seen, asked) = (changes.load(Ordering::Acquire), Instant::now());
                    let fingerprint = read::fingerprint(&mut Own(&mut end)).await?;
                    (end, fingerprint)
                }
            };
            let mut attempts = 1;
            let (snapshot, locked) = loop {
                let locked = read::locked(&mut Own(&mut end)).await?;
                match read::read_at(&mut Own(&mut end), &fingerprint).await {
                    Ok(snapshot) => break (Arc::new(snapshot), locked),
                    Err(_) if attempts < ATTEMPTS => attempts += 1,
                    Err(error) => return Err(error),
                }
            };
            let locked = snapshot.is_partial().then_some(locked);
            *reader = Some(Reader { end, fingerprint, locked });
            Ok(self.keep(Latest { snapshot, asked, seen }))
        };
        tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| Err("the catalog took too long".to_owned()))
    }

    /// What `rules` classify in `snapshot`. Worked out once for the newest one; one that a session has of its
    /// own is that session's to keep.
    #[must_use]
    pub fn sensitive(&self, rules: &[Rule], snapshot: &Arc<Snapshot>) -> Arc<Sensitive> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        let is_latest = latest.as_ref().is_some_and(|latest| Arc::ptr_eq(&latest.snapshot, snapshot));
        drop(latest);
        if !is_latest {
            return Arc::new(Sensitive::new(rules, snapshot));
        }
        let mut kept = self.classified.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(kept) if Arc::ptr_eq(&kept.of, snapshot) && kept.by == rules => Arc::clone(&kept.sensitive),
            _ => {
                let sensitive = Arc::new(Sensitive::new(rules, snapshot));
                let of = Arc::clone(snapshot);
                *kept = Some(Classified { of, by: rules.to_vec(), sensitive: Arc::clone(&sensitive) });
                sensitive
            }
        }
    }

    fn keep(&self, latest: Latest) -> Arc<Snapshot> {
        let snapshot = Arc::clone(&latest.snapshot);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(latest);
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::mask::rules::Mask;

    #[test]
    fn what_is_classified_is_worked_out_once_for_the_newest_catalog_and_the_same_rules() {
        let shared = Shared::default();
        let snapshot = shared.keep(Latest { snapshot: Arc::default(), asked: Instant::now(), seen: 0 });
        let rules = |column: &str| vec![Rule::parse(column, "pii".to_owned(), Mask::Redact, 1).expect("a rule")];
        let (mail, name) = (rules("public.customers.email"), rules("public.customers.name"));
        let first = shared.sensitive(&mail, &snapshot);
        assert!(Arc::ptr_eq(&first, &shared.sensitive(&mail, &snapshot)), "for every session");
        assert!(!Arc::ptr_eq(&first, &shared.sensitive(&name, &snapshot)), "not under other rules");
        let own = Arc::new(Snapshot::default());
        let of_own = shared.sensitive(&name, &own);
        assert!(!Arc::ptr_eq(&of_own, &shared.sensitive(&name, &own)), "one session's own catalog is not kept here");
        let newer = shared.keep(Latest { snapshot: own, asked: Instant::now(), seen: 0 });
        assert!(!Arc::ptr_eq(&of_own, &shared.sensitive(&name, &newer)), "a newer catalog is looked at anew");
    }
}
