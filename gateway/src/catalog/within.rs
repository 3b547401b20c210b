//! The catalog as a session's open transaction sees it, its own uncommitted changes included. Each
//! question leaves transaction and search path as they were.

use super::{
    read::{self, CatalogQuery},
    snapshot::Snapshot,
};

/// What a transaction saw.
#[derive(Debug)]
pub struct Seen {
    /// All of it.
    pub snapshot: Snapshot,
    /// Which it is.
    pub version: Version,
    /// REPEATABLE READ or SERIALIZABLE: a question shows nothing that others commit, although the
    /// transaction's statements use it.
    pub repeats: bool,
}

/// Which catalog a transaction saw. It says nothing to another transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Chosen anew for each reading, so that nobody can look for two catalogs with one fingerprint.
    seed: i64,
    fingerprint: String,
}

/// Reads everything. The version is taken first, so that what others commit meanwhile shows at the next
/// check.
///
/// # Errors
/// What the server said; the transaction has failed then.
pub async fn read(server: &mut dyn CatalogQuery, seed: i64) -> Result<Seen, String> {
    let before = pin(server).await?;
    let fingerprint = read::fingerprint_within(server, seed).await?;
    let snapshot = read::read_all(server, "").await?;
    server.rows(&set_path(&before.path)).await?;
    Ok(Seen { snapshot, version: Version { seed, fingerprint }, repeats: before.isolation != "read committed" })
}

/// Whether the catalog is still what it was, in the same transaction. Some milliseconds.
///
/// # Errors
/// What the server said; the transaction has failed then.
pub async fn is_still(server: &mut dyn CatalogQuery, version: &Version) -> Result<bool, String> {
    let before = pin(server).await?;
    let fingerprint = read::fingerprint_within(server, version.seed).await?;
    server.rows(&set_path(&before.path)).await?;
    Ok(fingerprint == version.fingerprint)
}

struct Before {
    path: String,
    isolation: String,
}

/// Names are the catalog's own from here on.
async fn pin(server: &mut dyn CatalogQuery) -> Result<Before, String> {
    let settings =
        "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('transaction_isolation')";
    let mut values = server.rows(settings).await?.into_iter().flatten().flatten();
    let (path, isolation) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    server.rows(&set_path(read::PATH)).await?;
    Ok(Before { path, isolation })
}

fn set_path(path: &str) -> String {
    format!("SELECT pg_catalog.set_config('search_path', '{}', true)", path.replace('\'', "''"))
}
