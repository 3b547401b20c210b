//! Checkpoints: signed notes, as at <https://c2sp.org/tlog-checkpoint> and <https://c2sp.org/signed-note>.
//!
//! ```text
//! countersign.dev/log/9f3c2a7b51e04d68      the origin: which log
//! 1042                                      how many entries
//! wY9Z…=                                    the root of the tree over them
//!
//! — countersign.dev/log/9f3c2a7b51e04d68 K7…=
//! ```

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::tree::Hash;

/// Which algorithm a key is for, in its id and its text: Ed25519.
const ED25519_KEY: u8 = 1;
/// What stands before a signature.
const DASH: &str = "\u{2014} ";

/// What a log was at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// A checkpoint with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The whole note.
    pub note: String,
}

/// Why a note says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not of this form.
    #[error("it is no signed checkpoint: {0}")]
    Form(&'static str),
    /// Its signature is by another key.
    #[error("it is signed by another key than {0}")]
    OtherKey(String),
    /// The signature is wrong.
    #[error("its signature is wrong: it was changed after it was signed, or forged")]
    Forged,
}

impl Checkpoint {
    /// What is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split_terminator('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let checkpoint = Self { origin: origin.to_owned(), size: size.parse().ok()?, root };
        // Nothing has two spellings: no sign, no zero before a number, no line more.
        (checkpoint.text() == text).then_some(checkpoint)
    }
}

/// A public key, which verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// Whose it is: a log's origin. A key from elsewhere (PEM) says nothing of it.
    pub name: Option<String>,
    public: [u8; 32],
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let meaning = [name.as_bytes(), &[b'\n', ED25519_KEY], public].concat();
    let mut id = [0; 4];
    id.copy_from_slice(&digest(&SHA256, &meaning).as_ref()[..4]);
    id
}

impl Verifier {
    /// A key that counts for one log, or for whichever log signs with it.
    #[must_use]
    pub const fn new(name: Option<String>, public: [u8; 32]) -> Self {
        Self { name, public }
    }

    /// The form in which it is handed on: `NAME+ID+KEY`.
    #[must_use]
    pub fn text_for(&self, name: &str) -> String {
        let id: String = key_id(name, &self.public).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}+{id}+{}", STANDARD.encode([&[ED25519_KEY], &self.public[..]].concat()))
    }

    /// Reads that form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end();
        // Base64 may have a plus of its own.
        let mut parts = text.splitn(3, '+');
        let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let key = STANDARD.decode(key).ok()?;
        let public = key.strip_prefix(&[ED25519_KEY])?.try_into().ok()?;
        let verifier = Self { name: Some(name.to_owned()), public };
        (!name.is_empty() && verifier.text_for(name) == text).then_some(verifier)
    }

    /// Reads one note, which is all of `note`.
    ///
    /// # Errors
    /// Whatever keeps it from saying anything.
    pub fn open(&self, note: &str) -> Result<Signed, NoteError> {
        let (text, signature) = note.split_once("\n\n").ok_or(NoteError::Form("it has no signature"))?;
        let text = format!("{text}\n");
        let checkpoint =
            Checkpoint::parse(&text).ok_or(NoteError::Form("it needs an origin, a size and a root, each on a line"))?;
        let name = self.name.as_ref().unwrap_or(&checkpoint.origin);
        let signature = signature.strip_suffix('\n').filter(|line| !line.contains('\n'));
        let (by, signature) = signature
            .and_then(|line| line.strip_prefix(DASH)?.split_once(' '))
            .ok_or(NoteError::Form("it needs one signature, on a line of its own"))?;
        let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Form("its signature is not base64"))?;
        let (id, signature) =
            bytes.split_at_checked(4).ok_or(NoteError::Form("its signature is shorter than a key's id"))?;
        let known_as = || self.text_for(name);
        if by != name || *id != key_id(name, &self.public) || checkpoint.origin != *name {
            return Err(NoteError::OtherKey(known_as()));
        }
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(text.as_bytes(), signature)
            .map_err(|_| NoteError::Forged)?;
        Ok(Signed { checkpoint, note: note.to_owned() })
    }

    /// A note from a text and its signature.
    pub(super) fn seal(&self, checkpoint: Checkpoint, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Signed {
        let text = checkpoint.text();
        let signature = sign(text.as_bytes());
        let id = key_id(&checkpoint.origin, &self.public);
        let signature = STANDARD.encode([&id[..], &signature].concat());
        let note = format!("{text}\n{DASH}{} {signature}\n", checkpoint.origin);
        Signed { checkpoint, note }
    }
}

