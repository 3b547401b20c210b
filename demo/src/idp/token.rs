//! A token in the making: right unless a test bends it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};

use super::{IdpError, keys::Keys};

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// With the provider's RSA key.
    #[default]
    Rs256,
    /// With the provider's P-256 key.
    Es256,
    /// Not at all, and it says so: `alg` is `none`.
    Nothing,
    /// HS256 with the public RSA key as the secret.
    HmacWithPublicKey,
    /// With a key of somebody else's, under the provider's key id.
    ForeignKey,
}

/// Claims and header of a token that is not signed yet. Starts out as the provider would make it.
#[derive(Clone)]
pub struct Token {
    keys: Keys,
    claims: Map<String, Value>,
    header: Map<String, Value>,
    signing: Signing,
}

impl Token {
    pub(super) fn new(keys: Keys, claims: Map<String, Value>) -> Self {
        Self { keys, claims, header: Map::new(), signing: Signing::default() }
    }

    /// Sets a claim to whatever JSON.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Leaves a claim out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets `aud`.
    #[must_use]
    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    /// Sets `exp` to so many seconds from now; less than nothing has expired.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", now() + seconds)
    }

    /// Sets `iat` to so many seconds ago, and leaves the end as it is.
    #[must_use]
    pub fn issued_ago(self, seconds: i64) -> Self {
        self.claim("iat", now() - seconds)
    }

    /// Sets a field of the header: `kid`, `jku`, `typ`; null leaves it out.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Chooses how it is signed.
    #[must_use]
    pub fn signed(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    /// The claims as they stand.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Signs it, in JWS compact form.
    ///
    /// # Errors
    /// Where the keys can't sign.
    pub fn jwt(&self) -> Result<String, IdpError> {
        let header = self.complete_header();
        let part = |fields: &Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(fields.clone()).to_string());
        let message = format!("{}.{}", part(&header), part(&self.claims));
        let sign = |key: &EncodingKey, algorithm| {
            jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).map_err(|_| IdpError::Keys)
        };
        let signature = match self.signing {
            Signing::Rs256 => sign(&self.keys.rsa, Algorithm::RS256)?,
            Signing::Es256 => sign(&self.keys.ec, Algorithm::ES256)?,
            Signing::Nothing => String::new(),
            Signing::HmacWithPublicKey => {
                sign(&EncodingKey::from_secret(self.keys.rsa_public_pem.as_bytes()), Algorithm::HS256)?
            }
            Signing::ForeignKey => sign(&Keys::generate(0)?.rsa, Algorithm::RS256)?,
        };
        Ok(format!("{message}.{signature}"))
    }

    fn complete_header(&self) -> Map<String, Value> {
        let (algorithm, key) = match self.signing {
            Signing::Rs256 | Signing::ForeignKey => ("RS256", Algorithm::RS256),
            Signing::Es256 => ("ES256", Algorithm::ES256),
            Signing::Nothing => ("none", Algorithm::RS256),
            Signing::HmacWithPublicKey => ("HS256", Algorithm::RS256),
        };
        let mut header = Map::new();
        header.insert("typ".into(), json!("JWT"));
        header.insert("alg".into(), json!(algorithm));
        header.insert("kid".into(), json!(self.keys.id(key)));
        header.extend(self.header.clone());
        header.retain(|_, value| !value.is_null());
        header
    }
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp()
}
