//! The few calls that touch a file, behind traits, so that tests can let them fail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// A segment that is being written.
pub(super) trait SegmentFile: Send + Sync {
    /// `write(2)`: hands some of `bytes` to the operating system, and says how many.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// `fdatasync(2)`: what was written, and the length, are on the disk when it returns.
    fn sync(&self) -> io::Result<()>;
}

/// Where segments are made.
pub(super) trait Disk: Send + Sync {
    /// A new, empty file; an error where there is one. Its name is on the disk when it returns.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;

    /// A file that is written on at its end, made where there is none. Its name is on the disk when it returns.
    fn extend(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;

    /// Puts a file with these bytes in place of the one that may be there: whole, and on the disk when it returns.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// The real one.
pub(super) struct RealDisk;

impl SegmentFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        Write::write(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        named(path, OpenOptions::new().append(true).create_new(true).mode(0o600))
    }

    fn extend(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        named(path, OpenOptions::new().append(true).create(true).mode(0o600))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    }
}

fn named(path: &Path, how: &OpenOptions) -> io::Result<Arc<dyn SegmentFile>> {
    let file = how.open(path)?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok(Arc::new(file))
}

/// Puts the names in `folder` on the disk: a file whose name is lost is lost.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
