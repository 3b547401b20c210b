//! Entries of connections that say so, sealed: what people wrote and read is in the log as ciphertext only.
//!
//! The tree is over the sealed line, so whoever verifies needs the public key and nothing else. Each day, and each run
//! of a gateway, has a key of its own for each connection, which lies in `records/keys`, encrypted with the connection's `seal`.
//! Destroying it destroys what it sealed, wherever copies of the log are, and changes no line of it.
//!
//! | sealed | in clear |
//! |---|---|
//! | statement, parameters, rows, COPY data's hash, the requester's reason, what an error or a refusal says, names that are in no catalog | time, who, where, effects, digest, decision, command tag, SQLSTATE |

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{NaiveDate, Utc};
use countersign_shared::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Entry, Kind,
    disk::{Disk, RealDisk},
};
use crate::regular;

/// 32 bytes: what a connection's keys are encrypted with.
pub type SealSecret = Secret<[u8; 32]>;

/// What of `detail` is sealed.
const DETAILS: [&str; 4] = ["parameters", "rows", "message", "copied"];
/// What stands in place of a name that people may have written.
const UNNAMED: &str = "opaque Function::\"(sealed)\"";
/// The longest file of a key, in bytes.
const LONGEST: u64 = 64 << 10;
/// A key seals no more than this: far below where a counter of messages would matter.
const MOST: u64 = 1 << 32;

/// Reads a secret: 32 bytes in base64.
#[must_use]
pub fn read_secret(text: &str) -> Option<SealSecret> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok().map(Secret::new)
}

/// Where keys lie.
#[must_use]
pub fn keys_in(records: &Path) -> PathBuf {
    records.join("keys")
}

/// A key's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// Its name in entries.
    pub id: String,
    /// Whose entries it seals.
    pub connection: String,
    /// The day, in UTC, on which it was made; it seals nothing of a later one.
    pub day: NaiveDate,
    /// Nonce and ciphertext, in base64.
    key: String,
}

impl KeyFile {
    fn about(&self) -> String {
        format!("countersign.dev/seal-key/v1\n{}\n{}\n{}", self.id, self.connection, self.day)
    }
}

/// The keys in a folder.
#[derive(Debug, Default)]
pub struct Keys {
    /// Those that can be read, each with its file, by day.
    pub good: Vec<(PathBuf, KeyFile)>,
    /// Files that can't be, with the reason.
    pub bad: Vec<(PathBuf, String)>,
    /// What an end that was cut short has left: no key any more.
    pub left: Vec<PathBuf>,
}

/// All keys in a folder.
///
/// # Errors
/// Where the folder can't be read.
pub fn keys(records: &Path) -> io::Result<Keys> {
    let mut found = Keys::default();
    let files = match fs::read_dir(keys_in(records)) {
        Ok(files) => files,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    for file in files {
        let path = file?.path();
        let is = |extension: &str| path.extension().is_some_and(|is| is == extension);
        if is("gone") || is("key") && fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
            found.left.push(path);
        } else if is("key") {
            let read = regular::bytes(&path, LONGEST).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            match read {
                Ok(key) => found.good.push((path, key)),
                Err(why) => found.bad.push((path, why.to_string())),
            }
        }
    }
    found.good.sort_by_key(|(_, key)| key.day);
    Ok(found)
}

fn aead(key: &[u8]) -> io::Result<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| io::Error::other("a key has another length"))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("there is no randomness"))?;
    Ok(bytes)
}

fn locked(key: &LessSafeKey, nonce: [u8; NONCE_LEN], about: &str, text: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(about.as_bytes()), &mut bytes)
        .map_err(|_| io::Error::other("it can't be sealed"))?;
    Ok(bytes)
}

fn unlocked(key: &LessSafeKey, nonce: &[u8], about: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = key.open_in_place(nonce, Aad::from(about.as_bytes()), &mut bytes).ok()?;
    Some(text.to_vec())
}

/// The key of a connection that seals now.
struct Current {
    id: String,
    day: NaiveDate,
    key: LessSafeKey,
    sealed: u64,
}

/// Seals the entries of some connections.
pub struct Sealer {
    folder: PathBuf,
    secrets: HashMap<String, SealSecret>,
    current: Mutex<HashMap<String, Current>>,
}

