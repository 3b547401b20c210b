//! What the provider remembers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_shared::secret::Secret;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{IdpError, Outage, Token, keys::Keys, token::now};
use crate::{
    people::{People, Person, Workload},
    random,
};

/// Bends every token that the provider gives out.
pub(super) type Bend = Arc<dyn Fn(Token) -> Token + Send + Sync>;

/// What all handlers share.
pub(super) struct Shared {
    /// `http://127.0.0.1:port`, the issuer.
    pub(super) url: String,
    pub(super) outage: watch::Sender<Outage>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) people: People,
    /// The newest signs; all are published.
    pub(super) keys: Vec<Keys>,
    pub(super) clients: HashMap<String, Option<Secret<String>>>,
    pub(super) lifetime: Duration,
    pub(super) bend: Option<Bend>,
    /// Whether a `login_hint` is enough to sign in.
    pub(super) trusts_hints: bool,
    /// Sign-in pages that wait for their form, by transaction.
    pub(super) pages: HashMap<String, Wish>,
    pub(super) codes: HashMap<String, SignIn>,
    pub(super) refresh: HashMap<String, SignIn>,
    pub(super) access: HashMap<String, SignIn>,
    pub(super) devices: HashMap<String, Device>,
    /// Fetches by path.
    pub(super) fetches: HashMap<String, u64>,
}

/// A valid authorization request (RFC 6749 §4.1.1, RFC 7636).
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) client: String,
    pub(super) redirect: url::Url,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) scope: String,
    pub(super) hint: Option<String>,
}

/// Somebody has signed in.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) wish: Wish,
    pub(super) subject: String,
    pub(super) at: i64,
}

/// A device that waits (RFC 8628).
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) user_code: String,
    pub(super) wish: Wish,
    pub(super) answer: Option<Result<SignIn, ()>>,
}

impl Shared {
    pub(super) fn new(url: String, state: State) -> Self {
        Self { url, outage: watch::Sender::new(Outage::None), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for a person, as the provider makes it, not bent.
    pub(super) fn token_of(&self, person: &Person, audience: &str) -> Result<Token, IdpError> {
        let claims = json!({
            "sub": person.subject, "email": person.email, "email_verified": true, "name": person.name,
            "groups": person.groups, "auth_time": now(), "amr": ["pwd", "mfa"],
        });
        self.token(claims, audience)
    }

    /// A token for a workload: no address, no groups.
    pub(super) fn token_of_workload(&self, workload: &Workload, audience: &str) -> Result<Token, IdpError> {
        self.token(json!({ "sub": workload.subject }), audience)
    }

    fn token(&self, claims: Value, audience: &str) -> Result<Token, IdpError> {
        let state = self.lock();
        let keys = state.keys.last().cloned().ok_or(IdpError::Keys)?;
        let seconds = i64::try_from(state.lifetime.as_secs()).unwrap_or(i64::MAX / 2);
        let mut all = Map::new();
        let issued = json!({
            "iss": self.url, "aud": audience, "iat": now(), "exp": now() + seconds, "jti": random::token(),
        });
        for part in [issued, claims] {
            all.extend(part.as_object().cloned().unwrap_or_default());
        }
        Ok(Token::new(keys, all))
    }

    /// The ID token of a sign-in, bent where a test asked for it.
    pub(super) fn id_token(&self, sign_in: &SignIn) -> Result<String, IdpError> {
        let person = self.lock().people.by_subject(&sign_in.subject).cloned();
        let person = person.ok_or_else(|| IdpError::Nobody(sign_in.subject.clone()))?;
        let mut token = self.token_of(&person, &sign_in.wish.client)?.claim("auth_time", sign_in.at);
        if let Some(nonce) = &sign_in.wish.nonce {
            token = token.claim("nonce", nonce.as_str());
        }
        let bend = self.lock().bend.clone();
        bend.map_or(token.clone(), |bend| bend(token)).jwt()
    }
}
