//! What psql and every program with libpq need: the `PG*` variables (PostgreSQL manual, libpq,
//! "Environment Variables").

use crate::kept::Kept;

/// The variables for a connection. The last one is the token: for a process's environment, never for
/// its command line, which others see.
#[must_use]
pub fn variables(kept: &Kept, connection: &str) -> Vec<(&'static str, String)> {
    let about = &kept.about;
    vec![
        ("PGHOST", about.host.clone()),
        ("PGPORT", about.port.to_string()),
        ("PGDATABASE", connection.to_owned()),
        ("PGUSER", kept.tokens.user.clone()),
        ("PGSSLMODE", if about.tls { "verify-full" } else { "prefer" }.to_owned()),
        ("PGPASSWORD", kept.tokens.token.reveal().clone()),
    ]
}

/// Lines for a shell, and what to put into `~/.pg_service.conf`.
#[must_use]
pub fn shell(kept: &Kept, connection: &str) -> String {
    let lines = variables(kept, connection);
    let exports = lines.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
    let service = lines.iter().filter(|(name, _)| *name != "PGPASSWORD").map(|(name, value)| {
        format!("#   {}={value}\n", name.trim_start_matches("PG").to_lowercase().replace("database", "dbname"))
    });
    format!(
        "{}# The token ends at {}. For ~/.pg_service.conf, with PGPASSWORD=$(countersign token):\n#   [{connection}]\n{}",
        exports.collect::<String>(),
        kept.tokens.expires_at.format("%Y-%m-%d %H:%M UTC"),
        service.collect::<String>(),
    )
}

/// As a POSIX shell reads it back.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
