//! Secrets: named in the file, kept elsewhere.

use std::{
    env, fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use countersign_shared::secret::Secret;
use toml::de::DeValue;

use super::{reader::Table, values};

/// How long a command may take to print its secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest secret.
const MOST: u64 = 64 * 1024;

const FORMS: &str = "use { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] }";

/// Resolves a secret, if the key is there. Its text never gets into a problem.
pub(super) fn secret(table: &Table<'_>, key: &'static str) -> Option<Secret<String>> {
    let found = table.get(key)?;
    let at = found.span().start;
    if matches!(found.get_ref(), DeValue::String(_)) {
        table.doc.problem(at, format!("`{key}` in {} must not stand in the file itself", table.name), FORMS);
        return None;
    }
    let place = table.table(key)?;
    let (env, file, command) = (place.text("env"), place.text("file"), place.texts("command"));
    let refresh = place.read("refresh", values::duration(Duration::from_secs(10)..=Duration::from_secs(30 * 86_400)));
    place.finish();
    let value = match (env, file, command) {
        (Some(name), None, None) => env::var(name.value).map_err(|error| {
            let why = if matches!(error, env::VarError::NotPresent) { "is not set" } else { "is not UTF-8" };
            format!("the environment variable {} {why}", name.value)
        }),
        (None, Some(file), None) => {
            let path = table.doc.path(file.value);
            if fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                let message = format!("{} can be read by everybody on this machine", path.display());
                table.doc.warning(file.at, message, "chmod 600");
            }
            fs::read_to_string(&path).map_err(|error| format!("{} can't be read: {error}", path.display()))
        }
        (None, None, Some(command)) => run(&command.value, &table.doc.folder),
        _ => {
            table.doc.problem(at, format!("`{key}` in {} must name one place", table.name), FORMS);
            return None;
        }
    };
    if let Some(refresh) = refresh {
        table.doc.warning(refresh.at, "`refresh` is read but the command is run at start only", "restart to refresh");
    }
    let value = value
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .and_then(|text| if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text) });
    match value {
        Ok(text) => Some(Secret::new(text)),
        Err(why) => {
            table.doc.problem(at, format!("the secret `{key}` of {} can't be had: {why}", table.name), "");
            None
        }
    }
}

/// What a command prints, if it ends well and in time.
fn run(command: &[String], folder: &std::path::Path) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("the command is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program} can't be started: {error}"))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    // Read beside the wait: a child that fills the pipe would otherwise never end.
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(MOST).read_to_string(&mut text).map(|_| text);
        // Nobody waits any more once the time is over.
        _ = sender.send(read);
    });
    let begun = Instant::now();
    let text = receiver.recv_timeout(COMMAND_TIMEOUT);
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                return match text {
                    Ok(Ok(text)) => Ok(text),
                    Ok(Err(error)) => Err(format!("{program} printed no text: {error}")),
                    Err(_) => Err(format!("{program} left its output open")),
                };
            }
            Ok(Some(status)) => return Err(format!("{program} failed: {status}")),
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
