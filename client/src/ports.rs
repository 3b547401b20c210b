//! Which port of this machine is which connection's, and the password for all of them: the same each
//! time, since programs keep them.

use std::collections::BTreeMap;

use countersign_shared::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::{
    NotSignedIn,
    place::{Place, What},
    random,
};

/// The first port that is given. Above what servers use, below what systems give out by themselves.
const FIRST: u16 = 15432;

/// What is kept.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The password.
    pub secret: Secret<String>,
    ports: BTreeMap<String, u16>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    secret: String,
    ports: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads what is kept, or begins.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(place: &Place) -> Result<Self, NotSignedIn> {
        let kept = place.read(What::Proxy)?.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        Ok(match kept {
            Some(Written { secret, ports }) => Self { secret: Secret::new(secret), ports },
            None => Self { secret: Secret::new(random()?), ports: BTreeMap::new() },
        })
    }

    /// The port of a connection: the one that it had, else `wanted`, else the next that is nobody's.
    pub fn of(&mut self, connection: &str, wanted: Option<u16>) -> u16 {
        let next = || (FIRST..u16::MAX).find(|port| !self.ports.values().any(|taken| taken == port)).unwrap_or(FIRST);
        let port = wanted.or_else(|| self.ports.get(connection).copied()).unwrap_or_else(next);
        self.ports.insert(connection.to_owned(), port);
        port
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, place: &Place) -> Result<(), NotSignedIn> {
        let written = Written { secret: self.secret.reveal().clone(), ports: self.ports.clone() };
        // Texts and numbers: nothing that JSON can't hold.
        place.write(What::Proxy, &serde_json::to_vec_pretty(&written).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_password_are_the_same_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().to_owned());
        let mut first = Ports::read(&place).unwrap();
        assert_eq!((first.of("shop", None), first.of("crm", None), first.of("shop", None)), (15432, 15433, 15432));
        assert_eq!(first.of("erp", Some(6000)), 6000);
        first.write(&place).unwrap();
        let mut second = Ports::read(&place).unwrap();
        assert_eq!(second.secret, first.secret);
        assert_eq!((second.of("erp", None), second.of("crm", None), second.of("hr", None)), (6000, 15433, 15434));
    }
}
