//! The log key as it signs checkpoints, and its public half as somebody hands it over.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign_shared::secret::Secret;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::{
    note::{Checkpoint, Signed, Verifier},
    tree::Hash,
};
use crate::approval::keys::{self, KeyError};

/// What an Ed25519 key in SubjectPublicKeyInfo begins with (RFC 8410, section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The log key. It also seals approvals; what it signs there is 32 bytes long, and no checkpoint is as short.
pub struct LogKey(Ed25519KeyPair);

impl LogKey {
    /// Reads the key, or makes it at the first start.
    ///
    /// # Errors
    /// Where the file can't be read or made, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let pem = keys::load_or_create(path)?;
        keys::pair(&pem).map(Self).map_err(|why| keys::error(path, why))
    }

    fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// What it signs with, for the log `origin`.
    pub(super) fn signer(self, origin: String) -> Signer {
        Signer { verifier: Verifier::new(Some(origin.clone()), self.public()), key: self, origin }
    }

    /// Its public half, whichever log it is for.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::new(None, self.public())
    }
}

/// The key of one log.
pub(super) struct Signer {
    key: LogKey,
    origin: String,
    verifier: Verifier,
}

impl Signer {
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    #[cfg(test)]
    pub(super) fn verifier(&self) -> Verifier {
        self.verifier.clone()
    }

    /// The public key in the form in which it is handed on.
    pub(super) fn text(&self) -> String {
        self.verifier.text_for(&self.origin)
    }

    /// A checkpoint.
    pub(super) fn sign(&self, size: u64, root: Hash) -> Signed {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root };
        self.verifier.seal(checkpoint, |text| self.key.0.sign(text).as_ref().to_vec())
    }
}

/// A key as somebody hands it over: `NAME+ID+KEY`, or a public or private key in PEM.
#[must_use]
pub fn read_key(text: &str) -> Option<Verifier> {
    if let Some(verifier) = text.lines().map(str::trim).find(|line| !line.is_empty()).and_then(Verifier::parse) {
        return Some(verifier);
    }
    if let Ok(der) = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()) {
        let public = der.as_ref().strip_prefix(&SPKI)?.try_into().ok()?;
        return Some(Verifier::new(None, public));
    }
    keys::pair(&Secret::new(text.to_owned())).ok().map(|pair| LogKey(pair).verifier())
}

#[cfg(test)]
pub(in crate::log) mod testing {
    use aws_lc_rs::signature::Ed25519KeyPair;

    use super::{LogKey, Signer};

    /// A key that was never there before.
    pub(in crate::log) fn key() -> LogKey {
        LogKey(Ed25519KeyPair::generate().unwrap())
    }

    pub(in crate::log::chain) fn signer(origin: &str) -> Signer {
        key().signer(origin.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    #[test]
    fn a_key_is_taken_in_each_form_that_people_hand_it_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let key = LogKey::load_or_create(&path).unwrap();
        let nameless = key.verifier();
        let private = std::fs::read_to_string(&path).unwrap();
        let spki = [&SPKI[..], &key.public()].concat();
        let public = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
        assert_eq!(read_key(&private), Some(nameless.clone()));
        assert_eq!(read_key(&public), Some(nameless.clone()));
        let named = read_key(&format!("\n{}\n", nameless.text_for("some/log"))).unwrap();
        assert_eq!(named.name.as_deref(), Some("some/log"));
        for wrong in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(read_key(wrong), None, "{wrong}");
        }
    }
}
