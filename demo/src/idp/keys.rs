//! The provider's signing keys, made afresh at each start.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse},
};

use super::IdpError;

/// One generation of keys: an RSA key for RS256 and a P-256 key for ES256.
#[derive(Clone)]
pub(super) struct Keys {
    generation: u32,
    pub(super) rsa: EncodingKey,
    pub(super) ec: EncodingKey,
    /// The RSA public key as PEM: what a confused verifier takes for an HMAC secret.
    pub(super) rsa_public_pem: String,
}

impl Keys {
    /// Makes the keys of `generation`; their ids differ from those of any other.
    pub(super) fn generate(generation: u32) -> Result<Self, IdpError> {
        let failed = |_| IdpError::Keys;
        let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().map_err(failed)?;
        let rsa_private = pem("PRIVATE KEY", rsa_private.as_ref());
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(Self {
            generation,
            rsa: EncodingKey::from_rsa_pem(rsa_private.as_bytes()).map_err(|_| IdpError::Keys)?,
            ec: EncodingKey::from_ec_der(ec.map_err(failed)?.as_ref()),
            rsa_public_pem: pem("RSA PUBLIC KEY", rsa.public_key().as_ref()),
        })
    }

    /// The id of the key for `algorithm`.
    pub(super) fn id(&self, algorithm: Algorithm) -> String {
        format!("{algorithm:?}-{}", self.generation)
    }

    /// The public halves, for the key set.
    pub(super) fn public(&self) -> Result<Vec<Jwk>, IdpError> {
        [(&self.rsa, Algorithm::RS256), (&self.ec, Algorithm::ES256)]
            .into_iter()
            .map(|(key, algorithm)| {
                let mut jwk = Jwk::from_encoding_key(key, algorithm).map_err(|_| IdpError::Keys)?;
                jwk.common.key_id = Some(self.id(algorithm));
                jwk.common.public_key_use = Some(PublicKeyUse::Signature);
                Ok(jwk)
            })
            .collect()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<_> =
        STANDARD.encode(der).into_bytes().chunks(64).map(String::from_utf8_lossy).map(String::from).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
