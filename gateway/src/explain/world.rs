//! What names mean: the catalog and the search path of a session that has just begun, asked of the
//! databases of a config.

use std::collections::BTreeMap;

use crate::{
    catalog::{Snapshot, read},
    config::{Config, ConnectionConfig},
    connection::{catalogs::Own, upstream},
    statement::classify::Names,
};

/// One connection's catalog, and what names mean to each login that was asked about.
pub struct World {
    connection: ConnectionConfig,
    catalog: Snapshot,
    names: BTreeMap<String, Names>,
}

/// Those of several connections, by name.
#[derive(Default)]
pub struct Worlds(BTreeMap<String, World>);

impl World {
    /// The catalog, which is read as `upstream`'s user for everybody, and what names mean to the
    /// login of somebody in these groups and roles.
    pub(super) async fn of(connection: &ConnectionConfig, groups: &[String], roles: &[String]) -> Result<Self, String> {
        let own = connection.as_seen_by(groups, roles);
        let mut world = Self::new(connection).await?;
        world.ask(&own).await?;
        Ok(world)
    }

    async fn new(connection: &ConnectionConfig) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| failed(connection, error);
        let mut end = open(connection).await?;
        let catalog = read::read(&mut Own(&mut end)).await.map_err(|error| failed(&error))?;
        Ok(Self { connection: connection.clone(), catalog, names: BTreeMap::new() })
    }

    async fn ask(&mut self, own: &ConnectionConfig) -> Result<(), String> {
        const PATH: &str = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text";
        let login = &own.upstream.user;
        if self.names.contains_key(login) {
            return Ok(());
        }
        let mut end = open(own).await?;
        let rows = upstream::query(&mut end, PATH).await.map_err(|error| failed(own, &error))?;
        let path = rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default();
        let search_path = serde_json::from_str(&path).map_err(|error| failed(own, &error))?;
        self.names.insert(login.clone(), Names { search_path, login: login.clone(), ..Names::default() });
        Ok(())
    }

    /// For somebody in these groups and roles.
    pub(super) fn seen_by(&self, groups: &[String], roles: &[String]) -> Option<(&Snapshot, &Names)> {
        let login = self.connection.as_seen_by(groups, roles).upstream.user;
        self.names.get(&login).map(|names| (&self.catalog, names))
    }
}

impl Worlds {
    /// Asks the databases of all connections in `names`, for every login that they have.
    ///
    /// # Errors
    /// Which is not in the config, or can't be asked.
    pub async fn of(config: &Config, names: impl IntoIterator<Item = String>) -> Result<Self, Vec<String>> {
        let (mut worlds, mut problems) = (BTreeMap::new(), Vec::new());
        for name in names {
            match Self::one(config, &name).await {
                Ok(world) => _ = worlds.insert(name, world),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self(worlds)) } else { Err(problems) }
    }

    async fn one(config: &Config, name: &str) -> Result<World, String> {
        let connection = config.connections.get(name).ok_or_else(|| unknown(config, name))?;
        let mut world = World::of(connection, &[], &[]).await?;
        for rule in &connection.logins {
            let mut own = connection.clone();
            own.upstream.user.clone_from(&rule.user);
            own.upstream.password.clone_from(&rule.password);
            world.ask(&own).await?;
        }
        Ok(world)
    }

    pub(super) fn get(&self, connection: &str) -> Option<&World> {
        self.0.get(connection)
    }
}

pub(super) fn unknown(config: &Config, connection: &str) -> String {
    let names: Vec<&str> = config.connections.keys().map(String::as_str).collect();
    format!("there is no connection {connection:?} in {}; there are {}", config.file.display(), names.join(", "))
}

fn failed(connection: &ConnectionConfig, error: &dyn std::fmt::Display) -> String {
    let (name, user) = (&connection.name, &connection.upstream.user);
    format!("the database of {name:?} can't be asked as {user}: {error}")
}

async fn open(connection: &ConnectionConfig) -> Result<crate::connection::pipe::End, String> {
    let own = [("application_name".to_owned(), "countersign".to_owned())];
    let opened = upstream::open(&connection.upstream, &own).await.map_err(|error| failed(connection, &error))?;
    Ok(opened.end)
}
