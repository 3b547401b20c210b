//! A log in a bucket, read in order. What comes next is fetched ahead, in a thread of its own: whoever reads, waits for
//! it as for a disk.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;

use super::{
    BucketConfig,
    client::{Bucket, BucketError},
    newest::newest,
};
use crate::log::number_of;

/// So many segments are fetched ahead.
const AHEAD: usize = 8;
/// So many checkpoints are read beside the newest, spread over the log.
const NOTES: usize = 500;

type Fetched = Receiver<Result<Bytes, io::Error>>;

/// A log in a bucket.
pub struct BucketReader {
    bucket: Arc<Bucket>,
    newest: Option<String>,
    /// The segments with the lengths of their objects.
    segments: BTreeMap<u64, u64>,
    notes: Vec<String>,
    coming: Mutex<HashMap<u64, Fetched>>,
    last: Mutex<Option<(u64, Bytes)>>,
    /// Taken at the end only.
    runtime: Option<Runtime>,
}

fn said(error: &BucketError) -> io::Error {
    io::Error::other(error.to_string())
}

impl BucketReader {
    /// Asks what is there: checkpoints first, so that none is newer than what it vouches for.
    ///
    /// # Errors
    /// Where the bucket can't be read.
    pub fn begin(config: &BucketConfig) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("bucket").enable_all().build()?;
        let bucket = Arc::new(Bucket::new(config).map_err(|error| said(&error))?);
        let (tell, told) = sync_channel(1);
        let asked = Arc::clone(&bucket);
        runtime.spawn(async move {
            let found = async {
                let before = asked.list("log").await?;
                let newest = newest(&asked, &before).await?;
                // Again, since a list that is long is no moment's: it may have a note, and not yet the segment before.
                Ok((newest, before, asked.list("log").await?))
            };
            let _gone = tell.send(found.await);
        });
        let answer: Result<_, BucketError> = told.recv().map_err(io::Error::other)?;
        let (newest, before, names) = answer.map_err(|error| said(&error))?;
        let segments = names.iter().filter_map(|(name, length)| Some((number_of(name)?, *length))).collect();
        let mut notes: Vec<_> =
            before.into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".note")).collect();
        notes.sort();
        Ok(Self {
            bucket,
            newest,
            segments,
            notes,
            coming: Mutex::default(),
            last: Mutex::default(),
            runtime: Some(runtime),
        })
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<&str> {
        self.newest.as_deref()
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<u64> {
        self.segments.keys().copied().collect()
    }

    /// How long a segment's object is.
    #[must_use]
    pub fn size_of(&self, number: u64) -> u64 {
        self.segments.get(&number).copied().unwrap_or_default()
    }

    /// Checkpoints of the ends of segments, one after the other.
    ///
    /// # Errors
    /// Where the bucket can't be read.
    pub fn notes(&self) -> io::Result<String> {
        let step = self.notes.len().div_ceil(NOTES).max(1);
        let names: Vec<String> = self.notes.iter().step_by(step).cloned().collect();
        let bucket = Arc::clone(&self.bucket);
        let answer = self.ask(async move {
            let all = futures_util::stream::iter(names.into_iter().map(|name| {
                let bucket = Arc::clone(&bucket);
                async move { bucket.get(&format!("log/{name}")).await }
            }));
            all.buffered(2 * AHEAD).try_collect::<Vec<_>>().await
        })?;
        let notes = answer.recv().map_err(io::Error::other)?.map_err(|error| said(&error))?;
        Ok(notes.into_iter().flatten().map(|note| String::from_utf8_lossy(&note).into_owned()).collect())
    }

    /// A segment's object.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn segment(&self, number: u64) -> io::Result<Bytes> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, _) in self.segments.range(number..).take(AHEAD) {
            if !coming.contains_key(number) {
                coming.insert(*number, self.fetch(*number)?);
            }
        }
        let fetched = coming.remove(&number);
        drop(coming);
        let gone = || io::Error::new(io::ErrorKind::NotFound, format!("there is no segment {number}"));
        fetched.ok_or_else(gone)?.recv().map_err(io::Error::other)?
    }

    /// The same, where those that follow are not wanted. The last one is kept: who reads here and there in one reads more
    /// of it.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn alone(&self, number: u64) -> io::Result<Bytes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(kept, _)| *kept == number) {
            return Ok(bytes.clone());
        }
        let bytes = self.fetch(number)?.recv().map_err(io::Error::other)??;
        *last = Some((number, bytes.clone()));
        Ok(bytes)
    }

    fn fetch(&self, number: u64) -> io::Result<Fetched> {
        let (bucket, name) = (Arc::clone(&self.bucket), format!("log/{number:08}.jsonl.zst"));
        self.ask(async move {
            let read = bucket.get(&name).await.map_err(|error| said(&error))?;
            read.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name}: it is gone")))
        })
    }

    fn ask<T: Send + 'static>(&self, what: impl Future<Output = T> + Send + 'static) -> io::Result<Receiver<T>> {
        let runtime = self.runtime.as_ref().ok_or_else(|| io::Error::other("it was closed"))?;
        let (tell, told) = sync_channel(1);
        runtime.spawn(async move {
            let _gone = tell.send(what.await);
        });
        Ok(told)
    }
}

impl Drop for BucketReader {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
