//! What Slack has delivered lately, so that what comes twice is done once. The gateway holds to the same
//! numbers, for two bots and for one that was started anew.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a number is remembered. Slack gives up before that.
const REMEMBERED: Duration = Duration::from_mins(15);

/// The numbers, and when they came.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<String, Instant>>);

impl Seen {
    /// Whether `number` is new; it is not from now on.
    pub(crate) fn is_new(&self, number: &str, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len().is_power_of_two() {
            seen.retain(|_, at| now.duration_since(*at) < REMEMBERED);
        }
        match seen.get(number) {
            Some(at) if now.duration_since(*at) < REMEMBERED => false,
            _ => seen.insert(number.to_owned(), now).is_none_or(|at| now.duration_since(at) >= REMEMBERED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let (seen, now) = (Seen::default(), Instant::now());
        for number in 0..10_000 {
            assert!(seen.is_new(&format!("{number}"), now));
            assert!(!seen.is_new(&format!("{number}"), now + Duration::from_secs(1)));
        }
        let later = now + REMEMBERED * 2;
        assert!(seen.is_new("1", later), "it may be forgotten");
        assert!(!seen.is_new("1", later));
    }
}
