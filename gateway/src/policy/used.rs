//! Which permissions of a policy set let something happen: marked where it does, collected now and then.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use cedar_policy::{Effect, PolicyId, PolicySet};
use countersign_shared::digest::{Digest, of_bytes};

/// A `permit`.
#[derive(Debug)]
pub struct Permission {
    /// Its `@id`, or its file and place.
    pub id: String,
    /// Of its text: one that was changed is another.
    pub digest: Digest,
    used: AtomicBool,
}

/// The permits of a policy set, each by its place.
#[derive(Debug, Default)]
pub struct Permissions {
    all: Vec<Permission>,
    places: HashMap<PolicyId, usize>,
}

impl Permissions {
    pub(super) fn of(set: &PolicySet) -> Self {
        let mut permits: Vec<_> = set.policies().filter(|policy| policy.effect() == Effect::Permit).collect();
        permits.sort_by_key(|policy| policy.id().to_string());
        let places = permits.iter().enumerate().map(|(place, policy)| (policy.id().clone(), place)).collect();
        let permission = |policy: &&cedar_policy::Policy| Permission {
            id: policy.id().to_string(),
            digest: of_bytes(policy.to_string().as_bytes()),
            used: AtomicBool::new(false),
        };
        Self { all: permits.iter().map(permission).collect(), places }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Permission] {
        &self.all
    }

    pub(super) fn places<'p>(&self, ids: impl Iterator<Item = &'p PolicyId>) -> Vec<usize> {
        ids.filter_map(|id| self.places.get(id).copied()).collect()
    }

    /// Something happened by these.
    pub fn mark(&self, places: &[usize]) {
        for permission in places.iter().filter_map(|place| self.all.get(*place)) {
            // Sessions on other threads read it all the time; it is written seldom.
            if !permission.used.load(Ordering::Relaxed) {
                permission.used.store(true, Ordering::Relaxed);
            }
        }
    }

    /// These were taken, and could not be written down.
    pub fn give_back(&self, taken: &[Digest]) {
        for permission in self.all.iter().filter(|permission| taken.contains(&permission.digest)) {
            permission.used.store(true, Ordering::Relaxed);
        }
    }

    /// Those that were used since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<Digest> {
        self.all
            .iter()
            .filter(|permission| permission.used.swap(false, Ordering::Relaxed))
            .map(|permission| permission.digest)
            .collect()
    }
}
