//! The digest of each channel: what its readers may see of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use countersign_shared::api::AccessDigest;

/// Where each connection's cards go; what it has no place for is shown in no channel.
pub type Places = BTreeMap<String, String>;

/// In place of what people wrote about a connection whose channel reads nothing of it.
pub const UNSHOWN: &str = "not shown in this channel";

/// The digest by channel. `main` has what is about no connection: roles and agents. A channel sees its own
/// connections alone, since others may read there, and no reasons of those that are `redacted`.
#[must_use]
pub fn by_channel(
    digest: &AccessDigest,
    places: &Places,
    redacted: &BTreeSet<String>,
    main: &str,
) -> Vec<(String, AccessDigest)> {
    let mut channels: Vec<&str> = places.values().map(String::as_str).filter(|channel| *channel != main).collect();
    channels.sort_unstable();
    channels.dedup();
    let parts = std::iter::once(main).chain(channels);
    let part = |channel: &str| {
        let mut part = of_channel(digest, places, channel, channel == main);
        redact(&mut part, redacted);
        (channel.to_owned(), part)
    };
    parts.map(part).collect()
}

fn of_channel(digest: &AccessDigest, places: &Places, channel: &str, main: bool) -> AccessDigest {
    let here = |connection: &str| places.get(connection).is_some_and(|place| place == channel);
    let mut part = digest.clone();
    part.grants.retain(|found| here(&found.grant.connection));
    part.tokens.retain(|token| here(&token.connection));
    part.sessions.retain(|session| here(&session.connection));
    part.secrets.retain(|secret| secret.connection.as_deref().map_or(main, here));
    part.reviews.retain(|review| here(&review.connection));
    if !main {
        part.roles.clear();
        part.permissions.clear();
        part.agents.clear();
    }
    part
}

fn redact(part: &mut AccessDigest, redacted: &BTreeSet<String>) {
    for found in part.grants.iter_mut().filter(|found| redacted.contains(&found.grant.connection)) {
        UNSHOWN.clone_into(&mut found.grant.reason);
        if let Some(kept) = &mut found.kept {
            UNSHOWN.clone_into(&mut kept.reason);
        }
    }
    for review in part.reviews.iter_mut().filter(|review| redacted.contains(&review.connection)) {
        UNSHOWN.clone_into(&mut review.reason);
    }
}

/// What is shown in no channel: how many things are about connections that this bot's config does not know.
#[must_use]
pub fn nowhere(digest: &AccessDigest, places: &Places) -> usize {
    let grants = digest.grants.iter().map(|found| &found.grant.connection);
    let sessions = digest.sessions.iter().map(|session| &session.connection);
    let reviews = digest.reviews.iter().map(|review| &review.connection);
    let tokens = digest.tokens.iter().map(|token| &token.connection);
    let secrets = digest.secrets.iter().filter_map(|secret| secret.connection.as_ref());
    let all = grants.chain(sessions).chain(tokens).chain(secrets).chain(reviews);
    all.filter(|connection| !places.contains_key(*connection)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::{self, csv, samples};

    fn mixed() -> AccessDigest {
        let mut digest = samples::digest_of(3);
        for (number, found) in digest.grants.iter_mut().enumerate() {
            found.grant.connection = if number % 2 == 0 { "shop".into() } else { "payroll".into() };
        }
        for session in &mut digest.sessions {
            session.connection = "payroll".into();
        }
        for secret in digest.secrets.iter_mut().filter(|secret| secret.connection.is_some()) {
            (secret.what, secret.connection) = ("password of app on payroll".into(), Some("payroll".into()));
        }
        for token in &mut digest.tokens {
            token.connection = "payroll".into();
        }
        digest
    }

    #[test]
    fn a_channel_sees_its_own_connections_and_nothing_of_others() {
        let places = [("shop", "C1"), ("payroll", "C2")];
        let places: Places = places.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let parts = by_channel(&mixed(), &places, &BTreeSet::new(), "C1");
        assert_eq!(parts.iter().map(|(channel, _)| channel.as_str()).collect::<Vec<_>>(), ["C1", "C2"]);
        for (channel, part) in &parts {
            let (own, other) = if channel == "C1" { ("shop", "payroll") } else { ("payroll", "shop-writer on shop") };
            let shown = format!("{:?}{}{}", cards::digest::message(part), csv::table(part), cards::digest::lines(part));
            assert!(shown.contains(own) && !shown.contains(other), "{channel}: {shown}");
        }
        assert!(!parts[0].1.roles.is_empty() && parts[1].1.roles.is_empty(), "roles are about no connection");
        assert!(!parts[0].1.permissions.is_empty() && parts[1].1.permissions.is_empty(), "nor are permissions");
        assert_eq!(parts.iter().map(|(_, part)| part.grants.len()).sum::<usize>(), mixed().grants.len());
    }

    #[test]
    fn a_channel_that_reads_nothing_of_what_is_asked_reads_no_reasons_either() {
        let mut digest = mixed();
        for found in &mut digest.grants {
            found.grant.reason = format!("secret of {}", found.grant.connection);
        }
        for review in &mut digest.reviews {
            (review.connection, review.reason) = ("payroll".into(), "secret of payroll".into());
        }
        let places: Places = ["shop", "payroll"].iter().map(|name| ((*name).to_owned(), "C1".to_owned())).collect();
        let parts = by_channel(&digest, &places, &["payroll".to_owned()].into(), "C1");
        let part = &parts[0].1;
        let shown = format!("{:?}{}{}", cards::digest::message(part), csv::table(part), cards::digest::lines(part));
        assert!(!shown.contains("secret of payroll") && shown.contains("secret of shop"), "{shown}");
    }

    #[test]
    fn what_has_no_place_is_shown_nowhere_and_counted() {
        let places: Places = std::iter::once(("shop".to_owned(), "C1".to_owned())).collect();
        let parts = by_channel(&mixed(), &places, &BTreeSet::new(), "C1");
        assert_eq!(parts.len(), 1);
        assert!(parts[0].1.grants.iter().all(|found| found.grant.connection == "shop"));
        let mixed = mixed();
        let elsewhere = mixed.grants.iter().filter(|found| found.grant.connection == "payroll").count();
        assert_eq!(
            nowhere(&mixed, &places),
            elsewhere
                + mixed.sessions.len()
                + mixed.tokens.len()
                + mixed.secrets.iter().filter(|secret| secret.connection.is_some()).count()
                + mixed.reviews.iter().filter(|r| r.connection != "shop").count()
        );
    }

    #[test]
    fn one_channel_for_all_has_all() {
        let places: Places = ["shop", "payroll"].iter().map(|name| ((*name).to_owned(), "C1".to_owned())).collect();
        let all = mixed();
        let parts = by_channel(&all, &places, &BTreeSet::new(), "C1");
        assert!(parts.len() == 1 && parts[0].1 == all, "{} parts", parts.len());
    }
}
