//! A bar on stderr for what takes long, where somebody watches.

use std::{
    io::{IsTerminal, Write, stderr},
    time::{Duration, Instant},
};

/// How often it is drawn.
const AGAIN: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// A bar.
pub struct Bar {
    began: Instant,
    drawn: Option<Instant>,
    shown: bool,
}

impl Bar {
    /// Draws where stderr is a terminal.
    pub fn new() -> Self {
        Self { began: Instant::now(), drawn: None, shown: stderr().is_terminal() }
    }

    /// So many bytes of so many are done.
    pub fn at(&mut self, done: u64, of: u64) {
        if !self.shown || self.drawn.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.drawn = Some(Instant::now());
        let _unseen = write!(stderr(), "\r{}", line(done, of, self.began.elapsed()));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _unseen = write!(stderr(), "\r\u{1b}[K");
        }
    }
}

fn line(done: u64, of: u64, took: Duration) -> String {
    let part = (done.min(of) * WIDTH).checked_div(of).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < part { '#' } else { '.' }).collect();
    let speed = u128::from(done) / took.as_micros().max(1);
    let percent = (done.min(of) * 100).checked_div(of).unwrap_or(100);
    format!("[{bar}] {percent:>3} %  {} of {} MB, {speed} MB/s", done / 1_000_000, of / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_and_how_fast() {
        let half = line(500_000_000, 1_000_000_000, Duration::from_secs(1));
        assert_eq!(half, format!("[{}{}]  50 %  500 of 1000 MB, 500 MB/s", "#".repeat(15), ".".repeat(15)));
        assert!(line(0, 0, Duration::ZERO).contains("100 %"), "nothing to do is done");
    }
}