impl Sealer {
    /// With the secret of each connection. `None`: nothing is sealed.
    #[must_use]
    pub fn new(records: &Path, secrets: HashMap<String, SealSecret>) -> Option<Self> {
        (!secrets.is_empty()).then(|| Self { folder: keys_in(records), secrets, current: Mutex::default() })
    }

    /// An entry as it goes into the log, given as it was encoded.
    ///
    /// # Errors
    /// Where it can't be sealed: then it must not be written.
    pub fn seal(&self, fields: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut entry: Map<String, Value> = serde_json::from_slice(&fields)?;
        let Some(connection) = entry.get("connection").and_then(Value::as_str).map(str::to_owned) else {
            return Ok(fields);
        };
        let Some(secret) = self.secrets.get(&connection) else { return Ok(fields) };
        let Some(hidden) = taken_out(&mut entry) else { return Ok(fields) };
        let sealed = self.with_key(&connection, secret, |current| {
            let mut nonce = [0; NONCE_LEN];
            nonce[NONCE_LEN - 8..].copy_from_slice(&current.sealed.to_be_bytes());
            current.sealed += 1;
            let text = serde_json::to_vec(&hidden)?;
            let bytes = locked(&current.key, nonce, &about(&current.id, &connection), &text)?;
            Ok(format!("{}:{}", current.id, STANDARD.encode([&nonce[..], &bytes].concat())))
        })?;
        let detail = entry.entry("detail").or_insert_with(|| Value::Object(Map::new()));
        if let Some(detail) = detail.as_object_mut() {
            detail.insert("sealed".to_owned(), sealed.into());
        }
        Ok(serde_json::to_vec(&entry)?)
    }

    fn with_key<T>(
        &self,
        connection: &str,
        secret: &SealSecret,
        then: impl FnOnce(&mut Current) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let today = Utc::now().date_naive();
        let fresh = current.get(connection).is_some_and(|key| key.day == today && key.sealed < MOST);
        if !fresh {
            let key = self.make(connection, secret, today)?;
            current.insert(connection.to_owned(), key);
        }
        current.get_mut(connection).map_or_else(|| Err(io::Error::other("there is no key")), then)
    }

    /// Makes a key, which is on the disk before it seals anything.
    fn make(&self, connection: &str, secret: &SealSecret, day: NaiveDate) -> io::Result<Current> {
        let (key, id) = (random::<32>()?, random::<8>()?);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = KeyFile { id: id.clone(), connection: connection.to_owned(), day, key: String::new() };
        let nonce = random::<NONCE_LEN>()?;
        let wrapped = locked(&aead(secret.reveal())?, nonce, &file.about(), &key)?;
        file.key = STANDARD.encode([&nonce[..], &wrapped].concat());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        RealDisk.replace(&self.folder.join(format!("{id}.key")), &serde_json::to_vec(&file)?)?;
        Ok(Current { id, day, key: aead(&key)?, sealed: 0 })
    }
}

fn about(id: &str, connection: &str) -> String {
    format!("countersign.dev/sealed/v1\n{id}\n{connection}")
}

/// Takes out what is sealed.
fn taken_out(entry: &mut Map<String, Value>) -> Option<Map<String, Value>> {
    let mut hidden = Map::new();
    hidden.extend(entry.remove("sql").map(|sql| ("sql".to_owned(), sql)));
    let kind = entry.get("kind").and_then(Value::as_str).map(str::to_owned);
    let failed = entry.get("detail").is_some_and(|detail| detail["failed"] == true);
    if let Some(outcome) = entry.get("outcome").and_then(Value::as_str).map(str::to_owned)
        && let Some(clear) = kind.as_deref().and_then(|kind| clear_part(kind, failed, &outcome))
    {
        entry.insert("outcome".to_owned(), clear.into());
        hidden.insert("outcome".to_owned(), outcome.into());
    }
    if let Some(detail) = entry.get_mut("detail").and_then(Value::as_object_mut) {
        if let Some(effects) =
            detail.get("effects").and_then(Value::as_array).filter(|effects| effects.iter().any(unnamed))
        {
            let told = effects.iter().map(|effect| if unnamed(effect) { UNNAMED.into() } else { effect.clone() });
            let told = Value::Array(told.collect());
            hidden.extend(detail.insert("effects".to_owned(), told).map(|all| ("effects".to_owned(), all)));
        }
        // Why somebody ran something stands beside the statement. Reasons of grants are for who reads reports.
        let reason = matches!(kind.as_deref(), Some("held" | "break_glass")).then_some("reason");
        for name in DETAILS.into_iter().chain(reason) {
            hidden.extend(detail.remove(name).map(|value| (name.to_owned(), value)));
        }
    }
    (!hidden.is_empty()).then_some(hidden)
}

