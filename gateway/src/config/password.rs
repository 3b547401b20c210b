//! A login's password upstream, which may change while the gateway runs.

use std::{fmt, sync::Arc, time::Duration};

use countersign_shared::secret::Secret;
use tokio::{sync::Mutex, time::Instant};

use super::secrets::Place;

/// After an attempt that brought nothing new, so long nobody asks again.
const REST: Duration = Duration::from_secs(5);

/// A password that is kept, and had anew when it grows old or a server refuses it. Clones share it.
#[derive(Clone)]
pub struct Password(Arc<Source>);

struct Source {
    place: Option<Place>,
    refresh: Option<Duration>,
    kept: Mutex<Kept>,
}

struct Kept {
    value: Secret<String>,
    /// From when on it is too old.
    due: Option<Instant>,
    /// Until when it is no use to ask for another.
    rests_until: Option<Instant>,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// One that never changes.
    #[must_use]
    pub fn fixed(value: Secret<String>) -> Self {
        Self(Arc::new(Source { place: None, refresh: None, kept: Mutex::new(Kept::new(value)) }))
    }

    /// One that was had from `place` just now.
    pub(super) fn kept(value: Secret<String>, place: Place, refresh: Option<Duration>) -> Self {
        let mut kept = Kept::new(value);
        kept.due = refresh.map(|refresh| Instant::now() + refresh);
        Self(Arc::new(Source { place: Some(place), refresh, kept: Mutex::new(kept) }))
    }

    /// Whether it stays until somebody changes it; not where a program makes it for the moment.
    #[must_use]
    pub fn stands(&self) -> bool {
        !matches!(self.0.place, Some(Place::Command { .. }))
    }

    /// The password to use now. Where it is older than `refresh` it is had anew; where that fails, the
    /// one before is used: the server decides whether it still counts.
    pub async fn current(&self) -> Secret<String> {
        let mut kept = self.0.kept.lock().await;
        if kept.due.is_some_and(|due| due <= Instant::now()) {
            self.renew(&mut kept).await;
        }
        kept.value.clone()
    }

    /// Another one than the server `refused`, if there is one by now.
    pub async fn instead_of(&self, refused: &Secret<String>) -> Option<Secret<String>> {
        let mut kept = self.0.kept.lock().await;
        // Another session may have been here first.
        if kept.value == *refused && kept.rests_until.is_none_or(|until| until <= Instant::now()) {
            self.renew(&mut kept).await;
            if kept.value == *refused {
                kept.rests_until = Some(Instant::now() + REST);
            }
        }
        (kept.value != *refused).then(|| kept.value.clone())
    }

    async fn renew(&self, kept: &mut Kept) {
        // An environment does not change while a process runs.
        let Some(place) = self.0.place.clone().filter(|place| !matches!(place, Place::Env(_))) else { return };
        let fetched = tokio::task::spawn_blocking(move || place.fetch()).await;
        let next = match fetched.map_err(|error| error.to_string()).and_then(|fetched| fetched) {
            Ok(value) => {
                kept.value = value;
                self.0.refresh
            }
            Err(why) => {
                tracing::warn!(why, "a database's password can't be had anew; the one before is kept");
                self.0.refresh.map(|refresh| refresh.min(REST))
            }
        };
        kept.due = next.map(|next| Instant::now() + next);
    }
}

impl Kept {
    const fn new(value: Secret<String>) -> Self {
        Self { value, due: None, rests_until: None }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A command that prints the file `secret` and leaves a line in `runs`.
    fn counted(folder: &Path, refresh: Option<Duration>) -> Password {
        let words = ["sh", "-c", "echo >> runs; cat secret"].map(str::to_owned).to_vec();
        let place = Place::Command { words, folder: folder.to_owned() };
        Password::kept(Secret::new("first".into()), place, refresh)
    }

    fn runs(folder: &Path) -> usize {
        fs::read_to_string(folder.join("runs")).map_or(0, |runs| runs.len())
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_runs_again_once_what_it_gave_is_old() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "second\n").unwrap();
        let password = counted(folder.path(), Some(Duration::from_secs(600)));
        assert_eq!(password.current().await, secret("first"));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert_eq!((password.current().await, runs(folder.path())), (secret("first"), 0), "still fresh");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((password.current().await, runs(folder.path())), (secret("second"), 1));
        assert_eq!((password.current().await, runs(folder.path())), (secret("second"), 1), "kept");

        tokio::time::advance(Duration::from_secs(600)).await;
        fs::remove_file(folder.path().join("secret")).unwrap();
        assert_eq!(
            (password.current().await, runs(folder.path())),
            (secret("second"), 2),
            "it fails: the old one stays"
        );
        fs::write(folder.path().join("secret"), "third\n").unwrap();
        tokio::time::advance(REST).await;
        assert_eq!((password.current().await, runs(folder.path())), (secret("third"), 3), "and it is tried again soon");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_password_is_had_anew_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "first\n").unwrap();
        let password = counted(folder.path(), None);
        assert_eq!(password.instead_of(&secret("first")).await, None, "there is no other");
        assert_eq!(password.instead_of(&secret("first")).await, None);
        assert_eq!(runs(folder.path()), 1, "a wrong password and many logins do not run it over and over");
        fs::write(folder.path().join("secret"), "second\n").unwrap();
        tokio::time::advance(REST).await;
        assert_eq!(password.instead_of(&secret("first")).await, Some(secret("second")));
        assert_eq!(password.instead_of(&secret("first")).await, Some(secret("second")), "somebody was here first");
        assert_eq!(runs(folder.path()), 2);
    }

    #[tokio::test]
    async fn what_can_not_change_is_not_asked_again_and_nothing_is_printed() {
        let fixed = Password::fixed(secret("hunter2"));
        assert_eq!(fixed.instead_of(&secret("hunter2")).await, None);
        let env = Password::kept(secret("hunter2"), Place::Env("COUNTERSIGN_TEST_UNSET".into()), None);
        assert_eq!(env.instead_of(&secret("hunter2")).await, None);
        assert_eq!(format!("{fixed:?} {env:?}"), "*** ***");
    }
}