/// The notes that stand one after the other in a file, each as it is; what is left at the end is none.
pub(super) fn split(mut text: &str) -> (Vec<&str>, &str) {
    let mut notes = Vec::new();
    while let Some(length) = whole(text) {
        let (note, rest) = text.split_at(length);
        notes.push(note);
        text = rest;
    }
    (notes, text)
}

/// How long the first note is: up to the end of the line after the blank one.
fn whole(text: &str) -> Option<usize> {
    let signature = text.find("\n\n")? + 2;
    let line = text.get(signature..)?.find('\n')?;
    Some(signature + line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::chain::key::testing::signer;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "countersign.dev/log/1".into(), size, root: [7; 32] }
    }

    #[test]
    fn a_note_is_read_as_it_was_signed_and_in_no_other_spelling() {
        let signer = signer("countersign.dev/log/1");
        let signed = signer.sign(10, [7; 32]);
        let verifier = signer.verifier();
        assert_eq!(signed.checkpoint, checkpoint(10));
        assert_eq!(verifier.open(&signed.note).unwrap(), signed);
        let table = [
            signed.note.replacen("10", "010", 1),
            signed.note.replacen("10", "+10", 1),
            signed.note.replacen("10", "11", 1),
            signed.note.replacen("log/1\n", "log/2\n", 1),
            signed.note.replacen("\n\n", "\nextra\n\n", 1),
            signed.note.replacen("\n\n", "\n\n\n", 1),
            signed.note.replace(DASH, "- "),
            signed.note.trim_end().to_owned(),
            format!("{}{DASH}other AAAA\n", signed.note),
            String::new(),
        ];
        for changed in table {
            assert!(verifier.open(&changed).is_err(), "{changed}");
        }
        for at in 0..signed.note.len() {
            for bit in 0..8 {
                let mut bytes = signed.note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(verifier.open(&text).is_err(), "byte {at}, bit {bit}: {text}");
                }
            }
        }
    }

    #[test]
    fn another_key_signs_nothing_of_this_log() {
        let (ours, theirs) = (signer("countersign.dev/log/1"), signer("countersign.dev/log/1"));
        let forged = theirs.sign(10, [7; 32]);
        assert!(matches!(ours.verifier().open(&forged.note), Err(NoteError::OtherKey(_))));
        let nameless = Verifier::new(None, ours.verifier().public);
        assert_eq!(nameless.open(&ours.sign(3, [1; 32]).note).unwrap().checkpoint.size, 3);
        assert!(matches!(nameless.open(&forged.note), Err(NoteError::OtherKey(_))));
    }

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let verifier = signer("countersign.dev/log/1").verifier();
        let text = verifier.text_for("countersign.dev/log/1");
        assert_eq!(Verifier::parse(&format!("{text}\n")), Some(verifier));
        for wrong in ["", "a+b+c", &text.replacen("log/1", "log/2", 1), &text[..text.len() - 2]] {
            assert_eq!(Verifier::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_key_of_the_go_checksum_database_has_the_id_that_it_is_published_with() {
        let text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(Verifier::parse(text).unwrap().name.as_deref(), Some("sum.golang.org"));
    }

    #[test]
    fn notes_that_follow_one_another_are_told_apart() {
        let signer = signer("countersign.dev/log/1");
        let (one, two) = (signer.sign(1, [1; 32]).note, signer.sign(2, [2; 32]).note);
        let file = format!("{one}{two}");
        assert_eq!(split(&file), (vec![one.as_str(), two.as_str()], ""));
        let torn = &file[..file.len() - 1];
        let (notes, rest) = split(torn);
        assert_eq!((notes, rest.len()), (vec![one.as_str()], two.len() - 1));
        assert_eq!(split(""), (vec![], ""));
    }
}
