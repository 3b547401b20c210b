//! Policies of a text, for tests.

use super::Policies;

/// The policies of one file, `10-base.cedar`.
pub(crate) fn policies(text: &str) -> Policies {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10-base.cedar"), text).unwrap();
    Policies::load(folder.path()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}
