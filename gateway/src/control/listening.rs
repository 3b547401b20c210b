//! Places for who reads on and on: events, and the log. Nobody takes them all, and the bot has its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refused;

/// How many people and agents read at once, how many of one of them, and how many of the bots.
const ALL: usize = 256;
const EACH: usize = 16;
const BOTS: usize = 32;

/// The places.
pub(super) struct Places {
    people: Arc<Semaphore>,
    bots: Arc<Semaphore>,
    each: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of them, until it is dropped.
pub(super) struct Place {
    who: Option<String>,
    each: Arc<Mutex<HashMap<String, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self { people: Arc::new(Semaphore::new(ALL)), bots: Arc::new(Semaphore::new(BOTS)), each: Arc::default() }
    }
}

impl Places {
    /// A place for `who`; for the bot, where that is nobody.
    ///
    /// # Errors
    /// 503 where there is none left for them.
    pub fn take(&self, who: Option<&str>) -> Result<Place, Refused> {
        let (places, error) = match who {
            Some(_) => (&self.people, "Too many read from this gateway already."),
            None => (&self.bots, "Too many bots read from this gateway already."),
        };
        let none =
            |error: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error, "Try again in a moment.");
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| none(error))?;
        if let Some(who) = who {
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = each.entry(who.to_owned()).or_default();
            if *taken >= EACH {
                return Err(none("You read from this gateway too often already."));
            }
            *taken += 1;
        }
        Ok(Place { who: who.map(str::to_owned), each: Arc::clone(&self.each), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(who) = &self.who else { return };
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = each.get_mut(who) {
            *taken -= 1;
            if *taken == 0 {
                each.remove(who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places_and_the_bot_has_its_own() {
        let places = Places::default();
        let mut hers: Vec<Place> = (0..EACH).map(|_| places.take(Some("ana@acme.dev")).ok().unwrap()).collect();
        assert!(places.take(Some("ana@acme.dev")).is_err());
        assert!(places.take(Some("ben@acme.dev")).is_ok());
        // One is free again.
        hers.pop();
        hers.push(places.take(Some("ana@acme.dev")).ok().unwrap());
        let crowd: Vec<Place> = (EACH..ALL).map(|n| places.take(Some(&n.to_string())).ok().unwrap()).collect();
        assert!(places.take(Some("ben@acme.dev")).is_err(), "full");
        assert!(places.take(None).is_ok(), "but not for the bot");
        drop((hers, crowd));
        assert!(places.each.lock().unwrap().is_empty());
    }
}
