//! The cast: who works at Acme, for the identity provider, for Slack and for the stories.

/// Somebody who can sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The verified address, which is also the principal.
    pub email: String,
    /// As on a badge.
    pub name: String,
    /// The identity provider's `sub`: opaque, never reused, unlike an address.
    pub subject: String,
    /// Groups that the identity provider asserts.
    pub groups: Vec<String>,
    /// The Slack account, `U…`.
    pub slack_id: String,
    /// As Slack's `tz`.
    pub time_zone: String,
    /// A guest in Slack, who may not approve whatever the groups say.
    pub guest: bool,
}

impl Person {
    /// What stories call them: the address up to its `@`.
    #[must_use]
    pub fn handle(&self) -> &str {
        self.email.split('@').next().unwrap_or(&self.email)
    }
}

/// A workload that logs in with a token of its own, and the human who answers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The principal, `Agent::"deploy"`.
    pub name: String,
    /// Its `sub`, as a CI system writes it.
    pub subject: String,
    /// The address of its owner.
    pub owner: String,
}

/// Everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// Humans.
    pub people: Vec<Person>,
    /// Workloads.
    pub workloads: Vec<Workload>,
}

impl Default for People {
    fn default() -> Self {
        Self::acme()
    }
}

impl People {
    /// Acme's staff.
    #[must_use]
    pub fn acme() -> Self {
        let person = |handle: &str, name: &str, groups: &[&str], slack_id: &str, time_zone: &str| Person {
            email: format!("{handle}@acme.dev"),
            name: name.into(),
            subject: format!("00u7{handle}9qk2"),
            groups: groups.iter().map(|&group| group.into()).collect(),
            slack_id: slack_id.into(),
            time_zone: time_zone.into(),
            guest: false,
        };
        let guest = Person { guest: true, ..person("gus", "Gus Guest", &["dba"], "U0GUS0GUEST", "Europe/Lisbon") };
        Self {
            people: vec![
                person("ana", "Ana Alvarez", &["engineering"], "U0ANA000001", "Europe/Madrid"),
                person("ben", "Ben Brandt", &["engineering"], "U0BEN000002", "Europe/Berlin"),
                person("priya", "Priya Patel", &["dba"], "U0PRIYA0003", "Asia/Kolkata"),
                person("dario", "Dario D'Amico", &["dba"], "U0DARIO0004", "Europe/Rome"),
                person("sam", "Sam Sato", &["audit"], "U0SAM000005", "Asia/Tokyo"),
                person("olu", "Olu Okafor", &["admins"], "U0OLU000006", "Africa/Lagos"),
                person("zoe", "Zoe Zhang", &[], "U0ZOE000007", "America/New_York"),
                guest,
            ],
            workloads: vec![Workload {
                name: "deploy".into(),
                subject: "repo:acme/shop:ref:refs/heads/main".into(),
                owner: "ana@acme.dev".into(),
            }],
        }
    }

    /// Finds a person by address or by handle.
    #[must_use]
    pub fn person(&self, who: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.email == who || person.handle() == who)
    }

    /// Finds a person by subject.
    #[must_use]
    pub fn by_subject(&self, subject: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.subject == subject)
    }

    /// Finds a workload by name.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_shares_an_address_a_subject_or_a_slack_account() {
        let acme = People::acme();
        for (what, values) in [
            ("address", acme.people.iter().map(|p| &p.email).collect::<HashSet<_>>()),
            ("subject", acme.people.iter().map(|p| &p.subject).collect()),
            ("Slack account", acme.people.iter().map(|p| &p.slack_id).collect()),
        ] {
            assert_eq!(values.len(), acme.people.len(), "two people share a {what}");
        }
    }

    #[test]
    fn an_agent_has_an_owner_who_works_here() {
        let acme = People::acme();
        for workload in &acme.workloads {
            assert!(acme.person(&workload.owner).is_some(), "nobody answers for {}", workload.name);
        }
    }
}
