//! The few calls that touch a file, behind traits, so that tests can let them fail.

use std::{
    fs::{File, OpenOptions},
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
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        file.sync_all()?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(Arc::new(file))
    }
}

/// Puts the names in `folder` on the disk: a file whose name is lost is lost.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