/// A function that can't be seen into; its name need be in no catalog, and then it is what somebody wrote.
fn unnamed(effect: &Value) -> bool {
    effect.as_str().is_some_and(|effect| effect.starts_with("opaque Function::"))
}

/// What stays of an outcome that tells more than how it ended; `None` where all of it does. What a server's error or
/// a refusal says may quote the statement and values; a SQLSTATE stays.
fn clear_part(kind: &str, failed: bool, outcome: &str) -> Option<String> {
    match kind {
        "outcome" if failed => Some(sqlstate(outcome).unwrap_or("failed").to_owned()),
        "outcome" if outcome.starts_with("undone: ") => Some("undone".to_owned()),
        "denied" => Some(sqlstate(outcome).unwrap_or("denied").to_owned()),
        // A word is a request's state; a sentence says why.
        "hold_ended" if outcome.contains(' ') => Some("void".to_owned()),
        _ => None,
    }
}

/// The SQLSTATE with which the line of a failure begins: five digits and capitals, which a server's own code may choose.
fn sqlstate(outcome: &str) -> Option<&str> {
    let (code, _) = outcome.split_once(' ')?;
    let fits = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    fits.then_some(code)
}

/// Reads what was sealed, for who has the connections' secrets.
pub struct Opener {
    records: PathBuf,
    secrets: HashMap<String, SealSecret>,
    known: Mutex<HashMap<String, Option<Arc<LessSafeKey>>>>,
}

impl Opener {
    /// `None`: there is nothing to open with.
    #[must_use]
    pub fn new(records: &Path, secrets: HashMap<String, SealSecret>) -> Option<Self> {
        (!secrets.is_empty()).then(|| Self { records: records.to_owned(), secrets, known: Mutex::default() })
    }

    /// Puts back what was sealed; an entry whose key is not there stays as it is.
    pub fn open(&self, entry: &mut Entry) {
        let Some(hidden) = self.hidden(entry) else { return };
        if let Some(detail) = entry.detail.as_object_mut() {
            detail.remove("sealed");
        }
        for (name, value) in hidden {
            match (name.as_str(), value) {
                ("sql", Value::String(sql)) => entry.sql = Some(sql),
                ("outcome", Value::String(outcome)) => entry.outcome = Some(outcome),
                (_, value) => entry.detail[name] = value,
            }
        }
    }

    fn hidden(&self, entry: &Entry) -> Option<Map<String, Value>> {
        let (id, data) = sealed(entry)?;
        let connection = entry.connection.as_deref()?;
        let bytes = STANDARD.decode(data).ok()?;
        let (nonce, bytes) = bytes.split_at_checked(NONCE_LEN)?;
        let key = self.key(id, connection)?;
        serde_json::from_slice(&unlocked(&key, nonce, &about(id, connection), bytes.to_vec())?).ok()
    }

    fn key(&self, id: &str, connection: &str) -> Option<Arc<LessSafeKey>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(id) {
            return key.clone();
        }
        let read = || {
            // An id is what the writer made, and no path.
            let named = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let path = keys_in(&self.records).join(format!("{id}.key"));
            let file: KeyFile = serde_json::from_slice(&fs::read(path).ok().filter(|_| named)?).ok()?;
            let secret = self.secrets.get(connection).filter(|_| file.connection == connection && file.id == id)?;
            let bytes = STANDARD.decode(&file.key).ok()?;
            let (nonce, bytes) = bytes.split_at_checked(NONCE_LEN)?;
            let key = unlocked(&aead(secret.reveal()).ok()?, nonce, &file.about(), bytes.to_vec())?;
            aead(&key).ok().map(Arc::new)
        };
        let key = read();
        known.insert(id.to_owned(), key.clone());
        key
    }
}

