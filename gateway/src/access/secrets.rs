//! Since when the secrets of the config are what they are: none of them says so itself.
//!
//! The state has a keyed hash of each one's place and value, so that another value begins anew. What a command prints is
//! not looked at: it is made for the moment.

use aws_lc_rs::hmac;
use chrono::Utc;
use countersign_shared::secret::Secret;

use crate::{runtime::Gateway, store::usage::Kind};

/// A secret: what it is for, and its keyed hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `password of app on shop`.
    pub what: String,
    /// The connection that it is for, if it is for one.
    pub connection: Option<String>,
    /// 64 hexadecimal digits.
    pub hash: String,
}

/// The secrets of the config that stand until somebody changes them, as they are now.
pub async fn standing(gateway: &Gateway) -> Vec<Standing> {
    let config = &gateway.config;
    let mut found: Vec<(String, Option<String>, Vec<u8>)> = Vec::new();
    let mut note =
        |what: String, secret: &Secret<String>| found.push((what, None, secret.reveal().clone().into_bytes()));
    for identity in &config.identities {
        if let Some(secret) = &identity.client_secret {
            note(format!("client_secret of {}", identity.issuer), secret);
        }
        if let Some(poll) = &identity.poll {
            note(format!("client_secret for polling {}", identity.issuer), &poll.client_secret);
        }
    }
    if let Some(slack) = &config.slack {
        note("Slack's bot_token".into(), &slack.bot_token);
        for (what, secret) in [("app_token", &slack.app_token), ("signing_secret", &slack.signing_secret)] {
            if let Some(secret) = secret {
                note(format!("Slack's {what}"), secret);
            }
        }
    }
    for connection in config.connections.values() {
        let upstream = &connection.upstream;
        let logins = connection.logins.iter().map(|rule| (&rule.user, &rule.password));
        for (user, password) in std::iter::once((&upstream.user, &upstream.password)).chain(logins) {
            if let Some(password) = password.as_ref().filter(|password| password.stands()) {
                let value = password.current().await.reveal().clone().into_bytes();
                found.push((
                    format!("password of {user} on {}", connection.name),
                    Some(connection.name.clone()),
                    value,
                ));
            }
        }
    }
    let scim = config.scim.iter().flat_map(|tokens| tokens.hashes());
    found.extend(scim.map(|hash| ("a token of [scim]".to_owned(), None, hash.to_vec())));
    let key = hmac::Key::new(hmac::HMAC_SHA256, gateway.seal.derive("countersign/secrets/v1").as_bytes());
    let standing = |(what, connection, value): (String, _, Vec<u8>)| {
        let hash = hashed(&key, &what, &value);
        Standing { what, connection, hash }
    };
    let mut all: Vec<Standing> = found.into_iter().map(standing).collect();
    all.sort_by(|one, other| (&one.what, &one.hash).cmp(&(&other.what, &other.hash)));
    all.dedup();
    all
}

fn hashed(key: &hmac::Key, what: &str, value: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(&u64::try_from(what.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(what.as_bytes());
    context.update(value);
    context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Watches them as they are now.
pub async fn watch(gateway: &Gateway) {
    let hashes: Vec<String> = standing(gateway).await.into_iter().map(|one| one.hash).collect();
    if let Err(error) = gateway.store.watch(Kind::Secret, &hashes, Utc::now()).await {
        tracing::warn!(%error, "since when secrets are what they are could not be written down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_value_or_key_is_another_secret() {
        let key = |text: &str| hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let hash = |of: &str, what: &str, value: &str| hashed(&key(of), what, value.as_bytes());
        let one = hash("k", "password of app on shop", "secret");
        assert_eq!(one, hash("k", "password of app on shop", "secret"));
        for (of, what, value) in [
            ("k", "password of app on shop", "another"),
            ("k", "password of cs_rw on shop", "secret"),
            ("other", "password of app on shop", "secret"),
            ("k", "password of app on sho", "psecret"),
        ] {
            assert_ne!(one, hash(of, what, value), "{of} {what} {value}");
        }
        assert!(one.len() == 64 && !one.contains("secret"));
    }
}
