//! What a thread of its own reads ahead of whoever reads all of it: one core unpacks while another hashes.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use super::source::Reading;

/// So many bytes go over at once.
const PART: usize = 64 << 10;
/// So many of them wait at most.
const PARTS: usize = 16;

/// The same bytes, and the same errors; whoever reads only a little has more unpacked than they read.
///
/// # Errors
/// Where no thread can be started.
pub(super) fn ahead(reading: Reading) -> io::Result<Reading> {
    let (parts, read) = sync_channel(PARTS);
    thread::Builder::new().name("log-unpack".to_owned()).spawn(move || hand_over(reading, &parts))?;
    Ok(Box::new(Ahead { read, part: Vec::new(), at: 0, over: false }))
}

/// Ends with an empty part, with an error, or when nobody reads any more.
fn hand_over(mut reading: Reading, parts: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut part = Vec::with_capacity(PART);
        let read = (&mut reading).take(PART as u64).read_to_end(&mut part);
        let over = !matches!(read, Ok(bytes) if bytes > 0);
        if parts.send(read.map(|_| part)).is_err() || over {
            return;
        }
    }
}

struct Ahead {
    read: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    at: usize,
    over: bool,
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.part.len() && !self.over {
            let part = self.read.recv().map_err(|_| io::Error::other("the thread that unpacks ended early"))?;
            (self.part, self.at) = (part?, 0);
            self.over = self.part.is_empty();
        }
        Ok(self.part.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.part.len());
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, ErrorKind};

    use super::*;

    /// Gives some bytes, then fails.
    struct Breaks(usize);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let some = buffer.len().min(self.0);
            if some == 0 {
                return Err(ErrorKind::InvalidData.into());
            }
            buffer[..some].fill(7);
            self.0 -= some;
            Ok(some)
        }
    }

    #[test]
    fn it_reads_as_it_would_without() {
        for length in [0, 1, PART - 1, PART, PART + 1, PARTS * PART * 3 + 5] {
            let plain: Vec<u8> = (0..length).map(|n| ((n * n) >> 5) as u8).collect();
            let mut reading = ahead(Box::new(io::Cursor::new(plain.clone()))).unwrap();
            let mut read = Vec::new();
            reading.read_to_end(&mut read).unwrap();
            assert!(read == plain, "{length}");
            assert!(reading.fill_buf().unwrap().is_empty(), "and stays at its end");
        }
    }

    #[test]
    fn an_error_is_told_and_is_no_end() {
        let mut reading = ahead(Box::new(BufReader::new(Breaks(3 * PART)))).unwrap();
        let mut read = Vec::new();
        assert_eq!(reading.read_to_end(&mut read).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(read.len() <= 3 * PART && read.iter().all(|byte| *byte == 7));
        assert!(reading.fill_buf().is_err(), "nor afterwards");
    }

    #[test]
    fn whoever_stops_reading_stops_it() {
        let (gone, told) = sync_channel::<()>(0);
        struct Endless(#[allow(dead_code, reason = "is dropped")] SyncSender<()>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        let mut reading = ahead(Box::new(BufReader::new(Endless(gone)))).unwrap();
        reading.read_exact(&mut [0; 10]).unwrap();
        drop(reading);
        assert!(told.recv().is_err(), "its thread has ended");
    }
}
