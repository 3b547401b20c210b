//! Logs to stderr: for people, or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What is told unless `RUST_LOG` says otherwise. slack-morphism writes the socket's address, a
/// secret, where a connection fails.
const LEVELS: &str = "info,slack_morphism=off,sqlx=warn,hyper=warn,tokio_postgres=warn";

/// Starts logging.
pub fn start(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    }
}
