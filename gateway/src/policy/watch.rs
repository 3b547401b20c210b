//! Keeps the policies in force as fresh as the folder, and never worse than the last good version.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc::UnboundedReceiver, mpsc::unbounded_channel, watch};

use super::{Policies, Signers, load, signed, source, version_of};
use crate::config::Problem;

/// Files are looked at this often even where the system reports nothing: behind links, on network
/// file systems, or with no watch left.
const LOOK: Duration = Duration::from_secs(5);
/// A change is read once nothing more has been written for this long ...
const QUIET: Duration = Duration::from_millis(100);
/// ... or after this long, if somebody keeps writing.
const PATIENCE: Duration = Duration::from_secs(1);
/// A folder that differs each time it is read so often is left for later.
const LOOKS: usize = 10;
/// A look at the folder that takes longer has got stuck: nobody knows what the folder says.
const STUCK: Duration = Duration::from_secs(10);

/// Loads `folder` and keeps it fresh: a change that loads is put in force once whoever has [`Watched::coming`] has
/// written it down, one that doesn't is told as an error in the log and changes nothing. Ends when every receiver is gone.
///
/// # Errors
/// Everything that is wrong with the first load.
pub fn watch(folder: &Path, signers: Option<Signers>) -> Result<Watched, Vec<Problem>> {
    let (say, coming) = unbounded_channel();
    let written = move |policies: &Arc<Policies>| {
        let (told, answer) = mpsc::sync_channel(1);
        let gone = || "the gateway stops".to_owned();
        say.send(Coming { policies: Arc::clone(policies), told }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    };
    let (mut follower, Following { policies, refused, looking }) = Follower::of(folder, signers, Box::new(written))?;
    let watched = Watched { policies, refused, coming, looking };
    thread::Builder::new().name("policies".to_owned()).spawn(move || follower.run()).map_err(|error| {
        vec![Problem {
            file: folder.to_owned(),
            line: 0,
            message: format!("the policy folder can't be watched: {error}"),
            hint: None,
        }]
    })?;
    Ok(watched)
}

/// What a watched folder comes to.
pub struct Watched {
    /// The policies in force.
    pub policies: watch::Receiver<Arc<Policies>>,
    /// What is wrong with the folder as it is now; the policies before it are still in force.
    pub refused: watch::Receiver<Vec<Problem>>,
    /// What is about to be put in force. None is before it has been [written](Coming::written).
    pub coming: UnboundedReceiver<Coming>,
    /// Whether the folder can still be looked at.
    pub looking: Looking,
}

/// The same, without anybody who writes it down.
pub(super) struct Following {
    pub policies: watch::Receiver<Arc<Policies>>,
    pub refused: watch::Receiver<Vec<Problem>>,
    pub looking: Looking,
}

/// Policies that will be in force once they are in the log. Dropped, they will not be.
pub struct Coming {
    /// Them.
    pub policies: Arc<Policies>,
    told: mpsc::SyncSender<Result<(), String>>,
}

impl Coming {
    /// They are in the log, or why not.
    pub fn written(self, done: Result<(), String>) {
        // Where nobody listens any more, nothing is put in force.
        _ = self.told.send(done);
    }
}

/// Writes down what is put in force next, or says why it must not be.
type Written = Box<dyn FnMut(&Arc<Policies>) -> Result<(), String> + Send>;

/// Since when somebody has been looking at the folder.
#[derive(Clone)]
pub struct Looking {
    folder: PathBuf,
    since: Arc<Mutex<Option<Instant>>>,
    refused: watch::Sender<Vec<Problem>>,
}

impl Looking {
    pub(super) fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Tells, as of a folder that can't be put in force, where a look at it has not come to an end by `now`.
    pub fn complain_where_stuck(&self, now: Instant) {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none_or(|since| now.saturating_duration_since(since) <= STUCK) {
            return;
        }
        let message = format!(
            "it has been looked at for more than {} seconds, so nobody knows what it says; what was in force stays",
            STUCK.as_secs()
        );
        let hint = Some("is it on a disk or a share that does not answer?".to_owned());
        let stuck = vec![Problem { file: self.folder.clone(), line: 0, message, hint }];
        refuse(&self.refused, stuck);
    }
}

/// What is wrong now; no news where it was already.
fn refuse(refused: &watch::Sender<Vec<Problem>>, problems: Vec<Problem>) {
    refused.send_if_modified(|told| {
        let news = *told != problems;
        *told = problems;
        news
    });
}

/// What a folder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    sources: Vec<source::Source>,
    /// Where somebody must sign.
    signatures: Vec<signed::Signature>,
}

type Read = Result<Folder, Vec<Problem>>;

pub(super) fn read(folder: &Path, signers: Option<&Signers>) -> Read {
    let sources = source::read(folder)?;
    let signatures = signers.map(|_| signed::signatures(folder)).unwrap_or_default();
    Ok(Folder { sources, signatures })
}

/// The policies, where they load and are signed by as many as must.
pub(super) fn put_together(folder: &Path, read: &Folder, signers: Option<&Signers>) -> Result<Policies, Vec<Problem>> {
    let signed_by = signers.map(|signers| signers.check(folder, &read.sources, &read.signatures)).transpose();
    let (policies, signed_by) = match (load::load(&read.sources), signed_by) {
        (Ok(policies), Ok(signed_by)) => (policies, signed_by),
        (Err(mut problems), Err(unsigned)) => {
            problems.extend(unsigned);
            return Err(problems);
        }
        (Err(problems), _) | (_, Err(problems)) => return Err(problems),
    };
    Ok(Policies { signed_by: signed_by.unwrap_or_default(), ..policies })
}

