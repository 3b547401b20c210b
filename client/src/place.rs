//! The folder that a sign-in is kept in, and what else belongs to one person. Only they read it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::NotSignedIn;

/// What is kept, each in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The sign-in.
    Login,
    /// The proxy's password and ports.
    Proxy,
}

/// Where things are kept.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

impl Place {
    /// The usual one: `COUNTERSIGN_HOME`, or `countersign` in the system's folder for such things.
    ///
    /// # Errors
    /// Where the environment does not say.
    pub fn usual() -> Result<Self, NotSignedIn> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let system = || {
            if cfg!(windows) {
                folder("LOCALAPPDATA")
            } else if cfg!(target_os = "macos") {
                folder("HOME").map(|home| home.join("Library/Application Support"))
            } else {
                // XDG Base Directory: a relative path is to be ignored.
                let state = folder("XDG_STATE_HOME").filter(|path| path.is_absolute());
                state.or_else(|| folder("HOME").map(|home| home.join(".local/state")))
            }
        };
        let found = folder("COUNTERSIGN_HOME").or_else(|| system().map(|folder| folder.join("countersign")));
        found.map(Self).ok_or_else(|| NotSignedIn::Place {
            path: "COUNTERSIGN_HOME".to_owned(),
            why: "is not set, and neither is HOME; there is nowhere to keep a sign-in".to_owned(),
        })
    }

    /// A folder of one's own choice.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn file(&self, what: What) -> PathBuf {
        self.0.join(match what {
            What::Login => "login.json",
            What::Proxy => "proxy.json",
        })
    }

    fn make(&self) -> Result<(), NotSignedIn> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0).map_err(|error| wrong(&self.0, &error))
    }

    /// What is kept; nothing where nothing is.
    ///
    /// # Errors
    /// Where it can't be read, or others could.
    pub fn read(&self, what: What) -> Result<Option<Vec<u8>>, NotSignedIn> {
        let path = self.file(what);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&path, &error)),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).map_err(|error| wrong(&path, &error))?.permissions().mode();
            if mode & 0o077 != 0 {
                let why =
                    format!("others can read it (mode {:03o}); run `chmod 600` on it, and sign in again", mode & 0o777);
                return Err(NotSignedIn::Place { path: path.display().to_string(), why });
            }
        }
        Ok(Some(bytes))
    }

    /// Keeps `bytes`, whole or not at all.
    ///
    /// # Errors
    /// Where they can't be written.
    pub fn write(&self, what: What, bytes: &[u8]) -> Result<(), NotSignedIn> {
        self.make()?;
        let path = self.file(what);
        // Made with mode 0600, and moved over the old one.
        let work = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        work().map_err(|error| wrong(&path, &error))
    }

    /// Keeps nothing any more; whether there was something.
    ///
    /// # Errors
    /// Where it can't be removed.
    pub fn remove(&self, what: What) -> Result<bool, NotSignedIn> {
        match fs::remove_file(self.file(what)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(wrong(&self.file(what), &error)),
        }
    }

    /// Keeps others of one's own processes from renewing at the same time, until it is dropped: a
    /// provider that sees a renewal token twice takes it for stolen.
    ///
    /// # Errors
    /// Where there can be no lock.
    pub fn lock(&self) -> Result<File, NotSignedIn> {
        self.make()?;
        let path = self.0.join("login.lock");
        let work = || -> std::io::Result<File> {
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        work().map_err(|error| wrong(&path, &error))
    }
}

fn wrong(path: &Path, error: &std::io::Error) -> NotSignedIn {
    NotSignedIn::Place { path: path.display().to_string(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_reads_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::at(folder.path().join("new"));
        assert!(place.read(What::Login).unwrap().is_none());
        place.write(What::Login, b"one").unwrap();
        place.write(What::Login, b"two").unwrap();
        assert_eq!(place.read(What::Login).unwrap().as_deref(), Some(&b"two"[..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&place.0), mode(&place.file(What::Login))), (0o700, 0o600));
            fs::set_permissions(place.file(What::Login), fs::Permissions::from_mode(0o644)).unwrap();
            assert!(place.read(What::Login).unwrap_err().to_string().contains("others can read it (mode 644)"));
        }
        assert!(place.remove(What::Login).unwrap() && !place.remove(What::Login).unwrap());
    }
}
