//! Segments that are over, compressed with zstd. The tree is over their lines, so nothing that is signed changes.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    disk::sync_folder,
    frames::pack_into,
    segment::{packed_path_of, path_of, unpacking},
};

/// zstd's own default: tenfold on statements, at a few hundred MB/s.
const LEVEL: i32 = 3;

/// Packs a segment that is over, unless it is packed already. Its file, and how many bytes less it takes. The segment goes
/// only once what it unpacks to has been compared with it.
///
/// # Errors
/// Where a file can't be read or written; then the segment is as it was.
pub fn pack(folder: &Path, number: u64) -> io::Result<(PathBuf, u64)> {
    pack_where(folder, number, free)
}

/// How many bytes a folder's disk has for whoever is no administrator.
fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn pack_where(folder: &Path, number: u64, free: impl FnOnce(&Path) -> io::Result<u64>) -> io::Result<(PathBuf, u64)> {
    let (plain, packed) = (path_of(folder, number), packed_path_of(folder, number));
    let Ok(size) = fs::metadata(&plain).map(|meta| meta.len()) else {
        return fs::metadata(&packed).map(|_| (packed.clone(), 0));
    };
    // The log is written to the same disk, and must not meet its end for this.
    let left = free(folder)?;
    if left / 2 < size {
        let why = format!("{}: it is not packed, since its disk has {left} bytes left; it has {size}", plain.display());
        return Err(io::Error::new(io::ErrorKind::StorageFull, why));
    }
    let draft = packed.with_extension("new");
    let done = pack_by(folder, &plain, &packed, &draft);
    if done.is_err() {
        let _gone = fs::remove_file(&draft);
    }
    done.map(|()| (packed.clone(), size.saturating_sub(fs::metadata(&packed).map_or(0, |meta| meta.len()))))
}

/// Takes away what a kill left of packing.
pub(super) fn remove_drafts(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let draft = path.to_str().is_some_and(|name| name.ends_with(".jsonl.new"));
        if draft {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn pack_by(folder: &Path, plain: &Path, packed: &Path, draft: &Path) -> io::Result<()> {
    let out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    pack_into(File::open(plain)?, &out, LEVEL)?;
    out.sync_all()?;
    if !reads_the_same(File::open(plain)?, unpacking(File::open(draft)?)?)? {
        return Err(io::Error::other(format!("{}: it does not unpack to what was packed", draft.display())));
    }
    // Whoever looks at its age (what is packed after a time, deleted after another) sees that of its entries.
    out.set_modified(fs::metadata(plain)?.modified()?)?;
    fs::rename(draft, packed)?;
    sync_folder(folder)?;
    fs::remove_file(plain)?;
    sync_folder(folder)
}

/// Whether two packed segments have the same entries.
#[must_use]
pub fn same_when_unpacked(one: &[u8], other: &[u8]) -> bool {
    let unpacked = |bytes: &[u8]| unpacking(io::Cursor::new(bytes.to_vec()));
    match (unpacked(one), unpacked(other)) {
        (Ok(one), Ok(other)) => reads_the_same(one, other).unwrap_or(false),
        _ => false,
    }
}

/// Whether two readers give the same bytes.
fn reads_the_same(one: impl Read, other: impl Read) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::with_capacity(1 << 16, one), BufReader::with_capacity(1 << 16, other));
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = one.read(&mut a)?;
        if n == 0 {
            return Ok(other.read(&mut b[..1])? == 0);
        }
        match other.read_exact(&mut b[..n]) {
            Ok(()) if a[..n] == b[..n] => {}
            Ok(()) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{
        Entry, Kind, Log, Records,
        chain::verify,
        disk::RealDisk,
        read,
        testing::{chaining, open},
    };

    fn log_of(records: &Path) -> Vec<(u64, Entry)> {
        let log = Log::open_on(records, chaining(records), || Box::new(RealDisk), 2000).unwrap();
        for n in 0..40 {
            log.append(&Entry { sql: Some(format!("select {n}")), ..Entry::new(Kind::Statement) }).unwrap();
        }
        for number in log.closed().unwrap() {
            let (path, less) = pack(log.folder(), number).unwrap();
            assert!(path.exists() && less > 0 && !path_of(log.folder(), number).exists());
            assert_eq!(pack(log.folder(), number).unwrap(), (path, 0), "once");
        }
        drop(log);
        read(records).map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_packed_reads_verifies_and_is_written_on_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path();
        let before = log_of(records);
        assert_eq!(before.len(), 40);
        let key = chaining(records).key.verifier();
        assert_eq!(verify(&records.into(), &key, &[], |_| {}).unwrap().unwrap().newest.checkpoint.size, 40);
        let log = open(records).unwrap();
        log.append(&Entry::new(Kind::Stop)).unwrap();
        drop(log);
        assert_eq!(verify(&records.into(), &key, &[], |_| {}).unwrap().unwrap().newest.checkpoint.size, 41);
        assert_eq!(read(records).count(), 41);
    }

    #[test]
    fn a_segment_is_packed_where_there_is_room_for_it_and_nothing_is_left_of_what_fails() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open_on(folder.path(), chaining(folder.path()), || Box::new(RealDisk), 2000).unwrap();
        for n in 0..40 {
            log.append(&Entry { sql: Some(format!("select {n}")), ..Entry::new(Kind::Statement) }).unwrap();
        }
        let (folder, at) = (log.folder(), path_of(log.folder(), 1));
        let size = fs::metadata(&at).unwrap().len();
        let drafts = || {
            fs::read_dir(folder)
                .unwrap()
                .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|is| is == "new"))
                .count()
        };
        let refused = pack_where(folder, 1, |_| Ok(2 * size - 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull, "{refused}");
        assert!(at.exists() && drafts() == 0);
        // Where it can't take its place, its draft goes.
        fs::create_dir_all(packed_path_of(folder, 1).join("x")).unwrap();
        assert!(pack_where(folder, 1, |_| Ok(2 * size)).is_err());
        assert!(at.exists() && drafts() == 0);
        fs::remove_dir_all(packed_path_of(folder, 1)).unwrap();
        // So does one that a kill left, at the next start.
        fs::write(packed_path_of(folder, 1).with_extension("new"), "half").unwrap();
        remove_drafts(folder).unwrap();
        assert!(drafts() == 0 && at.exists());
        pack_where(folder, 1, |_| Ok(2 * size)).unwrap();
        assert!(!at.exists());
        assert!(free(folder).unwrap() > 0);
    }

    #[test]
    fn a_packed_segment_that_was_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path();
        log_of(records);
        let key = chaining(records).key.verifier();
        let path = packed_path_of(&records.join("log"), 1);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            let verdict = verify(&Records::from(records), &key, &[], |_| {}).unwrap();
            // Some bits of zstd's frame mean nothing: what it unpacks to is what was signed.
            let same = unpacking(io::Cursor::new(bad)).and_then(|mut reader| {
                let mut text = Vec::new();
                reader.read_to_end(&mut text).map(|_| text)
            });
            let was = zstd::decode_all(&good[..]).unwrap();
            assert_eq!(verdict.is_ok(), same.is_ok_and(|text| text == was), "byte {at}");
        }
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(verify(&Records::from(records), &key, &[], |_| {}).unwrap().is_err(), "cut");
    }
}
