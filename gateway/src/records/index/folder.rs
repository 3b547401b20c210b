//! The parts that are there, made as segments end, and made anew.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Part,
    build::build,
    plan::{There, plan},
};
use crate::{
    log::{Lookup, ReadError, Records},
    runtime::Gateway,
};

/// How often a gateway looks for segments that have ended.
const LOOK: Duration = Duration::from_secs(60);
/// So many parts it makes then at most: statements come first.
const MOST: usize = 4;
/// What zstd makes of statements, about: packed segments are taken for so many times as long.
const PACKED: u64 = 10;

/// Why there is no index of something.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// Its folder can't be read or written.
    #[error("the index in {path}: {why}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

impl NotMade {
    /// Whether nobody may write there.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        matches!(self, Self::Folder { why, .. } if kinds.contains(&why.kind()))
    }
}

/// What an index is after it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// So many parts were made now.
    pub made: usize,
    /// So many there are.
    pub parts: usize,
    /// Of so many entries.
    pub entries: u64,
    /// So many bytes of the log these are.
    pub log: u64,
    /// So many bytes they take.
    pub bytes: u64,
}

/// An index, by its folder.
#[derive(Clone, Debug)]
pub struct Index {
    folder: PathBuf,
}

impl Index {
    /// In this folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Beside the log; `None` where this is in a bucket only.
    #[must_use]
    pub fn beside(records: &Records) -> Option<Self> {
        records.folder().map(|folder| Self::at(folder.join("index")))
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Deletes all of it.
    ///
    /// # Errors
    /// Where it can't be.
    pub fn delete(&self) -> Result<(), NotMade> {
        self.files().and_then(|files| files.iter().try_for_each(|(_, path)| remove(path))).map_err(|e| self.said(e))
    }

    fn said(&self, why: io::Error) -> NotMade {
        NotMade::Folder { path: self.folder.clone(), why }
    }

    /// The files by the segments that they are of: the first, then the longer.
    fn files(&self) -> io::Result<Vec<((u64, u64), PathBuf)>> {
        let mut files = Vec::new();
        let all = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(files),
            all => all?,
        };
        for file in all {
            let path = file?.path();
            files.extend(path.file_name().and_then(|name| segments_of(name.to_str()?)).map(|of| (of, path.clone())));
        }
        files.sort_by_key(|((first, last), _)| (*first, u64::MAX - last));
        Ok(files)
    }

    /// The parts that are of this log, in order, and the files that are not, or are damaged.
    pub(in crate::records) fn parts(&self, lookup: &Lookup) -> io::Result<(Vec<Part>, Vec<PathBuf>)> {
        let origin = lookup.origin()?;
        let (mut parts, mut bad) = (Vec::<Part>::new(), Vec::new());
        for ((first, _), path) in self.files()? {
            // One that was made of it and others has taken its place.
            if parts.last().is_some_and(|before| first <= before.head.segments.1) {
                bad.push(path);
                continue;
            }
            match Part::open(&path) {
                Ok(part) if is_of(&part, lookup, origin.as_deref())? => parts.push(part),
                Ok(_) => bad.push(path),
                Err(e) if matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => bad.push(path),
                // Somebody has just put a larger one in its place; or may not let us read.
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
                Err(e) => return Err(e),
            }
        }
        Ok((parts, bad))
    }

