//! The newest checkpoint in a bucket. `log/checkpoint` is put there after the segments and notes of a round, and
//! whoever has the key can write another over it; a note is written once. So the newest is the newest of both.

use super::client::{Bucket, BucketError};
use crate::log::{
    chain::{Signed, Verifier},
    number_of,
};

/// How many entries a checkpoint says it is of.
#[must_use]
pub fn size_of(note: &str) -> u64 {
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_default()
}

/// The newer of two checkpoints, by what they say.
#[must_use]
pub fn newer(checkpoint: Option<String>, note: Option<String>) -> Option<String> {
    match (checkpoint, note) {
        (Some(checkpoint), Some(note)) if size_of(&note) > size_of(&checkpoint) => Some(note),
        (checkpoint, note) => checkpoint.or(note),
    }
}

/// The name of the note at the end of the newest segment that has one, of the names below `log`.
#[must_use]
pub fn last_note<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let number = |name: &str| number_of(&format!("{}.jsonl", name.strip_suffix(".note")?));
    names.filter_map(|name| Some((number(name)?, name))).max().map(|(_, name)| name.to_owned())
}

/// The newest checkpoint of a bucket of which `names` lie below `log`, as text.
///
/// # Errors
/// [`BucketError`].
pub async fn newest(bucket: &Bucket, names: &[(String, u64)]) -> Result<Option<String>, BucketError> {
    let text = |read: Option<bytes::Bytes>| read.map(|note| String::from_utf8_lossy(&note).into_owned());
    let checkpoint = text(bucket.get("log/checkpoint").await?);
    let note = match last_note(names.iter().map(|(name, _)| name.as_str())) {
        Some(name) => text(bucket.get(&format!("log/{name}")).await?),
        None => None,
    };
    Ok(newer(checkpoint, note))
}

/// The same, where this gateway's key signed it.
///
/// # Errors
/// [`BucketError`]; [`BucketError::Other`] where it did not.
pub async fn signed(bucket: &Bucket, names: &[(String, u64)], key: &Verifier) -> Result<Option<Signed>, BucketError> {
    let Some(note) = newest(bucket, names).await? else { return Ok(None) };
    let other = |why| {
        BucketError::Other(bucket.config().to_string(), format!("the newest checkpoint there does not count: {why}"))
    };
    key.open(&note).map(Some).map_err(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_the_newest_of_both() {
        let note = |size: u64| Some(format!("log\n{size}\nroot\n\n— log sig\n"));
        for (checkpoint, last, expected) in [
            (note(5), note(7), note(7)),
            (note(7), note(5), note(7)),
            (None, note(5), note(5)),
            (note(5), None, note(5)),
            (None, None, None),
        ] {
            assert_eq!(newer(checkpoint, last), expected);
        }
        let names = ["00000009.note", "00000010.jsonl.zst", "00000010.note", "checkpoint", "x.note", "99.note"];
        assert_eq!(last_note(names.into_iter()).as_deref(), Some("00000010.note"));
    }
}
