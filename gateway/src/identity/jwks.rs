//! An issuer's keys: fetched by discovery, cached, and fetched again when they age or when a
//! token names a key that is not there. One fetch at a time, and at most one in 30 seconds.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use reqwest::Client;
use serde_json::Value;

use super::discovery::{self, Document, FetchError};

/// The least time between two fetches.
const BETWEEN: Duration = Duration::from_secs(30);
/// The least time between two tries while there is no key at all: a provider that comes up shortly
/// after us shall not be waited for half a minute.
const BETWEEN_FIRST: Duration = Duration::from_secs(2);
/// Keys older than this are fetched anew before they are used, so that a withdrawn one ends ...
const FRESH: Duration = Duration::from_secs(5 * 60);
/// ... and older than this they count no more, should the issuer be away for so long: nobody could
/// tell whether one of them was withdrawn.
const TRUSTED: Duration = Duration::from_secs(10 * 60);
/// More keys than this are not looked at.
const MOST: usize = 100;

/// One signing key.
struct Key {
    id: Option<String>,
    jwk: Jwk,
    decoding: DecodingKey,
}

struct Fetched {
    document: Document,
    keys: Vec<Key>,
    at: Instant,
}

/// The cache of one issuer.
pub(super) struct Keys {
    issuer: String,
    client: Client,
    current: RwLock<Option<Arc<Fetched>>>,
    /// When the last fetch was tried. The lock is held while one runs: others wait for its result.
    tried: tokio::sync::Mutex<Option<Instant>>,
}

/// What the cache says to a token.
pub(super) enum Found {
    /// These keys may have signed it.
    Keys(Vec<DecodingKey>),
    /// No such key.
    None,
    /// There are no keys that are young enough, since the issuer can't be reached.
    Unavailable,
}

impl Keys {
    pub(super) fn new(issuer: &str, client: Client) -> Self {
        Self { issuer: issuer.to_owned(), client, current: RwLock::default(), tried: tokio::sync::Mutex::default() }
    }

    fn current(&self) -> Option<Arc<Fetched>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys that a token with this header may be signed with.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm, now: Instant) -> Found {
        if let Some(fetched) = self.current()
            && now.saturating_duration_since(fetched.at) < FRESH
        {
            let keys = fetched.matching(id, algorithm);
            if !keys.is_empty() {
                return Found::Keys(keys);
            }
        }
        self.refresh(now).await;
        match self.current().filter(|fetched| now.saturating_duration_since(fetched.at) < TRUSTED) {
            None => Found::Unavailable,
            Some(fetched) => match fetched.matching(id, algorithm) {
                keys if keys.is_empty() => Found::None,
                keys => Found::Keys(keys),
            },
        }
    }

    /// The metadata, for signing in. `None` where the issuer can't be reached.
    pub(super) async fn document(&self, now: Instant) -> Option<Document> {
        if self.current().is_none() {
            self.refresh(now).await;
        }
        self.current().map(|fetched| fetched.document.clone())
    }

    async fn refresh(&self, now: Instant) {
        let mut tried = self.tried.lock().await;
        let between = if self.current().is_some() { BETWEEN } else { BETWEEN_FIRST };
        // Whoever waited for the lock while another fetched finds the other's time here.
        if tried.is_some_and(|last| now.saturating_duration_since(last) < between) {
            return;
        }
        *tried = Some(now);
        match self.fetch(now).await {
            Ok(fetched) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(fetched));
            }
            Err(error) => tracing::warn!(issuer = self.issuer, %error, "the identity provider's keys were not fetched"),
        }
    }

    async fn fetch(&self, now: Instant) -> Result<Fetched, FetchError> {
        let document = discovery::discover(&self.client, &self.issuer).await?;
        let url = document.jwks_uri.clone();
        let body = discovery::fetch(&url, self.client.get(url.clone())).await?;
        let wrong = |why: String| FetchError::Content { url: url.to_string(), why };
        let set: Value = serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or_else(|| wrong("it holds no list of keys".into()))?;
        // A key that can't be used (for encryption, of an unknown kind) spoils nothing but itself.
        let keys = keys.iter().take(MOST).filter_map(usable).collect();
        Ok(Fetched { document, keys, at: now })
    }
}

impl Fetched {
    fn matching(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fitting = || self.keys.iter().filter(|key| fits(&key.jwk, algorithm));
        let keys: Vec<_> = match id {
            Some(id) => fitting().filter(|key| key.id.as_deref() == Some(id)).collect(),
            // Without a `kid` the key must be plain from the algorithm (OpenID Connect Core §10.1).
            None if fitting().count() == 1 => fitting().collect(),
            None => Vec::new(),
        };
        keys.into_iter().map(|key| key.decoding.clone()).collect()
    }
}

/// The public signing key in one member of a JWK set.
fn usable(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let verifies = jwk.common.key_operations.as_ref().is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    // A shared secret in a public document would let everybody sign.
    let public = matches!(
        jwk.algorithm,
        AlgorithmParameters::RSA(_) | AlgorithmParameters::EllipticCurve(_) | AlgorithmParameters::OctetKeyPair(_)
    );
    if !(signs && verifies && public) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), jwk, decoding })
}

/// Whether a key is of the kind that `algorithm` needs, and does not name another itself.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let (kind, named) = match (algorithm, &jwk.algorithm) {
        (Algorithm::RS256, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::RS256),
        (Algorithm::RS384, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::RS384),
        (Algorithm::RS512, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::RS512),
        (Algorithm::PS256, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::PS256),
        (Algorithm::PS384, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::PS384),
        (Algorithm::PS512, AlgorithmParameters::RSA(_)) => (true, KeyAlgorithm::PS512),
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => {
            (key.curve == EllipticCurve::P256, KeyAlgorithm::ES256)
        }
        (Algorithm::ES384, AlgorithmParameters::EllipticCurve(key)) => {
            (key.curve == EllipticCurve::P384, KeyAlgorithm::ES384)
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => {
            (key.curve == EllipticCurve::Ed25519, KeyAlgorithm::EdDSA)
        }
        _ => return false,
    };
    kind && jwk.common.key_algorithm.is_none_or(|own| own == named)
}
