//! How many clients may be here at once, in all and from one address.
//!
//! As in PostgreSQL, twice as many may knock as may have a session: a client at its bound can still
//! cancel what it runs, and reads why it is refused.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use crate::config::Bounds;

/// The places of one listener.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    all: usize,
    from_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    here: Count,
    seated: Count,
}

#[derive(Default)]
struct Count {
    all: usize,
    from: HashMap<IpAddr, usize>,
}

impl Count {
    fn add(&mut self, address: IpAddr) {
        self.all += 1;
        *self.from.entry(address).or_default() += 1;
    }

    fn remove(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.from.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.from.remove(&address);
            }
        }
    }

    fn full(&self, address: IpAddr, all: usize, from_one: usize) -> Option<Full> {
        let from_address = self.from.get(&address).is_some_and(|count| *count >= from_one);
        (from_address || self.all >= all).then_some(Full { from_address })
    }
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// For this address; else for anybody.
    pub from_address: bool,
}

/// A client's place; it is free again when this is dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
    seated: bool,
}

impl Places {
    /// None taken.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let taken = Mutex::default();
        Self(Arc::new(Inner { all: bounds.connections, from_one: bounds.connections_per_address, taken }))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client knocks.
    ///
    /// # Errors
    /// Where too many do.
    pub fn knock(&self, address: IpAddr) -> Result<Place, Full> {
        let address = household(address);
        let mut taken = self.taken();
        if let Some(full) = taken.here.full(address, self.0.all * 2, self.0.from_one * 2) {
            return Err(full);
        }
        taken.here.add(address);
        Ok(Place { places: self.clone(), address, seated: false })
    }
}

impl Place {
    /// The client wants a session.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn sit(&mut self) -> Result<(), Full> {
        let Inner { all, from_one, .. } = *self.places.0;
        let mut taken = self.places.taken();
        if let Some(full) = taken.seated.full(self.address, all, from_one) {
            return Err(full);
        }
        if !self.seated {
            taken.seated.add(self.address);
            self.seated = true;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.here.remove(self.address);
        if self.seated {
            taken.seated.remove(self.address);
        }
    }
}

/// What counts as one address: whoever has an IPv6 address has the 2⁶⁴ of its network.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, connections_per_address: usize) -> Places {
        Places::new(&Bounds { connections, connections_per_address, ..Bounds::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_at_its_bound_may_knock_but_not_sit() {
        let places = places(10, 1);
        let mut first = places.knock(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(first.sit(), Ok(()));
        let mut second = places.knock(ip("10.0.0.1")).ok().unwrap();
        assert_eq!(second.sit(), Err(Full { from_address: true }));
        assert!(places.knock(ip("10.0.0.1")).is_err(), "two here already");
        assert!(places.knock(ip("10.0.0.2")).ok().unwrap().sit().is_ok(), "another address");
        drop(first);
        assert_eq!(second.sit(), Ok(()), "a place that was left is free");
    }

    #[test]
    fn all_together_are_bounded() {
        let places = places(2, 2);
        let mut here: Vec<Place> =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].map(|text| places.knock(ip(text)).ok().unwrap()).into();
        assert!(here[0].sit().is_ok() && here[1].sit().is_ok());
        assert_eq!(here[2].sit(), Err(Full { from_address: false }));
        assert_eq!(places.knock(ip("10.0.0.5")).err(), Some(Full { from_address: false }));
        here.clear();
        assert!(places.taken().here.from.is_empty() && places.taken().seated.from.is_empty(), "nothing is kept");
    }

    #[test]
    fn one_network_is_one_address() {
        for (address, as_one_with, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(household(ip(address)) == household(ip(as_one_with)), same, "{address} {as_one_with}");
        }
    }
}
