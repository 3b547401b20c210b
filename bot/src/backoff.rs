//! Waiting longer after each failure, never in step with others.

use std::time::Duration;

use aws_lc_rs::rand;

/// Grows from `first` to `most`, doubling.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// A new one.
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Starts over, after a success.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next wait: between half of the current length and all of it.
    pub(crate) fn wait(&mut self) -> Duration {
        let mut byte = [0_u8; 1];
        // Without randomness there is no jitter, and no harm.
        let share = if rand::fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 255 };
        let wait = self.next / 2 + self.next / 2 * share / 255;
        self.next = (self.next * 2).min(self.most);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 8 * second);
        for most in [1, 2, 4, 8, 8] {
            let wait = backoff.wait();
            assert!(wait >= second * most / 2 && wait <= second * most, "{wait:?} of {most} s");
        }
        backoff.reset();
        assert!(backoff.wait() <= second);
    }
}