    /// Makes what lacks, of the segments that are over: all but the newest. `most` parts at most; `told`: how many
    /// bytes of how many were read.
    ///
    /// # Errors
    /// [`NotMade`]. What was made until then stays.
    pub fn update(
        &self,
        records: &Records,
        most: Option<usize>,
        mut told: impl FnMut(u64, u64),
    ) -> Result<Made, NotMade> {
        let lookup = Lookup::begin(records)?;
        let failed = |why| ReadError::Io { path: "the log".into(), why };
        let mut over = lookup.segments().map_err(failed)?;
        over.pop();
        let mut sizes = Vec::with_capacity(over.len());
        for number in over {
            let size = lookup.size(number).map_err(failed)?;
            sizes.push((number, if lookup.name(number).exists() { size } else { size * PACKED }));
        }
        let (parts, bad) = self.parts(&lookup).map_err(|e| self.said(e))?;
        bad.iter().try_for_each(|path| remove(path)).map_err(|e| self.said(e))?;
        let there: Vec<There> = parts.iter().map(there).collect();
        let mut jobs = plan(&there, &sizes);
        jobs.truncate(most.unwrap_or(usize::MAX));
        let made = jobs.len();
        if made > 0 {
            self.make_folder().map_err(|e| self.said(e))?;
            let of = sizes.iter().filter(|(number, _)| jobs.iter().flatten().any(|job| job == number));
            let of = of.map(|(_, size)| size).sum();
            let threads = if most.is_some() { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
            let mut done = 0;
            self.make(&lookup, jobs, threads, |bytes| {
                done += bytes;
                told(done.min(of), of);
            })?;
        }
        let (parts, bad) = self.parts(&lookup).map_err(|e| self.said(e))?;
        bad.iter().try_for_each(|path| remove(path)).map_err(|e| self.said(e))?;
        let mut now = Made { made, parts: parts.len(), ..Made::default() };
        for part in &parts {
            now.entries += part.head.entries as u64;
            now.log += part.head.bytes;
            now.bytes += part.size();
        }
        Ok(now)
    }

    fn make(
        &self,
        lookup: &Lookup,
        jobs: Vec<Vec<u64>>,
        threads: usize,
        mut told: impl FnMut(u64),
    ) -> Result<(), NotMade> {
        let origin = lookup.origin().map_err(|e| self.said(e))?;
        let jobs = Mutex::new(jobs.into_iter());
        let (tell, news) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (lookup, tell, jobs, origin) = (lookup.beside(), tell.clone(), &jobs, origin.as_deref());
                scope.spawn(move || {
                    loop {
                        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(job) = job else { return };
                        let built = build(&lookup, &job, origin, |bytes| {
                            let _gone = tell.send(Ok(bytes));
                        });
                        let done = built.map_err(NotMade::Log).and_then(|bytes| self.put(&job, &bytes));
                        if let Err(error) = done
                            && tell.send(Err(error)).is_err()
                        {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            for news in news {
                told(news?);
            }
            Ok(())
        })
    }

    /// Puts a part there. Those that it was made of go with the next look.
    fn put(&self, segments: &[u64], bytes: &[u8]) -> Result<(), NotMade> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(()) };
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!("{}-{number}.new", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(bytes)?;
            self.hand_over(&file, &draft)?;
            fs::rename(&draft, self.folder.join(format!("{first:08}-{last:08}.idx")))
        };
        let done = write();
        if done.is_err() {
            let _none = fs::remove_file(&draft);
        }
        done.map_err(|e| self.said(e))
    }

    fn make_folder(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => self.hand_over(&File::open(&self.folder)?, &self.folder),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// What root makes in a folder of somebody else's is theirs: a gateway goes on with what an administrator began.
    fn hand_over(&self, made: &File, path: &Path) -> io::Result<()> {
        let (made, theirs) = (made.metadata()?, self.folder.parent().map_or_else(|| fs::metadata("."), fs::metadata)?);
        if made.uid() == 0 && theirs.uid() != 0 {
            chown(path, Some(theirs.uid()), Some(theirs.gid()))?;
        }
        Ok(())
    }
}

fn there(part: &Part) -> There {
    let (first, last) = part.head.segments;
    There { first, last, bytes: part.head.bytes }
}

/// The segments of a part by the name of its file.
fn segments_of(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".idx")?.split_once('-')?;
    let of = (first.parse().ok()?, last.parse().ok()?);
    (format!("{:08}-{:08}.idx", of.0, of.1) == name && of.0 <= of.1).then_some(of)
}

/// Whether a part was made from this log, as far as its ends tell.
fn is_of(part: &Part, lookup: &Lookup, origin: Option<&str>) -> io::Result<bool> {
    let head = &part.head;
    let Some((first, last)) = &head.ends else { return Ok(true) };
    let same = |seq: u64, leaf: &String| {
        Ok::<_, io::Error>(lookup.hash_of(seq)?.is_none_or(|known| STANDARD.encode(known) == *leaf))
    };
    let signed = head.origin.as_deref().zip(origin).is_none_or(|(theirs, origin)| theirs == origin);
    Ok(signed && same(head.first, first)? && same(head.next() - 1, last)?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Looks now and then, until it is dropped.
pub async fn keep(gateway: Arc<Gateway>) {
    // What is here: nobody asks a bucket each minute, and what is there was here before.
    let records = Records::from(gateway.config.gateway.records.as_path());
    let Some(index) = Index::beside(&records).filter(|_| gateway.config.gateway.index) else { return };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        looks.tick().await;
        let (index, records) = (index.clone(), records.clone());
        let made = tokio::task::spawn_blocking(move || index.update(&records, Some(MOST), |_, _| ())).await;
        let problem = match made {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Once: a search says so itself, and finds everything all the same.
        if let Some(error) = problem.as_ref().filter(|problem| said.as_ref() != Some(*problem)) {
            tracing::warn!(%error, "a part of the log has no index; searches read all of it there");
        }
        said = problem;
    }
}
