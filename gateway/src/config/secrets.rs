//! Secrets: named in the file, kept elsewhere.

use std::{
    env, fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use countersign_shared::secret::Secret;
use toml::de::DeValue;

use super::{
    password::Password,
    reader::{At, Table},
    values,
};

/// How long a command may take to print its secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest secret, in bytes.
const MOST: u64 = 64 * 1024;

const FORMS: &str = "use { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] }";

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A variable of this process's environment.
    Env(String),
    /// A file.
    File(PathBuf),
    /// What a program prints. It is run without a shell, in the config's folder.
    Command { words: Vec<String>, folder: PathBuf },
}

impl Place {
    /// The secret as it is now, without its line end. Blocks for as long as a command takes.
    ///
    /// # Errors
    /// Why it can't be had, without a word of what was read or printed.
    pub fn fetch(&self) -> Result<Secret<String>, String> {
        let text = match self {
            Self::Env(name) => env::var(name).map_err(|error| {
                let why = if matches!(error, env::VarError::NotPresent) { "is not set" } else { "is not UTF-8" };
                format!("the environment variable {name} {why}")
            }),
            Self::File(path) => fs::File::open(path)
                .and_then(bounded)
                .map_err(|error| format!("{} can't be read: {error}", path.display())),
            Self::Command { words, folder } => run(words, folder),
        }?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(text.to_owned())) }
    }
}

/// Resolves a secret that stays as it is, if the key is there.
pub(super) fn secret(table: &Table<'_>, key: &'static str) -> Option<Secret<String>> {
    let found = place(table, key)?;
    if let Some(refresh) = found.refresh {
        table.doc.warning(
            refresh.at,
            format!("`refresh` is for passwords of connections; `{key}` is had once, at start"),
            "remove it",
        );
    }
    resolved(table, key, found.at, &found.place)
}

/// Resolves a secret, or each of a list of them while one takes the other's place.
pub(super) fn secrets(table: &Table<'_>, key: &'static str) -> Vec<Secret<String>> {
    if !matches!(table.get(key).map(toml::Spanned::get_ref), Some(DeValue::Array(_))) {
        return secret(table, key).into_iter().collect();
    }
    let all = table.tables(key);
    let found = all.iter().filter_map(|below| place_below(table, key, below));
    found.filter_map(|found| resolved(table, key, found.at, &found.place)).collect()
}

/// Resolves a password that can be had anew, if the key is there.
pub(super) fn password(table: &Table<'_>, key: &'static str) -> Option<Password> {
    let Found { place, refresh, at } = place(table, key)?;
    if let Some(refresh) = refresh.as_ref().filter(|_| !matches!(place, Place::Command { .. })) {
        table.doc.warning(refresh.at, "`refresh` has no meaning without a `command`", "remove it");
    }
    let now = resolved(table, key, at, &place)?;
    Some(Password::kept(now, place, refresh.map(|refresh| refresh.value)))
}

struct Found {
    place: Place,
    refresh: Option<At<Duration>>,
    at: usize,
}

/// Its text never gets into a problem.
fn place(table: &Table<'_>, key: &'static str) -> Option<Found> {
    let found = table.get(key)?;
    let at = found.span().start;
    if matches!(found.get_ref(), DeValue::String(_)) {
        table.doc.problem(at, format!("`{key}` in {} must not stand in the file itself", table.name), FORMS);
        return None;
    }
    place_below(table, key, &table.table(key)?)
}

fn place_below(table: &Table<'_>, key: &'static str, below: &Table<'_>) -> Option<Found> {
    let at = below.at;
    let (env, file, command) = (below.text("env"), below.text("file"), below.texts("command"));
    let refresh = below.read("refresh", values::duration(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)));
    below.finish();
    let place = match (env, file, command) {
        (Some(name), None, None) => Place::Env(name.value.to_owned()),
        (None, Some(file), None) => {
            let path = table.doc.path(file.value);
            if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                let message = format!("{} can be read by everybody on this machine", path.display());
                table.doc.warning(file.at, message, "chmod 600");
            }
            Place::File(path)
        }
        (None, None, Some(command)) => Place::Command { words: command.value, folder: table.doc.folder.clone() },
        _ => {
            table.doc.problem(at, format!("`{key}` in {} must name one place", table.name), FORMS);
            return None;
        }
    };
    Some(Found { place, refresh, at })
}

fn resolved(table: &Table<'_>, key: &str, at: usize, place: &Place) -> Option<Secret<String>> {
    place
        .fetch()
        .map_err(|why| {
            table.doc.problem(at, format!("the secret `{key}` of {} can't be had: {why}", table.name), "");
        })
        .ok()
}

/// All of a text, which must not be longer than a secret is.
fn bounded(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(std::io::Error::other(format!("it has more than {MOST} bytes")));
    }
    Ok(text)
}

/// What a command prints, if it ends well and in time. What it says on stderr goes nowhere: it may
/// quote the secret.
fn run(command: &[String], folder: &std::path::Path) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program} can't be started: {error}"))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    // Read beside the wait: a child that fills the pipe would otherwise never end.
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        // Nobody waits any more once the time is over.
        _ = sender.send(bounded(stdout));
    });
    let begun = Instant::now();
    let text = receiver.recv_timeout(COMMAND_TIMEOUT);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return match text {
                    Ok(Err(error)) => Err(format!("what {program} printed is no secret: {error}")),
                    _ if !status.success() => Err(format!("{program} failed: {status}")),
                    Ok(Ok(text)) => Ok(text),
                    Err(_) => Err(format!("{program} left its output open")),
                };
            }
            Ok(None) if begun.elapsed() < COMMAND_TIMEOUT => thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                let ended = child.kill().and_then(|()| child.wait());
                let more = ended.err().map(|error| format!(" ({error})")).unwrap_or_default();
                return Err(format!("{program} did not end within {} s{more}", COMMAND_TIMEOUT.as_secs()));
            }
            Err(error) => return Err(format!("{program}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Result<String, String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let place = Place::Command { words, folder: "/".into() };
        place.fetch().map(|secret| secret.reveal().clone())
    }

    #[test]
    fn a_command_gives_what_it_prints_or_says_why_not() {
        let table: [(&str, &[&str], Result<&str, &str>); 6] = [
            ("its line end is no part of it", &["printf", "hunter2\r\n"], Ok("hunter2")),
            ("no shell reads it", &["printf", "%s", "$HOME;`id`"], Ok("$HOME;`id`")),
            ("it fails", &["sh", "-c", "echo hunter2; exit 3"], Err("sh failed: exit status: 3")),
            ("it prints nothing", &["true"], Err("it is empty")),
            (
                "it prints no text",
                &["printf", "\\377"],
                Err("what printf printed is no secret: stream did not contain valid UTF-8"),
            ),
            (
                "it is not there",
                &["/nowhere/program"],
                Err("/nowhere/program can't be started: No such file or directory (os error 2)"),
            ),
        ];
        for (case, words, expected) in table {
            assert_eq!(command(words), expected.map(str::to_owned).map_err(str::to_owned), "{case}");
        }
    }

    #[test]
    fn a_command_that_never_stops_printing_is_cut_off() {
        assert_eq!(command(&["yes"]), Err("what yes printed is no secret: it has more than 65536 bytes".to_owned()));
    }
}
