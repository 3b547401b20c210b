//! Opens the file: its mode, its settings, its schema.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    SqlSafeStr, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{super::StoreError, errors::unavailable};

/// How long a writer waits for another process that holds the file's lock.
const BUSY: Duration = Duration::from_secs(5);
/// How long a call waits for its turn.
const TURN: Duration = Duration::from_secs(30);
/// How many connections read.
const READERS: u32 = 4;

/// `migrations/sqlite`, oldest first: version, description, SQL. What was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (20_261_124_000_000, "create state", include_str!("../../../../migrations/sqlite/20261124000000_create_state.sql")),
    (
        20_261_125_000_000,
        "create grants",
        include_str!("../../../../migrations/sqlite/20261125000000_create_grants.sql"),
    ),
    (
        20_261_126_000_000,
        "create directory",
        include_str!("../../../../migrations/sqlite/20261126000000_create_directory.sql"),
    ),
    (
        20_261_127_000_000,
        "create ended tokens",
        include_str!("../../../../migrations/sqlite/20261127000000_create_ended_tokens.sql"),
    ),
    (20_261_127_200_000, "add impact", include_str!("../../../../migrations/sqlite/20261127200000_add_impact.sql")),
    (20_261_127_300_000, "create usage", include_str!("../../../../migrations/sqlite/20261127300000_create_usage.sql")),
    (
        20_261_127_400_000,
        "refuse grants to who is gone",
        include_str!("../../../../migrations/sqlite/20261127400000_refuse_grants_to_who_is_gone.sql"),
    ),
    (
        20_261_128_000_000,
        "create checkpoints",
        include_str!("../../../../migrations/sqlite/20261128000000_create_checkpoints.sql"),
    ),
    (20_261_130_000_000, "add review", include_str!("../../../../migrations/sqlite/20261130000000_add_review.sql")),
    (
        20_261_202_000_000,
        "create access reviews",
        include_str!("../../../../migrations/sqlite/20261202000000_create_access_reviews.sql"),
    ),
    (
        20_261_202_100_000,
        "create delegations",
        include_str!("../../../../migrations/sqlite/20261202100000_create_delegations.sql"),
    ),
    (
        20_261_203_000_000,
        "create watched",
        include_str!("../../../../migrations/sqlite/20261203000000_create_watched.sql"),
    ),
    (
        20_261_203_100_000,
        "create questions",
        include_str!("../../../../migrations/sqlite/20261203100000_create_questions.sql"),
    ),
    (
        20_261_204_101_500,
        "add link accounts",
        include_str!("../../../../migrations/sqlite/20261204101500_add_link_accounts.sql"),
    ),
    (
        20_261_205_000_000,
        "watch secrets",
        include_str!("../../../../migrations/sqlite/20261205000000_watch_secrets.sql"),
    ),
    (
        20_261_206_000_000,
        "create allowances",
        include_str!("../../../../migrations/sqlite/20261206000000_create_allowances.sql"),
    ),
    (20_261_207_000_000, "create steps", include_str!("../../../../migrations/sqlite/20261207000000_create_steps.sql")),
];

/// The path in `sqlite://path`.
pub(super) fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    // The URL itself stays out of it: one of another kind may hold a password.
    let wrong = |why: &str| Err(StoreError::Unavailable(format!("the state's URL is wrong: {why}")));
    let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) else {
        return wrong(
            "it is not a SQLite URL; write sqlite://countersign.db or sqlite:///var/lib/countersign/state.db",
        );
    };
    if path.is_empty() || path.starts_with(":memory:") {
        return wrong("the state must outlive the gateway; name a file, as in sqlite://countersign.db");
    }
    if path.contains(['?', '#']) {
        return wrong("options are not taken here; name just the file");
    }
    Ok(PathBuf::from(path))
}

/// Makes the file where it is missing, readable by its owner alone. SQLite gives its mode to the
/// write-ahead log beside it.
fn make(path: &Path) -> Result<(), StoreError> {
    let at = |e: std::io::Error| StoreError::Unavailable(format!("{}: {e}", path.display()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path).map_err(at)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "others may read the state; chmod 600 it");
            }
            Ok(())
        }
        Err(e) => Err(at(e)),
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was answered survives a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // A replaced row asks the triggers that refuse deletion.
        .pragma("recursive_triggers", "ON")
}

/// One connection that writes, and a few that can only read.
pub(super) async fn pools(path: &Path) -> Result<(SqlitePool, SqlitePool), StoreError> {
    let for_file = |e: &dyn std::fmt::Display| StoreError::Unavailable(format!("{}: {e}", path.display()));
    make(path)?;
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path))
        .await
        .map_err(|e| for_file(&e))?;
    migrate(&writer, MIGRATIONS).await.map_err(|e| for_file(&e))?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(TURN)
        .connect_with(options(path).pragma("query_only", "ON"))
        .await
        .map_err(unavailable)?;
    Ok((writer, readers))
}

/// Applies what the file has not seen yet, each migration in a transaction of its own.
async fn migrate(pool: &SqlitePool, migrations: &[(i64, &'static str, &'static str)]) -> Result<(), String> {
    let migrations = migrations.iter().map(|(version, description, sql)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(migrations.collect()).run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(format!(
            "a newer countersign wrote this state (migration {version}, which this one does not know); \
             run the newer version, or restore the state from before the upgrade"
        )),
        Err(MigrateError::VersionMismatch(version)) => Err(format!(
            "migration {version} in this state differs from this version's; the state comes from another build, \
             so run that one, or start with an empty state"
        )),
        Err(e) => Err(format!("the schema can't be brought up to date: {e}")),
    }
}
