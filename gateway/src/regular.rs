//! Files in folders that others may write to: read only where they are files, and only up to a length.
//!
//! A pipe would be waited for without end, and a device read without one.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::Path,
};

/// Opens what is a file, or a link to one.
///
/// # Errors
/// As of [`File::open`], and where it is something else.
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, which waits where it is a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    File::open(path)
}

/// All that is in a file of at most `most` bytes.
///
/// # Errors
/// As of [`open`], and where it is longer.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// The same, as text.
///
/// # Errors
/// As of [`bytes`], and where it is no UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, most)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no UTF-8 text"))
}