pub(super) struct Follower {
    folder: PathBuf,
    signers: Option<Signers>,
    /// What was read last, whether or not it could be put in force.
    seen: Read,
    /// What is wrong with it.
    problems: Vec<Problem>,
    sender: watch::Sender<Arc<Policies>>,
    refused: watch::Sender<Vec<Problem>>,
    written: Written,
    looking: Looking,
}

impl Follower {
    /// The first load.
    pub(super) fn of(
        folder: &Path,
        signers: Option<Signers>,
        written: Written,
    ) -> Result<(Self, Following), Vec<Problem>> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let seen = read(&folder, signers.as_ref())?;
        let policies = put_together(&folder, &seen, signers.as_ref())?;
        for warning in policies.warnings() {
            tracing::warn!(problem = %warning, "policy");
        }
        let (sender, policies) = watch::channel(Arc::new(policies));
        let (refused, problems) = watch::channel(Vec::new());
        let looking = Looking { folder: folder.clone(), since: Arc::default(), refused: refused.clone() };
        let following = Following { policies, refused: problems, looking: looking.clone() };
        Ok((
            Self { folder, signers, seen: Ok(seen), problems: Vec::new(), sender, refused, written, looking },
            following,
        ))
    }

    fn run(&mut self) {
        let (ring, rung) = mpsc::channel();
        let mut watcher = arm(&self.folder, &ring);
        // What changed before the watch was set is seen now.
        self.look();
        while !self.sender.is_closed() {
            match rung.recv_timeout(LOOK) {
                Ok(()) => {
                    settle(&rung);
                    // The folder itself may be another one now: a renamed folder, a swapped link.
                    watcher = arm(&self.folder, &ring);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.look();
        }
        drop(watcher);
    }

    /// Reads the folder; if it says something new, tries to put it in force.
    pub(super) fn look(&mut self) {
        let pause = || thread::sleep(QUIET);
        self.looking.set(Some(Instant::now()));
        if let Some(now) = settled(|| read(&self.folder, self.signers.as_ref()), &self.seen, pause) {
            self.put_in_force(now);
        }
        self.looking.set(None);
        // What was told of it while it could not be looked at is over.
        refuse(&self.refused, self.problems.clone());
    }

    fn put_in_force(&mut self, now: Read) {
        let signers = self.signers.as_ref();
        match now.as_ref().map_err(Clone::clone).and_then(|read| put_together(&self.folder, read, signers)) {
            Ok(policies) if policies.version() == self.sender.borrow().version() => {
                tracing::info!(version = %policies.version(), "the policy folder is again what is in force");
                self.problems.clear();
            }
            Ok(policies) => {
                for warning in policies.warnings() {
                    tracing::warn!(problem = %warning, "policy");
                }
                let policies = Arc::new(policies);
                // Nothing is decided by what is not in the log.
                if let Err(why) = (self.written)(&policies) {
                    let message = format!(
                        "policy {} is not put in force, since its load can't be written down: {why}",
                        policies.version()
                    );
                    tracing::error!(problem = message, "policy");
                    let hint = Some("it is tried again every few seconds".to_owned());
                    let unwritten = vec![Problem { file: self.folder.clone(), line: 0, message, hint }];
                    self.problems.clone_from(&unwritten);
                    // As if it had never been read, so that it is looked at again.
                    self.seen = Err(unwritten);
                    return;
                }
                tracing::info!(version = %policies.version(), "policies reloaded");
                self.problems.clear();
                self.sender.send_replace(policies);
            }
            Err(problems) => {
                let version = self.sender.borrow().version();
                let found = now.as_ref().map(|read| version_of(&read.sources).to_string()).unwrap_or_default();
                for problem in &problems {
                    tracing::error!(%problem, "policy");
                }
                tracing::error!(
                    problems = problems.len(), in_force = %version, refused = found,
                    "the policy folder has changed but can't be put in force; the version before stays in force"
                );
                self.problems = problems;
            }
        }
        self.seen = now;
    }
}

/// What `read` says that is not `seen`, once it has said the same twice, a pause apart: files of two
/// versions read together are neither. `None`: nothing new, or nothing that stays; it is looked at again.
pub(super) fn settled<T: PartialEq>(mut read: impl FnMut() -> T, seen: &T, mut pause: impl FnMut()) -> Option<T> {
    let mut now = read();
    for _ in 0..LOOKS {
        if now == *seen {
            return None;
        }
        pause();
        let again = read();
        if again == now {
            return Some(now);
        }
        now = again;
    }
    None
}

/// Watches the folder and the one that it is in, where the folder itself can be swapped.
fn arm(folder: &Path, ring: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let (ring, within) = (ring.clone(), folder.to_owned());
    let told = |error: &notify::Error| {
        tracing::warn!(%error, "the policy folder can't be watched; it is read every few seconds instead");
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the folder is an event too, and must not lead to another read; what else happens
        // beside the folder (the state may be there) is nothing to us.
        let ours = |event: notify::Event| {
            !event.kind.is_access() && (event.need_rescan() || event.paths.iter().any(|path| path.starts_with(&within)))
        };
        if event.map_or(true, ours) {
            // Nobody listens any more when the receiver is gone; then there is nothing to do.
            _ = ring.send(());
        }
    })
    .inspect_err(told)
    .ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).inspect_err(told).ok()?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent != folder {
        watcher.watch(parent, RecursiveMode::NonRecursive).inspect_err(told).ok()?;
    }
    Some(watcher)
}

/// Waits until nothing more is written, so that half a change is not read.
fn settle(rung: &mpsc::Receiver<()>) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && rung.recv_timeout(QUIET).is_ok() {}
}
