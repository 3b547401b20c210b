//! The two Ed25519 keys that a gateway makes for itself at its first start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_shared::{bot_token::BotVerifier, secret::Secret};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

/// The longest key file that is read, in bytes.
const LARGEST: u64 = 16 * 1024;

/// A key file that can't be used, in a sentence that names it.
#[derive(Debug, thiserror::Error)]
#[error("the key {path} can't be used: {why}")]
pub struct KeyError {
    path: String,
    why: String,
}

pub(crate) fn error(path: &Path, why: impl ToString) -> KeyError {
    KeyError { path: path.display().to_string(), why: why.to_string() }
}

/// The PEM text of the Ed25519 key in `path` (PKCS #8). Made with mode 0600 where there is none;
/// two processes that start at once end up with the same one.
///
/// # Errors
/// Where the file can't be read or made, or holds something else.
pub fn load_or_create(path: &Path) -> Result<Secret<String>, KeyError> {
    match read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(path).map_err(|e| error(path, e))?,
        Err(e) => return Err(error(path, e)),
        Ok(_) => {}
    }
    let pem = Secret::new(read(path).map_err(|e| error(path, e))?);
    pair(&pem).map_err(|why| error(path, why))?;
    Ok(pem)
}

fn read(path: &Path) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "a private key can be read by others; its mode should be 0600");
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn create(path: &Path) -> io::Result<()> {
    let pair = Ed25519KeyPair::generate().map_err(|_| io::Error::other("no key can be made"))?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| io::Error::other("no key can be made"))?;
    let body = STANDARD.encode(der.as_ref());
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{}.key", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(pem.as_bytes()).and_then(|()| file.sync_all());
    // A link does not replace: whoever was first stays, whole, and the other's draft goes.
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft)?;
    linked.and_then(|()| fs::File::open(folder)?.sync_all())
}

/// The key pair in a PEM text.
pub(crate) fn pair(pem: &Secret<String>) -> Result<Ed25519KeyPair, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.reveal().as_bytes())
        .map_err(|_| "it is not a private key in PKCS #8 PEM".to_owned())?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        .map_err(|_| "it is not an Ed25519 key in PKCS #8 PEM".to_owned())
}

/// The bot's key for the bot in this process, and its public half for the gateway.
///
/// # Errors
/// As [`load_or_create`].
pub fn load_or_create_bot_key(path: &Path) -> Result<(Secret<String>, BotVerifier), KeyError> {
    let pem = load_or_create(path)?;
    let pair = pair(&pem).map_err(|why| error(path, why))?;
    let verifier = BotVerifier::from_raw(pair.public_key().as_ref());
    Ok((pem, verifier))
}

#[cfg(test)]
mod tests {
    use countersign_shared::bot_token::{BotKey, Purpose};

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/log.key");
        let first = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn two_that_start_at_once_use_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, text).unwrap();
            assert!(load_or_create(&path).is_err(), "{text:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn the_bots_half_signs_what_the_gateways_half_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let (pem, verifier) = load_or_create_bot_key(&folder.path().join("bot.key")).unwrap();
        let token = BotKey::from_pem(pem.reveal().as_bytes()).unwrap().sign(Purpose::Call).unwrap();
        assert!(verifier.verify(&token).is_ok());
        let (_, stranger) = load_or_create_bot_key(&folder.path().join("other.key")).unwrap();
        assert!(stranger.verify(&token).is_err());
    }
}
