//! `[scim]`.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};

use super::{reader::Table, secrets::secrets};

/// The shortest token, in bytes.
const SHORTEST: usize = 20;
/// The most tokens: the old one and the new one.
const MOST: usize = 2;

/// What clients of SCIM prove themselves with. Only hashes are kept.
#[derive(Clone)]
pub struct ScimTokens(Vec<Vec<u8>>);

impl ScimTokens {
    /// These tokens.
    pub fn of<'t>(tokens: impl IntoIterator<Item = &'t str>) -> Self {
        Self(tokens.into_iter().map(hash).collect())
    }

    /// Their hashes.
    pub fn hashes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether `token` is one of them, in a time that does not tell which or how much of it fits.
    #[must_use]
    pub fn have(&self, token: &str) -> bool {
        let given = hash(token);
        let equal = |own: &&Vec<u8>| verify_slices_are_equal(own, &given).is_ok();
        self.0.iter().filter(equal).count() > 0
    }
}

impl fmt::Debug for ScimTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn hash(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

pub(super) fn read(table: &Table<'_>) -> Option<ScimTokens> {
    table.must("token", "token = { env = \"SCIM_TOKEN\" }");
    let tokens = secrets(table, "token");
    table.finish();
    // Otherwise it has been said why there is none.
    if table.get("token").and_then(|token| token.get_ref().as_array()).is_some_and(|all| all.is_empty()) {
        table.doc.problem(table.at, "[scim] has no token", "token = { env = \"SCIM_TOKEN\" }");
    }
    if tokens.len() > MOST {
        table.doc.problem(table.at, format!("[scim] has more than {MOST} tokens"), "keep the old one and the new one");
    }
    if tokens.iter().any(|token| token.reveal().len() < SHORTEST) {
        let hint = "make one: openssl rand -hex 32";
        table.doc.problem(table.at, format!("a token of [scim] has fewer than {SHORTEST} characters"), hint);
    }
    (!tokens.is_empty()).then(|| ScimTokens::of(tokens.iter().map(|token| token.reveal().as_str())))
}
