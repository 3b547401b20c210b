//! Which system account runs the server: PostgreSQL refuses to run as root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::DatabaseError;

/// Another account than our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to run as: `None` for our own, which suits unless we are root.
    /// `ours` is a file that this process has made, so its owner is who we are.
    pub(super) fn to_run_as(ours: &Path) -> Result<Option<Self>, DatabaseError> {
        let owner = fs::metadata(ours).map_err(|error| DatabaseError::folder(ours, error))?.uid();
        if owner != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        find(&passwd).map(Some).ok_or(DatabaseError::OnlyRoot)
    }

    /// Gives `path` to the account.
    pub(super) fn own(self, path: &Path) -> Result<(), DatabaseError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|error| DatabaseError::folder(path, error))
    }

    /// Runs `command` as the account.
    pub(super) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// The first folder above `folder` that the account may not pass through, if any.
    pub(super) fn barred_by(self, folder: &Path) -> Option<PathBuf> {
        folder.ancestors().skip(1).find(|above| !self.passes(above)).map(Path::to_owned)
    }

    fn passes(self, folder: &Path) -> bool {
        let Ok(meta) = fs::metadata(folder) else { return false };
        let shift = match meta {
            _ if meta.uid() == self.uid => 6,
            _ if meta.gid() == self.gid => 3,
            _ => 0,
        };
        meta.permissions().mode() >> shift & 1 == 1
    }
}

/// `postgres` where a package made it, else `nobody`.
fn find(passwd: &str) -> Option<Account> {
    let account = |wanted: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == wanted).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (uid != 0).then_some(Account { uid, gid })
        })
    };
    account("postgres").or_else(|| account("nobody"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_runs_as_postgres_else_as_nobody_never_as_root() {
        let root = "root:x:0:0:root:/root:/bin/bash";
        let nobody = "nobody:x:65534:65533::/:/bin/false";
        let postgres = "postgres:x:104:110:,,,:/var/lib/postgresql:/bin/bash";
        let table = [
            ("a package made the account", format!("{root}\n{nobody}\n{postgres}\n"), Some((104, 110))),
            ("no package did", format!("{root}\n{nobody}"), Some((65534, 65533))),
            ("an account with root's id is root", format!("{root}\npostgres:x:0:0::/:/bin/sh"), None),
            ("nobody is there", root.to_owned(), None),
        ];
        for (case, passwd, expected) in table {
            assert_eq!(find(&passwd), expected.map(|(uid, gid)| Account { uid, gid }), "{case}");
        }
    }
}