/// What is sealed of an entry: the key's id, and the rest.
#[must_use]
pub fn sealed(entry: &Entry) -> Option<(&str, &str)> {
    entry.detail.get("sealed")?.as_str()?.split_once(':')
}

/// What is told of keys that a connection keeps no longer. It must be on the disk before [`destroy`] is called.
#[must_use]
pub fn forgotten(connection: &str, keys: &[&KeyFile]) -> Entry {
    let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    let days: Vec<String> = keys.iter().map(|key| key.day.to_string()).collect();
    Entry {
        connection: Some(connection.to_owned()),
        outcome: Some(format!("{} keys of sealed records are destroyed by retention", ids.len())),
        detail: serde_json::json!({ "keys": ids, "days": days }),
        ..Entry::new(Kind::Retention)
    }
}

/// Takes a key away.
///
/// # Errors
/// Where it is still there.
pub fn destroy(path: &Path) -> io::Result<()> {
    // Whatever ends this in the middle, no key is left that looks like one.
    let gone = path.with_extension("gone");
    fs::rename(path, &gone)?;
    // A copy may stay in the disk's spare blocks; what it is encrypted with is elsewhere.
    fs::write(&gone, [])?;
    fs::File::open(&gone)?.sync_all()?;
    fs::remove_file(&gone)?;
    path.parent().map_or(Ok(()), super::disk::sync_folder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::log::Record as _;

    fn secrets() -> HashMap<String, SealSecret> {
        HashMap::from([("shop".to_owned(), Secret::new([7; 32]))])
    }

    fn encoded(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        entry.write(&mut out).unwrap();
        out
    }

    fn statement() -> Entry {
        Entry {
            connection: Some("shop".into()),
            sql: Some("select 'hunter2'".into()),
            outcome: Some("allow".into()),
            detail: json!({ "parameters": ["hunter2"], "effects": ["select Table::\"shop/public.orders\""] }),
            ..Entry::new(Kind::Statement)
        }
    }

    #[test]
    fn what_people_wrote_is_sealed_and_read_back_by_who_has_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(folder.path(), secrets()).unwrap();
        let failed = Entry {
            connection: Some("shop".into()),
            outcome: Some("22P02 invalid input syntax for type integer: \"hunter2\"".into()),
            detail: json!({ "milliseconds": 3, "failed": true, "rows": { "given": [{ "values": [["hunter2"]] }] } }),
            ..Entry::new(Kind::Outcome)
        };
        let of = |kind, outcome: &str, detail: serde_json::Value| Entry {
            connection: Some("shop".into()),
            outcome: Some(outcome.into()),
            detail,
            ..Entry::new(kind)
        };
        let all = [
            (statement(), "allow"),
            (failed, "22P02"),
            (of(Kind::Outcome, "ABCDE bad value hunter2", json!({ "failed": true })), "ABCDE"),
            (of(Kind::Outcome, "abc hunter2", json!({ "failed": true })), "failed"),
            (of(Kind::Outcome, "undone: 3 rows of \"hunter2\"", json!({ "milliseconds": 3 })), "undone"),
            (of(Kind::Outcome, "COPY 1", json!({ "copied": [{ "sha256": "hunter2" }] })), "COPY 1"),
            (of(Kind::Denied, "42601 syntax error at or near \"'hunter2'\"", json!({ "rules": [] })), "42601"),
            (of(Kind::HoldEnded, "relation \"hunter2\" does not exist", json!({})), "void"),
            (of(Kind::Held, "hold", json!({ "reason": "hunter2 is locked out" })), "hold"),
            (
                of(
                    Kind::Statement,
                    "allow",
                    json!({ "effects": ["opaque Function::\"shop/pg_catalog.\\\"hunter2\\\"\""] }),
                ),
                "allow",
            ),
        ];
        for (before, clear) in all {
            let line = sealer.seal(encoded(&before)).unwrap();
            assert!(!String::from_utf8_lossy(&line).contains("hunter2"));
            let mut read: Entry = serde_json::from_slice(&line).unwrap();
            assert!(read.sql.is_none() && sealed(&read).is_some());
            assert_eq!(read.outcome.as_deref(), Some(clear));
            let other = HashMap::from([("shop".to_owned(), Secret::new([8; 32]))]);
            let closed = read.clone();
            Opener::new(folder.path(), other).unwrap().open(&mut read);
            assert_eq!(read, closed, "another secret opens nothing");
            Opener::new(folder.path(), secrets()).unwrap().open(&mut read);
            assert_eq!(read, before);
        }
        assert_eq!(keys(folder.path()).unwrap().good.len(), 1, "one key for a day");
    }

    #[test]
    fn what_is_not_to_be_sealed_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(folder.path(), secrets()).unwrap();
        let elsewhere = Entry { connection: Some("payroll".into()), ..statement() };
        let done =
            Entry { connection: Some("shop".into()), outcome: Some("UPDATE 5".into()), ..Entry::new(Kind::Outcome) };
        // Not what failed: a tag may look like a SQLSTATE.
        let merged = Entry { outcome: Some("MERGE 1".into()), ..done.clone() };
        let over = Entry { kind: Kind::HoldEnded, outcome: Some("expired".into()), ..done.clone() };
        let granted = Entry { kind: Kind::Granted, detail: json!({ "reason": "on call" }), ..done.clone() };
        for entry in [elsewhere, done, merged, over, granted, Entry::new(Kind::Stop)] {
            assert_eq!(sealer.seal(encoded(&entry)).unwrap(), encoded(&entry));
        }
        assert!(Sealer::new(folder.path(), HashMap::new()).is_none());
    }

    #[test]
    fn a_sealed_text_belongs_to_its_connection_and_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let two =
            || HashMap::from([("shop".to_owned(), Secret::new([7; 32])), ("payroll".to_owned(), Secret::new([7; 32]))]);
        let sealer = Sealer::new(folder.path(), two()).unwrap();
        let mut moved: Entry = serde_json::from_slice(&sealer.seal(encoded(&statement())).unwrap()).unwrap();
        moved.connection = Some("payroll".into());
        let before = moved.clone();
        Opener::new(folder.path(), two()).unwrap().open(&mut moved);
        assert_eq!(moved, before);
        for id in ["../../etc/passwd", "", "zz"] {
            let mut odd = statement();
            odd.detail = json!({ "sealed": format!("{id}:AAAA") });
            Opener::new(folder.path(), two()).unwrap().open(&mut odd);
            assert!(sealed(&odd).is_some());
        }
    }

    #[test]
    fn with_its_key_a_text_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(folder.path(), secrets()).unwrap();
        let mut read: Entry = serde_json::from_slice(&sealer.seal(encoded(&statement())).unwrap()).unwrap();
        let all = keys(folder.path()).unwrap().good;
        let entry = forgotten("shop", &all.iter().map(|(_, key)| key).collect::<Vec<_>>());
        assert_eq!(entry.detail["keys"][0].as_str(), sealed(&read).map(|(id, _)| id));
        destroy(&all[0].0).unwrap();
        let before = read.clone();
        Opener::new(folder.path(), secrets()).unwrap().open(&mut read);
        assert_eq!(read, before);
        assert!(keys(folder.path()).unwrap().good.is_empty());
        assert_eq!(fs::read_dir(keys_in(folder.path())).unwrap().count(), 0);
    }

    #[test]
    fn no_two_texts_are_sealed_alike() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(folder.path(), secrets()).unwrap();
        let again = Sealer::new(folder.path(), secrets()).unwrap();
        let mut seen = std::collections::HashSet::new();
        for sealer in [&sealer, &again] {
            for _ in 0..50 {
                let line: Entry = serde_json::from_slice(&sealer.seal(encoded(&statement())).unwrap()).unwrap();
                let (id, data) = sealed(&line).unwrap();
                let nonce = STANDARD.decode(data).unwrap()[..NONCE_LEN].to_vec();
                assert!(seen.insert((id.to_owned(), nonce)), "a nonce is used once");
            }
        }
        assert_eq!(read_secret(&STANDARD.encode([1; 32])), Some(Secret::new([1; 32])));
        assert_eq!(read_secret("aGk="), None);
    }
}
