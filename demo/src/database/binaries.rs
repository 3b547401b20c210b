//! Where PostgreSQL's programs are.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::DatabaseError;

/// Names the folder of PostgreSQL's programs, before any search.
pub const BIN_VARIABLE: &str = "COUNTERSIGN_PG_BIN";

/// Finds the folder that holds `initdb`, `postgres` and `psql`: what the environment names, else
/// the newest that Debian, Red Hat or Homebrew installed, else the one on the PATH.
pub(super) fn find() -> Result<PathBuf, DatabaseError> {
    if let Some(named) = env::var_os(BIN_VARIABLE).map(PathBuf::from) {
        return if is_complete(&named) { Ok(named) } else { Err(DatabaseError::NotThere(named)) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    newest(&installed())
        .or_else(|| env::split_paths(&path).find(|folder| is_complete(folder)))
        .ok_or(DatabaseError::NotInstalled)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// Every `…/<version>/bin` and `…/postgresql@<version>/bin` with a server in it.
fn installed() -> Vec<PathBuf> {
    ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt", "/usr"]
        .iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .filter(|folder| is_complete(folder))
        .collect()
}

/// The folder whose path ends in the greatest version.
fn newest(folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().max_by_key(|folder| version(folder)).cloned()
}

fn version(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_server_is_taken_by_number_not_by_letter() {
        let folders = ["/usr/lib/postgresql/9/bin", "/usr/lib/postgresql/15/bin", "/usr/pgsql-14/bin"];
        let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
        assert_eq!(newest(&folders), Some(PathBuf::from("/usr/lib/postgresql/15/bin")));
        assert_eq!(version(Path::new("/opt/homebrew/opt/postgresql@17/bin")), 17);
    }
}
