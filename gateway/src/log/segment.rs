//! The segments of a folder: names, the end of the newest one, and what a crash tore off it.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{ahead::ahead, disk::sync_folder, entry::Line, frames::unpacking_at};
use crate::regular;

/// Where the log lies below the folder of records.
pub(super) fn folder_of(records: &Path) -> PathBuf {
    records.join("log")
}

/// The file of segment `number`.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.jsonl"))
}

/// The same, packed.
pub(super) fn packed_path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.jsonl.zst"))
}

/// The number of a segment by the name of its file, packed or not.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let stem = name.strip_suffix(".zst").unwrap_or(name).strip_suffix(".jsonl")?;
    let number = stem.parse().ok()?;
    // Nothing has two spellings.
    (format!("{number:08}") == stem).then_some(number)
}

/// The numbers of all segments, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder)? {
        numbers.extend(file?.file_name().to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    // One that is being packed is there twice for a moment.
    numbers.dedup();
    Ok(numbers)
}

/// A segment as it was written, whether or not it is packed.
pub(super) fn open(folder: &Path, number: u64) -> io::Result<Box<dyn BufRead + Send>> {
    open_by(folder, number, unpacking)
}

/// The same for whoever reads all of it: another thread unpacks it.
pub(super) fn open_through(folder: &Path, number: u64) -> io::Result<Box<dyn BufRead + Send>> {
    open_by(folder, number, |packed| ahead(unpacking(packed)?))
}

fn open_by(
    folder: &Path,
    number: u64,
    unpack: impl FnOnce(fs::File) -> io::Result<Box<dyn BufRead + Send>>,
) -> io::Result<Box<dyn BufRead + Send>> {
    let plain = path_of(folder, number);
    match regular::open(&plain) {
        Ok(file) => return Ok(Box::new(BufReader::with_capacity(1 << 18, file))),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    match regular::open(&packed_path_of(folder, number)) {
        Ok(file) => unpack(file),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(io::Error::new(ErrorKind::NotFound, format!("{}: {e}", plain.display())))
        }
        Err(e) => Err(e),
    }
}

/// The same without its first `offset` bytes, which are not read where they need not be.
pub(super) fn open_at(folder: &Path, number: u64, offset: u64) -> io::Result<Box<dyn BufRead + Send>> {
    if offset == 0 {
        return open(folder, number);
    }
    if let Ok(mut file) = regular::open(&path_of(folder, number)) {
        file.seek(SeekFrom::Start(offset))?;
        return Ok(Box::new(BufReader::with_capacity(1 << 14, file)));
    }
    match regular::open(&packed_path_of(folder, number)) {
        Ok(file) => Ok(Box::new(unpacking_at(file, offset)?)),
        // It may have been packed a moment ago, or be gone.
        Err(_) => {
            let mut reading = open(folder, number)?;
            io::copy(&mut (&mut reading).take(offset), &mut io::sink())?;
            Ok(reading)
        }
    }
}

/// The longest line that is read, in bytes. None that is written is half as long.
pub(crate) const LONGEST: usize = 512 << 20;

/// Adds the next line to `line`, with its line break; how many bytes, 0 at the end.
///
/// # Errors
/// Where it can't be read, or is longer than [`LONGEST`]: what unpacks to no end must not eat the memory.
pub(super) fn read_line(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    read_line_of(LONGEST, from, line)
}

fn read_line_of(longest: usize, from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let length = from.take(longest as u64 + 1).read_until(b'\n', line)?;
    if length > longest {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("a line is longer than {longest} bytes")));
    }
    Ok(length)
}

/// What a packed segment was.
pub(super) fn unpacking(packed: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    Ok(Box::new(BufReader::with_capacity(1 << 18, zstd::Decoder::new(packed)?)))
}

/// How many bytes it takes on the disk.
pub(crate) fn size(folder: &Path, number: u64) -> io::Result<u64> {
    match fs::metadata(path_of(folder, number)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(fs::metadata(packed_path_of(folder, number))?.len()),
        other => Ok(other?.len()),
    }
}

/// How a segment ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    /// The `seq` of its last whole entry.
    pub last: Option<u64>,
    /// Up to where its entries are whole, in bytes.
    pub whole: u64,
    /// What lies behind: the start of an entry that was never acknowledged.
    pub torn: u64,
}

fn damaged(path: &Path, line: u64, why: &str) -> io::Error {
    let said = format!(
        "{}: line {line} is damaged ({why}), and entries follow it; this is no crash's doing. \
         Keep the folder as evidence, and start with another one",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, said)
}

/// Reads a segment to its end. An entry that is not whole may stand at the very end only, where a
/// crash leaves it; before another entry it is damage, and the log is not written on.
pub(super) fn ending(folder: &Path, number: u64) -> io::Result<Ending> {
    let path = &path_of(folder, number);
    let mut file = open(folder, number)?;
    let mut end = Ending::default();
    let mut broken: Option<(u64, &str)> = None;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = read_line(&mut file, &mut line)? as u64;
        if length == 0 {
            break;
        }
        let read = line.strip_suffix(b"\n").and_then(|json| serde_json::from_slice::<Line>(json).ok());
        match (read, broken) {
            (Some(_), Some((at, why))) => return Err(damaged(path, at, why)),
            (Some(read), None) if end.last.is_some_and(|last| last.checked_add(1) != Some(read.seq)) => {
                return Err(damaged(path, number, "its number does not follow"));
            }
            (Some(read), None) => {
                end.last = Some(read.seq);
                end.whole += length;
            }
            (None, _) => {
                broken = broken.or(Some((number, "it is not an entry")));
                end.torn += length;
            }
        }
    }
    Ok(end)
}

/// The newest entry of a segment; `None` where it has none.
pub(crate) fn last_entry(folder: &Path, number: u64) -> io::Result<Option<u64>> {
    Ok(ending(folder, number)?.last)
}

/// Cuts the torn end off a segment. What is cut is kept beside it, in `NNNNNNNN.torn`: evidence is
/// never thrown away.
pub(super) fn cut(folder: &Path, number: u64, ending: &Ending) -> io::Result<()> {
    let path = path_of(folder, number);
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    file.seek(SeekFrom::Start(ending.whole))?;
    let mut tail = file.by_ref().take(ending.torn);
    let mut aside = OpenOptions::new().append(true).create(true).mode(0o600).open(path.with_extension("torn"))?;
    io::copy(&mut tail, &mut aside)?;
    aside.sync_all()?;
    sync_folder(folder)?;
    file.set_len(ending.whole)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_not_read_without_end() {
        let mut endless = BufReader::new(io::repeat(0));
        let said = read_line_of(1000, &mut endless, &mut Vec::new()).unwrap_err();
        assert_eq!(said.kind(), ErrorKind::FileTooLarge);
        let (mut exact, mut line) = (&b"abc\nd"[..], Vec::new());
        assert_eq!(read_line_of(4, &mut exact, &mut line).unwrap(), 4);
        assert_eq!(read_line_of(4, &mut exact, &mut line).unwrap(), 1);
        assert_eq!((line.as_slice(), read_line_of(4, &mut exact, &mut Vec::new()).unwrap()), (&b"abc\nd"[..], 0));
        let longer = read_line_of(3, &mut &b"abc\n"[..], &mut Vec::new()).unwrap_err();
        assert_eq!(longer.kind(), ErrorKind::FileTooLarge);
    }
}
